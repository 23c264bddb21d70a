"""Stored predictions scored again, after a change of metric or truth; nothing is run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hepchallenge.exceptions import UsageError
from hepchallenge.job_making import recorded_predictions
from hepchallenge.pipeline import data_for
from hepchallenge.progress import Progress, Silent
from hepchallenge.records import BoardEntry, DataInfo, Document

if TYPE_CHECKING:
    from hepchallenge.scorer.scorer import Scorer
    from hepchallenge.stage.stage import Staged
    from hepchallenge.store import Store

__all__ = ["Rescored", "rescore"]


@dataclass(frozen=True, kw_only=True)
class Rescored(Document):
    """What `rescore` returns: the entries as they are now, and as they were."""

    before: tuple[BoardEntry, ...]


def rescore(
    challenge: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    data_label: str | None = None,
    corrected_labels: bool = False,
    progress: Progress | None = None,
) -> Rescored:
    """Score the stored predictions of all submissions again, without running any.

    For a changed metric or corrected truth. New scorings are appended; the old ones stay on record. Runs on
    the same data are rescored, whatever version of the challenge they were run with.

    Data with other labels are other data, and have a board of their own. With `corrected_labels` the runs
    that were scored last are recorded for these data too, with the predictions that they made, and are scored
    there. What a submission has learned from is what it was: a run with `rerun` learns from the new labels.

    Parameters
    ----------
    challenge, data, workspace, data_label, progress
        As for `score`.
    corrected_labels
        The data hold the rows of those that were scored last, and other labels.

    Returns
    -------
    Rescored
        The record that `hepchallenge rescore --json` prints, without its key `changes`: see
        `hepchallenge.board.changes`.

    Raises
    ------
    UsageError
        If nothing was scored on these data before, or the data hold other rows or features than those that
        were scored last.
    """
    from hepchallenge.contract import load_challenge
    from hepchallenge.scorer.scorer import new_scorer
    from hepchallenge.stage.stage import stage
    from hepchallenge.store import open_workspace

    heard = progress or Silent()
    loaded = load_challenge(challenge)
    with open_workspace(workspace, must_exist=True) as store:
        path, info = data_for(loaded, data)
        inputs = store.workspace / "inputs"
        staged = stage(loaded, path, info, inputs, data_label=data_label, write_inputs=False)
        scorers: dict[bool, Scorer] = {}
        wanted = None if corrected_labels else staged.data.digest
        before = tuple(store.entries(loaded.name, data_digest=wanted))
        if before and before[0].data != staged.data:
            _check_inputs(staged)
        entries = []
        for recorded in before:
            quick = recorded.run_key.quick
            if quick not in scorers:
                # A quick run may have read fewer rows.
                shown = staged
                if quick:
                    shown = stage(
                        loaded, path, info, inputs, quick=True, data_label=data_label, write_inputs=False
                    )
                n_replicas = loaded.config.rules.replicas
                scorers[quick] = new_scorer(
                    loaded, shown.truth, shown.data.digest, n_replicas, store.save_array
                )
            if recorded.data != staged.data:
                if not recorded.scoring.verdict.is_participants_own:
                    continue
                recorded = _carry_over(store, recorded, staged.data)
            entries.append(_rescore_one(store, scorers[quick], recorded))
            heard.submission_done(entries[-1])
    if not entries:
        raise UsageError(
            f"{loaded.name} has nothing to rescore on data {staged.data.digest[:12]}; if these are the rows "
            "of the data scored last, with corrected labels, say so: --corrected-labels"
        )
    return Rescored(
        challenge=loaded.name,
        data=staged.data,
        isolation=entries[-1].isolation,
        accounting=entries[-1].accounting,
        submissions=tuple(entries),
        before=before,
    )


def _check_inputs(staged: Staged) -> None:
    """Refuse data whose features no submission of this workspace was ever given."""
    for file in (staged.train_inputs, staged.test_inputs):
        if file is not None and not file.exists():
            raise UsageError(
                f"data {staged.data.digest[:12]} hold other rows or features than were scored here; "
                "only labels can be corrected: score the submissions again"
            )


def _carry_over(store: Store, recorded: BoardEntry, data: DataInfo) -> BoardEntry:
    """Record a run for other data as well, with the outcomes that it had; none is run again."""
    old = store.run_of(recorded)
    key = replace(recorded.run_key, data_digest=data.digest)
    versions = {**recorded.versions, "predicted_on": recorded.data.digest}
    with store.lock(key):
        run = store.open_run(key, old.submission_id, data, old.isolation, old.accounting, versions)
        folds = tuple(store.record_fold(run, outcome) for outcome in recorded.folds)
        complete = folds and all(outcome.succeeded for outcome in folds)
        if not complete and store.latest_scoring(run) is None:
            # What has no predictions keeps its verdict.
            store.record_scoring(run, recorded.scoring)
    return replace(
        recorded, run_key=key, data=data, run_at=run.created_at, versions=dict(run.versions), folds=folds
    )


def _rescore_one(store: Store, scorer: Scorer, recorded: BoardEntry) -> BoardEntry:
    """Score one recorded run again; a run without predictions keeps its verdict."""
    if not recorded.folds or not all(outcome.succeeded for outcome in recorded.folds):
        return recorded
    predictions = [recorded_predictions(store, outcome) for outcome in recorded.folds]
    seconds = [outcome.event_seconds for outcome in recorded.folds]
    scoring = scorer.score_run(predictions, recorded.submission.kind, seconds)
    store.record_scoring(store.run_of(recorded), scoring)
    return replace(recorded, scoring=scoring)
