"""The tau -> mu mu mu workflow: a classifier that is told more of its training events than of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.submitted import load_class, predict_two_columns
from hepchallenge.challenges.tau3mu.data import TRUTH

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TauClassifier"]


class TauClassifier:
    """Trains and applies a submission's `classifier.py`, which holds a class `Classifier` with

    `fit(X, y, training)`
        `X`: DataFrame of the 46 features of the training rows; `y`: int array, 1 for signal; `training`:
        DataFrame of the columns that only training events have, min_ANNmuon, mass (MeV) and production.
    `predict_proba(X)`
        Array of shape (n, 2); column 1, from 0 to 1, is the prediction, larger for signal.

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

        `y` has the columns signal, min_ANNmuon, mass and production. Only the rows `train_is` are used, all
        rows if it is None.

        Raises
        ------
        InvalidSubmission
            If the file has no class `Classifier`.
        """
        import pandas as pd

        rows = np.arange(len(X)) if train_is is None else np.asarray(train_is)
        model = load_class(module_path, self.element_names[0], "Classifier")()
        features, truth = X.iloc[rows], y[rows]
        training = pd.DataFrame(truth[:, 1:], columns=list(TRUTH[1:]), index=features.index)
        model.fit(features, truth[:, 0].astype(np.int64), training)
        return model

    def test_submission(self, trained_model: Any, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the predictions, shape (n,).

        Raises
        ------
        InvalidSubmission
            If what the classifier returns has the wrong shape. Values are checked with the predictions.
        """
        probability = predict_two_columns(trained_model, X)
        return probability[:, 1].astype(np.float64)
