"""`challenge.toml`: what a challenge says about itself, read and checked without importing its code."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

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


_TYPE_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
}


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Reader:
    """Takes typed values out of one table; whatever is not taken in the end is an unknown key."""

    def __init__(self, file: Path, table: object, where: str) -> None:
        self.file = file
        self.where = where
        if not isinstance(table, dict):
            raise ContractError(file, where, "a table", _show(table))
        self.table: dict[str, Any] = table
        self.taken: list[str] = []

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def error(self, key: str, expected: str, found: object) -> ContractError:
        return ContractError(
            self.file, self.at(key), expected, found if isinstance(found, str) else _show(found)
        )

    def take(self, key: str, kind: type, *, required: bool = False) -> Any:
        self.taken.append(key)
        if key not in self.table:
            if required:
                raise self.error(key, _TYPE_WORDS[kind], "no such key")
            return None
        value = self.table[key]
        # TOML tells booleans, integers and floats apart; a float may be written without its point.
        accepted: Any = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, _TYPE_WORDS[kind], _show(value))
        if kind is float and not math.isfinite(float(value)):
            raise self.error(key, "a finite number", _show(value))
        return value

    def text(self, key: str, *, required: bool = False) -> str:
        value = self.take(key, str, required=required)
        if required and not value.strip():
            raise self.error(key, "a string that is not empty", _show(value))
        return value or ""

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, required=True)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", _show(value))
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list) or []
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise self.error(f"{key}[{index}]", "a string that is not empty", _show(value))
        if len(set(values)) < len(values):
            twice = next(v for v in values if values.count(v) > 1)
            raise self.error(key, "every name once", f"{_show(twice)} twice")
        return tuple(values)

    def table_at(self, key: str) -> _Reader | None:
        self.taken.append(key)
        return _Reader(self.file, self.table[key], self.at(key)) if key in self.table else None

    def tables_at(self, key: str) -> list[_Reader]:
        self.taken.append(key)
        found = self.table.get(key, [])
        if not isinstance(found, list):
            raise self.error(key, f"tables written [[{key}]]", _show(found))
        return [_Reader(self.file, table, f"{self.at(key)}[{index}]") for index, table in enumerate(found)]

    def finish(self) -> None:
        for key in self.table:
            if key not in self.taken:
                near = get_close_matches(key, self.taken, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                known = ", ".join(self.taken)
                raise self.error(key, f"one of the keys {known}", f"an unknown key{hint}")


def _parse_size(reader: _Reader, key: str) -> int | None:
    reader.taken.append(key)
    value = reader.table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise reader.error(key, 'a number of bytes or a size such as "4GiB"', _show(value))
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise reader.error(key, 'a number of bytes or a size such as "4GiB"', str(error)) from None


def _read_limits(reader: _Reader) -> Limits:
    changes: dict[str, float | int | None] = {}
    for key in ("fit_wall", "fit_cpu", "predict_wall", "predict_cpu", "gpu_seconds"):
        changes[key] = reader.take(key, float)
    for key in ("processes", "cores"):
        changes[key] = reader.take(key, int)
    for key, value in changes.items():
        if value is not None and value <= 0:
            raise reader.error(key, "a number above 0", _show(value))
    changes["memory_bytes"] = _parse_size(reader, "memory")
    for key in ("output", "scratch", "log", "gpu_memory"):
        changes[f"{key}_bytes"] = _parse_size(reader, key)
    return Limits().with_changes(**changes)


def _read_prediction_file(reader: _Reader) -> PredictionFile:
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
            raise reader.error("event", 'a column with type "int64" besides the id', _show(event))
        if sorted(types.values()) != ["int64"] * 3:
            raise reader.error("columns", "event, id and one prediction, all of type int64", _show(types))
    return PredictionFile(id=identity, columns=types, event=event)


def _check_location(reader: _Reader, kind: str, location: str) -> None:
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
        raise reader.error("location", expected, _show(location))


def _read_source(reader: _Reader) -> Source:
    name = reader.text("name", required=True)
    kind: Any = reader.choice("kind", ("url", "doi", "kaggle"))
    location = reader.text("location", required=True)
    _check_location(reader, kind, location)
    filename = reader.text("filename", required=True)
    # The name becomes a file of the cache, so it must not lead out of it.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", filename):
        raise reader.error("filename", "a plain file name without folders", _show(filename))
    digests: dict[str, str | None] = {}
    for algorithm, digits in CHECKSUMS.items():
        text = reader.take(algorithm, str)
        if text is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text):
            raise reader.error(algorithm, f"{digits} hexadecimal digits", _show(text))
        digests[algorithm] = text.lower() if text is not None else None
    size = reader.take("size", int)
    if size is not None and size <= 0:
        raise reader.error("size", "a number of bytes above 0", _show(size))
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


def _read_reference(reader: _Reader) -> Reference:
    return Reference(
        name=reader.text("name", required=True),
        metric=reader.text("metric", required=True),
        part=reader.choice("part", (*PARTS, *BAGGED_PARTS)),
        value=float(reader.take("value", float, required=True)),
        source=reader.text("source", required=True),
        confirmed=reader.take("confirmed", bool, required=True),
    )


def _read_toy(reader: _Reader) -> ToyDefaults:
    seed = reader.take("seed", int) or 0
    if seed < 0:
        raise reader.error("seed", "a whole number from 0", _show(seed))
    sizes: dict[str, int | None] = {}
    for key in ("events", "hits"):
        size = sizes[key] = reader.take(key, int)
        if size is not None and size <= 0:
            raise reader.error(key, "a whole number above 0", _show(size))
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
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ChallengeConfig(file=file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(file, "syntax", "a TOML 1.0 document in UTF-8", str(error)) from None
    except OSError as error:
        raise ContractError(file, "file", "a readable file", error.strerror or str(error)) from None

    reader = _Reader(file, document, "")
    values: dict[str, Any] = {key: reader.text(key) for key in ("title", "summary", "licence", "citation")}
    values["official_metric"] = reader.take("official_metric", str)
    trainings = reader.take("trainings", int)
    if trainings is not None:
        if not 1 <= trainings <= MOST_TRAININGS:
            raise reader.error("trainings", f"a whole number from 1 to {MOST_TRAININGS}", _show(trainings))
        values["trainings"] = trainings
    sections: dict[str, tuple[str, Callable[[_Reader], object]]] = {
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
    lists: dict[str, tuple[str, Callable[[_Reader], object]]] = {
        "source": ("sources", _read_source),
        "reference": ("references", _read_reference),
    }
    for key, (attribute, read) in lists.items():
        items = []
        for section in reader.tables_at(key):
            items.append(read(section))
            section.finish()
        values[attribute] = tuple(items)
    reader.finish()

    filenames = [source.filename for source in values["sources"]]
    for index, filename in enumerate(filenames):
        if filename in filenames[:index]:
            raise ContractError(file, f"source[{index}].filename", "every file once", f"{filename!r} twice")
    return ChallengeConfig(file=file, **values)
