"""Metrics with a mistake, and what finds it; metrics without one, in which nothing is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_kit import findings_of, write_audit_kit
from event_kit import PROBLEM as EVENT_PROBLEM
from event_kit import write_event_kit

from hepchallenge.findings import Status

MISTAKES = {
    "turned round": (
        "class Bad(Metric):\n    name = 'bad'\n    is_lower_the_better = True",
        {"metrics direction": ("fail", "bad: right predictions have")},
    ),
    "the same for all": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        return 0.5 if np.isfinite(y_pred).all() else np.nan",
        {"metrics direction": ("warn", "cannot tell them apart")},
    ),
    "fond of wrong predictions": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        return abs(2 * super().__call__(y_true, y_pred) - 1)",
        {"metrics direction": ("warn", "inverted predictions have")},
    ),
    "beyond its maximum": (
        "class Bad(Metric):\n    name = 'bad'\n    maximum = 0.9",
        {"metrics range": ("warn", "outside of minimum 0 and maximum 0.9")},
    ),
    "beyond its minimum, for those who know nothing": (
        "class Bad(Metric):\n    name = 'bad'\n    minimum = 0.5",
        {"metrics range": ("warn", "outside of minimum 0.5 and maximum 1")},
    ),
    "won by all ones": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        return float((y_true * y_pred).sum() / len(y_true))",
        {"metrics range": ("warn", "ones has 1, as good as")},
    ),
    "with a look at the order": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        right = (y_true.argmax(axis=1) == y_pred.argmax(axis=1))\n"
        "        return float(np.average(right, weights=np.arange(1, len(right) + 1)))",
        {"metrics row order": ("fail", "in another order")},
    ),
    "throwing dice": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        chosen = np.random.random(len(y_true)) < 0.5\n"
        "        return super().__call__(y_true[chosen], y_pred[chosen])",
        {"metrics repeats": ("fail", "for the same predictions")},
    ),
    "writing into predictions": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        y_pred[:] = y_pred.round()\n        return super().__call__(y_true, y_pred)",
        {"metrics inputs": ("fail", "it changes the prediction")},
    ),
    "writing into the truth": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        y_true[0] = 0.5\n        return super().__call__(y_true, y_pred)",
        {"metrics inputs": ("fail", "it changes the truth")},
    ),
}

ALONE = {
    "taking NaN for an answer": (
        "class Bad(Metric):\n    name = 'bad'",
        {"metrics refusals": ("warn", "refused only where predictions come in")},
    ),
    "beyond its maximum, and it ranks": (
        "class Bad(Metric):\n    name = 'bad'\n    maximum = 0.9",
        {"metrics range": ("fail", "outside of minimum 0 and maximum 0.9")},
    ),
    "won by all ones, and it ranks": (
        "class Bad(Metric):\n    name = 'bad'\n    def __call__(self, y_true, y_pred):\n"
        "        return float((y_true * y_pred).sum() / len(y_true))",
        {"metrics range": ("fail", "ones has 1, as good as")},
    ),
}


@pytest.mark.parametrize(("code", "found"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_a_metric_is_found(tmp_path: Path, code: str, found: dict[str, tuple[str, str]]) -> None:
    findings = findings_of(write_audit_kit(tmp_path / "kit", extra=f"{code}\nscore_types.append(Bad())"))
    for check, (status, words) in found.items():
        assert findings[check].status.value == status, findings[check]
        assert words in findings[check].fact
        assert "auc:" not in findings[check].fact


@pytest.mark.parametrize(("code", "found"), ALONE.values(), ids=ALONE)
def test_a_mistake_of_the_metric_that_ranks_is_found(
    tmp_path: Path, code: str, found: dict[str, tuple[str, str]]
) -> None:
    findings = findings_of(write_audit_kit(tmp_path / "kit", extra=f"{code}\nscore_types = [Bad()]"))
    for check, (status, words) in found.items():
        assert findings[check].status.value == status, findings[check]
        assert words in findings[check].fact


def test_predictions_of_any_shape_that_are_scored_are_found(tmp_path: Path) -> None:
    careless = """
    class Predictions(Predictions):
        n_columns = 1

        def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
            self.y_pred = np.asarray(y_true if y_pred is None else y_pred, dtype=float)

    class Careless(Metric):
        name = "careless"

        def __call__(self, y_true, y_pred):
            n = min(len(y_true), len(y_pred))
            first = y_pred.reshape(len(y_pred), -1)[:n, 0]
            return float(np.nanmean(first.round() == y_true[:n]))

        def score_function(self, truth, predictions):
            return self(truth.y_pred, predictions.y_pred)

    score_types = [Careless()]
    """
    finding = findings_of(write_audit_kit(tmp_path / "kit", extra=careless))["metrics refusals"]
    assert finding.status is Status.WARN
    assert "scored as if it were right: another column" in finding.fact
    assert "ramp-test does not check: a NaN, NaN only, infinity, a row less, a row more" in finding.fact


def event_findings(folder: Path, problem: str = EVENT_PROBLEM) -> dict[str, tuple[str, str]]:
    """Return status and fact by check of the kit with events, with other code."""
    kit = write_event_kit(folder / "kit")
    (kit / "problem.py").write_text(problem)
    return {name: (found.status.value, found.fact) for name, found in findings_of(kit).items()}


def with_groups(groups: str = "rng.integers(1, 11, size=200)", special: str = "") -> str:
    """Return the kit's code with groups of hits and a metric for them."""
    code = EVENT_PROBLEM
    metric = f"""class Groups(EventScore):
    def score_event(self, truth, prediction):
        pairs = truth[:, None] == truth[None, :]
        value = float(((prediction[:, None] == prediction[None, :]) == pairs).mean())
        return value{special}


class Pace"""
    side = f"""class Side(Side):
    def __getitem__(self, index):
        rng = np.random.default_rng([index, self.files[0].parent.name == "test"])
        x = rng.integers(0, 10**6, size=200)
        groups = {groups}
        return x if self.name == "x" else groups


def get_train_data"""
    code = code.replace("class Pace", metric).replace("def get_train_data", side)
    return code.replace("score_types = [Agreement", 'score_types = [Groups("groups"), Agreement')


def test_events_without_a_flaw_are_fine(tmp_path: Path) -> None:
    found = event_findings(tmp_path, with_groups())
    # The metrics take floats for whole numbers; only that NaN is refused late is to be told.
    assert {name for name, (status, _) in found.items() if status != "ok"} == {"metrics refusals"}
    assert "numbers of groups do not matter" in found["metrics relabelling"][1]


def test_hits_in_the_order_of_their_particles_are_found(tmp_path: Path) -> None:
    status, fact = event_findings(tmp_path, with_groups("np.sort(rng.integers(1, 11, size=200))"))[
        "leak hit order"
    ]
    assert status == "fail"
    assert "hits 1 rows apart" in fact


def test_rings_each_in_the_order_of_the_particles_are_found(tmp_path: Path) -> None:
    status, fact = event_findings(tmp_path, with_groups("np.arange(200) % 10"))["leak hit order"]
    assert status == "fail"
    assert "hits 10 rows apart" in fact


def test_a_metric_that_treats_one_number_differently_is_found(tmp_path: Path) -> None:
    special = " * float(1 - 0.3 * (prediction == 3).mean())"
    status, fact = event_findings(tmp_path, with_groups(special=special))["metrics relabelling"]
    assert status == "fail"
    assert "with other numbers for the same groups" in fact


def test_a_truth_that_the_inputs_hold_is_found(tmp_path: Path) -> None:
    status, fact = event_findings(tmp_path)["leak hidden columns"]
    assert status == "fail"
    assert "value is the truth" in fact


def test_a_test_event_among_the_training_events_is_found(tmp_path: Path) -> None:
    same = with_groups().replace('self.files[0].parent.name == "test"', "1")
    status, fact = event_findings(tmp_path, same)["leak test in training"]
    assert status == "fail"
    assert "4 of 4 test events" in fact


def test_ids_that_training_and_test_events_share_are_found(tmp_path: Path) -> None:
    shared = with_groups().replace("self.name = name", "self.name = name\n        self.event_ids = [100, 7]")
    status, fact = event_findings(tmp_path, shared)["data ids"]
    assert status == "fail"
    assert "such as 100" in fact
