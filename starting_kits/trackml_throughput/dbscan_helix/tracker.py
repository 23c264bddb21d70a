"""In the right coordinates the hits of a particle lie close together, and DBSCAN finds them.

A fast particle from the centre flies on a straight line: its azimuth phi and its z / r stay what they are.
In the field along z the azimuth changes with the radius, by about r / (2 R) for a circle of radius R. So
for each of several R the azimuths are unrolled by that much, in both directions; the particles of about
that R shrink to small clusters, and of all the clusters that a hit is in, it belongs to the largest that is
not too large.
"""

import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.preprocessing import StandardScaler

INVERSE_RADII = np.linspace(-1.2e-3, 1.2e-3, 13)  # per mm: 1 / (2 R), in 2 T 0.3e-3 / (pt in GeV)
NEIGHBOURHOOD = 0.008  # in units of the standardised coordinates
LONGEST = 20  # hits of a particle
# The direction matters most: cosine and sine of the azimuth, then z / r and z over the distance.
IMPORTANCE = np.array([1.0, 1.0, 0.75, 0.5])


class Tracker:
    def predict_event(self, hits, cells, detectors):
        """Return the track of every hit: 1, 2, ... and 0 for hits that are in no cluster."""
        if len(hits) == 0:
            return np.zeros(0, dtype=np.int64)
        best = np.arange(1, len(hits) + 1)
        size = np.ones(len(hits), dtype=np.int64)
        for inverse_radius in INVERSE_RADII:
            cluster = self._clusters(hits, inverse_radius)
            counts = np.bincount(cluster)
            counts[0] = 1
            better = (counts[cluster] > size) & (counts[cluster] <= LONGEST)
            best[better] = best.max() + cluster[better]
            size[better] = counts[cluster[better]]
        return best

    def _clusters(self, hits, inverse_radius):
        """Return the cluster of every hit, 0 for none, if all particles bent alike."""
        x, y, z = (hits[name].to_numpy(np.float64) for name in "xyz")
        r = np.hypot(x, y)
        unrolled = np.arctan2(y, x) + np.arcsin(np.clip(inverse_radius * r, -1.0, 1.0))
        features = np.column_stack(
            [np.cos(unrolled), np.sin(unrolled), z / r, z / np.sqrt(x**2 + y**2 + z**2)]
        )
        features = StandardScaler().fit_transform(features) * IMPORTANCE
        return 1 + DBSCAN(eps=NEIGHBOURHOOD, min_samples=1, algorithm="kd_tree").fit_predict(features)
