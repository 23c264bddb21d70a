"""Entries as they are recorded: what a board does not rank by is decoded when somebody looks at it.

A board of many submissions ranks by scores and shows the folds, keys and uncertainties of few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import Any, overload

import msgspec

from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    FoldOutcome,
    RunKey,
    Scores,
    Scoring,
    StoredArray,
    Submission,
    Verdict,
)
from hepchallenge.store import codec

__all__ = [
    "DATA_COLUMNS",
    "RUN_COLUMNS",
    "RecordedEntry",
    "RecordedFolds",
    "RecordedScoring",
    "recorded_entry",
    "recorded_scoring",
    "set_run",
]

DATA_COLUMNS = ("data_kind", "data_digest")
"""Columns of `schema.runs` of which an entry is made."""

RUN_COLUMNS = ("isolation", "accounting", "created_at", "key", "versions")
"""Columns of `schema.runs` that say how it was run, for `set_run`."""


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


_OF_RUN = ("isolation", "accounting", "run_at", "key_text", "versions_text")
"""Attributes that `RUN_COLUMNS` become."""


class _Ranking(msgspec.Struct, frozen=True, gc=False):
    """What a board needs of every scoring; the other fields of its text are skipped."""

    verdict: Verdict
    message: str = ""
    scores: Scores = {}
    scorer_version: str = ""


_ranking = msgspec.json.Decoder(_Ranking)


class RecordedScoring(Scoring):
    """A scoring that decodes on demand what nobody ranks by; equal to the plain one with the same fields."""

    @cached_property
    def _whole(self) -> Scoring:
        return codec.decode_scoring(vars(self)["text"])

    @cached_property
    def spread(self) -> Scores:
        """Standard deviation over folds."""
        return self._whole.spread

    @cached_property
    def training_spread(self) -> Scores:
        """Standard deviation over trainings."""
        return self._whole.training_spread

    @cached_property
    def errors(self) -> Scores:
        """Standard deviation from the finite number of events."""
        return self._whole.errors

    @cached_property
    def fold_scores(self) -> tuple[Scores, ...]:
        """One a job, in the order of the jobs."""
        return self._whole.fold_scores

    @cached_property
    def gates(self) -> dict[str, Any]:
        """What the gates found."""
        return self._whole.gates

    @cached_property
    def replicas(self) -> dict[str, StoredArray]:
        """Bootstrap replicas of the official metric by part."""
        return self._whole.replicas

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scoring):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(Scoring))

    __hash__ = Scoring.__hash__


def recorded_scoring(text: str) -> Scoring:
    """Return what `encode_scoring` was given.

    Raises
    ------
    StoreError
        If the text is damaged; where only uncertainties, folds or gates are of the wrong type, somebody has
        to look at them first.
    """
    try:
        known = _ranking.decode(text)
    except msgspec.DecodeError:
        # Numbers that are not finite, or damage.
        return codec.decode_scoring(text)
    scoring = RecordedScoring.__new__(RecordedScoring)
    # Past the frozen dataclass, as for entries below.
    own = vars(scoring)
    own["verdict"] = known.verdict
    own["message"] = known.message
    own["scores"] = known.scores
    own["scorer_version"] = known.scorer_version
    own["text"] = text
    return scoring


class RecordedEntry(BoardEntry):
    """An entry that decodes its key and versions on demand; equal to the plain entry with the same fields.

    Before `set_run` has told how it was run, nobody may ask.
    """

    def __getattr__(self, name: str) -> Any:
        if name in _OF_RUN:
            raise RuntimeError(f"{name} of a run was not read; call Store.read_folds")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @cached_property
    def run_key(self) -> RunKey:
        """Everything that decides what the run computes."""
        return codec.decode_key(self.key_text)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of interpreter and libraries."""
        versions: dict[str, str] = codec.loads(self.versions_text)
        return versions

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoardEntry):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(BoardEntry))

    __hash__ = BoardEntry.__hash__


def recorded_entry(
    data: Sequence[str], submission: Submission, received_at: str, scoring: Scoring, folds: RecordedFolds
) -> RecordedEntry:
    """Return the entry of a run, given by its `DATA_COLUMNS`; how it was run is not known yet."""
    entry = RecordedEntry.__new__(RecordedEntry)
    # Past the frozen dataclass: its constructor would want all fields decoded, and costs as much as the rest.
    own = vars(entry)
    own["submission"] = submission
    own["data"] = _data_info(*data)
    own["received_at"] = received_at
    own["scoring"] = scoring
    own["folds"] = folds
    return entry


def set_run(entry: BoardEntry, run: Sequence[str]) -> None:
    """Tell a recorded entry how it was run, by its `RUN_COLUMNS`."""
    vars(entry).update(zip(_OF_RUN, run, strict=True))


@lru_cache(maxsize=1000)
def _data_info(kind: Any, digest: str) -> DataInfo:
    return DataInfo(kind=kind, digest=digest)
