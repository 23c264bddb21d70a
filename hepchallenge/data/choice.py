"""Which data a challenge uses when a command names none, and the ways to choose them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hepchallenge.contract import Challenge
from hepchallenge.data.downloads import Progress, download_sources
from hepchallenge.data.files import cache_root, write_json
from hepchallenge.data.prepared import (
    code_digest,
    open_prepared,
    prepare_source,
    prepare_toy,
    read_manifest,
)
from hepchallenge.exceptions import DataError, UsageError

__all__ = [
    "Choice",
    "chosen",
    "current",
    "fetch",
    "has_own_data",
    "prepare",
    "resolve",
    "select",
    "select_toy",
    "toy",
]

_SELECTED = "selected.json"
Waiting = Callable[[], None] | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which data stand for a challenge: `toy`, a `path` with published or prepared files, or its `own`."""

    kind: Literal["toy", "path", "own"]
    seed: int | None = None
    events: int | None = None
    hits: int | None = None
    source: str | None = None
    prepared: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as a plain mapping."""
        return asdict(self)


def has_own_data(challenge: Challenge) -> bool:
    """Whether the challenge reads its data by itself, as a plain RAMP kit does, without prepared folders."""
    return challenge.problem.prepare_data is None and challenge.problem.make_toy_data is None


def _home(challenge: Challenge) -> Path:
    if challenge.builtin:
        return cache_root() / challenge.name
    # Folders of other people may share a name; each has its own choice of data.
    place = hashlib.sha256(str(challenge.folder).encode()).hexdigest()[:8]
    return cache_root() / f"{challenge.name}-{place}"


def prepare(challenge: Challenge, source: str | os.PathLike[str], *, waiting: Waiting = None) -> Path:
    """Return the prepared folder of published files, made on first use.

    Raises
    ------
    UsageError
        If the challenge has no `prepare_data`.
    DataError
        If the files are not what the challenge expects.
    """
    if challenge.problem.prepare_data is None:
        raise UsageError(
            f"{challenge.name} has no prepare_data in {challenge.problem.file.name}: it reads its own"
        )
    return prepare_source(challenge.name, challenge.problem.prepare_data, Path(source), waiting=waiting)


def toy(
    challenge: Challenge,
    seed: int | None = None,
    events: int | None = None,
    hits: int | None = None,
    *,
    waiting: Waiting = None,
) -> Path:
    """Return the prepared folder of simulated data, made on first use; deterministic for a seed.

    Parameters
    ----------
    seed, events, hits : int, optional
        By default those of `[toy]` in `challenge.toml`; `hits` is the mean number per event.

    Raises
    ------
    UsageError
        If the challenge has no `make_toy_data`, or `hits` are given and its events have none.
    """
    if challenge.problem.make_toy_data is None:
        raise UsageError(
            f"{challenge.name} has no make_toy_data in {challenge.problem.file.name}: no toy data"
        )
    make_toy = challenge.problem.make_toy_data
    return prepare_toy(challenge.name, make_toy, seed=seed, events=events, hits=hits, waiting=waiting)


def fetch(challenge: Challenge, *, progress: Progress | None = None, waiting: Waiting = None) -> Path:
    """Download the published files that need no login, make them the default, return their prepared folder.

    Raises
    ------
    UsageError
        If the challenge names no such source; the message explains what to do by hand.
    DataError, InfrastructureError
        See `hepchallenge.data.downloads.download_sources`.
    """
    folder = _home(challenge) / "downloads"
    download_sources(challenge, folder, progress=progress, waiting=waiting)
    return select(challenge, folder, waiting=waiting)


def resolve(challenge: Challenge, path: str | os.PathLike[str], *, waiting: Waiting = None) -> Path:
    """Return the folder to hand to the challenge's data functions for data that the user named.

    For a challenge with prepared folders that is the prepared folder; a RAMP kit gets the path as it is.
    """
    if has_own_data(challenge):
        if not Path(path).is_dir():
            raise DataError(path, "path", "a folder", "no such folder")
        return Path(path).resolve()
    problem = challenge.problem
    return open_prepared(
        path,
        challenge=challenge.name,
        prepare=problem.prepare_data,
        make_toy=problem.make_toy_data,
        waiting=waiting,
    )


def select(challenge: Challenge, source: str | os.PathLike[str], *, waiting: Waiting = None) -> Path:
    """Prepare the data at a path and make them the challenge's default; return their prepared folder.

    Should the challenge's code change, they are prepared again from the same path.
    """
    if has_own_data(challenge):
        raise UsageError(f"{challenge.name} reads its own data; name another folder with score --data")
    prepared = resolve(challenge, source, waiting=waiting)
    _remember(challenge, Choice(kind="path", source=str(Path(source).resolve()), prepared=str(prepared)))
    return prepared


def select_toy(
    challenge: Challenge,
    seed: int | None = None,
    events: int | None = None,
    hits: int | None = None,
    *,
    waiting: Waiting = None,
) -> Path:
    """Simulate toy data and make them the challenge's default; return their prepared folder."""
    prepared = toy(challenge, seed, events, hits, waiting=waiting)
    _remember(challenge, Choice(kind="toy", seed=seed, events=events, hits=hits))
    return prepared


def _remember(challenge: Challenge, choice: Choice) -> None:
    home = _home(challenge)
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / _SELECTED, choice.to_dict())


def chosen(challenge: Challenge) -> Choice:
    """Return which data a command uses when it names none; nothing is simulated or prepared.

    Raises
    ------
    DataError
        If the file that remembers the choice is damaged.
    """
    if has_own_data(challenge):
        return Choice(kind="own", source=str(challenge.folder))
    file = _home(challenge) / _SELECTED
    try:
        choice = Choice(**json.loads(file.read_text(encoding="utf-8")))
        if choice.kind not in ("toy", "path") or (
            choice.kind == "path" and not (choice.source and choice.prepared)
        ):
            raise ValueError(f"kind {choice.kind!r}")
    except FileNotFoundError:
        return Choice(kind="toy")
    except (ValueError, TypeError) as error:
        raise DataError(
            file, "content", "the choice of a data set", f"{type(error).__name__}: {error}"
        ) from None
    return choice


def _is_fresh(challenge: Challenge, prepared: Path) -> bool:
    """Whether a folder is whole and was made by the code that is installed now."""
    function = challenge.problem.prepare_data
    if function is None:
        return False
    try:
        return read_manifest(prepared).made_by == code_digest(function)
    except DataError:
        return False


def current(challenge: Challenge, *, waiting: Waiting = None) -> Path:
    """Return the data that a command uses when it names none.

    That is the prepared folder of the data selected last; if nothing was selected, of the toy data; for a
    plain RAMP kit its own folder.

    Raises
    ------
    DataError
        If the selected data are gone, or were prepared by older code from files that are gone.
    UsageError
        If nothing is selected and the challenge has no toy data.
    """
    choice = chosen(challenge)
    if choice.kind == "own":
        return challenge.folder
    if choice.kind == "toy":
        return toy(challenge, choice.seed, choice.events, choice.hits, waiting=waiting)
    prepared, source = Path(str(choice.prepared)), Path(str(choice.source))
    if _is_fresh(challenge, prepared):
        return prepared
    if not source.exists():
        expected = "the files that were selected as data"
        hint = f"nothing; choose again with: hepchallenge data {challenge.argument} --from PATH (or --toy)"
        raise DataError(source, "path", expected, hint)
    return select(challenge, source, waiting=waiting)
