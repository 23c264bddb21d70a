"""The vocabulary that all rooms share: verdicts, limits and the records of a run.

Everything here is plain data, cheap to import and free of hidden values, so that it can travel
from the runner to the store, to the board and to `--json` unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "BAGGED_PARTS",
    "PARTS",
    "BoardEntry",
    "DataInfo",
    "Document",
    "FoldOutcome",
    "HostFacts",
    "Limits",
    "PhaseUsage",
    "RunKey",
    "Scores",
    "Scoring",
    "StoredArray",
    "Submission",
    "Verdict",
    "fold_and_training",
    "job_number",
    "parse_bytes",
]

Scores = dict[str, dict[str, float]]
"""`scores[metric][part]`, the shape in which scores are stored and printed."""

PARTS = ("train", "valid", "test", "public", "private")
"""Parts on which a fold is scored, in the order in which they are shown."""

BAGGED_PARTS = ("bagged_valid", "bagged_test", "bagged_public", "bagged_private")
"""Parts on which the combination of all folds is scored."""


class Verdict(StrEnum):
    """How a run ended. Only `SCORED` carries scores."""

    SCORED = "scored"
    """The predictions were valid, every gate passed, all scores are finite."""
    GATE_FAILED = "gate_failed"
    """The predictions were valid but a check on an extra sample failed; see `gates`."""
    INVALID_SUBMISSION = "invalid_submission"
    """Files or predictions are not what the challenge takes (wrong shape, NaN, missing ids, ...)."""
    RUNTIME_ERROR = "runtime_error"
    """The participant's code raised, crashed or ended early."""
    WALL_LIMIT = "wall_limit"
    """Wall-clock time ran out during fit or predict."""
    CPU_LIMIT = "cpu_limit"
    """CPU time of the whole process tree ran out during fit or predict."""
    GPU_LIMIT = "gpu_limit"
    """Leased devices times wall-clock time ran out, or GPU memory did."""
    MEMORY_LIMIT = "memory_limit"
    """The process tree used more memory than allowed."""
    OUTPUT_LIMIT = "output_limit"
    """Predictions or files written were larger than allowed."""
    PROCESS_LIMIT = "process_limit"
    """More processes or threads were started than allowed."""
    INFRASTRUCTURE = "infrastructure"
    """The host or the framework failed. It is tried again and never costs a participant anything."""

    @property
    def is_participants_own(self) -> bool:
        """Whether the submission, not the host, brought this verdict about."""
        return self is not Verdict.INFRASTRUCTURE


_BYTE_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1000**2,
    "mb": 1000**2,
    "g": 1000**3,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def parse_bytes(text: str | int) -> int:
    """Return a number of bytes written as `4GiB`, `500MB`, `1.5 GiB` or a plain count.

    Raises
    ------
    ValueError
        If the text is not a positive, finite number with a known unit.

    Examples
    --------
    >>> parse_bytes("4GiB")
    4294967296
    >>> parse_bytes("500MB")
    500000000
    """
    if isinstance(text, int) and not isinstance(text, bool):
        value = float(text)
        unit = ""
    else:
        stripped = str(text).strip()
        number = stripped.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
        unit = stripped[len(number) :].strip().lower()
        if unit not in _BYTE_UNITS:
            raise ValueError(f"{text!r} has the unknown unit {unit!r}; use B, kB, MB, GB, KiB, MiB or GiB")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"{text!r} is not a size such as 4GiB or 500MB") from None
    size = value * _BYTE_UNITS[unit]
    if not math.isfinite(size) or size < 1:
        raise ValueError(f"{text!r} is not a positive size")
    return int(size)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one fold of one submission may use. Seconds and bytes; all positive.

    CPU counts the whole process tree. Fit and predict are limited apart, so that work cannot be moved
    from one into the other; where a challenge has events, the limits of predict are for one event.
    `scratch_bytes` is what may lie in `/tmp` (and as much in `/dev/shm` where that is private),
    `output_bytes` the size of one array of predictions, `log_bytes` what is kept of all that is printed.
    """

    fit_wall: float = 600.0
    fit_cpu: float = 1200.0
    predict_wall: float = 300.0
    predict_cpu: float = 600.0
    memory_bytes: int = 4 * 1024**3
    output_bytes: int = 1024**3
    scratch_bytes: int = 1024**3
    log_bytes: int = 256 * 1024
    processes: int = 256
    gpu_seconds: float | None = None
    """Leased devices times wall-clock seconds of fit and predict together; None for no limit."""
    gpu_memory_bytes: int | None = None
    """Over all leased devices; None for no limit."""
    cores: int | None = None
    """CPU cores that a fold has for itself; None: the folds that run at once share all evenly."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"limit {item.name} must be a number, got {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"limit {item.name} must be positive and finite, got {value!r}")

    def with_changes(self, **changes: float | int | None) -> Limits:
        """Return a copy in which every change that is not None replaces a limit."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, float | None]:
        """Return the limits as a plain mapping."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One entry as it was taken in: a folder of code or a prediction file, known by its digest."""

    name: str
    digest: str
    kind: Literal["code", "predictions"]
    team: str = ""
    title: str = ""
    description: str = ""
    parameters: int | None = None
    links: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """Everything that decides what a run computes; an equal key is not run again unless asked."""

    challenge: str
    challenge_version: str
    submission_digest: str
    data_digest: str
    limits: Limits
    seed: int
    quick: bool = False
    gpus: int = 0
    """Devices leased to each fold."""
    trainings: int = 1
    """How often every fold is trained, each time with another seed: `seed`, `seed + 1`, ..."""

    def to_dict(self) -> dict[str, Any]:
        """Return the key as a plain mapping with stable order."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PhaseUsage:
    """What one phase (`fit` or `predict`) of a fold used, read from outside the submission."""

    phase: Literal["fit", "predict"]
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """A prediction array on disk: content-addressed `.npy` (never pickled), with shape and dtype."""

    digest: str
    path: str
    shape: tuple[int, ...]
    dtype: str


_MOST_FOLDS = 1_000_000


def job_number(fold: int, training: int) -> int:
    """Return one number for fold and training, by which a run's jobs are recorded."""
    return training * _MOST_FOLDS + fold


def fold_and_training(job: int) -> tuple[int, int]:
    """Undo `job_number`."""
    return job % _MOST_FOLDS, job // _MOST_FOLDS


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """Where a fold ran, as far as it says something about the fold's clock."""

    name: str
    """Of the host; for the organiser only."""
    cpu: str
    """Model of its processor, which is its class: times of one class compare."""
    cores: int
    """How many were given to the fold."""
    exclusive: bool
    """Whether no other run of ours on this host, of this or another command, had any of them meanwhile."""
    load: float
    """Load average of the last minute, when the fold began: processes that ran or wanted to."""
    reference_seconds: float
    """CPU time that a fixed piece of work took on one of the cores shortly before; see `run.host`."""


@dataclass(frozen=True, kw_only=True)
class FoldOutcome:
    """How one fold ended and where its predictions lie; `predictions` is empty unless it succeeded.

    Predictions go by part (`train`, `test`), or, where a challenge has events, by part and number of the
    event among the training or test events (`valid/3`, `test/0`).
    """

    fold: int
    verdict: Verdict
    message: str = ""
    predictions: dict[str, StoredArray] = field(default_factory=dict)
    phases: tuple[PhaseUsage, ...] = ()
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log: str = ""
    gpus: tuple[str, ...] = ()
    """Names of the devices that were leased."""
    gpu_seconds: float = 0.0
    gpu_peak_memory_bytes: int = 0
    event_seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of every event that was predicted, by its key in `predictions` (`test/0`, ...)."""
    training: int = 0
    """Which of the trainings of the fold, from 0."""
    host: HostFacts | None = None
    """Where it ran; None if nothing was run, and in records of releases that did not ask."""

    @property
    def job(self) -> int:
        """One number for fold and training; jobs of one training follow each other."""
        return job_number(self.fold, self.training)

    @property
    def succeeded(self) -> bool:
        """Whether the fold has predictions to score."""
        return self.verdict is Verdict.SCORED


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Scores of one run: per fold, their mean and spread over folds, and of the folds' combination.

    `scores[metric][part]` is the mean over folds and trainings for the parts of `PARTS` and the score of the
    combined predictions for the parts of `BAGGED_PARTS`. Three uncertainties of the former are kept apart:
    `spread` is the population standard deviation over folds (of each fold's mean over trainings),
    `training_spread` the one over trainings (of each training's mean over folds), empty with one training,
    and `errors` the standard deviation that the finite number of events gives, by bootstrap. `replicas` are
    the bootstrap replicas of the official metric by part; of all parts, so that they are never shown or
    exported as they are.
    """

    verdict: Verdict
    message: str = ""
    scores: Scores = field(default_factory=dict)
    spread: Scores = field(default_factory=dict)
    training_spread: Scores = field(default_factory=dict)
    errors: Scores = field(default_factory=dict)
    fold_scores: tuple[Scores, ...] = ()
    """One a job, in the order of the jobs."""
    gates: dict[str, Any] = field(default_factory=dict)
    scorer_version: str = ""
    replicas: dict[str, StoredArray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """Which data were used: `toy` (simulated), `real` (published files) or `kit` (a RAMP kit's own)."""

    kind: Literal["toy", "real", "kit"]
    digest: str


@dataclass(frozen=True, kw_only=True)
class BoardEntry:
    """One run of one submission as the store knows it: all that `--json` prints and the board ranks."""

    submission: Submission
    run_key: RunKey
    data: DataInfo
    isolation: str
    accounting: str
    received_at: str
    """When the organiser's store first saw the submission, ISO 8601 in UTC."""
    run_at: str
    versions: dict[str, str]
    scoring: Scoring
    folds: Sequence[FoldOutcome]

    @property
    def wall_seconds(self) -> float:
        """Wall-clock seconds summed over folds."""
        return sum(f.wall_seconds for f in self.folds)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all process trees summed over folds."""
        return sum(f.cpu_seconds for f in self.folds)

    @property
    def peak_memory_bytes(self) -> int:
        """Largest memory of any fold's process tree."""
        return max((f.peak_memory_bytes for f in self.folds), default=0)

    @property
    def gpu_seconds(self) -> float:
        """GPU seconds (leased devices times wall-clock time) summed over folds."""
        return sum(f.gpu_seconds for f in self.folds)

    @property
    def gpu_peak_memory_bytes(self) -> int:
        """Largest GPU memory of any fold's process tree."""
        return max((f.gpu_peak_memory_bytes for f in self.folds), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in the shape of one item of `submissions` in the `--json` document."""
        scored = self.scoring.fold_scores
        return {
            "name": self.submission.name,
            "team": self.submission.team,
            "title": self.submission.title,
            "parameters": self.submission.parameters,
            "kind": self.submission.kind,
            "digest": self.submission.digest,
            "verdict": self.scoring.verdict.value,
            "message": self.scoring.message,
            "scores": self.scoring.scores,
            "spread": self.scoring.spread,
            "training_spread": self.scoring.training_spread,
            "errors": self.scoring.errors,
            "gates": self.scoring.gates,
            "wall_seconds": self.wall_seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
            "gpu_seconds": self.gpu_seconds,
            "gpu_peak_memory_bytes": self.gpu_peak_memory_bytes,
            "received_at": self.received_at,
            "isolation": self.isolation,
            "accounting": self.accounting,
            "challenge_version": self.run_key.challenge_version,
            "data_digest": self.data.digest,
            "scorer_version": self.scoring.scorer_version,
            "limits": self.run_key.limits.to_dict(),
            "seed": self.run_key.seed,
            "quick": self.run_key.quick,
            "gpus": self.run_key.gpus,
            "trainings": self.run_key.trainings,
            "versions": self.versions,
            "folds": [
                {
                    "fold": outcome.fold,
                    "training": outcome.training,
                    "verdict": outcome.verdict.value,
                    "message": outcome.message,
                    "scores": scored[index] if index < len(scored) else {},
                    "wall_seconds": outcome.wall_seconds,
                    "cpu_seconds": outcome.cpu_seconds,
                    "peak_memory_bytes": outcome.peak_memory_bytes,
                    "gpus": list(outcome.gpus),
                    "gpu_seconds": outcome.gpu_seconds,
                    "gpu_peak_memory_bytes": outcome.gpu_peak_memory_bytes,
                    "phases": [asdict(phase) for phase in outcome.phases],
                    "event_seconds": outcome.event_seconds,
                    "host": None if outcome.host is None else asdict(outcome.host),
                }
                for index, outcome in enumerate(self.folds)
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Document:
    """What `hepchallenge score` returns: one challenge, one data set, the entries scored on it."""

    challenge: str
    data: DataInfo
    isolation: str
    accounting: str
    submissions: tuple[BoardEntry, ...]
    over_quota: tuple[str, ...] = ()
    """Names of those that were received and not run, since their team had no submission left."""

    @property
    def exit_code(self) -> int:
        """0 if all were scored, 1 if some submission was not, 3 if the infrastructure failed any."""
        verdicts = {entry.scoring.verdict for entry in self.submissions}
        if Verdict.INFRASTRUCTURE in verdicts:
            return 3
        return 0 if verdicts <= {Verdict.SCORED} and not self.over_quota else 1

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return {
            "challenge": self.challenge,
            "data": asdict(self.data),
            "isolation": self.isolation,
            "accounting": self.accounting,
            "submissions": [entry.to_dict() for entry in self.submissions],
        }
