"""Entries as they are recorded: what a board does not rank by is decoded when somebody looks at it.

A board of many submissions ranks by scores and shows the folds and keys of few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import Any, overload

from hepchallenge.records import BoardEntry, DataInfo, FoldOutcome, RunKey, Scoring, Submission
from hepchallenge.store import codec

__all__ = ["RUN_COLUMNS", "RecordedEntry", "RecordedFolds", "recorded_entry"]

RUN_COLUMNS = ("data_kind", "data_digest", "isolation", "accounting", "created_at", "key", "versions")
"""Columns of `schema.runs` of which an entry is made."""


class RecordedFolds(Sequence[FoldOutcome]):
    """The folds of a run in the order of their jobs; equal to the tuple of their outcomes.

    Parameters
    ----------
    run_id
        Of the run.
    texts
        What `encode_fold` made of each, in this order; None before `Store.read_folds` has set them, and then
        nobody may look.
    """

    __slots__ = ("_decoded", "run_id", "texts")

    def __init__(self, run_id: int, texts: Sequence[str] | None = None) -> None:
        self.run_id = run_id
        self.texts = texts
        self._decoded: tuple[FoldOutcome, ...] | None = None

    def _read(self) -> Sequence[str]:
        if self.texts is None:
            raise RuntimeError(f"the folds of run {self.run_id} were not read; call Store.read_folds")
        return self.texts

    def _outcomes(self) -> tuple[FoldOutcome, ...]:
        if self._decoded is None:
            self._decoded = tuple(map(codec.decode_fold, self._read()))
        return self._decoded

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> FoldOutcome: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FoldOutcome, ...]: ...
    def __getitem__(self, index: int | slice) -> FoldOutcome | tuple[FoldOutcome, ...]:
        return self._outcomes()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordedFolds):
            return self._outcomes() == other._outcomes()
        return self._outcomes() == other if isinstance(other, tuple) else NotImplemented

    def __repr__(self) -> str:
        return "(not read)" if self.texts is None else repr(self._outcomes())


class RecordedEntry(BoardEntry):
    """An entry that decodes its key and versions on demand; equal to the plain entry with the same fields."""

    @cached_property
    def run_key(self) -> RunKey:
        """Everything that decides what the run computes."""
        return codec.decode_key(vars(self)["key_text"])

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of interpreter and libraries."""
        versions: dict[str, str] = codec.loads(vars(self)["versions_text"])
        return versions

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoardEntry):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(BoardEntry))

    __hash__ = BoardEntry.__hash__


def recorded_entry(
    run: Sequence[Any], submission: Submission, received_at: str, scoring: Scoring, folds: RecordedFolds
) -> RecordedEntry:
    """Return the entry of a run, given by its `RUN_COLUMNS`."""
    kind, digest, isolation, accounting, run_at, key, versions = run
    entry = RecordedEntry.__new__(RecordedEntry)
    # Past the frozen dataclass: its constructor would want all fields decoded, and costs as much as the rest.
    vars(entry).update(
        submission=submission,
        data=_data_info(kind, digest),
        isolation=isolation,
        accounting=accounting,
        received_at=received_at,
        run_at=run_at,
        scoring=scoring,
        folds=folds,
        key_text=key,
        versions_text=versions,
    )
    return entry


@lru_cache(maxsize=1000)
def _data_info(kind: Any, digest: str) -> DataInfo:
    return DataInfo(kind=kind, digest=digest)
