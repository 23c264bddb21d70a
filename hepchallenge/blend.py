"""Blends of submissions: greedy ensemble selection from stored predictions, nothing is run again.

On the validation rows of every fold submissions are taken, some of them several times, as
`hepchallenge.scoring.ensembles` says; what the ensembles of all folds predict is scored as a submission is.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rampwf.prediction_types.clustering import _clustering_init

from hepchallenge.draw import wanted
from hepchallenge.exceptions import OrganiserError, UnknownName, UsageError
from hepchallenge.pipeline import data_for
from hepchallenge.progress import Progress, Silent
from hepchallenge.records import BoardEntry, DataInfo, FoldOutcome, Scores, Scoring, Submission, Verdict
from hepchallenge.scoring.ensembles import combined, select
from hepchallenge.text import clean, safe_message

if TYPE_CHECKING:
    from hepchallenge.board import Board, MetricInfo
    from hepchallenge.contract import BoardRules, Challenge
    from hepchallenge.scorer.scorer import Scorer
    from hepchallenge.stage.stage import Truth
    from hepchallenge.store import Store

__all__ = ["FORMAT", "Blend", "LeftOut", "Member", "Step", "blend"]

FORMAT = 1
"""Version of `Blend.to_dict`; raised when a key changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a blend is: so many are taken in this fold, and this is their score."""

    fold: int
    n_folds: int
    taken: int
    score: float
    done: bool
    """Whether this fold is finished."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One submission that could be taken."""

    submission: Submission
    valid: float
    """Its score on the validation rows, mean over folds."""
    taken: tuple[int, ...]
    """How often it was taken, fold by fold."""
    contributivity: float
    """Its share of the ensembles, mean over folds, in percent; those of all members add up to 100."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One submission that could not be taken, and why."""

    name: str
    digest: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Blend:
    """What `blend` found. Nothing of it is recorded as a submission."""

    challenge: str
    data: DataInfo
    metric: str
    """The metric that was improved."""
    part: str
    """The part by which a board for the same audience ranks."""
    parts: tuple[str, ...]
    """All parts that this audience may see, that one first."""
    metrics: tuple[MetricInfo, ...]
    members: tuple[Member, ...]
    """In the order in which they were received or named."""
    picks: tuple[tuple[int, ...], ...]
    """For each fold the numbers of the members in the order in which they were taken."""
    blended: Scoring
    """Of the ensembles, one a fold, scored as a submission is."""
    foldwise_best: Scoring
    """Of what each ensemble began with: the best submission of each fold."""
    best: Member
    """The best single submission by `valid`."""
    best_scoring: Scoring
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if the blend has scores, 1 if it has another verdict (a gate that it fails)."""
        return 0 if self.blended.verdict is Verdict.SCORED else 1

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints: of scores only the parts that the audience may see."""
        return {
            "format": FORMAT,
            "challenge": self.challenge,
            "data": asdict(self.data),
            "metric": self.metric,
            "part": self.part,
            "blended": self._shown(self.blended),
            "foldwise_best": self._shown(self.foldwise_best),
            "best_single": {
                "name": clean(self.best.submission.name),
                "digest": self.best.submission.digest,
                **self._shown(self.best_scoring),
            },
            "members": [
                {
                    "name": clean(member.submission.name),
                    "team": clean(member.submission.team),
                    "digest": member.submission.digest,
                    "valid": member.valid,
                    "contributivity": member.contributivity,
                    "taken": list(member.taken),
                }
                for member in self.members
            ],
            "picks": [list(picks) for picks in self.picks],
            "left_out": [
                {"name": clean(one.name), "digest": one.digest, "reason": safe_message(one.reason)}
                for one in self.left_out
            ],
            "notes": list(self.notes),
        }

    def _shown(self, scoring: Scoring) -> dict[str, Any]:
        def shown(scores: Scores) -> Scores:
            return {m: {p: v for p, v in by.items() if p in self.parts} for m, by in scores.items()}

        return {
            "verdict": scoring.verdict.value,
            "message": safe_message(scoring.message),
            "gates": scoring.gates,
            "scores": shown(scoring.scores),
            "spread": shown(scoring.spread),
        }


class _Candidate:
    """A submission with its stored predictions; several trainings of a fold count as their combination."""

    def __init__(self, store: Store, challenge: Challenge, entry: BoardEntry) -> None:
        self.entry = entry
        self._store = store
        self._predictions = challenge.problem.Predictions
        self._outcomes: dict[int, list[FoldOutcome]] = {}
        for outcome in entry.folds:
            self._outcomes.setdefault(outcome.fold, []).append(outcome)

    @property
    def name(self) -> str:
        """The submission's name, safe to be shown."""
        return clean(self.entry.submission.name)

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds that are recorded."""
        return sorted(self._outcomes)

    @property
    def has_several_trainings(self) -> bool:
        """Whether folds were trained more than once."""
        return any(len(outcomes) > 1 for outcomes in self._outcomes.values())

    def sample_names(self, fold: int) -> set[str]:
        """Return what was predicted: `train`, `test`, and the samples of gates."""
        return set.intersection(*(set(outcome.predictions) for outcome in self._outcomes[fold]))

    def n_rows(self, fold: int) -> set[int]:
        """Return the number of training rows that are predicted, by each training; one if all is well."""
        stored = [outcome.predictions.get("train") for outcome in self._outcomes[fold]]
        return {array.shape[0] if array else 0 for array in stored}

    def array(self, fold: int, sample: str) -> np.ndarray:
        """Return the predictions of all rows of a sample."""
        stored = [outcome.predictions[sample] for outcome in self._outcomes[fold]]
        arrays = [self._store.load_array(array) for array in stored]
        if len(arrays) == 1:
            return arrays[0]
        members = [_made(self._predictions, array) for array in arrays]
        return combined(self._predictions, members, range(len(members)))


def _made(predictions: Any, array: np.ndarray, rows: np.ndarray | None = None) -> Any:
    try:
        return predictions(y_pred=array, fold_is=rows)
    except Exception as error:
        raise UsageError(f"a stored prediction of shape {array.shape} is no longer taken: {error}") from error


def _reason_against(candidate: _Candidate, truth: Truth) -> str:
    """Return why a submission cannot be taken; empty if it can."""
    entry = candidate.entry
    if entry.submission.kind != "code":
        return "a prediction file has no validation rows"
    if entry.scoring.verdict is not Verdict.SCORED:
        return f"its verdict is {entry.scoring.verdict.value}"
    if entry.run_key.quick:
        return "only its quick run is recorded"
    if candidate.folds != list(range(len(truth.folds))):
        return f"it was run on folds {candidate.folds}, the challenge has {len(truth.folds)}"
    if any(candidate.n_rows(fold) != {truth.n_train} for fold in candidate.folds):
        return f"it has not predicted {truth.n_train} training rows"
    return ""


def _candidates(
    store: Store,
    challenge: Challenge,
    truth: Truth,
    recorded: Sequence[BoardEntry],
    board: Board,
    rules: BoardRules,
    names: Sequence[str],
) -> tuple[list[_Candidate], list[LeftOut]]:
    """Return what can be taken, and what cannot."""
    from hepchallenge.board.rules import admit_entries

    place = {id(entry): number for number, entry in enumerate(recorded)}
    # A board shows one run a submission: full before quick, settled, the latest. What was received at the
    # same moment stays in the store's order, as on a board with rules.
    entries = sorted((row.entry for row in board.rows), key=lambda one: (one.received_at, place[id(one)]))
    admissions = admit_entries(entries, rules)
    refusals = {id(entry): said.refusal for entry, said in zip(entries, admissions, strict=True)}
    if names:
        # Of several that are meant by a name the last is taken: let it be one that may be ranked.
        entries.sort(key=lambda one: not refusals[id(one)])
    candidates: list[_Candidate] = []
    left_out = []
    seen: dict[str, str] = {}
    for entry in wanted(entries, names):
        candidate = _Candidate(store, challenge, entry)
        digest = entry.submission.digest
        reason = refusals[id(entry)] or _reason_against(candidate, truth)
        if not reason and digest in seen:
            reason = f"it is a copy of {seen[digest]}"
        if reason and names:
            raise UsageError(f"{candidate.name} cannot be blended: {reason}")
        if reason:
            left_out.append(LeftOut(name=candidate.name, digest=digest, reason=reason))
            continue
        seen[digest] = candidate.name
        candidates.append(candidate)
    return candidates, left_out


class _Blender:
    """Blends candidates fold by fold, and makes the predictions that a scorer scores."""

    def __init__(
        self, challenge: Challenge, truth: Truth, candidates: Sequence[_Candidate], metric: str
    ) -> None:
        self._predictions = challenge.problem.Predictions
        self._truth = truth
        self._candidates = candidates
        self._score_type = next(s for s in challenge.problem.score_types if str(s.name) == metric)
        self.valid_scores: list[tuple[float, ...]] = []
        """Fold by fold, the score of every candidate on the validation rows."""

    def select(
        self, fold: int, min_improvement: float, heard: Callable[[int, float], None]
    ) -> tuple[int, ...]:
        """Choose candidates by the validation rows of a fold."""
        _, rows = self._truth.folds[fold]
        try:
            truth = self._predictions(y_true=self._truth.y_train, fold_is=rows)
        except Exception as error:
            raise OrganiserError(
                f"Predictions of problem.py do not take its labels: {type(error).__name__}: {error}"
            ) from error
        members = [_made(self._predictions, one.array(fold, "train"), rows) for one in self._candidates]
        selection = select(
            members,
            truth,
            self._score_type,
            predictions=self._predictions,
            min_improvement=min_improvement,
            heard=heard,
        )
        for one, value in zip(self._candidates, selection.singles, strict=True):
            if not math.isfinite(value):
                name = self._score_type.name
                raise UsageError(
                    f"{one.name} has no finite {name} on fold {fold}; rescore, and it is left out"
                )
        self.valid_scores.append(selection.singles)
        return selection.picks

    def single(self, fold: int, index: int) -> Mapping[str, np.ndarray]:
        """Return the predictions of one candidate as they are."""
        one = self._candidates[index]
        return {sample: one.array(fold, sample) for sample in sorted(one.sample_names(fold))}

    def blended(self, fold: int, picks: Sequence[int]) -> Mapping[str, np.ndarray]:
        """Return the combination of the candidates in `picks`, for all that each of them predicted."""
        samples = set.intersection(*(self._candidates[index].sample_names(fold) for index in picks))
        return {sample: self._combined(fold, sample, picks) for sample in sorted(samples)}

    def _combined(self, fold: int, sample: str, picks: Sequence[int]) -> np.ndarray:
        distinct = sorted(set(picks))
        loaded = [self._candidates[index].array(fold, sample) for index in distinct]

        def over(rows: np.ndarray | None) -> np.ndarray:
            members = [_made(self._predictions, array, rows) for array in loaded]
            return combined(self._predictions, members, [distinct.index(index) for index in picks])

        whole = over(None)
        if sample == "train":
            # What was selected by: a kit's own combination may depend on the rows that are there.
            _, rows = self._truth.folds[fold]
            whole[rows] = over(rows)
        return whole


def _shares(picks: Sequence[Sequence[int]], n_members: int) -> list[float]:
    """Return the contributivity of every member in percent, with ramp-workflow's sums."""
    shares = np.zeros((n_members, len(picks)))
    for fold, taken in enumerate(picks):
        unit = 1.0 / len(taken)
        for index in taken:
            shares[index, fold] += unit
    shares /= len(picks)
    total = np.zeros(n_members)
    for fold in range(len(picks)):
        total += shares[:, fold]
    return [float(value) for value in total * (100 / total.sum())]


def _notes(challenge: Challenge, candidates: Sequence[_Candidate]) -> tuple[str, ...]:
    notes = []
    if getattr(challenge.problem.Predictions, "__init__", None) is _clustering_init:
        notes.append(
            "Predictions are numbers of clusters: their mean is what ramp-blend takes, yet means little."
        )
    if any(one.has_several_trainings for one in candidates):
        notes.append(
            "Trainings of one fold are combined first; single submissions are scored like that, too."
        )
    versions = {one.entry.run_key.challenge_version for one in candidates}
    if len(versions) > 1:
        notes.append(
            "These submissions were run with different versions of the challenge; its folds may differ."
        )
    return tuple(notes)


def blend(
    challenge: str | os.PathLike[str],
    submissions: Sequence[str] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    data_label: str | None = None,
    part: str | None = None,
    metric: str | None = None,
    min_improvement: float = 0.0,
    rules: BoardRules | None = None,
    progress: Progress | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Blend:
    """Blend the recorded submissions to a challenge.

    On every fold an ensemble is selected by the validation rows (`select`); its predictions of all rows, also
    those of gates, are the combination that the challenge's `Predictions` makes. The ensembles of all folds
    are then scored and bagged as a submission is. With one training a fold the result equals that of
    `ramp-blend` on the same predictions; several trainings of a fold are combined first and count as one
    member. (Where a kit's own `combine` ignores its `index_list`, `ramp-blend` reports the combination of all
    submissions; here it is that of the selected ones.)

    Parameters
    ----------
    challenge, data, workspace, data_label, progress
        As for `score`.
    submissions
        Names, digests or folders of what may be taken; none means all that can.
    part
        As for a board, `cv`, `public` or `private`: which scores the result holds. What the Ladder hides is
        in the result for `private` alone.
    metric
        The metric to improve; by default the official one.
    min_improvement
        As for `select`.
    rules
        Which submissions may be ranked, and whether there is a Ladder; by default as the challenge says.
    on_step
        Hears how far things are.

    Raises
    ------
    UsageError
        If the challenge has events, there are fewer than two submissions to blend, one that was named cannot
        be taken, or predictions cannot be combined.
    """
    from hepchallenge.contract import load_challenge
    from hepchallenge.scorer.scorer import new_scorer
    from hepchallenge.stage.stage import stage
    from hepchallenge.store import open_workspace

    heard = progress or Silent()
    if not math.isfinite(min_improvement) or min_improvement < 0:
        raise UsageError(f"min_improvement: expected a number from 0, found {min_improvement}")
    loaded = load_challenge(challenge)
    if loaded.problem.has_events:
        raise UsageError(
            f"{loaded.name} cannot be blended: two ways to group the hits of an event have no mean"
        )
    improved = metric or loaded.official_metric
    rules = loaded.config.rules if rules is None else rules
    hidden = rules.ladder and part != "private"
    if improved not in loaded.problem.metric_names:
        raise UnknownName("metric", improved, loaded.problem.metric_names)
    with open_workspace(workspace, must_exist=True) as store:
        path, info = data_for(loaded, data)
        inputs = store.workspace / "inputs"
        staged = stage(loaded, path, info, inputs, data_label=data_label, write_inputs=False)
        recorded = store.entries(loaded.name, data_digest=staged.data.digest)
        board = _board(loaded, recorded, improved, "cv" if hidden else part)
        candidates, left_out = _candidates(store, loaded, staged.truth, recorded, board, rules, submissions)
        for one in left_out:
            heard.say(f"{one.name}: left out: {one.reason}")
        if len(candidates) < 2:
            raise UsageError(f"{loaded.name}: a blend needs two submissions, found {len(candidates)}")
        blender = _Blender(loaded, staged.truth, candidates, improved)
        picks = []
        n_folds = len(staged.truth.folds)
        for fold in range(n_folds):
            steps: list[Step] = []

            def hear(taken: int, score: float, fold: int = fold, steps: list[Step] = steps) -> None:
                steps.append(Step(fold=fold, n_folds=n_folds, taken=taken, score=score, done=False))
                on_step(steps[-1])

            picks.append(blender.select(fold, min_improvement, hear))
            on_step(replace(steps[-1], done=True))
        found = _result(
            loaded, new_scorer(loaded, staged.truth), board, blender, candidates, left_out, picks, staged.data
        )
    if hidden and part != "cv":
        # A submission's true score beside the board of the Ladder would tell what that hides.
        note = "The Ladder hides the scores of the test set; they are shown with --part private"
        return replace(found, notes=(*found.notes, note))
    return found


def _board(challenge: Challenge, entries: Sequence[BoardEntry], metric: str, part: str | None) -> Board:
    """Return the board of an audience: which run stands for a submission, and which parts may be shown."""
    from hepchallenge.board import make_board, metric_infos

    return make_board(
        entries,
        challenge=challenge.name,
        metrics=metric_infos(challenge.problem.score_types),
        official_metric=metric,
        part=part,  # type: ignore[arg-type]
    )


def _result(
    challenge: Challenge,
    scorer: Scorer,
    board: Board,
    blender: _Blender,
    candidates: Sequence[_Candidate],
    left_out: Sequence[LeftOut],
    picks: Sequence[tuple[int, ...]],
    data: DataInfo,
) -> Blend:
    """Score the ensembles, what they began with, and the best single submission."""
    folds = range(len(picks))
    valid = [float(np.mean(values)) for values in zip(*blender.valid_scores, strict=True)]
    lower = board.metric_info(board.metric).lower_is_better
    best = int(np.argmin(valid) if lower else np.argmax(valid))

    def scored(arrays: Iterable[Mapping[str, np.ndarray]]) -> Scoring:
        return scorer.score_run(list(arrays), "code")

    counts = [Counter(taken) for taken in picks]
    members = tuple(
        Member(
            submission=one.entry.submission,
            valid=valid[index],
            taken=tuple(count[index] for count in counts),
            contributivity=share,
        )
        for index, (one, share) in enumerate(zip(candidates, _shares(picks, len(candidates)), strict=True))
    )
    return Blend(
        challenge=challenge.name,
        data=data,
        metric=board.metric,
        part=board.part,
        parts=board.parts,
        metrics=board.metrics,
        members=members,
        picks=tuple(picks),
        blended=scored(map(blender.blended, folds, picks)),
        foldwise_best=scored(blender.single(fold, picks[fold][0]) for fold in folds),
        best=members[best],
        best_scoring=scored(blender.single(fold, best) for fold in folds),
        left_out=tuple(left_out),
        notes=_notes(challenge, candidates),
    )
