"""The top tagging workflow: a binary classifier of jets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.submitted import load_class
from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.exceptions import InvalidSubmission

__all__ = ["JetClassifier"]


class JetClassifier:
    """Trains and applies a submission's `classifier.py`, which holds a class `Classifier` with

    `fit(X, y)`
        `X`: the training jets, see `hepchallenge.challenges.toptag.jets.Jets`; `y`: int array, 1 for top.
    `predict_proba(X)`
        Array of shape (n, 2), background and top, or (n,); the probability to be a top, from 0 to 1.

    Only jets of the published training set are handed to `fit`. The validation set is for the validation
    score, whose labels no submission sees; to stop early, keep back some of the training jets.

    Parameters
    ----------
    element_names : list of str
        Names of the submission's files without `.py`; ramp-workflow reads this attribute.
    """

    def __init__(self, element_names: tuple[str, ...] = ("classifier",)) -> None:
        self.element_names = list(element_names)

    def train_submission(
        self, module_path: str, X: Jets, y: NDArray[np.int64], train_is: NDArray[np.int64] | None = None
    ) -> Any:
        """Return the fitted `Classifier` of the submission in the folder `module_path`.

        Only the rows `train_is` are used, all rows if it is None.

        Raises
        ------
        InvalidSubmission
            If there is no such class, or the data have labels only and no jets to train on.
        """

        if not X.has_constituents:
            raise InvalidSubmission(
                "these data have the labels of the test jets but no jets: "
                "only prediction files can be scored on them, not code"
            )
        model = load_class(module_path, self.element_names[0], "Classifier")()
        rows = slice(None) if train_is is None else train_is
        model.fit(X[rows], np.asarray(y)[rows])
        return model

    def test_submission(self, trained_model: Any, X: Jets) -> NDArray[np.float64]:
        """Return the probability of every jet to be a top, shape (n,).

        Raises
        ------
        InvalidSubmission
            If what the classifier returns has the wrong shape. Values are checked with the predictions.
        """
        probability = np.asarray(trained_model.predict_proba(X))
        if probability.shape not in ((len(X),), (len(X), 2)):
            raise InvalidSubmission(
                f"predict_proba: expected an array of shape ({len(X)}, 2) or ({len(X)},), "
                f"found {probability.shape}"
            )
        top = probability if probability.ndim == 1 else probability[:, 1]
        return np.ascontiguousarray(top, dtype=np.float64)
