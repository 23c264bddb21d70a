"""Finding challenges, by name or by folder, and loading them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepchallenge.contract.config import CONFIG_NAME, ChallengeConfig, read_config
from hepchallenge.contract.problem import PROBLEM_NAME, Problem, load_problem
from hepchallenge.contract.reader import read_document
from hepchallenge.exceptions import ContractError, UnknownName, UsageError

__all__ = [
    "Challenge",
    "ChallengeFolder",
    "builtin_folder",
    "find_challenge",
    "list_challenges",
    "load_challenge",
]

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class ChallengeFolder:
    """A challenge as far as it is known without importing its code."""

    name: str
    folder: Path
    config: ChallengeConfig
    version: str
    """SHA-256 of the challenge's Python files and what `challenge.toml` says besides the rules of its board,
    hexadecimal."""
    kits_folder: Path
    """Folder of the starting kits, one folder each; it may be absent."""
    builtin: bool

    @property
    def argument(self) -> str:
        """What to write for CHALLENGE on the command line: the name if built in, else the folder."""
        return self.name if self.builtin else str(self.folder)

    @property
    def kits(self) -> tuple[Path, ...]:
        """Folders of the starting kits, sorted by name."""
        if not self.kits_folder.is_dir():
            return ()
        found = (entry for entry in self.kits_folder.iterdir() if entry.is_dir())
        return tuple(sorted(kit for kit in found if not kit.name.startswith((".", "_"))))


@dataclass(frozen=True, kw_only=True)
class Challenge(ChallengeFolder):
    """A loaded challenge: `problem` and `config` are checked, on their own and against each other."""

    problem: Problem

    @property
    def title(self) -> str:
        """The title to show: that of `challenge.toml`, else `problem_title`."""
        return self.config.title or self.problem.title

    @property
    def official_metric(self) -> str:
        """Name of the score type that ranks: `official_metric` of `challenge.toml`, else the first."""
        return self.config.official_metric or self.problem.metric_names[0]

    @property
    def official_score_type(self) -> Any:
        """The score type called `official_metric`."""
        return next(s for s in self.problem.score_types if s.name == self.official_metric)


def builtin_folder() -> Path:
    """Return the folder that holds the built-in challenges, with links resolved."""
    return (_PACKAGE / "challenges").resolve()


def _version(folder: Path) -> str:
    """Hash the files that decide what the challenge computes, by name and content.

    A later deadline or another quota does not change what was computed, so rules of the board do not count.
    """
    contents = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for pattern in ("*.py", "external_imports/**/*.py")
        for file in folder.glob(pattern)
        if file.is_file()
    }
    if (folder / CONFIG_NAME).is_file():
        said = read_document(folder / CONFIG_NAME).table
        counted = {key: value for key, value in said.items() if key not in ("board", "phase")}
        if counted:
            contents[CONFIG_NAME] = json.dumps(counted, sort_keys=True, default=str).encode()
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _describe(folder: Path) -> ChallengeFolder:
    folder = folder.resolve()
    builtin = folder.parent == builtin_folder()
    kits = (_PACKAGE / "starting_kits").resolve() / folder.name if builtin else folder / "submissions"
    return ChallengeFolder(
        name=folder.name,
        folder=folder,
        config=read_config(folder),
        version=_version(folder),
        kits_folder=kits,
        builtin=builtin,
    )


def _builtin_names() -> list[str]:
    root = builtin_folder()
    return (
        sorted(entry.name for entry in root.iterdir() if (entry / PROBLEM_NAME).is_file())
        if root.is_dir()
        else []
    )


def list_challenges() -> tuple[ChallengeFolder, ...]:
    """Return the built-in challenges, sorted by name, without importing their code."""
    return tuple(_describe(builtin_folder() / name) for name in _builtin_names())


def find_challenge(name_or_path: str | os.PathLike[str]) -> ChallengeFolder:
    """Find a challenge and read its `challenge.toml`, without importing its code.

    A plain word is looked up among the built-in challenges first, then as a folder.

    Raises
    ------
    UnknownName
        If a plain word is neither.
    UsageError
        If a path is not a folder.
    ContractError
        If the folder holds no `problem.py`, or its `challenge.toml` is wrong.
    """
    text = os.fspath(name_or_path)
    path = Path(text)
    names = _builtin_names()
    if isinstance(name_or_path, str) and text in names:
        return _describe(builtin_folder() / text)
    if path.name == PROBLEM_NAME and path.is_file():
        path = path.parent
    if not path.is_dir():
        if isinstance(name_or_path, str) and path.name == text and not path.exists():
            raise UnknownName("challenge or folder", text, names)
        raise UsageError(f"{text} is not a folder with a {PROBLEM_NAME}")
    if not (path / PROBLEM_NAME).is_file():
        raise ContractError(
            path / PROBLEM_NAME, "file", "a problem.py as ramp-workflow knows it", "no such file"
        )
    return _describe(path)


def _check_together(problem: Problem, config: ChallengeConfig) -> None:
    """Check what `challenge.toml` says against what `problem.py` has."""
    known = f"one of the score types {', '.join(problem.metric_names)}"
    if config.official_metric is not None and config.official_metric not in problem.metric_names:
        raise ContractError(config.file, "official_metric", known, repr(config.official_metric))
    for index, reference in enumerate(config.references):
        if reference.metric not in problem.metric_names:
            raise ContractError(config.file, f"reference[{index}].metric", known, repr(reference.metric))
    if config.prediction_file is not None:
        on_events = problem.has_events
        if on_events != (config.prediction_file.event is not None):
            found = "none" if on_events else f"one although {PROBLEM_NAME} has no workflow for events"
            raise ContractError(config.file, "prediction_file.event", "the column of the event's id", found)
        for name in ("get_hit_ids" if on_events else "predictions_from_columns", "get_test_ids"):
            if getattr(problem, name) is None:
                found = f"no such name although {CONFIG_NAME} has [prediction_file]"
                raise ContractError(problem.file, name, "a function", found)
    elif problem.predictions_from_columns is not None:
        found = "none although problem.py has predictions_from_columns"
        raise ContractError(config.file, "prediction_file", "a table with id and columns", found)


def load_challenge(name_or_path: str | os.PathLike[str]) -> Challenge:
    """Load a challenge by name, or from any folder with a `problem.py` (a RAMP kit as it is).

    Raises
    ------
    UnknownName, UsageError
        If there is no such challenge or folder.
    ContractError
        If `problem.py` or `challenge.toml` breaks the contract; the message names file, key, what was
        expected and what was found.
    """
    found = find_challenge(name_or_path)
    problem = load_problem(found.folder)
    _check_together(problem, found.config)
    return Challenge(
        name=found.name,
        folder=found.folder,
        config=found.config,
        version=found.version,
        kits_folder=found.kits_folder,
        builtin=found.builtin,
        problem=problem,
    )
