"""The HiggsML workflow: a weighted binary classifier that also selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.submitted import load_class, predict_two_columns
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.ams import renormalise
from hepchallenge.scoring.higgsml import HIGGSML_TOTALS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WeightedClassifier"]


class WeightedClassifier:
    """Trains and applies a submission's `classifier.py`, which holds a class `Classifier` with

    `fit(X, y, sample_weight)`
        `X`: DataFrame of the training rows; `y`: int array, 1 for signal; `sample_weight`: expected events.
    `predict_proba(X)`
        Array of shape (n, 2); column 1, between 0 and 1, ranks the events, larger is more signal-like.
    `predict(X)`
        The selection: 1 (or true) for every event that the analysis keeps.

    The weights given to `fit` are the published ones of the fold's training rows, scaled class by class to
    the expected events of the full data set (691.99 signal, 410 999.85 background), so that the
    significance of a selection on the training rows means the same as on any other part.

    Parameters
    ----------
    element_names : list of str
        Names of the submission's files without `.py`; ramp-workflow reads this attribute.
    """

    def __init__(self, element_names: tuple[str, ...] = ("classifier",)) -> None:
        self.element_names = list(element_names)

    def train_submission(
        self,
        module_path: str,
        X: pd.DataFrame,
        y: NDArray[np.float64],
        train_is: NDArray[np.int64] | None = None,
    ) -> Any:
        """Return the fitted `Classifier` of the submission in the folder `module_path`.

        `y` has the columns is_signal and weight. Only the rows `train_is` are used, all rows if it is None.
        """

        rows = np.arange(len(X)) if train_is is None else np.asarray(train_is)
        model = load_class(module_path, self.element_names[0], "Classifier")()
        truth = y[rows]
        weight = renormalise(truth[:, 1], truth[:, 0], HIGGSML_TOTALS)
        model.fit(X.iloc[rows], truth[:, 0].astype(np.int64), weight)
        return model

    def test_submission(self, trained_model: Any, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the array of shape (n, 2) with the columns score and selected.

        Raises
        ------
        InvalidSubmission
            If what the classifier returns has the wrong shape. Values are checked with the predictions.
        """
        probability = predict_two_columns(trained_model, X)
        selected = np.asarray(trained_model.predict(X))
        if selected.shape != (len(X),):
            raise InvalidSubmission(
                f"predict: expected an array of shape ({len(X)},), found {selected.shape}"
            )
        return np.column_stack([probability[:, 1], selected]).astype(np.float64)
