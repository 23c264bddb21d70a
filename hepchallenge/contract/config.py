"""`challenge.toml`: what a challenge says about itself, read and checked without importing its code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hepchallenge.contract.reader import TableReader, read_document, show
from hepchallenge.contract.rules import BoardRules, take_rules
from hepchallenge.exceptions import ContractError
from hepchallenge.records import BAGGED_PARTS, PARTS, Limits, parse_bytes

__all__ = [
    "CHECKSUMS",
    "CONFIG_NAME",
    "ChallengeConfig",
    "PredictionFile",
    "Reference",
    "Source",
    "ToyDefaults",
    "read_config",
]

CONFIG_NAME = "challenge.toml"
"""Name of the optional file next to `problem.py`."""

CHECKSUMS = {"sha256": 64, "md5": 32, "adler32": 8}
"""Checksums that a source may pin, with their number of hexadecimal digits."""

MOST_TRAININGS = 1000
"""More would be a mistake."""

COLUMN_TYPES = ("int64", "float64", "string")
"""Types that a column of a prediction file may have."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one published file comes from, and how it is recognised.

    `location` is a URL for `url`, a bare DOI of a data repository for `doi` (`filename` names the file in
    that record) and the competition's short name for `kaggle`.
    """

    name: str
    kind: Literal["url", "doi", "kaggle"]
    location: str
    filename: str
    sha256: str | None = None
    md5: str | None = None
    adler32: str | None = None
    size: int | None = None
    licence: str = ""
    citation: str = ""
    note: str = ""

    @property
    def checksums(self) -> dict[str, str]:
        """The pinned checksums, algorithm to lower-case hexadecimal digits; may be empty."""
        pinned = {algorithm: getattr(self, algorithm) for algorithm in CHECKSUMS}
        return {algorithm: digest for algorithm, digest in pinned.items() if digest is not None}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published score; `confirmed` is false where no primary source was read."""

    name: str
    metric: str
    part: str
    value: float
    source: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class PredictionFile:
    """Columns of a prediction file, in order: name to `int64`, `float64` or `string`; `id` is one of them.

    Where a challenge has events, `event` is the column of the event's id, and `id` tells the rows of one
    event apart. The one column that is left is the prediction.
    """

    id: str
    columns: dict[str, str]
    event: str | None = None


@dataclass(frozen=True, kw_only=True)
class ToyDefaults:
    """Seed, number and size of simulated events of the toy data; None leaves a number to the challenge.

    `hits` is the mean number of hits per event, for challenges whose `make_toy_data` takes `n_hits`.
    """

    seed: int = 0
    events: int | None = None
    hits: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChallengeConfig:
    """Everything `challenge.toml` can say. A challenge without the file has these defaults."""

    file: Path
    title: str = ""
    summary: str = ""
    official_metric: str | None = None
    licence: str = ""
    citation: str = ""
    limits: Limits = field(default_factory=Limits)
    trainings: int = 1
    """How often every fold is trained, each time with another seed."""
    withheld: tuple[str, ...] = ()
    prediction_file: PredictionFile | None = None
    sources: tuple[Source, ...] = ()
    references: tuple[Reference, ...] = ()
    toy: ToyDefaults = field(default_factory=ToyDefaults)
    rules: BoardRules = field(default_factory=BoardRules)


def _parse_size(reader: TableReader, key: str) -> int | None:
    value = reader.take_any(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise reader.error(key, 'a number of bytes or a size such as "4GiB"', show(value))
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise reader.error(key, 'a number of bytes or a size such as "4GiB"', str(error)) from None


def _read_limits(reader: TableReader) -> Limits:
    changes: dict[str, float | int | None] = {}
    for key in ("fit_wall", "fit_cpu", "predict_wall", "predict_cpu", "gpu_seconds"):
        changes[key] = reader.take(key, float)
    for key in ("processes", "cores"):
        changes[key] = reader.take(key, int)
    for key, value in changes.items():
        if value is not None and value <= 0:
            raise reader.error(key, "a number above 0", show(value))
    changes["memory_bytes"] = _parse_size(reader, "memory")
    for key in ("output", "scratch", "log", "gpu_memory"):
        changes[f"{key}_bytes"] = _parse_size(reader, key)
    return Limits().with_changes(**changes)


def _read_prediction_file(reader: TableReader) -> PredictionFile:
    identity = reader.text("id", required=True)
    columns = reader.table_at("columns")
    if columns is None or not columns.table:
        raise reader.error("columns", 'a table such as { EventId = "int64" }', "none")
    types = {name: columns.choice(name, COLUMN_TYPES) for name in columns.table}
    if types.get(identity) != "int64":
        raise columns.error(
            identity, 'the id column with type "int64"', types.get(identity, "no such column")
        )
    event = reader.take("event", str)
    if event is not None:
        if event == identity or types.get(event) != "int64":
            raise reader.error("event", 'a column with type "int64" besides the id', show(event))
        if sorted(types.values()) != ["int64"] * 3:
            raise reader.error("columns", "event, id and one prediction, all of type int64", show(types))
    return PredictionFile(id=identity, columns=types, event=event)


def _check_location(reader: TableReader, kind: str, location: str) -> None:
    fits: Mapping[str, tuple[Callable[[str], object], str]] = {
        "url": (
            lambda text: re.fullmatch(r"https?://[^\s/]+/\S+", text),
            "a URL beginning with http:// or https://",
        ),
        "doi": (
            lambda text: re.fullmatch(r"10\.\d{4,9}/\S+", text),
            "a bare DOI such as 10.5281/zenodo.1234",
        ),
        "kaggle": (lambda text: re.fullmatch(r"[a-z0-9-]+", text), "a competition's short name"),
    }
    check, expected = fits[kind]
    if not check(location):
        raise reader.error("location", expected, show(location))


def _read_source(reader: TableReader) -> Source:
    name = reader.text("name", required=True)
    kind: Any = reader.choice("kind", ("url", "doi", "kaggle"))
    location = reader.text("location", required=True)
    _check_location(reader, kind, location)
    filename = reader.text("filename", required=True)
    # The name becomes a file of the cache, so it must not lead out of it.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", filename):
        raise reader.error("filename", "a plain file name without folders", show(filename))
    digests: dict[str, str | None] = {}
    for algorithm, digits in CHECKSUMS.items():
        text = reader.take(algorithm, str)
        if text is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text):
            raise reader.error(algorithm, f"{digits} hexadecimal digits", show(text))
        digests[algorithm] = text.lower() if text is not None else None
    size = reader.take("size", int)
    if size is not None and size <= 0:
        raise reader.error("size", "a number of bytes above 0", show(size))
    return Source(
        name=name,
        kind=kind,
        location=location,
        filename=filename,
        size=size,
        licence=reader.text("licence"),
        citation=reader.text("citation"),
        note=reader.text("note"),
        **digests,
    )


def _read_reference(reader: TableReader) -> Reference:
    return Reference(
        name=reader.text("name", required=True),
        metric=reader.text("metric", required=True),
        part=reader.choice("part", (*PARTS, *BAGGED_PARTS)),
        value=float(reader.take("value", float, required=True)),
        source=reader.text("source", required=True),
        confirmed=reader.take("confirmed", bool, required=True),
    )


def _read_toy(reader: TableReader) -> ToyDefaults:
    seed = reader.take("seed", int) or 0
    if seed < 0:
        raise reader.error("seed", "a whole number from 0", show(seed))
    sizes: dict[str, int | None] = {}
    for key in ("events", "hits"):
        size = sizes[key] = reader.take(key, int)
        if size is not None and size <= 0:
            raise reader.error(key, "a whole number above 0", show(size))
    return ToyDefaults(seed=seed, **sizes)


def read_config(folder: Path) -> ChallengeConfig:
    """Read and check `challenge.toml` of a challenge folder; no code of the challenge is imported.

    Parameters
    ----------
    folder : Path
        The folder that holds `problem.py`; without a `challenge.toml` the defaults are returned.

    Raises
    ------
    ContractError
        If the file is not TOML, has an unknown key, lacks one, or a value has the wrong type or range.
    """
    file = folder / CONFIG_NAME
    try:
        reader = read_document(file)
    except FileNotFoundError:
        return ChallengeConfig(file=file)
    values: dict[str, Any] = {key: reader.text(key) for key in ("title", "summary", "licence", "citation")}
    values["official_metric"] = reader.take("official_metric", str)
    trainings = reader.take("trainings", int)
    if trainings is not None:
        if not 1 <= trainings <= MOST_TRAININGS:
            raise reader.error("trainings", f"a whole number from 1 to {MOST_TRAININGS}", show(trainings))
        values["trainings"] = trainings
    sections: dict[str, tuple[str, Callable[[TableReader], object]]] = {
        "limits": ("limits", _read_limits),
        "features": ("withheld", lambda features: features.names("withheld")),
        "prediction_file": ("prediction_file", _read_prediction_file),
        "toy": ("toy", _read_toy),
    }
    for key, (attribute, read) in sections.items():
        section = reader.table_at(key)
        if section is not None:
            values[attribute] = read(section)
            section.finish()
    lists: dict[str, tuple[str, Callable[[TableReader], object]]] = {
        "source": ("sources", _read_source),
        "reference": ("references", _read_reference),
    }
    for key, (attribute, read) in lists.items():
        items = []
        for section in reader.tables_at(key):
            items.append(read(section))
            section.finish()
        values[attribute] = tuple(items)
    values["rules"] = take_rules(reader)
    reader.finish()

    filenames = [source.filename for source in values["sources"]]
    for index, filename in enumerate(filenames):
        if filename in filenames[:index]:
            raise ContractError(file, f"source[{index}].filename", "every file once", f"{filename!r} twice")
    return ChallengeConfig(file=file, **values)
