"""Boosted trees on what physicists made up to tell tops from other jets: see observables.py."""

from observables import observables
from sklearn.ensemble import HistGradientBoostingClassifier

TREES = 150
LEAVES = 8


class Classifier:
    def fit(self, X, y):
        # Without early stopping the number of trees, and so of parameters, is known beforehand. The seed is
        # that of the run; trainings differ by the features that trees may use at each split.
        self.model = HistGradientBoostingClassifier(
            max_iter=TREES, learning_rate=0.08, max_leaf_nodes=LEAVES, max_features=0.5,
            l2_regularization=1.0, early_stopping=False,
        )  # fmt: skip
        self.model.fit(observables(X), y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(observables(X))
