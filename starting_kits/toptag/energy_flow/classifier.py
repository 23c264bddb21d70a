"""A linear classifier of energy flow polynomials: see polynomials.py."""

import numpy as np
from polynomials import connected_graphs, polynomials, products
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DEGREE = 5
BETA = 0.5  # exponent of the distances


class Classifier:
    def __init__(self):
        self.graphs = connected_graphs(DEGREE)
        self.products = products(self.graphs, DEGREE)

    def features(self, X):
        values = polynomials(X, self.graphs, BETA)
        return np.column_stack([values[:, list(choice)].prod(axis=1) for choice in self.products])

    def fit(self, X, y):
        # Fisher's discriminant has no start and no steps, so that no seed matters.
        self.model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(tol=1e-9))
        self.model.fit(self.features(X), y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(self.features(X))
