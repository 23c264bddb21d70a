"""A TrackML event of 100 000 hits: its score and its weights against pandas.merge of truth and submission.

The merge only joins the two tables on hit_id; the score has yet to be computed from its result. Both are
timed in turns, on toy data of the multiplicities of a full event, for an answer in which one hit in ten went
to a random track. The rows of the submission are in another order than the hits, as the format allows, or in
the same. The merge is the one of trackml-library, which makes sure that every hit is there once, as
`score_event` does; or the plain one, which does not, and which looks nothing up if the rows are in order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from measure import alternate

from hepchallenge.scoring.trackml import event_score, event_weights, score_event, shuffle_hits

N_HITS, N_PARTICLES, NOISE = 100_000, 9_500, 15_000


def event(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return truth and particles with ids, numbers of hits and column types as published."""
    ids = rng.choice(4_000 * 200, N_PARTICLES, replace=False).astype(np.int64)
    particle_id = (
        (ids % 200 + 1 << 52) | (ids // 200 + 1 << 36) | np.where(rng.random(N_PARTICLES) < 0.2, 1 << 24, 0)
    )
    share = rng.dirichlet(np.full(N_PARTICLES, 4.0))
    nhits = rng.multinomial(N_HITS - NOISE, share)
    on_hits = rng.permutation(
        np.concatenate((np.repeat(particle_id, nhits), np.zeros(NOISE, dtype=np.int64)))
    )
    momenta = rng.exponential(0.8, (3, N_PARTICLES)).astype(np.float32)
    places = rng.normal(0, [[0.01], [0.01], [50]], (3, N_PARTICLES)).astype(np.float32)
    particles = pd.DataFrame(
        {"particle_id": particle_id}
        | dict(zip(("vx", "vy", "vz", "px", "py", "pz"), (*places, *momenta), strict=True))
        | {"q": 1, "nhits": nhits}
    )
    truth = pd.DataFrame({"hit_id": np.arange(1, N_HITS + 1, dtype=np.int32), "particle_id": on_hits})
    for name in ("tx", "ty", "tz", "tpx", "tpy", "tpz"):
        truth[name] = rng.normal(0, 500, N_HITS).astype(np.float32)
    truth["weight"] = event_weights(truth, particles).astype(np.float32)
    return truth, particles


def often(action: Callable[[], object], times: int = 50) -> Callable[[], None]:
    """Return an action that does another many times, as one time alone is too short to be measured."""

    def repeated() -> None:
        for _ in range(times):
            action()

    return repeated


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    truth, particles = event(rng)
    tracks = shuffle_hits(truth["particle_id"], 0.1, rng)
    in_order = pd.DataFrame({"hit_id": np.arange(1, N_HITS + 1), "track_id": tracks})
    arrays = truth["particle_id"].to_numpy(), truth["weight"].to_numpy(), tracks
    print(f"score {event_score(*arrays):.4f}; seconds are for 50 events")
    needed = truth[["hit_id", "particle_id", "weight"]]
    orders = {"another order": in_order.sample(frac=1, random_state=0), "the same order": in_order}
    for order, submission in orders.items():
        ours = {
            "score_event, frames": (lambda table=submission: score_event(truth, table), 0.7),
            "event_score, aligned arrays": (lambda: event_score(*arrays), 0.7),
            "event_weights": (lambda: event_weights(truth, particles), 3.0),
        }
        joins = {
            "validated merge": lambda table=submission: pd.merge(
                needed, table, on=["hit_id"], how="left", validate="one_to_one"
            ),
            "plain merge": lambda table=submission: pd.merge(truth, table, on="hit_id"),
        }
        for join, theirs in joins.items():
            for name, (action, aim) in ours.items():
                print()
                alternate(
                    often(action),
                    often(theirs),
                    names=(name, f"{join}, {order}"),
                    rounds=5,
                    aim=aim,
                )
