"""Records to JSON text and back, exactly.

The text is pure ASCII with sorted keys: hostile characters (NUL, lone surrogates) that a database would
refuse travel as escapes, equal records give equal text, and floats come back bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any, TypeVar, cast

import msgspec

from hepchallenge.exceptions import StoreError
from hepchallenge.records import (
    FoldOutcome,
    Limits,
    RunKey,
    Scoring,
    Submission,
)

__all__ = [
    "decode_fold",
    "decode_key",
    "decode_scoring",
    "decode_submission",
    "digest_of",
    "dumps",
    "encode_fold",
    "encode_key",
    "encode_scoring",
    "encode_submission",
    "escape",
    "key_digest",
    "loads",
    "unescape",
]


_DEFAULT_LIMITS = Limits()

# Made anew for each text, one would cost as much as decoding many a text.
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}

_T = TypeVar("_T")


def _plain(value: object) -> Any:
    """Let numpy scalars through as the Python numbers that they are."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    raise StoreError(f"a record holds a {type(value).__name__}, which is not plain data: {value!r:.100}")


def dumps(value: object) -> str:
    """Return ASCII JSON with sorted keys; NaN and infinities are kept.

    Raises
    ------
    StoreError
        If something in `value` is not plain data.
    """
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a record cannot be written as JSON: {error}") from error


def loads(text: str) -> Any:
    """Return what `dumps` was given (tuples as lists)."""
    return json.loads(text)


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of the JSON text of `value`."""
    return hashlib.sha256(dumps(value).encode("ascii")).hexdigest()


def escape(text: str) -> str:
    """Return `text` as ASCII that every database takes, one to one; plain ASCII names stay readable."""
    return json.dumps(text)[1:-1]


def unescape(text: str) -> str:
    """Undo `escape`."""
    return str(json.loads(f'"{text}"'))


def _decode(text: str, kind: type[_T]) -> _T:
    """Return a record of a kind; fields that it lacks have their defaults."""
    try:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        return cast(_T, _decoders[kind].decode(text))
    except msgspec.DecodeError:
        pass
    try:
        # Numbers that are not finite, and halves of surrogate pairs, are not in the standard.
        return msgspec.convert(loads(text), type=kind)
    except ValueError as error:
        raise StoreError(f"a recorded {kind.__name__} is damaged: {error}") from error


def _fields(record: Submission | RunKey | FoldOutcome | Scoring) -> Any:
    """Return a record as plain data; several times as fast as `dataclasses.asdict`."""
    # One that decodes its fields on demand has only some of them at hand, and msgspec would take no others.
    values = {item.name: getattr(record, item.name) for item in fields(record)}
    try:
        return msgspec.to_builtins(values, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a record cannot be written as JSON: {error}") from error


def encode_submission(submission: Submission) -> str:
    """Return a submission as JSON text."""
    return dumps(_fields(submission))


def decode_submission(text: str) -> Submission:
    """Undo `encode_submission`."""
    return _decode(text, Submission)


def _as_declared(name: str, value: float | None) -> float | None:
    """Return a limit as the kind of number that its field is declared as."""
    if value is None:
        return None
    if isinstance(getattr(_DEFAULT_LIMITS, name), float):
        return float(value)
    return int(value) if float(value).is_integer() else float(value)


def encode_key(key: RunKey) -> str:
    """Return a run key as JSON text, the same for keys that compare equal (600 and 600.0, say)."""
    plain = _fields(key)
    limits = {name: _as_declared(name, value) for name, value in plain["limits"].items()}
    return dumps(
        {
            **plain,
            "limits": limits,
            "seed": int(key.seed),
            "quick": bool(key.quick),
            "gpus": int(key.gpus),
            "trainings": int(key.trainings),
        }
    )


def decode_key(text: str) -> RunKey:
    """Undo `encode_key`."""
    return _decode(text, RunKey)


def key_digest(key: RunKey) -> str:
    """Return the SHA-256 (hex) of a run key; equal for equal keys."""
    return hashlib.sha256(encode_key(key).encode("ascii")).hexdigest()


def encode_fold(outcome: FoldOutcome) -> str:
    """Return a fold's outcome as JSON text."""
    return dumps(_fields(outcome))


def decode_fold(text: str) -> FoldOutcome:
    """Undo `encode_fold`."""
    return _decode(text, FoldOutcome)


def encode_scoring(scoring: Scoring) -> str:
    """Return a scoring as JSON text; `gates` must be plain JSON data with text keys."""
    return dumps(_fields(scoring))


def decode_scoring(text: str) -> Scoring:
    """Undo `encode_scoring`."""
    return _decode(text, Scoring)
