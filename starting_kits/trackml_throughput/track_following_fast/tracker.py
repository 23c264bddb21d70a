"""Track following: pairs of hits near the beam line start helices that collect hits from layer to layer.

The files, from the bottom up: geometry (layers from the modules), conditions (field and beam, measured with
training events), hitgrid (hits near a point), helix (the Kalman filters), following (from pairs to tracks),
passes (the cuts, to be played with). Everything that takes time once is done in `fit`; `predict_event` is
what is timed.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from conditions import measure_beam, measure_field
from following import LONGEST, choose, find_candidates
from geometry import neighbours, read_layers, seed_pairs, trace_rays
from helix import Helix
from hitgrid import count_free, sort_hits
from passes import PASSES

TRAINING_EVENTS = 8  # that measure field and beam
REACH = 3  # how many layers ahead the next hit of a track may be
RAY_ORIGINS = np.linspace(-150.0, 150.0, 7)  # mm: displaced tracks meet layers as rays from off the centre do
SHARES = 16  # a pass is cut into as many pieces of work, whatever the number of threads
CAPACITY = 20_000  # candidates of a piece


class Tracker:
    def __init__(self):
        self.detectors = None
        self.field, self.beam = measure_field([]), measure_beam([])

    def fit(self, events):
        """Measure field and beam, learn the geometry, and have all kernels compiled."""
        known = list(islice(events, TRAINING_EVENTS))
        self.field, self.beam = measure_field(known), measure_beam(known)
        self._learn_geometry(events.detectors)
        # The centres of the modules do as hits of an event that is not worth keeping.
        self.predict_event(
            events.detectors.rename(columns={"cx": "x", "cy": "y", "cz": "z"}), None, events.detectors
        )
        return self

    def _learn_geometry(self, detectors):
        keys, layers = read_layers(detectors)
        layers = layers._replace(field=self.field)
        rays = trace_rays(layers, RAY_ORIGINS)
        from_beam = trace_rays(layers, self.beam * np.linspace(-2, 2, 7))
        self.keys = keys
        self.outwards = neighbours(layers, rays, REACH)
        self.inwards = neighbours(layers, [ray[::-1] for ray in rays], REACH)
        self.pairs = [seed_pairs(from_beam, ranks) for ranks, _ in PASSES]
        self.detectors = detectors

    def predict_event(self, hits, cells, detectors):
        """Return the track of every hit: 1, 2, ... and 0 for hits that are on none."""
        labels = np.zeros(len(hits), dtype=np.int64)
        if len(hits) == 0 or len(detectors) == 0:
            return labels
        if self.detectors is not detectors and not detectors.equals(self.detectors):
            self._learn_geometry(detectors)
        grid = sort_hits(hits, self.keys, self.outwards)
        used = np.zeros(len(grid.row), dtype=np.bool_)
        next_label = 1
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for pairs, (_, cuts) in zip(self.pairs, PASSES, strict=True):
                count_free(grid, used)
                cuts = cuts._replace(beam_length=np.hypot(cuts.beam_length, self.beam))
                work = [
                    pool.submit(self._candidates, pairs, share, grid, used, cuts) for share in range(SHARES)
                ]
                parts = zip(*(one.result() for one in work), strict=True)
                tracks, lengths, gains, ends = (np.concatenate(part) for part in parts)
                best_first = np.argsort(-gains, kind="stable")
                next_label = choose(
                    best_first, tracks, lengths, ends, grid, self.inwards, used, cuts, labels, next_label
                )
        return labels

    def _candidates(self, pairs, share, grid, used, cuts):
        """Return the hits, the numbers of hits, the gains and the ends of the candidates of one share."""
        tracks, lengths = np.empty((CAPACITY, LONGEST), np.int32), np.empty(CAPACITY, np.int64)
        gains, ends = np.empty(CAPACITY), np.empty((CAPACITY, len(Helix._fields)))
        n = find_candidates(
            pairs, share, SHARES, grid, self.outwards, used, cuts, tracks, lengths, gains, ends
        )
        return tracks[:n], lengths[:n], gains[:n], ends[:n]
