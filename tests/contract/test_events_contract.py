"""Challenges whose inputs are events: what their problem.py must give, and the errors that say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepchallenge.contract import Challenge, check_event_folds, check_events, load_challenge
from hepchallenge.exceptions import ContractError

WORKFLOW = ("    test_submission = print\n", "    test_submission = print\n    predict_event = print\n")
FILE = """
[prediction_file]
id = "hit_id"
event = "event_id"
columns = { event_id = "int64", hit_id = "int64", track_id = "int64" }
"""
FUNCTIONS = "\ndef get_hit_ids(X, index): pass\ndef get_test_ids(path='.'): pass\n"


class Some(list[int]):
    """Events with what they share."""

    shared = None


def test_a_workflow_that_predicts_events_makes_a_challenge_of_events(write: Callable[..., Path]) -> None:
    assert not load_challenge(write()).problem.has_events
    assert load_challenge(write(*WORKFLOW)).problem.has_events


def test_prediction_files_of_events_need_an_event_column_and_hit_ids(write: Callable[..., Path]) -> None:
    loaded = load_challenge(write(*WORKFLOW, toml=FILE, extra=FUNCTIONS))
    assert loaded.config.prediction_file is not None
    assert loaded.config.prediction_file.event == "event_id"


@pytest.mark.parametrize(
    ("workflow", "toml", "functions", "where"),
    [
        (("", ""), FILE, FUNCTIONS, "prediction_file.event"),
        (WORKFLOW, FILE.replace('event = "event_id"', ""), FUNCTIONS, "prediction_file.event"),
        (WORKFLOW, FILE, "\ndef get_test_ids(path='.'): pass\n", "get_hit_ids"),
        (WORKFLOW, FILE, "\ndef get_hit_ids(X, index): pass\n", "get_test_ids"),
        (WORKFLOW, FILE.replace('track_id = "int64"', 'track_id = "string"'), FUNCTIONS, None),
    ],
)
def test_what_does_not_fit_together_is_named(
    write: Callable[..., Path], workflow: tuple[str, str], toml: str, functions: str, where: str | None
) -> None:
    with pytest.raises(ContractError) as caught:
        load_challenge(write(*workflow, toml=toml, extra=functions))
    assert caught.value.where == (where or "prediction_file.columns")


@pytest.mark.parametrize(
    ("X", "y", "found"),
    [
        (Some([1, 2]), [1], "truths of 1"),
        (iter([1]), [1], "list_iterator"),
        (Some([1]), None, "NoneType"),
        ([1], [1], "list without it"),
    ],
)
def test_sequences_that_do_not_belong_together_are_refused(
    challenge: Challenge, X: Any, y: Any, found: str
) -> None:
    with pytest.raises(ContractError) as caught:
        check_events(challenge, "get_test_data", X, y)
    assert (caught.value.where, caught.value.found) == ("get_test_data", found)
    check_events(challenge, "get_test_data", Some([1]), [1])


def test_either_side_of_a_fold_of_events_may_be_empty(challenge: Challenge) -> None:
    (first, second) = check_event_folds(challenge, [([], []), ([2, 0], [1])], 3)
    assert [len(side) for side in first] == [0, 0]
    assert [side.tolist() for side in second] == [[2, 0], [1]]
    assert all(side.dtype == np.int64 for fold in (first, second) for side in fold)


@pytest.mark.parametrize(
    ("folds", "where", "found"),
    [
        ([], "get_cv", "none"),
        (3, "get_cv", "int"),
        ([5], "get_cv: fold 0", "int"),
        ([([0], [1], [2])], "get_cv: fold 0", "tuple"),
        ([([0], [3])], "get_cv: fold 0", "int64 from 3 to 3"),
        ([([-1], [0])], "get_cv: fold 0", "int64 from -1 to -1"),
        ([([0.0], [1])], "get_cv: fold 0", "float64 from 0.0 to 0.0"),
        ([([0, 1], [1])], "get_cv: fold 0", "event 1 twice"),
        ([([0], [1]), ([2, 2], [1])], "get_cv: fold 1", "event 2 twice"),
    ],
)
def test_wrong_folds_of_events_are_refused(challenge: Challenge, folds: Any, where: str, found: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_event_folds(challenge, folds, 3)
    assert (caught.value.where, caught.value.found) == (where, found)
