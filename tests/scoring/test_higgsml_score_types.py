"""The HiggsML score types: layout of the arrays, renormalisation within a part, directions."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hepchallenge.scoring.ams import ams
from hepchallenge.scoring.higgsml import AMS, HIGGSML_TOTALS, ROCAUC, BestAMS

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "higgsml"

TRUTH = np.array([[1, 0.002], [0, 3.0], [1, 0.001], [0, 1.0]], dtype=float)
PREDICTION = np.array([[0.9, 1], [0.8, 1], [0.2, 0], [0.1, 0]], dtype=float)


def test_ams_scales_the_weights_of_the_part_to_the_full_data_set() -> None:
    expected = ams(HIGGSML_TOTALS[0] * 2 / 3, HIGGSML_TOTALS[1] * 3 / 4)
    assert AMS()(TRUTH, PREDICTION) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score_type", [AMS(), BestAMS(), ROCAUC()], ids=lambda s: s.name)
def test_common_factor_of_a_class_changes_no_score(score_type: AMS | BestAMS | ROCAUC) -> None:
    scaled = TRUTH.copy()
    scaled[scaled[:, 0] == 1, 1] *= 7.0
    scaled[scaled[:, 0] == 0, 1] *= 0.3
    assert score_type(scaled, PREDICTION) == pytest.approx(score_type(TRUTH, PREDICTION), rel=1e-12)


def test_best_ams_ignores_the_submissions_own_selection() -> None:
    nothing = PREDICTION.copy()
    nothing[:, 1] = 0
    assert AMS()(TRUTH, nothing) == 0.0
    assert BestAMS()(TRUTH, nothing) == BestAMS()(TRUTH, PREDICTION) > 1.0


def test_auc_counts_events_with_their_weights() -> None:
    # Background of weight 1 lies below all signal; that of weight 3 lies between the signal events.
    assert ROCAUC()(TRUTH, PREDICTION) == pytest.approx(0.25 + 0.75 * 2 / 3)


def test_score_function_takes_ramp_prediction_objects() -> None:
    truth, prediction = SimpleNamespace(y_pred=TRUTH), SimpleNamespace(y_pred=PREDICTION)
    assert AMS().score_function(truth, prediction) == AMS()(TRUTH, PREDICTION)


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("score_type", [AMS(), BestAMS(), ROCAUC()], ids=lambda s: s.name)
def test_part_with_one_class_only_is_an_error(score_type: AMS | BestAMS | ROCAUC, label: float) -> None:
    part = TRUTH.copy()
    part[:, 0] = label
    with pytest.raises(ValueError, match=r"cannot scale the (signal|background) weights"):
        score_type(part, PREDICTION)


def test_not_finite_prediction_is_an_error_not_a_score() -> None:
    broken = PREDICTION.copy()
    broken[2] = np.nan
    for score_type in (AMS(), BestAMS(), ROCAUC()):
        with pytest.raises(ValueError, match="row 2"):
            score_type(TRUTH, broken)


def test_masked_truth_is_an_error_not_background() -> None:
    masked = TRUTH.copy()
    masked[1, 0] = np.nan
    with pytest.raises(ValueError, match="is_signal must be 0 or 1"):
        AMS()(masked, PREDICTION)


def test_wrong_shapes_are_errors() -> None:
    with pytest.raises(ValueError, match="prediction must have shape"):
        AMS()(TRUTH, PREDICTION[:, 0])
    with pytest.raises(ValueError, match="3 predictions for 4 events"):
        AMS()(TRUTH, PREDICTION[:3])


def test_directions_are_declared() -> None:
    for score_type in (AMS(), BestAMS(), ROCAUC()):
        assert score_type.is_lower_the_better is False
        assert score_type.worst == 0.0
    assert [s.name for s in (AMS(), BestAMS(), ROCAUC())] == ["ams", "ams_max", "auc"]
    assert json.dumps(ROCAUC().maximum) == "1.0"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"real HiggsML labels and weights are not at {DATA}")
def test_selecting_all_real_training_events_gives_the_known_significance() -> None:
    with np.load(DATA / "kaggle_train_labels_weights.npz") as file:
        signal, weight = file["is_signal"], file["kaggle_weight"]
    truth = np.column_stack([signal, weight])
    prediction = np.column_stack([np.linspace(0, 1, len(signal)), np.ones(len(signal))])
    # KaggleWeight already sums to the totals, so that scaling it must change nothing.
    assert weight[signal].sum() == pytest.approx(HIGGSML_TOTALS[0], rel=1e-9)
    assert weight[~signal].sum() == pytest.approx(HIGGSML_TOTALS[1], rel=1e-9)
    assert AMS()(truth, prediction) == pytest.approx(1.0790735173226451, rel=1e-9)
    half = np.arange(len(signal)) % 2 == 0
    assert AMS()(truth[half], prediction[half]) == pytest.approx(1.0790735173226451, rel=1e-9)
