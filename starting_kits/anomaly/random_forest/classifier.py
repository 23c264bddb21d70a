"""The starting kit of 2016: a forest of two trees with two leaves each, hardly better than chance."""

from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier


class Classifier(BaseEstimator):
    def __init__(self):
        self.model = RandomForestClassifier(n_estimators=2, max_leaf_nodes=2, random_state=61)

    def fit(self, X, y):
        self.model.fit(X, y)
        return self

    def predict(self, X):
        return self.model.predict(X)

    def predict_proba(self, X):
        return self.model.predict_proba(X)
