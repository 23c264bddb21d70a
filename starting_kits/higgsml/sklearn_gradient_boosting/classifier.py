"""Gradient-boosted trees of scikit-learn; the cut is where the significance of held-out events peaks."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split

MISSING = -999.0
HELD_OUT = 0.25


def scaled(weight, y, totals):
    """Return the weights scaled so that background and signal sum to the two totals."""
    factors = [total / weight[y == label].sum() for label, total in enumerate(totals)]
    return weight * np.where(y == 1, factors[1], factors[0])


def significance(s, b, b_reg=10.0):
    radicand = 2.0 * ((s + b + b_reg) * np.log1p(s / (b + b_reg)) - s)
    return np.sqrt(np.maximum(radicand, 0.0))


def best_cut(score, y, weight):
    """Return the score above which the significance is largest."""
    order = np.argsort(-score)
    s = np.cumsum(np.where(y == 1, weight, 0.0)[order])
    b = np.cumsum(np.where(y == 0, weight, 0.0)[order])
    curve = significance(s, b)
    # Averaging over neighbouring cuts keeps one lucky event from choosing; a cut that keeps less than
    # 5 or more than 30 per cent is either noise or far from the best.
    width = max(1, len(curve) // 50)
    smooth = np.convolve(curve, np.ones(width) / width, mode="same")
    low, high = int(0.05 * len(curve)), int(0.30 * len(curve))
    return score[order][low + np.argmax(smooth[low : high + 1])]


class Classifier:
    def _features(self, X):
        values = X.to_numpy(dtype=np.float64, copy=True)
        values[values == MISSING] = np.nan
        return values

    def fit(self, X, y, sample_weight):
        totals = [sample_weight[y == label].sum() for label in (0, 1)]
        features = self._features(X)
        seen, held_out = train_test_split(np.arange(len(y)), test_size=HELD_OUT, stratify=y, random_state=0)
        # Trees learn best when both classes weigh the same; the physical weights return for the cut.
        balanced = scaled(sample_weight[seen], y[seen], [len(seen) / 2, len(seen) / 2])
        self.model = HistGradientBoostingClassifier(
            max_iter=80, learning_rate=0.1, max_leaf_nodes=31, min_samples_leaf=40, random_state=0,
            early_stopping=False,
        )  # fmt: skip
        self.model.fit(features[seen], y[seen], balanced)
        score = self.model.predict_proba(features[held_out])[:, 1]
        self.cut = best_cut(score, y[held_out], scaled(sample_weight[held_out], y[held_out], totals))
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(self._features(X))

    def predict(self, X):
        return self.predict_proba(X)[:, 1] > self.cut
