"""Track following: pairs of hits near the beam line start helices that collect hits from layer to layer.

The way of an event: sort the hits into cells (hitgrid), then pass over it several times with looser and looser
`Cuts`. Each pass follows all pairs of free hits (following) and gives hits to the best candidates first.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from following import LONGEST, Cuts, choose, find_candidates
from conditions import measure_beam, measure_field
from geometry import neighbours, read_layers, seed_pairs, trace_rays
from helix import Helix
from hitgrid import count_free, sort_hits

TRAINING_EVENTS = 3  # that measure field and beam
RAY_ORIGINS = np.linspace(-150.0, 150.0, 7)  # mm: decays are met where rays from far off the centre are
REACH = 3  # how many layers ahead the next hit of a track may be
SHARES = 16  # a pass is cut into as many pieces of work, whatever the number of threads
CAPACITY = 20_000  # candidates of a piece

CLOSE = dict(chi2_hit=16.0, chi2_overlap=12.0, hole_cost=7.0, window=4.0)
PASSES = (
    (((0, 1),), Cuts(pt_min=0.3, beam_radius=0.05, beam_length=0.0, holes=2, shortest=5, evidence=35.0, **CLOSE)),
    (((0, 1), (0, 2), (1, 2)), Cuts(pt_min=0.12, beam_radius=0.1, beam_length=0.0, holes=2, shortest=4, evidence=20.0, **CLOSE)),
    (((0, 1), (1, 2), (2, 3)), Cuts(pt_min=0.15, beam_radius=2.0, beam_length=3.0, holes=2, shortest=4, evidence=20.0, **CLOSE)),
    (((0, 1), (1, 2), (2, 3)), Cuts(pt_min=0.15, beam_radius=6.0, beam_length=20.0, holes=2, shortest=4, evidence=20.0, **CLOSE)),
    (((3, 4), (4, 5), (5, 6)), Cuts(pt_min=0.15, beam_radius=15.0, beam_length=40.0, holes=2, shortest=4, evidence=20.0, **CLOSE)),
)


class Tracker:
    def __init__(self):
        self.detectors = None
        self.field, self.beam = measure_field([]), measure_beam([])

    def fit(self, events):
        """Learn the geometry, and have all kernels compiled before events are timed."""
        known = list(islice(events, TRAINING_EVENTS))
        self.field, self.beam = measure_field(known), measure_beam(known)
        self._learn_geometry(events.detectors)
        modules = events.detectors.rename(columns={"cx": "x", "cy": "y", "cz": "z"})
        self.predict_event(modules, None, events.detectors)
        return self

    def _learn_geometry(self, detectors):
        self.keys, layers = read_layers(detectors)
        rays = trace_rays(layers, RAY_ORIGINS)
        layers = layers._replace(field=self.field)
        self.outwards = neighbours(layers, rays, REACH)
        self.inwards = neighbours(layers, [ray[::-1] for ray in rays], REACH)
        from_beam = trace_rays(layers, self.beam * np.linspace(-2, 2, 7))
        self.pairs = [seed_pairs(from_beam, ranks) for ranks, _ in PASSES]
        self.detectors = detectors

    def predict_event(self, hits, cells, detectors):
        """Return the track of every hit: 1, 2, ... and 0 for hits that are on none."""
        if self.detectors is not detectors:
            self._learn_geometry(detectors)
        labels = np.zeros(len(hits), dtype=np.int64)
        grid = sort_hits(hits, self.keys, self.outwards)
        used = np.zeros(len(grid.row), dtype=np.bool_)
        next_label = 1
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for pairs, (_, cuts) in zip(self.pairs, PASSES, strict=True):
                cuts = cuts._replace(beam_length=np.hypot(cuts.beam_length, self.beam))
                count_free(grid, used)
                found = pool.map(lambda share, p=pairs, c=cuts: self._candidates(p, share, grid, used, c), range(SHARES))
                tracks, lengths, gains, ends = (np.concatenate(parts) for parts in zip(*found, strict=True))
                order = np.argsort(-gains, kind="stable")
                next_label = choose(
                    order, tracks, lengths, ends, grid, self.inwards, used, cuts, labels, next_label
                )
        return labels

    def _candidates(self, pairs, share, grid, used, cuts):
        room = np.empty((CAPACITY, LONGEST), np.int32), np.empty(CAPACITY, np.int64), np.empty(CAPACITY)
        ends = np.empty((CAPACITY, len(Helix._fields)))
        n = find_candidates(pairs, share, SHARES, grid, self.outwards, used, cuts, *room, ends)
        return (*(array[:n] for array in room), ends[:n])
