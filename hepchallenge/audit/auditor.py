"""The runner of an audit: which checks there are for a challenge, and what each is given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit import copies, export, features, grouping, kits, order, split
from hepchallenge.audit.metrics import METRIC_CHECKS, Trial
from hepchallenge.audit.samples import EventSample, RowSample
from hepchallenge.audit.table import Label, Table, columns_of, count_rows, some_rows, take
from hepchallenge.audit.trials import EventTrial, RowTrial, hit_columns, is_clustering
from hepchallenge.board import Board
from hepchallenge.board.ranking import ALL_PARTS
from hepchallenge.contract import Challenge, check_event_folds, check_folds, check_parts
from hepchallenge.contract.checks import feature_names
from hepchallenge.exceptions import HepChallengeError, InvalidSubmission
from hepchallenge.findings import Answer, Finding, Status, fine, none_failed
from hepchallenge.pipeline import data_for
from hepchallenge.progress import Progress
from hepchallenge.records import BoardEntry
from hepchallenge.stage.stage import Data, as_ramp_does, read_data

__all__ = ["Audit", "audit", "export_findings"]

_TRIED_ROWS = 5000
_TRIED_EVENTS = 3

Check = tuple[str, Callable[[], Answer]]
"""A name, and what looks."""


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    challenge: str
    data: str
    """Kind of the data: `toy` (simulated), `real` or `kit`."""
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check has failed."""
        return none_failed(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what `hepchallenge audit --json` prints."""
        return {
            "challenge": self.challenge,
            "data": self.data,
            "passed": self.passed,
            "checks": [finding.to_dict() for finding in self.findings],
        }


def _look(checks: Iterable[Check]) -> Iterator[Finding]:
    for name, look in checks:
        try:
            # Metrics warn of the strange predictions that they are tried with.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = look()
        except HepChallengeError as error:
            answer = (Status.FAIL, str(error), "nothing is run until this is mended")
        except Exception as error:
            # Data and metrics of any kind are looked at; what one check cannot take is no fault of theirs.
            fact = f"could not be looked at: {type(error).__name__}: {error}"
            answer = (Status.WARN, fact, "look for yourself, or report this")
        status, fact, mend = answer
        yield Finding(name, status, *(" ".join(text.split()) for text in (fact, mend)))


def _together(answers: Mapping[str, Answer]) -> Answer:
    """Return one answer for several samples."""
    severity = list(Status)
    status = max((answer[0] for answer in answers.values()), key=severity.index)
    told = {name: answer for name, answer in answers.items() if answer[0] is status}
    return (
        status,
        "; ".join(f"{name}: {answer[1]}" for name, answer in told.items()),
        next(iter(told.values()))[2],
    )


class _Asked:
    """Calls the optional functions of `problem.py`, once each."""

    def __init__(self, challenge: Challenge, path: Path, data: Data) -> None:
        self._challenge = challenge
        self._path = path
        self._data = data
        self._known: dict[str, Any] = {}

    def _once(self, name: str, ask: Callable[[], Any]) -> Any:
        if name not in self._known:
            with as_ramp_does(self._challenge, quick=False):
                self._known[name] = ask()
        return self._known[name]

    @property
    def folds(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The folds, checked."""
        problem, data = self._challenge.problem, self._data
        check = check_event_folds if problem.has_events else check_folds

        def ask() -> Any:
            return check(self._challenge, problem.get_cv(data.x_train, data.y_train), len(data.y_train))

        return self._once("folds", ask)  # type: ignore[no-any-return]

    @property
    def parts(self) -> NDArray[np.str_] | None:
        """The part of every test row or event, checked; None where there are no parts."""
        get_parts = self._challenge.problem.get_test_parts
        if get_parts is None or self._data.x_test is None:
            return None
        n_test = count_rows(self._data.y_test if self._data.y_test is not None else self._data.x_test)

        def ask() -> Any:
            return check_parts(self._challenge, get_parts(path=str(self._path)), n_test)

        return self._once("parts", ask)  # type: ignore[no-any-return]

    @property
    def ids(self) -> NDArray[Any] | None:
        """The ids of the test rows or events; None where there are none."""
        get_ids = self._challenge.problem.get_test_ids
        if get_ids is None or self._data.x_test is None:
            return None
        return self._once("ids", lambda: np.asarray(get_ids(path=str(self._path))))  # type: ignore[no-any-return]


def _say_folds(asked: _Asked, what: str) -> Answer:
    folds = asked.folds
    validated = np.unique(np.concatenate([valid for _, valid in folds])).size
    return fine(f"folds: {len(folds)}, no {what} on both sides; {validated} {what}s validated")


def _say_parts(asked: _Asked, what: str) -> Answer:
    parts = asked.parts
    if parts is None:
        return fine("there are no public and private parts")
    n_public = int(np.count_nonzero(parts == "public"))
    return fine(f"every test {what} is in one part: {n_public} public, {len(parts) - n_public} private")


def _row_checks(challenge: Challenge, data: Data, asked: _Asked, prepared: Path) -> Iterator[Check]:
    train = RowSample(challenge, "train", data.x_train, data.y_train, prepared)
    samples = [train]
    test = None
    if data.x_test is not None:
        test = RowSample(challenge, "test", data.x_test, data.y_test, prepared)
        samples.append(test)
    labelled = [sample for sample in samples if sample.label is not None]
    # Labels that are scored in the end; training labels are public, but those of validation rows are not.
    scored = labelled[-1] if labelled else None

    yield "data labels", lambda: _say_labels(samples)
    yield "data folds", lambda: _say_folds(asked, "row")
    yield "data parts", lambda: _say_parts(asked, "row")
    yield (
        "leak names",
        lambda: features.check_names(
            feature_names(data.x_train), feature_names(data.x_test), challenge.config.withheld
        ),
    )
    for sample in labelled:
        worst = Status.FAIL if sample is scored else Status.WARN
        yield (
            f"leak row order {sample.name}",
            partial(order.check_row_order, _label(sample), worst),
        )
    if is_clustering(challenge):
        yield "leak hit order", lambda: grouping.check_hit_order(samples[-1].hit_groups or train.hit_groups)
    if test is not None and test.label is not None and challenge.problem.get_test_ids is not None:
        yield "leak ids", lambda: order.check_ids(_known(asked.ids), _label(test))
    for sample in labelled:
        if (index := sample.index) is not None:
            yield f"leak index {sample.name}", partial(order.check_ids, index, _label(sample), "index")
    tables = [sample for sample in samples if sample.features is not None]
    if tables:
        yield (
            "leak hidden columns",
            lambda: _together({s.name: _copies(s, asked.ids if s is test else None) for s in tables}),
        )
    if scored is not None and (table := scored.features) is not None:
        label = _label(scored).take(scored.rows)
        yield "leak single feature", partial(features.check_single, table, label)
        yield "leak number formats", partial(features.check_forms, table, label)
        if table.is_flat:
            yield "leak missing values", partial(features.check_missing, table, label)
    if (table := train.features) is not None and table.is_flat:
        yield "data constants", partial(features.check_constants, table)
    yield from _copy_checks(train, test)
    if train.label is not None:
        yield "folds balance", lambda: split.check_fold_balance(asked.folds, _label(train))
    if train.features is not None:
        yield (
            "folds groups",
            lambda: split.check_fold_groups(asked.folds, _groups(train), is_clustering(challenge)),
        )
    if train.prints is not None:
        yield "folds repeated rows", lambda: split.check_fold_twins(asked.folds, _known(train.prints))
    if test is not None and challenge.problem.get_test_parts is not None:
        yield "parts alike", lambda: _exchange(test, _known(asked.parts))
    tried = samples[-1] if samples[-1].y is not None else train
    yield from _metric_checks(lambda: RowTrial(challenge, take(tried.y, _tried_rows(tried))))


def _known(value: Any) -> Any:
    """Return what is there because an earlier check was for it."""
    assert value is not None
    return value


def _label(sample: RowSample) -> Label:
    assert sample.label is not None
    return sample.label


def _say_labels(samples: Sequence[RowSample]) -> Answer:
    told = []
    status = Status.OK
    for sample in samples:
        if sample.y is None:
            told.append(f"{sample.name}: {len(sample)} rows without labels")
        elif sample.hit_groups:
            told.append(f"{sample.name}: {len(sample)} hits of {len(sample.hit_groups)} events")
        elif (label := sample.label) is None:
            status = Status.WARN
            told.append(f"{sample.name}: labels are neither classes nor numbers, and are not looked at")
        elif label.values is not None:
            low, high = label.values.min(), label.values.max()
            told.append(f"{sample.name}: {len(label)} rows, numbers from {low:.6g} to {high:.6g}")
        else:
            shares = np.bincount(label.codes, minlength=len(label.classes)) / len(label)
            classes = ", ".join(
                f"{name} {share:.1%}" for name, share in zip(label.classes, shares, strict=True)
            )
            told.append(f"{sample.name}: {len(label)} rows, {classes}")
    return status, "; ".join(told), "look at the labels for yourself" if status is not Status.OK else ""


def _copies(sample: RowSample, ids: NDArray[Any] | None) -> Answer:
    table = sample.features
    assert table is not None
    harmless = {"the row number": sample.rows.astype(np.float64)}
    if ids is not None:
        harmless["the id"] = ids[sample.rows].astype(np.float64)
    return features.check_copies(table, sample.hidden, harmless)


def _copy_checks(train: RowSample, test: RowSample | None) -> Iterator[Check]:
    def compare(first: Any, second: Any, ours: NDArray[Any], theirs: NDArray[Any]) -> float:
        return copies.true_twins(take(first, ours), take(second, theirs))

    sample = test or train
    if sample.prints is not None:
        within = partial(compare, sample.X, sample.X)
        yield f"data repeated {sample.name} rows", partial(copies.check_twins, sample.prints, within)
    if test is not None and test.prints is not None and train.prints is not None:
        across = partial(compare, test.X, train.X)
        words = ("test", "training")
        yield "leak test in training", partial(copies.check_overlap, test.prints, train.prints, words, across)


def _groups(train: RowSample) -> dict[str, NDArray[np.float64]]:
    """Return the groups of all training rows that some column names."""
    if is_clustering(train.challenge):
        return {"the event": np.asarray(train.y)[:, 0].astype(np.float64)}
    found = split.group_columns(_known(train.features))
    if found and len(train.rows) < len(train):
        # Folds are about all rows, of which the table may hold some; only DataFrames have such names.
        found = columns_of(train.X[list(found)])[0]
    return found


def _exchange(test: RowSample, parts: NDArray[np.str_]) -> Answer:
    public = parts == "public"
    if len(test.rows) < len(public) and test.features is not None:
        public = public[test.rows]
        label = None if test.label is None else test.label.take(test.rows)
        return split.check_exchange(label, test.features, public)
    return split.check_exchange(test.label, test.features, public)


def _tried_rows(sample: RowSample) -> NDArray[np.int64]:
    if not is_clustering(sample.challenge):
        return some_rows(len(sample), _TRIED_ROWS)
    # Whole events, as the metric takes them.
    events = np.asarray(sample.y)[:, 0]
    kept = np.isin(events, np.unique(events[:_TRIED_ROWS]))
    return np.flatnonzero(kept)


def _metric_checks(make: Callable[[], Trial]) -> Iterator[Check]:
    made: list[Trial] = []

    def trial() -> Trial:
        if not made:
            made.append(make())
        return made[0]

    def answer(look: Callable[[Trial], Answer]) -> Answer:
        try:
            return look(trial())
        except InvalidSubmission as error:
            return Status.WARN, f"no predictions can be made of the truth: {error}", "look for yourself"

    for name, look in METRIC_CHECKS.items():
        yield name, partial(answer, look)


def _event_checks(challenge: Challenge, data: Data, asked: _Asked) -> Iterator[Check]:
    train = EventSample("train", data.x_train, data.y_train)
    test = EventSample("test", data.x_test, data.y_test)
    scored = test if len(test) else train
    made: list[EventTrial] = []

    def trial() -> EventTrial:
        if not made:
            made.append(EventTrial(challenge, scored.truths(_TRIED_EVENTS)))
        return made[0]

    def names(sample: EventSample) -> Iterator[str]:
        for item in [sample.X.shared, *([sample.X[0]] if len(sample) else [])]:
            yield from feature_names(item)

    yield "data labels", lambda: fine(f"{len(train)} training and {len(test)} test events")
    yield "data folds", lambda: _say_folds(asked, "event")
    yield "data parts", lambda: _say_parts(asked, "event")
    if challenge.problem.get_test_ids is not None:
        yield "data ids", lambda: _event_ids(_known(asked.ids), train)
    yield "leak names", lambda: features.check_names(names(train), names(test), challenge.config.withheld)
    yield "leak hit order", lambda: grouping.check_hit_order(scored.groups(trial().column))
    yield "leak hidden columns", lambda: _event_copies(scored, trial().column, challenge.config.withheld)
    yield "leak single feature", lambda: _event_single(scored, trial().column)
    yield "leak test in training", lambda: _repeated_events(train, test)
    if challenge.problem.get_test_parts is not None:
        yield "parts alike", lambda: _event_exchange(test, _known(asked.parts) == "public")
    yield from _metric_checks(trial)


def _event_ids(ids: NDArray[Any], train: EventSample) -> Answer:
    values, counts = np.unique(ids, return_counts=True)
    mend = "give every event an id of its own"
    if (counts > 1).any():
        return Status.FAIL, f"test event {values[counts > 1][0]} is there {counts.max()} times", mend
    shared = np.intersect1d(ids, np.asarray(getattr(train.X, "event_ids", [])))
    if shared.size:
        return Status.FAIL, f"{shared.size} test ids are training ids too, such as {shared[0]}", mend
    return fine(f"{len(ids)} different ids of test events, none of a training event")


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip().casefold()


def _event_copies(sample: EventSample, column: str, withheld: Iterable[str]) -> Answer:
    refused = {name.strip().casefold() for name in withheld} | {_bare(column)}
    answers = {}
    for number in sample.looked_at:
        size = len(sample.y[number])
        inputs, truth = hit_columns(sample.X[number], size), hit_columns(sample.y[number], size, "the truth")
        shown = {_bare(name) for name in inputs}
        # What both have, such as the hit's id, joins them; it is no secret unless it is withheld.
        hidden = {
            name: np.asarray(values, dtype=np.float64)
            for name, values in truth.items()
            if _bare(name) in refused or _bare(name) not in shown
        }
        columns = {
            name: np.asarray(v, dtype=np.float64) for name, v in inputs.items() if v.dtype.kind in "biuf"
        }
        answers[f"event {number}"] = features.check_copies(Table(columns), hidden)
    return _together(dict(list(answers.items())[:1]) if _all_fine(answers) else answers)


def _all_fine(answers: Mapping[str, Answer]) -> bool:
    return all(answer[0] is Status.OK for answer in answers.values())


def _event_single(sample: EventSample, column: str) -> Answer:
    groups = sample.groups(column)
    best: dict[str, float] = {}
    for number, codes in zip(sample.looked_at, groups, strict=True):
        for name, values in hit_columns(sample.X[number], len(codes)).items():
            if values.dtype.kind in "biuf":
                share = features.agreement(np.asarray(values, dtype=np.float64), codes)
                best[name] = max(best.get(name, 0.0), share)
    if not best:
        return fine("inputs have no column with one number a hit")
    name = max(best, key=lambda one: best[one])
    fact = f"hits of equal {name} belong together {best[name]:.3f} (0 by chance, 1 always)"
    if best[name] > 0.5:
        return Status.WARN, fact, "make sure that nothing but nature makes it so telling"
    return fine(fact)


def _repeated_events(train: EventSample, test: EventSample) -> Answer:
    shared = np.flatnonzero(np.isin(test.prints, train.prints))
    mend = "drop them from the training events"
    if shared.size:
        fact = f"{shared.size} of {len(test)} test events are training events too, the first is {shared[0]}"
        return Status.FAIL, fact, mend
    if len(np.unique(test.prints)) < len(test):
        return Status.WARN, "some test events are there twice", "drop all but one of them"
    return fine(f"none of {len(test)} test events is there twice, or among {len(train)} training events")


def _event_exchange(test: EventSample, public: NDArray[np.bool_]) -> Answer:
    sizes = np.array([len(test.y[number]) for number in range(len(test))], dtype=np.float64)
    return split.check_exchange(None, Table({"hits an event": sizes}), public)


def _kit_checks(
    challenge: Challenge, data: Path | None, data_label: str | None, progress: Progress | None
) -> Iterator[Check]:
    if not challenge.kits:
        yield "kit", lambda: (Status.WARN, "there is no starting kit", "give participants one to begin with")
        return
    made: list[list[BoardEntry]] = []

    def entries() -> list[BoardEntry]:
        if not made:
            made.append(kits.score_thrice(challenge, challenge.kits[0], data, data_label, progress))
        return made[0]

    yield "kit repeats", lambda: kits.check_repeated(entries())
    yield "kit seeds", lambda: kits.check_seeds(entries())


def export_findings(
    board: Board, entries: Sequence[BoardEntry], places: Mapping[str, Path]
) -> tuple[Finding, ...]:
    """Look into what a public board exports.

    Parameters
    ----------
    board
        The board that the public gets.
    entries
        All that is recorded on the same data, whether or not the board shows it.
    places : mapping of str to Path
        Folders of this host whose paths must not be in it, by what they are.
    """
    files: dict[str, bytes] = {}

    def exported() -> dict[str, bytes]:
        if not files:
            files.update(export.exported_files(board))
        return files

    secret_parts = set(ALL_PARTS) - set(board.parts)
    # A course of the challenge also has what gave way.
    told = [*(row.entry for row in board.rows), *(row.entry for row in board.gave_way)]
    checks: list[Check] = [
        (
            "export scores",
            lambda: export.check_scores(exported(), *export.split_scores(entries, board.parts, told)),
        ),
        ("export host", lambda: export.check_host(exported(), export.host_words(places))),
        ("export columns", lambda: export.check_columns(exported(), secret_parts)),
    ]
    return tuple(_look(checks))


def audit(
    challenge: Challenge,
    *,
    data: str | os.PathLike[str] | None = None,
    data_label: str | None = None,
    with_kits: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Look for what makes a challenge unfair or its scores wrong: leaks in data, metrics, starting kits.

    Parameters
    ----------
    challenge
        A loaded challenge.
    data, data_label, progress
        As for `hepchallenge.score`.
    with_kits
        Score the first starting kit three times, which takes its time.

    Raises
    ------
    UsageError, DataError
        If there are no data to look at.
    """
    path, info = data_for(challenge, data)
    kind = "kit" if info is None else info.kind
    findings: list[Finding] = []
    with as_ramp_does(challenge, quick=False):
        try:
            found: Data | None = read_data(challenge, path, data_label)
        except HepChallengeError as error:
            found = None
            mend = "nothing is run until this is mended"
            findings.append(Finding("data contract", Status.FAIL, " ".join(str(error).split()), mend))
    if found is not None:
        asked = _Asked(challenge, path, found)
        checks = (
            _event_checks(challenge, found, asked)
            if challenge.problem.has_events
            else _row_checks(challenge, found, asked, path)
        )
        findings += _look(checks)
    if with_kits and found is not None:
        own = None if data is None else Path(data)
        findings += _look(_kit_checks(challenge, own, data_label, progress))
    return Audit(challenge.name, kind, tuple(findings))
