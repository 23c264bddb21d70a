"""Hough transform: tracks are circles through the origin, (phi0, k), that many layers vote for.

A circle that leaves the origin in the direction phi0 and has curvature k crosses radius r at the azimuth
phi0 + arcsin(k r / 2). So each hit votes, at every k, for one phi0. As particles start beside the origin and
scatter, a hit votes for an interval around it, which is wide for inner layers. The circle with votes of most
layers takes its nearest hit in each; then the rest of the hits votes again.
"""

import numpy as np

LARGEST_CURVATURE = 1.05e-3  # 1/mm; a particle of 300 MeV has 1e-3
N_CURVATURES = 101
N_DIRECTIONS = 720
# Width of the votes: beside the origin by mm, and in rad what scattering and the grid add.
VERTEX, TOLERANCE = 1.3, 0.008
FEWEST_LAYERS = 2


class Clusterer:
    def fit(self, X, y):
        """Learn nothing: the constants above were chosen on simulated events."""

    def predict_single_event(self, X_event):
        """Return a label for every hit (columns layer, iphi, x, y), -1 where no circle came by."""
        layer, x, y = X_event[:, 0].astype(int), X_event[:, 2], X_event[:, 3]
        r, phi = np.hypot(x, y), np.arctan2(y, x)
        curvature = np.linspace(-LARGEST_CURVATURE, LARGEST_CURVATURE, N_CURVATURES)
        # Where each hit votes, (curvature, hit), and how far from there.
        direction = phi - np.arcsin(curvature[:, None] * r / 2.0)
        width = VERTEX / r + TOLERANCE

        labels = np.full(len(layer), -1)
        planes = [self.votes(direction, width, layer == one) for one in range(layer.max() + 1)]
        total = sum(planes)
        for label in range(len(layer)):
            if total.max() < FEWEST_LAYERS:
                break
            track = self.hits_of_best(total, direction, width, layer, labels < 0)
            labels[track] = label
            for one in layer[track]:
                plane = self.votes(direction, width, (layer == one) & (labels < 0))
                total += plane - planes[one]
                planes[one] = plane
        return labels

    @staticmethod
    def votes(direction, width, chosen):
        """Return 1 in each cell (curvature, phi0) that the chosen hits, all of one layer, vote for."""
        plane = np.zeros((N_CURVATURES, N_DIRECTIONS), dtype=np.int8)
        if chosen.any():
            centre = np.floor(direction[:, chosen] * N_DIRECTIONS / (2.0 * np.pi)).astype(int)
            reach = int(np.ceil(width[chosen][0] * N_DIRECTIONS / (2.0 * np.pi)))
            cells = (centre[:, :, None] + np.arange(-reach, reach + 1)) % N_DIRECTIONS
            plane[np.arange(N_CURVATURES)[:, None, None], cells] = 1
        return plane

    @staticmethod
    def hits_of_best(total, direction, width, layer, free):
        """Return the nearest hit in each layer for that circle, of those with most votes, that fits best."""
        row, column = np.nonzero(total == total.max())
        phi0 = (column + 0.5) * 2.0 * np.pi / N_DIRECTIONS
        away = np.abs((direction[row] - phi0[:, None] + np.pi) % (2.0 * np.pi) - np.pi) / width
        away[:, ~free] = np.inf
        nearest = np.stack(
            [np.where(layer == one, away, np.inf).argmin(axis=1) for one in range(layer.max() + 1)], axis=1
        )
        distance = np.minimum(np.take_along_axis(away, nearest, axis=1), 2.0)
        best = np.argmin((distance**2).sum(axis=1))
        return nearest[best][distance[best] < 2.0]
