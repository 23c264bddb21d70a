"""Typed reading of TOML: every value is checked, every error names file and key."""

from __future__ import annotations

import math
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hepchallenge.exceptions import ContractError

__all__ = ["TableReader", "read_document", "show"]

_TYPE_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
}


def show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class TableReader:
    """Takes typed values out of one table; whatever is not taken in the end is an unknown key."""

    def __init__(self, file: Path, table: object, where: str) -> None:
        self.file = file
        self.where = where
        if not isinstance(table, dict):
            raise ContractError(file, where, "a table", show(table))
        self.table: dict[str, Any] = table
        self.taken: list[str] = []

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def error(self, key: str, expected: str, found: object) -> ContractError:
        return ContractError(
            self.file, self.at(key), expected, found if isinstance(found, str) else show(found)
        )

    def take_any(self, key: str) -> Any:
        self.taken.append(key)
        return self.table.get(key)

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
            raise self.error(key, _TYPE_WORDS[kind], show(value))
        if kind is float and not math.isfinite(float(value)):
            raise self.error(key, "a finite number", show(value))
        return value

    def text(self, key: str, *, required: bool = False) -> str:
        value = self.take(key, str, required=required)
        if required and not value.strip():
            raise self.error(key, "a string that is not empty", show(value))
        return value or ""

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, required=True)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", show(value))
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list) or []
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise self.error(f"{key}[{index}]", "a string that is not empty", show(value))
        if len(set(values)) < len(values):
            twice = next(v for v in values if values.count(v) > 1)
            raise self.error(key, "every name once", f"{show(twice)} twice")
        return tuple(values)

    def table_at(self, key: str) -> TableReader | None:
        self.taken.append(key)
        return TableReader(self.file, self.table[key], self.at(key)) if key in self.table else None

    def tables_at(self, key: str) -> list[TableReader]:
        self.taken.append(key)
        found = self.table.get(key, [])
        if not isinstance(found, list):
            raise self.error(key, f"tables written [[{key}]]", show(found))
        where = self.at(key)
        return [TableReader(self.file, table, f"{where}[{index}]") for index, table in enumerate(found)]

    def finish(self) -> None:
        for key in self.table:
            if key not in self.taken:
                near = get_close_matches(key, self.taken, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                known = ", ".join(self.taken)
                raise self.error(key, f"one of the keys {known}", f"an unknown key{hint}")


def read_document(file: Path) -> TableReader:
    """Return a reader of a whole TOML file.

    Raises
    ------
    FileNotFoundError
        If there is no such file: whether it has to be there, the caller knows.
    ContractError
        If it cannot be read or is not TOML.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(file, "syntax", "a TOML 1.0 document in UTF-8", str(error)) from None
    except OSError as error:
        raise ContractError(file, "file", "a readable file", error.strerror or str(error)) from None
    return TableReader(file, document, "")
