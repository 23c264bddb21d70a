"""Jobs of staged challenges, and what travels of them, for tests of the farm."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hepchallenge.contract import Challenge
from hepchallenge.farm.wire import EncodedJob, JobEncoder, encode_parcel
from hepchallenge.run.jobs import EventJob, FoldJob
from hepchallenge.stage.labels import mask_labels
from hepchallenge.stage.stage import Staged

__all__ = ["bytes_of", "found_in", "job_of", "travels"]


def job_of(
    challenge: Challenge,
    staged: Staged,
    submission: Path,
    fold: int,
    kept: dict[str, np.ndarray] | None = None,
) -> FoldJob:
    """Return the job of one fold; predictions of events are put into `kept`."""
    truth, stream = staged.truth, staged.stream
    train_is, valid_is = truth.folds[fold]
    events = None
    if staged.events is not None:
        events = EventJob(
            train=staged.events.train,
            truths=truth.y_train,
            test=staged.events.test,
            n_rows=lambda part, number: len((truth.y_test if part == "test" else truth.y_train)[number]),
            keep=({} if kept is None else kept).__setitem__,
            heard=lambda done, total: None,
        )
    return FoldJob(
        fold=fold,
        submission=submission,
        train_inputs=staged.train_inputs,
        test_inputs=stream.inputs if stream else staged.test_inputs,
        labels=mask_labels(truth.y_train, train_is) if events is None else None,
        train_is=train_is,
        valid_is=valid_is,
        n_train=truth.n_train,
        n_test=truth.n_test,
        n_stream=stream.n_rows if stream else None,
        seed=0,
        predictions_class=challenge.problem.Predictions,
        hidden=(staged.path,),
        events=events,
    )


def bytes_of(encoder: JobEncoder, digest: str) -> bytes:
    """Return the bytes of an object."""
    data = encoder.object(digest)
    return data if isinstance(data, bytes) else data.read_bytes()


def travels(encoder: JobEncoder, encoded: EncodedJob) -> dict[str, bytes]:
    """Return all that travels for a job, by digest, and its few bytes of its own."""
    digests = (encoder.challenge, *encoded.needs)
    return {"parcel": encode_parcel([encoded.spec]), **{d: bytes_of(encoder, d) for d in digests}}


def found_in(sent: dict[str, bytes], values: Iterable[np.ndarray]) -> set[str]:
    """Return the names of what holds one of these runs of numbers: raw, in either order of bytes, or text."""
    found = set()
    for value in values:
        swapped = value.astype(value.dtype.newbyteorder(">"))
        forms = [value.tobytes(), swapped.tobytes(), ", ".join(map(repr, value.tolist())).encode()]
        found |= {name for name, data in sent.items() if any(form in data for form in forms)}
    return found
