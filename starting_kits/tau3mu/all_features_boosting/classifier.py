"""Gradient boosting on all features: it learns how simulation differs from data, and fails a gate."""

from sklearn.ensemble import GradientBoostingClassifier


class Classifier:
    def fit(self, X, y, training):
        self.model = GradientBoostingClassifier(
            n_estimators=40, learning_rate=0.01, max_depth=7, subsample=0.7, min_samples_leaf=10,
            random_state=1,
        )  # fmt: skip
        self.model.fit(X, y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X)
