"""Find all plausible tracks, then the most probable way to share all hits among them.

A combinatorial Kalman filter grows tracks outwards, layer by layer, branching at every hit within reach. Its
state is (phi, delta, k): azimuth, direction of flight relative to the radial one, and signed curvature. Each
track gets its log-probability. The hits have to be divided among tracks so that each belongs to exactly one;
an integer program finds the division with the largest sum.
"""

import numpy as np
from scipy.optimize import Bounds, linprog, milp
from scipy.sparse import csc_array

RADII = np.array([39.0, 85.0, 155.0, 213.0, 271.0, 405.0, 562.0, 762.0, 1000.0])  # mm
CELL = 2.0 * np.pi / ((2.0 * np.pi * RADII / np.array([0.025] * 5 + [0.05] * 4)).astype(int) + 1)  # rad
VERTEX = 2.0 / 3.0  # mm
CURVATURE = 0.3  # of a circle, times the transverse momentum: MeV/mm
SCATTERING = 13.6 * np.sqrt(0.02) / CURVATURE  # spread of the deflection in a layer, over the curvature
EFFICIENCY, STOPPING = 0.97, 0.01
# Momenta are uniform from 300 to 10 000 MeV; in each of these ranges curvature is about Gaussian.
MOMENTA = np.array([300.0, 450.0, 800.0, 2000.0, 10_000.0])

REACH = 5.0  # standard deviations
MOST_MISSING = 2  # layers in a row
LAST_START = 2  # layer of a track's first hit
BEAM = 30  # branches kept for each first hit
VARIANTS = 2  # momentum ranges kept for each set of hits
LARGEST_GAP = 10.0  # in log-probability, between the relaxed and the whole-numbered division

LOG_MISSED = np.log((1.0 - STOPPING) * (1.0 - EFFICIENCY))
LOG_END = np.zeros(len(RADII))  # no more hits after a layer: stopped, or gone on unseen
for _layer in range(len(RADII) - 2, -1, -1):
    LOG_END[_layer] = np.log(STOPPING + np.exp(LOG_MISSED + LOG_END[_layer + 1]))


def curvature_ranges():
    """Return mean, variance and log-probability of the curvature in every range of momentum and charge."""
    low, high = MOMENTA[:-1], MOMENTA[1:]
    mean = CURVATURE * np.log(high / low) / (high - low)
    variance = CURVATURE**2 / (low * high) - mean**2
    log_share = np.log((high - low) / (2.0 * (MOMENTA[-1] - MOMENTA[0])))
    return np.concatenate([mean, -mean]), np.tile(variance, 2), np.tile(log_share, 2)


def scattering_variance(k):
    return (SCATTERING * np.clip(np.abs(k), CURVATURE / MOMENTA[-1], CURVATURE / MOMENTA[0])) ** 2


def rank_within(group, score):
    """Return the rank of each score, best first, among those of its group."""
    order = np.lexsort((-score, group))
    starts = np.flatnonzero(np.append(True, np.diff(group[order]) != 0))
    sizes = np.diff(np.append(starts, len(order)))
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank


class Tracks:
    """Growing tracks, one row each: state, covariance, log-probability, and the hits in every layer."""

    FIELDS = ("state", "cov", "log_p", "hits", "missing", "key")

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def of(self, rows):
        return Tracks(**{name: getattr(self, name)[rows] for name in self.FIELDS})

    def plus(self, other):
        return Tracks(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.FIELDS}
        )

    @classmethod
    def start(cls, layer, hits, phi):
        """Return tracks that begin with one of the hits of a layer, one for each range of curvature."""
        ranges = curvature_ranges()
        mean, variance, log_share = (np.tile(values, len(hits)) for values in ranges)
        hits = np.repeat(hits, len(ranges[0]))
        n, r = len(hits), RADII[layer]
        # How uncertain the vertex and the layers before leave the impact parameter.
        impact = VERTEX**2 + scattering_variance(mean) * (RADII[:layer] ** 2).sum()
        cov = np.zeros((n, 3, 3))
        cov[:, 0, 0] = CELL[layer] ** 2 / 12.0
        cov[:, 1, 1] = impact / r**2 + variance * r**2 / 4.0 + scattering_variance(mean)
        cov[:, 1, 2] = cov[:, 2, 1] = variance * r / 2.0
        cov[:, 2, 2] = variance
        chosen = np.full((n, len(RADII)), -1)
        chosen[:, layer] = hits
        return cls(
            state=np.column_stack([phi[hits], np.arcsin(mean * r / 2.0), mean]),
            cov=cov,
            log_p=log_share + layer * LOG_MISSED + np.log(EFFICIENCY),
            hits=chosen,
            missing=np.zeros(n, dtype=int),
            key=hits.astype(np.uint64),
        )

    def move(self, layer):
        """Fly on circles from the layer before to this one."""
        r, new_r = RADII[layer - 1], RADII[layer]
        phi, delta, k = self.state.T
        # r sin(delta) - k r^2 / 2 stays the same all along a circle.
        sine = (r * np.sin(delta) + k * (new_r**2 - r**2) / 2.0) / new_r
        new_delta = np.arcsin(np.clip(sine, -0.99, 0.99))
        ratio, tangent = (new_r - r) / (new_r + r), np.tan((delta + new_delta) / 2.0)
        jacobian = np.zeros((len(k), 3, 3))
        jacobian[:, 0, 0] = jacobian[:, 2, 2] = 1.0
        jacobian[:, 1, 1] = r * np.cos(delta) / (new_r * np.cos(new_delta))
        jacobian[:, 1, 2] = (new_r**2 - r**2) / (2.0 * new_r * np.cos(new_delta))
        slope = ratio * (1.0 + tangent**2) / (1.0 + (ratio * tangent) ** 2)
        jacobian[:, 0, 1] = slope * (1.0 + jacobian[:, 1, 1])
        jacobian[:, 0, 2] = slope * jacobian[:, 1, 2]
        self.state = np.column_stack([phi + 2.0 * np.arctan(ratio * tangent), new_delta, k])
        self.cov = jacobian @ self.cov @ jacobian.transpose(0, 2, 1)

    def take(self, layer, hits, phi):
        """Return the tracks with each hit of the layer that is within reach."""
        variance = self.cov[:, 0, 0] + CELL[layer] ** 2 / 12.0
        residual = (phi - self.state[:, :1] + np.pi) % (2.0 * np.pi) - np.pi
        rows, columns = np.nonzero(residual**2 < (REACH**2 * variance)[:, None])
        taken, residual, variance = self.of(rows), residual[rows, columns], variance[rows]
        gain = taken.cov[:, :, 0] / variance[:, None]
        taken.state = taken.state + gain * residual[:, None]
        taken.cov = taken.cov - gain[:, :, None] * taken.cov[:, :1, :]
        # Relative to a hit anywhere on the circle, so that branches with more and fewer hits compare.
        density = -0.5 * (residual**2 / variance + np.log(variance / (2.0 * np.pi)))
        taken.log_p = taken.log_p + np.log((1.0 - STOPPING) * EFFICIENCY) + density
        taken.hits[:, layer] = hits[columns]
        taken.key = taken.key * np.uint64(1_000_003) + hits[columns].astype(np.uint64) + np.uint64(1)
        taken.missing[:] = 0
        return taken

    def pruned(self):
        # Two hits say little about the curvature.
        variants = np.where((self.hits >= 0).sum(axis=1) < 3, len(self.log_p), VARIANTS)
        kept = self.of(rank_within(self.key, self.log_p) < variants)
        first = kept.hits[np.arange(len(kept.hits)), (kept.hits >= 0).argmax(axis=1)]
        return kept.of(rank_within(first, kept.log_p) < BEAM)


def find_tracks(layer, phi):
    """Return hits (one column a layer, -1 for none) and log-probabilities of all plausible tracks."""
    growing, found = Tracks.start(0, np.flatnonzero(layer == 0), phi), []
    for this_layer in range(1, len(RADII)):
        growing.move(this_layer)
        hits = np.flatnonzero(layer == this_layer)
        seen = growing.take(this_layer, hits, phi[hits])
        best = rank_within(seen.key, seen.log_p) == 0
        found.append((seen.hits[best], seen.log_p[best] + LOG_END[this_layer]))
        unseen = growing.of(growing.missing < MOST_MISSING)
        unseen.missing += 1
        unseen.log_p += LOG_MISSED
        growing = seen.plus(unseen)
        growing.cov[:, 1, 1] += scattering_variance(growing.state[:, 2])
        if this_layer <= LAST_START:
            growing = growing.plus(Tracks.start(this_layer, hits, phi))
        growing = growing.pruned()
    return np.concatenate([hits for hits, _ in found]), np.concatenate([log_p for _, log_p in found])


def best_division(contains, gain):
    """Return which tracks, no two of them with a common hit, have the largest sum of gains.

    The linear relaxation nearly always has a whole-numbered solution. Where it has not, its reduced costs
    tell which tracks cannot be part of a good one, and leave little to the integer program.
    """
    share = linprog(-gain, A_ub=contains, b_ub=np.ones(contains.shape[0]), method="highs-ds")
    if np.abs(share.x - np.round(share.x)).max() < 1e-6:
        return np.flatnonzero(share.x > 0.5)
    left = np.flatnonzero(share.lower.marginals < LARGEST_GAP)
    once = (contains[:, left], -np.inf, 1.0)
    whole = milp(-gain[left], integrality=1, bounds=Bounds(0.0, 1.0), constraints=once)
    return left[whole.x > 0.5]


class Clusterer:
    def fit(self, X, y):
        """Learn how many particles an event has."""
        self.multiplicity = len(np.unique(y, axis=0)) / len(np.unique(y[:, 0]))

    def predict_single_event(self, X_event):
        """Return a label for every hit (columns layer, iphi, x, y)."""
        layer = X_event[:, 0].astype(int)
        # The recorded x and y are those of the cell's edge.
        phi = (X_event[:, 1] + 0.5) * CELL[layer]
        labels = np.arange(len(layer))  # each hit alone
        tracks, log_p = find_tracks(layer, phi)
        member = tracks >= 0
        # A particle with one hit only: what a track has to be more probable than.
        log_alone = layer * LOG_MISSED + np.log(EFFICIENCY) + LOG_END[layer] + np.log(self.multiplicity)
        gain = log_p + np.log(self.multiplicity) - np.where(member, log_alone[tracks], 0.0).sum(axis=1)
        tracks, member, gain = tracks[gain > 0.0], member[gain > 0.0], gain[gain > 0.0]
        if len(tracks):
            column, place = np.nonzero(member)
            ones = np.ones(len(column))
            contains = csc_array((ones, (tracks[column, place], column)), shape=(len(layer), len(tracks)))
            for track in best_division(contains, gain):
                hits = tracks[track, member[track]]
                labels[hits] = hits[0]
        return labels
