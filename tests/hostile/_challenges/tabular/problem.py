"""A tabular kit whose labels no feature tells: who predicts them has read them."""

from pathlib import Path

import numpy as np

problem_title = "Tabular (toy)"


class Predictions:
    def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
        values = y_true if y_pred is None else y_pred
        self.y_pred = np.full(n_samples, np.nan) if values is None else np.array(values, dtype=float)
        if self.y_pred.ndim != 1:
            raise ValueError(f"expected one number a row, found an array of shape {self.y_pred.shape}")
        if fold_is is not None:
            self.y_pred = self.y_pred[fold_is]

    def set_valid_in_train(self, predictions, test_is):
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes):
        self.y_pred = self.y_pred[valid_indexes]

    @property
    def valid_indexes(self):
        return ~np.isnan(self.y_pred)

    @classmethod
    def combine(cls, predictions_list, index_list=None):
        index_list = range(len(predictions_list)) if index_list is None else index_list
        return cls(y_pred=np.nanmean([predictions_list[i].y_pred for i in index_list], axis=0))


class Workflow:
    element_names = ("classifier",)

    def train_submission(self, module_path, X, y, train_is=None):
        import importlib.util

        spec = importlib.util.spec_from_file_location("classifier", Path(module_path, "classifier.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.Classifier()
        model.fit(X[train_is], np.asarray(y)[train_is])
        return model

    def test_submission(self, trained_model, X):
        return trained_model.predict(X)


workflow = Workflow()


class Distance:
    """Mean distance to the labels; careless as such metrics are, since it drops what is NaN."""

    name = "distance"
    precision = 3
    is_lower_the_better = True

    def score_function(self, ground_truths, predictions):
        return float(np.nanmean(np.abs(ground_truths.y_pred - predictions.y_pred)))


score_types = [Distance()]


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[rows % 2 != k], rows[rows % 2 == k]) for k in range(2)]


def _load(path, name):
    # The features are a view of a table that holds the labels too: a leak in a careless runner.
    table = np.loadtxt(Path(path, "data", name), delimiter=",")
    return table[:, :2], table[:, 2]


def get_train_data(path="."):
    return _load(path, "train.csv")


def get_test_data(path="."):
    return _load(path, "test.csv")
