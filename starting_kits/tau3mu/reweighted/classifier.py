"""Boosting on nearly all features, with signal weighted so that what is simulated badly tells nothing.

Signal is simulated and background recorded. Hits in the SPD and the quality of track fits are simulated badly
and say little about the decay. hep_ml's reweighter gives every signal event a weight so that they are
distributed in signal as in recorded background: then a tree gains nothing by cutting on them.
"""

import numpy as np
from hep_ml.reweight import GBReweighter
from sklearn.ensemble import HistGradientBoostingClassifier

BADLY_SIMULATED = ["SPDhits", "p0_track_Chi2Dof", "p1_track_Chi2Dof", "p2_track_Chi2Dof"]
# Track counts differ between simulation and data too, but also between signal and background: weights would
# take away both. And momenta would allow the mass to be rebuilt.
LEFT_OUT = ["isolationa", "isolationb", "isolationc"]
LEFT_OUT += [f"p{track}_{what}" for track in range(3) for what in ("p", "pt", "eta")]


def signal_weights(nuisance, y):
    """Return weights of mean 1 per class that give signal the background's distribution of the nuisance."""
    signal = y == 1
    reweighter = GBReweighter(n_estimators=80, learning_rate=0.1, max_depth=3, min_samples_leaf=200)
    reweighter.fit(nuisance[signal], nuisance[~signal])
    weight = np.ones(len(y))
    weight[signal] = reweighter.predict_weights(nuisance[signal])
    weight[signal] /= weight[signal].mean()
    return weight


class Classifier:
    def fit(self, X, y, training):
        self.features = [name for name in X.columns if name not in LEFT_OUT]
        self.model = HistGradientBoostingClassifier(
            max_iter=80, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=40, random_state=1,
            early_stopping=False,
        )  # fmt: skip
        self.model.fit(X[self.features], y, signal_weights(X[BADLY_SIMULATED].to_numpy(), y))
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X[self.features])
