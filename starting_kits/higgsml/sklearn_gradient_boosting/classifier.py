"""Gradient-boosted trees of scikit-learn; the cut is where the significance of unseen training rows peaks."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

MISSING = -999.0
N_SPLITS = 2


def significance(s, b, b_reg=10.0):
    radicand = 2.0 * ((s + b + b_reg) * np.log1p(s / (b + b_reg)) - s)
    return np.sqrt(np.maximum(radicand, 0.0))


def best_fraction(score, y, weight):
    """Return the fraction of events to select for the largest significance."""
    order = np.argsort(-score)
    signal = np.where(y[order] == 1, weight[order], 0.0)
    background = np.where(y[order] == 0, weight[order], 0.0)
    curve = significance(np.cumsum(signal), np.cumsum(background))
    # Averaging over neighbouring cuts keeps one lucky event from choosing the cut; outside 5 to 30 per cent
    # the curve is either noise or far below its maximum.
    width = max(1, len(curve) // 100)
    smooth = np.convolve(curve, np.ones(width) / width, mode="same")
    low, high = int(0.05 * len(curve)), max(int(0.30 * len(curve)), 1)
    return (low + int(np.argmax(smooth[low:high])) + 1) / len(curve)


class Classifier:
    def _model(self):
        return HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.1, max_leaf_nodes=31, min_samples_leaf=40, early_stopping=False,
            random_state=0,
        )  # fmt: skip

    def _features(self, X):
        values = X.to_numpy(dtype=np.float64, copy=True)
        values[values == MISSING] = np.nan
        return values

    def fit(self, X, y, sample_weight):
        features = self._features(X)
        # Trees learn best when both classes weigh the same; the physical weights return for the cut.
        balanced = sample_weight.copy()
        for label in (0, 1):
            balanced[y == label] *= len(y) / (2.0 * sample_weight[y == label].sum())
        # Each half is scored by a model that has not seen it, and gives a cut as a score and as a fraction.
        self.models, fractions, scores = [], [], np.empty(len(y))
        for seen, unseen in StratifiedKFold(N_SPLITS, shuffle=True, random_state=0).split(features, y):
            model = self._model().fit(features[seen], y[seen], balanced[seen])
            scores[unseen] = model.predict_proba(features[unseen])[:, 1]
            self.models.append(model)
        fractions = best_fraction(scores, y, sample_weight)
        self.threshold = np.quantile(scores, 1.0 - fractions)
        return self

    def predict_proba(self, X):
        features = self._features(X)
        return np.mean([model.predict_proba(features) for model in self.models], axis=0)

    def predict(self, X):
        return self.predict_proba(X)[:, 1] > self.threshold
