"""Uniform boosting of hep_ml: a loss that punishes a background efficiency that depends on the mass.

The mass is used in training only, to compute the loss; the trees see three features.
"""

from hep_ml.gradientboosting import UGradientBoostingClassifier
from hep_ml.losses import BinFlatnessLossFunction

FEATURES = ["LifeTime", "FlightDistance", "pt"]


class Classifier:
    def fit(self, X, y, training):
        # Flat for background (label 0) over 15 bins of the mass; a small weight of the usual loss is enough.
        loss = BinFlatnessLossFunction(
            uniform_features=["mass"], uniform_label=0, n_bins=15, fl_coefficient=10.0
        )
        self.model = UGradientBoostingClassifier(
            loss=loss, n_estimators=40, learning_rate=0.1, max_depth=7, subsample=0.7, min_samples_leaf=10,
            train_features=FEATURES, random_state=1,
        )  # fmt: skip
        self.model.fit(X[FEATURES].assign(mass=training["mass"]), y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X[FEATURES])
