"""What the workflows of several challenges do with a submission's files and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.exceptions import InvalidSubmission

__all__ = ["load_class", "predict_two_columns"]


def load_class(module_path: str, element: str, name: str, *, sanitize: bool = False) -> Any:
    """Return the class `name` of `<element>.py` in the submission's folder.

    Parameters
    ----------
    sanitize : bool
        Whether ramp-workflow looks through the file for names that it does not allow.

    Raises
    ------
    InvalidSubmission
        If the file has no such class.
    """
    from rampwf.utils.importing import import_module_from_source

    module = import_module_from_source(str(Path(module_path) / f"{element}.py"), element, sanitize=sanitize)
    if not hasattr(module, name):
        raise InvalidSubmission(f"{element}.py: expected a class {name}, found none")
    return getattr(module, name)


def predict_two_columns(model: Any, X: Any) -> NDArray[Any]:
    """Return what `predict_proba` of a classifier of two classes gives, shape (n, 2).

    Raises
    ------
    InvalidSubmission
        If it has another shape.
    """
    probability = np.asarray(model.predict_proba(X))
    if probability.shape != (len(X), 2):
        raise InvalidSubmission(
            f"predict_proba: expected an array of shape ({len(X)}, 2), found {probability.shape}"
        )
    return probability
