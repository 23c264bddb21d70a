"""The published starting kit of 2017, written anew: follow the nearest hits outwards."""

import numpy as np

# A track ends where its next segment would turn by more than acos(0.8), about 37 degrees.
SMALLEST_COSINE = 0.8


def cosine(a, b, c):
    """Return the cosine of the angle between the segments a-b and b-c."""
    first, second = b - a, c - b
    return first @ second / np.sqrt((first @ first) * (second @ second))


class Clusterer:
    def fit(self, X, y):
        """Learn nothing: there is nothing to be tuned."""

    def predict_single_event(self, X_event):
        """Return a label for every hit (columns layer, iphi, x, y), -1 where no track came by."""
        layer, position = X_event[:, 0], X_event[:, 2:4]
        labels = np.full(len(X_event), -1)
        outer_layers = np.unique(layer)[1:]
        for label, start in enumerate(np.flatnonzero(layer == 0)):
            labels[start] = label
            track = [start]
            for this_layer in outer_layers:
                free = np.flatnonzero((layer == this_layer) & (labels < 0))
                if not len(free):
                    break
                step = position[free] - position[track[-1]]
                nearest = free[np.argmin((step**2).sum(axis=1))]
                # The first segment has none before it to compare with.
                if len(track) > 1 and cosine(*position[[*track[-2:], nearest]]) < SMALLEST_COSINE:
                    break
                labels[nearest] = label
                track.append(nearest)
        return labels
