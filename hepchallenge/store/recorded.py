"""Outcomes of folds as they are recorded, decoded when somebody looks at them.

A board of many submissions ranks by scores and shows the folds of few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from hepchallenge.records import FoldOutcome
from hepchallenge.store import codec

__all__ = ["RecordedFolds"]


class RecordedFolds(Sequence[FoldOutcome]):
    """The folds of a run in the order of their jobs; equal to the tuple of their outcomes.

    Parameters
    ----------
    texts
        What `encode_fold` made of each, in this order.
    """

    __slots__ = ("_decoded", "_texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._decoded: tuple[FoldOutcome, ...] | None = None

    def _outcomes(self) -> tuple[FoldOutcome, ...]:
        if self._decoded is None:
            self._decoded = tuple(map(codec.decode_fold, self._texts))
        return self._decoded

    def __len__(self) -> int:
        return len(self._texts)

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

    def __hash__(self) -> int:
        return hash(tuple(self._texts))

    def __repr__(self) -> str:
        return repr(self._outcomes())
