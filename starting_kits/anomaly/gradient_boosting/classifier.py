"""Gradient-boosted trees on the 16 features as they are."""

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier


class Classifier(BaseEstimator):
    def __init__(self):
        self.model = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.15, max_leaf_nodes=31, early_stopping=False, random_state=61
        )

    def fit(self, X, y):
        self.model.fit(X, y)
        return self

    def predict(self, X):
        return self.model.predict(X)

    def predict_proba(self, X):
        return self.model.predict_proba(X)
