"""Small RAMP kits, one for each thing that a kit may do; nothing in them knows of this framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

CLASSES = ("cat", "dog", "emu")


def write_tables(data: Path) -> None:
    """Write `train.csv` and `test.csv` with features a, b, c (some missing), a class and a target."""
    data.mkdir(parents=True, exist_ok=True)
    for name, seed, n_rows in (("train", 1, 90), ("test", 2, 60)):
        random = np.random.default_rng(seed)
        kind = random.integers(0, 3, n_rows)
        frame = pd.DataFrame(random.normal(size=(n_rows, 3)) + kind[:, None], columns=["a", "b", "c"])
        frame["target"] = frame["a"] - 2 * frame["b"] + random.normal(size=n_rows) + 20
        frame.loc[random.random(n_rows) < 0.1, "c"] = np.nan
        frame["kind"] = np.array(CLASSES)[kind]
        frame.to_csv(data / f"{name}.csv", index=False)


@dataclass(frozen=True)
class Kit:
    """A kit: `problem.py`, the files of one submission, other files, and what writes its data."""

    name: str
    problem: str
    submission: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    write_data: Callable[[Path], None] = write_tables
    data_label: str | None = None
    has_test_scores: bool = True

    def write(self, parent: Path) -> Path:
        """Write the kit and return its folder."""
        folder = parent / self.name
        for name, text in {
            "problem.py": HEAD + self.problem,
            **{f"submissions/starting_kit/{name}": text for name, text in self.submission.items()},
            **self.files,
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.write_data(folder / "data" / (self.data_label or ""))
        return folder


HEAD = """
import os
import numpy as np
import pandas as pd
import rampwf as rw

problem_title = "A small kit"


def read(path, name, *more):
    return pd.read_csv(os.path.join(path, "data", *more, name + ".csv"))


def get_cv(X, y):
    for seed in (3, 4):
        rows = np.random.RandomState(seed).permutation(len(y))
        yield rows[:50], rows[50:80]


def both(read_one):
    def get_train_data(path="."):
        return read_one(read(path, "train"))

    def get_test_data(path="."):
        return read_one(read(path, "test"))

    return get_train_data, get_test_data
"""

REGRESSION = """
Predictions = rw.prediction_types.make_regression(label_names=[])
score_types = [rw.score_types.RMSE(name="rmse", precision=4), rw.score_types.RelativeRMSE(name="rel")]
"""

CLASSIFICATION = """
Predictions = rw.prediction_types.make_multiclass(label_names=["cat", "dog", "emu"])
score_types = [
    rw.score_types.Accuracy(name="acc", precision=3),
    rw.score_types.NegativeLogLikelihood(name="nll", precision=5),
    rw.score_types.BalancedAccuracy(name="balanced"),
]
"""

LEAST_SQUARES = """
import numpy as np


class Regressor:
    def fit(self, X, y):
        self.w = np.linalg.lstsq(np.c_[X, np.ones(len(X))], np.asarray(y, dtype=float), rcond=None)[0]

    def predict(self, X):
        return np.c_[X, np.ones(len(X))] @ self.w
"""

NEAREST_MEAN = """
import numpy as np


class Classifier:
    def fit(self, X, y):
        y = np.asarray(y)
        self.classes_ = np.unique(y)
        self.means = np.array([np.asarray(X)[y == c].mean(axis=0) for c in self.classes_])

    def predict_proba(self, X):
        distance = ((np.asarray(X)[:, None, :] - self.means) ** 2).sum(axis=2)
        proba = np.exp(-distance)
        return proba / proba.sum(axis=1, keepdims=True)
"""

FEATURE_EXTRACTOR = """
class FeatureExtractor:
    def fit(self, X_df, y):
        self.columns = [c for c in X_df.columns if c in "abc"]

    def transform(self, X_df):
        return X_df[self.columns].fillna(0).to_numpy()
"""

ESTIMATOR = """
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline


def get_estimator():
    return make_pipeline(SimpleImputer(), GaussianNB())
"""


def write_events(data: Path) -> None:
    """Write points of ten events with three clusters each."""
    data.mkdir(parents=True)
    for name, seed in (("train", 1), ("test", 2)):
        random = np.random.default_rng(seed)
        cluster = random.integers(0, 3, 100)
        frame = pd.DataFrame(
            {"event": np.repeat(np.arange(10), 10), "x": cluster + random.normal(0, 0.3, 100)}
        )
        frame["cluster"] = cluster
        frame.to_csv(data / f"{name}.csv", index=False)


def write_series(data: Path) -> None:
    """Write a time series with its target in netCDF files."""
    import xarray as xr

    data.mkdir(parents=True)
    for name, seed in (("train", 1), ("test", 2)):
        random = np.random.default_rng(seed)
        field = random.normal(size=(96, 2)).cumsum(axis=0)
        series = xr.Dataset(
            {"field": (("time", "x"), field), "target": ("time", field.sum(axis=1) + random.normal(size=96))},
            coords={"time": np.arange(96)},
        )
        series.to_netcdf(data / f"{name}.nc", engine="scipy")


def write_grid(data: Path) -> None:
    """Write small fields, one a time step, with a class each."""
    import xarray as xr

    data.mkdir(parents=True)
    for name, seed in (("train", 1), ("test", 2)):
        random = np.random.default_rng(seed)
        kind = random.integers(0, 3, 90)
        grid = xr.Dataset(
            {"t": (("enstime", "y", "x"), random.normal(size=(90, 2, 2)) + kind[:, None, None])},
            coords={"enstime": np.arange(90)},
        )
        grid["kind"] = ("enstime", kind)
        grid.to_netcdf(data / f"{name}.nc", engine="scipy")


def write_label_lists(data: Path) -> None:
    """Write tables whose rows have one class or two, joined by a plus sign."""
    write_tables(data)
    for name in ("train", "test"):
        frame = pd.read_csv(data / f"{name}.csv")
        frame.loc[frame["target"] > 20, "kind"] = "cat+emu"
        frame.to_csv(data / f"{name}.csv", index=False)


KITS = [
    Kit(
        "regressor_numpy_float32",
        REGRESSION
        + """
workflow = rw.workflows.Regressor()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]].to_numpy(), df["target"].to_numpy()))
""",
        {
            "regressor.py": LEAST_SQUARES
            + "\n    def predict(self, X):\n        return (X @ self.w[:2] + self.w[2]).astype(np.float32)\n"
        },
    ),
    Kit(
        # With pandas 3 these labels are an extension array of strings.
        "classifier_string_labels",
        CLASSIFICATION
        + """
workflow = rw.workflows.Classifier()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]].values, df["kind"].values))
""",
        {"classifier.py": NEAREST_MEAN},
    ),
    Kit(
        "feature_extractor_classifier_changing_x_in_place",
        CLASSIFICATION
        + """
workflow = rw.workflows.FeatureExtractorClassifier()
get_train_data, get_test_data = both(lambda df: (df[["a", "b", "c"]], df["kind"].to_numpy(dtype=object)))
""",
        {
            "classifier.py": NEAREST_MEAN,
            "feature_extractor.py": FEATURE_EXTRACTOR.replace(
                "        return",
                "        X_df['c'] = X_df['c'].fillna(0)\n        X_df['a'] = X_df['b'] + 1\n        return",
            ),
        },
    ),
    Kit(
        "feature_extractor_regressor_without_test_labels",
        REGRESSION
        + """
workflow = rw.workflows.FeatureExtractorRegressor()


def get_train_data(path="."):
    df = read(path, "train")
    return df[["a", "b", "c"]], df["target"].to_numpy()


def get_test_data(path="."):
    return read(path, "test")[["a", "b", "c"]], None
""",
        {"regressor.py": LEAST_SQUARES, "feature_extractor.py": FEATURE_EXTRACTOR},
        has_test_scores=False,
    ),
    Kit(
        "estimator_pandas_with_its_own_index",
        CLASSIFICATION
        + """
workflow = rw.workflows.Estimator()
get_train_data, get_test_data = both(
    lambda df: (df[["a", "b", "c"]].set_index(df.index[::-1] * 7), df["kind"].to_numpy(dtype=str))
)
""",
        {
            "estimator.py": """
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from helper_of_this_submission import build


def get_estimator():
    return build()
""",
            "helper_of_this_submission.py": ESTIMATOR.replace("get_estimator", "build"),
        },
    ),
    Kit(
        "estimator_external_data",
        REGRESSION
        + """
workflow = rw.workflows.EstimatorExternalData()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]], df["target"]))
""",
        {
            "estimator.py": """
import os

import pandas as pd
from sklearn.linear_model import Ridge


def get_estimator():
    file = os.path.join(os.path.dirname(__file__), "external_data.csv")
    return Ridge(alpha=pd.read_csv(file)["alpha"][0])
""",
            "external_data.csv": "alpha\n0.125\n",
        },
    ),
    Kit(
        "clusterer",
        """
Predictions = rw.prediction_types.make_clustering()
workflow = rw.workflows.Clusterer()
score_types = [rw.score_types.ClusteringEfficiency(name="efficiency", precision=3)]
get_train_data, get_test_data = both(
    lambda df: (df[["event", "x"]].to_numpy(), df[["event", "cluster"]].to_numpy())
)


def get_cv(X, y):
    for first in (0, 3):
        valid = (y[:, 0] >= first) & (y[:, 0] < first + 4)
        yield np.where(~valid)[0], np.where(valid)[0]
""",
        {
            "clusterer.py": """
import numpy as np


class Clusterer:
    def fit(self, X, y):
        self.cuts = [X[y[:, 1] < k, 1].max() for k in (1, 2)]

    def predict_single_event(self, X_event):
        return np.digitize(X_event[:, 0], self.cuts)
"""
        },
        write_data=write_events,
    ),
    Kit(
        "combined_predictions",
        """
import pickle

classification = rw.prediction_types.make_multiclass(label_names=["cat", "dog", "emu"])
regression = rw.prediction_types.make_regression(label_names=["target"])
Predictions = rw.prediction_types.make_combined([classification, regression])
workflow = rw.workflows.DrugSpectra()
error = rw.score_types.ClassificationError(name="err", precision=3)
mare = rw.score_types.MARE(name="mare", precision=4)
score_types = [
    rw.score_types.Combined(
        name="combined", score_types=[error, mare], weights=[2.0 / 3, 1.0 / 3], precision=4
    ),
    rw.score_types.MakeCombined(score_type=error, index=0),
    rw.score_types.MakeCombined(score_type=mare, index=1),
]
get_train_data, get_test_data = both(
    lambda df: (df[["a", "b", "c"]], df[["kind", "target"]].to_numpy(dtype=object))
)
""",
        {
            "feature_extractor_clf.py": FEATURE_EXTRACTOR,
            "classifier.py": NEAREST_MEAN,
            "feature_extractor_reg.py": FEATURE_EXTRACTOR.replace('"abc"', '["a", "b", "cat", "dog", "emu"]')
            .replace(".fillna(0)", "")
            .replace("to_numpy()", "to_numpy(dtype=float)"),
            "regressor.py": LEAST_SQUARES,
        },
    ),
    Kit(
        # Its own workflow (which names no files), predictions and metrics; inputs and labels are lists.
        "everything_its_own",
        """
import math

from helper_of_everything_its_own import import_file, mean_of


class Predictions:
    def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
        values = y_pred if y_pred is not None else y_true
        if values is None:
            values = [math.nan] * n_samples
        if fold_is is not None:
            values = [values[row] for row in fold_is]
        self.y_pred = np.array(values, dtype=float)
        if y_pred is not None and (self.y_pred < 0).any():
            raise ValueError("a target is never negative")

    def set_valid_in_train(self, predictions, test_is):
        self.y_pred[test_is] = predictions.y_pred

    @property
    def valid_indexes(self):
        return ~np.isnan(self.y_pred)

    def set_slice(self, valid_indexes):
        self.y_pred = self.y_pred[valid_indexes]

    @classmethod
    def combine(cls, predictions_list, index_list=None):
        with np.errstate(invalid="ignore"):
            return cls(y_pred=np.nanmax([p.y_pred for p in predictions_list], axis=0))


class Largest:
    is_lower_the_better = True
    name = "largest"
    precision = 3

    def score_function(self, ground_truths, predictions):
        # Careless: what comes after sees a truth that is centred.
        ground_truths.y_pred -= mean_of(ground_truths.y_pred)
        return np.max(np.abs(ground_truths.y_pred + 20 - predictions.y_pred))


class Workflow:
    def train_submission(self, module_path, X, y, train_is=None):
        module = import_file(os.path.join(module_path, "model.py"))
        return module.train([X[i] for i in train_is], [y[i] for i in train_is])

    def test_submission(self, trained_model, X):
        return [trained_model(row) for row in X]


workflow = Workflow()
score_types = [Largest(), rw.score_types.RMSE(name="rmse")]
get_train_data, get_test_data = both(
    lambda df: ([{"a": a, "b": b} for a, b in df[["a", "b"]].to_numpy()], df["target"].tolist())
)
""",
        {
            "model.py": """
def train(X, y):
    mean = sum(y) / len(y)
    return lambda row: max(0.0, mean + row["a"] - 2 * row["b"])
"""
        },
        files={
            "external_imports/helper_of_everything_its_own.py": """
from rampwf.utils.importing import import_module_from_source


def import_file(file):
    return import_module_from_source(file, "model")


def mean_of(values):
    return sum(values) / len(values)
"""
        },
    ),
    Kit(
        # The file of the lazily opened inputs holds the labels too.
        "time_series_xarray_opened_lazily",
        REGRESSION
        + """
import xarray as xr

workflow = rw.workflows.ElNino(check_sizes=[20], check_indexs=[10])
N_BURN_IN = 6


def open_one(path, name):
    series = xr.open_dataset(os.path.join(path, "data", name + ".nc"))
    y = series["target"].values[N_BURN_IN:]
    X = series.drop_vars("target")
    X.attrs["n_burn_in"] = N_BURN_IN
    return X, y


def get_train_data(path="."):
    return open_one(path, "train")


def get_test_data(path="."):
    return open_one(path, "test")


def get_cv(X, y):
    yield np.arange(0, 50), np.arange(50, 90)
    yield np.arange(0, 70), np.arange(70, 90)
""",
        {
            "ts_feature_extractor.py": """
import numpy as np


class FeatureExtractor:
    def transform(self, X_ds):
        values = X_ds["field"].values
        return np.c_[values[X_ds.n_burn_in :], values[: -X_ds.n_burn_in]]
""",
            "regressor.py": LEAST_SQUARES,
        },
        write_data=write_series,
    ),
    Kit(
        "grid_feature_extractor_classifier",
        """
import xarray as xr

Predictions = rw.prediction_types.make_multiclass(label_names=[0, 1, 2])
workflow = rw.workflows.GridFeatureExtractorClassifier()
score_types = [rw.score_types.Accuracy(name="acc"), rw.score_types.NegativeLogLikelihood(name="nll")]


def open_one(path, name):
    grid = xr.load_dataset(os.path.join(path, "data", name + ".nc"))
    return grid.drop_vars("kind"), grid["kind"].values


def get_train_data(path="."):
    return open_one(path, "train")


def get_test_data(path="."):
    return open_one(path, "test")
""",
        {
            "feature_extractor.py": """
class FeatureExtractor:
    def fit(self, X_ds, y):
        pass

    def transform(self, X_ds):
        return X_ds["t"].values.reshape(X_ds.sizes["enstime"], -1)
""",
            "classifier.py": NEAREST_MEAN,
        },
        write_data=write_grid,
    ),
    Kit(
        "multilabel",
        """
Predictions = rw.prediction_types.make_multiclass(label_names=["cat", "dog", "emu"])
score_types = [rw.score_types.SoftAccuracy(name="soft", score_matrix=np.eye(3), precision=4)]


class Workflow:
    element_names = ["classifier"]

    def train_submission(self, module_path, X, y, train_is=None):
        first = np.array([labels[0] for labels in y])
        return rw.workflows.Classifier().train_submission(module_path, X, first, train_is)

    def test_submission(self, trained_model, X):
        return trained_model.predict_proba(X)


workflow = Workflow()


def as_lists(df):
    y = np.empty(len(df), dtype=object)
    y[:] = [kinds.split("+") for kinds in df["kind"]]
    return df[["a", "b"]].to_numpy(), y


get_train_data, get_test_data = both(as_lists)
""",
        {"classifier.py": NEAREST_MEAN},
        write_data=write_label_lists,
    ),
    Kit(
        "data_label",
        REGRESSION
        + """
workflow = rw.workflows.Regressor()


def get_train_data(path=".", data_label=None):
    df = read(path, "train", data_label)
    return df[["a", "b"]].to_numpy(), df["target"].to_numpy()


def get_test_data(path=".", data_label=None):
    df = read(path, "test", data_label)
    return df[["a", "b"]].to_numpy(), df["target"].to_numpy()
""",
        {"regressor.py": LEAST_SQUARES},
        data_label="second",
    ),
    Kit(
        # What the model predicts for training rows depends on the fold, as in kits that predict out of bag.
        "fold_handed_to_test_submission",
        REGRESSION
        + """
class Workflow:
    element_names = ["regressor"]

    def train_submission(self, module_path, X, y, train_is=None):
        return rw.workflows.Regressor().train_submission(module_path, X, y, train_is)

    def test_submission(self, trained_model, X, fold=None):
        y_pred = trained_model.predict(X)
        if fold is not None:
            train_is, valid_is = fold
            y_pred[valid_is] += 0.25
            y_pred[train_is] -= 0.5
        return y_pred


workflow = Workflow()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]].to_numpy(), df["target"].to_numpy()))
""",
        {"regressor.py": LEAST_SQUARES},
    ),
    Kit(
        # Two targets, training rows drawn with replacement, no test set.
        "bootstrap_two_targets_without_test_set",
        """
Predictions = rw.prediction_types.make_regression(label_names=["target", "c"])
score_types = [rw.score_types.RMSE(name="rmse", precision=4)]
workflow = rw.workflows.Regressor()


def get_cv(X, y):
    for seed in (5, 6):
        rows = np.random.RandomState(seed).permutation(len(y))
        yield np.random.RandomState(seed).choice(rows[:60], 60), rows[60:]


def get_train_data(path="."):
    df = read(path, "train").fillna(0)
    return df[["a", "b"]].to_numpy(), df[["target", "c"]].to_numpy()


def get_test_data(path="."):
    return None, None
""",
        {"regressor.py": LEAST_SQUARES},
        has_test_scores=False,
    ),
    Kit(
        # Predictions are names of classes in an object array; the first fold that knows a row decides a bag.
        "side_file_and_string_predictions",
        """
with open("classes.txt") as file:
    classes = file.read().split()


class Predictions:
    def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
        values = y_pred if y_pred is not None else y_true
        self.y_pred = np.full(n_samples, "", dtype="U8") if values is None else np.array(values, dtype="U8")
        if fold_is is not None:
            self.y_pred = self.y_pred[fold_is]
        if not set(self.y_pred) <= {"", *classes}:
            raise ValueError("unknown class")

    def set_valid_in_train(self, predictions, test_is):
        self.y_pred[test_is] = predictions.y_pred

    @property
    def valid_indexes(self):
        return self.y_pred != ""

    def set_slice(self, valid_indexes):
        self.y_pred = self.y_pred[valid_indexes]

    @classmethod
    def combine(cls, predictions_list, index_list=None):
        y_pred = predictions_list[0].y_pred.copy()
        for predictions in predictions_list[1:]:
            y_pred = np.where(y_pred == "", predictions.y_pred, y_pred)
        return cls(y_pred=y_pred)


class Hits:
    is_lower_the_better = False
    name = "hits"
    precision = 3

    def score_function(self, ground_truths, predictions):
        return np.mean(ground_truths.y_pred == predictions.y_pred)


score_types = [Hits()]
workflow = rw.workflows.Regressor()
get_train_data, get_test_data = both(
    lambda df: (df[["a", "b"]].to_numpy(), df["kind"].to_numpy(dtype=object))
)
""",
        {
            "regressor.py": NEAREST_MEAN.replace("Classifier", "Regressor")
            + """
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
"""
        },
        files={"classes.txt": "cat dog emu"},
    ),
]
