"""A kit for prediction files: a probability and a selection for every event, scored as public and private."""

from pathlib import Path

import numpy as np

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.ams import ams

problem_title = "Selection (toy)"


class Predictions:
    """Two columns: probability of signal, and 1 where selected."""

    def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
        values = y_true if y_pred is None else y_pred
        self.y_pred = np.full((n_samples, 2), np.nan) if values is None else np.array(values, dtype=float)
        if fold_is is not None:
            self.y_pred = self.y_pred[fold_is]

    def set_valid_in_train(self, predictions, test_is):
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes):
        self.y_pred = self.y_pred[valid_indexes]

    @property
    def valid_indexes(self):
        return ~np.isnan(self.y_pred[:, 0])

    @classmethod
    def combine(cls, predictions_list, index_list=None):
        index_list = range(len(predictions_list)) if index_list is None else index_list
        return cls(y_pred=np.mean([predictions_list[i].y_pred for i in index_list], axis=0))


class Auc:
    name = "auc"
    precision = 3
    is_lower_the_better = False

    def score_function(self, ground_truths, predictions):
        """Pairs of signal and background in the right order; a tie counts half."""
        signal = ground_truths.y_pred[:, 0] > 0
        score = predictions.y_pred[:, 0]
        gap = score[signal][:, None] - score[~signal][None, :]
        return float(((gap > 0) + 0.5 * (gap == 0)).mean())


class Significance:
    name = "ams"
    precision = 3
    is_lower_the_better = False

    def score_function(self, ground_truths, predictions):
        signal = ground_truths.y_pred[:, 0] > 0
        selected = predictions.y_pred[:, 1] > 0
        return ams(float((selected & signal).sum()), float((selected & ~signal).sum()))


score_types = [Auc(), Significance()]


class Workflow:
    """Not used by prediction files."""

    element_names = ("classifier",)

    def train_submission(self, module_path, X, y, train_is=None):
        raise InvalidSubmission("this kit takes prediction files")

    def test_submission(self, trained_model, X):
        raise InvalidSubmission("this kit takes prediction files")


workflow = Workflow()


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[::2], rows[1::2])]


def _table(path, name):
    return np.loadtxt(Path(path, "data", name), delimiter=",", skiprows=1)


def _load(path, name):
    table = _table(path, name)
    return table[:, :1], np.column_stack([table[:, 1], table[:, 1]])


def get_train_data(path="."):
    return _load(path, "train.csv")


def get_test_data(path="."):
    return _load(path, "test.csv")


def get_test_ids(path="."):
    return _table(path, "test.csv")[:, 0].astype(np.int64)


def get_test_parts(path="."):
    return np.where(np.arange(len(get_test_ids(path))) % 2, "private", "public")


def predictions_from_columns(columns):
    score = columns["score"]
    bad = np.flatnonzero((score < 0) | (score > 1))
    if len(bad):
        raise InvalidSubmission(f"id {columns['id'][bad[0]]}: expected a probability, found {score[bad[0]]}")
    bad = np.flatnonzero(~np.isin(columns["class"], ["b", "s"]))
    if len(bad):
        raise InvalidSubmission(
            f"id {columns['id'][bad[0]]}: expected b or s, found {columns['class'][bad[0]]}"
        )
    return np.column_stack([score, columns["class"] == "s"])
