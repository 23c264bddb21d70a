"""`problem.py`: imported as ramp-workflow does, then looked at name by name before anything relies on it."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hepchallenge.contract.gates import Gate, check_gates
from hepchallenge.exceptions import ContractError, HepChallengeError

__all__ = ["PROBLEM_NAME", "Problem", "load_problem"]

PROBLEM_NAME = "problem.py"
"""Name of the file that makes a folder a challenge."""

_DRAWN = ("folder", "truth", "predictions", "inputs", "label")
"""What `draw_results` is always called with."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The checked names of a `problem.py`. What the author left out of the optional names is None.

    `score_types` are ramp-workflow's: `name`, `precision`, `is_lower_the_better` and
    `score_function(ground_truths, predictions)`.
    """

    file: Path
    module: ModuleType
    title: str
    Predictions: Any
    workflow: Any
    score_types: tuple[Any, ...]
    get_cv: Callable[..., Iterable[tuple[Any, Any]]]
    get_train_data: Callable[..., tuple[Any, Any]]
    get_test_data: Callable[..., tuple[Any, Any]]
    get_test_parts: Callable[..., Any] | None = None
    get_test_ids: Callable[..., Any] | None = None
    get_hit_ids: Callable[..., Any] | None = None
    predictions_from_columns: Callable[..., Any] | None = None
    make_toy_data: Callable[..., None] | None = None
    prepare_data: Callable[..., None] | None = None
    draw_results: Callable[..., None] | None = None
    get_curves: Callable[..., Any] | None = None
    gates: tuple[Gate, ...] = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the score types, in the author's order."""
        return tuple(str(score_type.name) for score_type in self.score_types)

    @property
    def has_events(self) -> bool:
        """Whether inputs are events, predicted one by one, instead of rows."""
        return callable(getattr(self.workflow, "predict_event", None))

    @property
    def draws_gates(self) -> bool:
        """Whether `draw_results` also accepts `gates`, by name: the truth and prediction of each sample."""
        return self.draw_results is not None and _can_call(self.draw_results, *_DRAWN, gates={})

    @property
    def takes_data_label(self) -> bool:
        """Whether both data functions accept ramp-workflow's `data_label`."""
        return all(_can_call(f, path=".", data_label="x") for f in (self.get_train_data, self.get_test_data))


def _can_call(function: Callable[..., Any], *args: object, **kwargs: object) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True  # Built-in callables do not tell; the call itself will.
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _kind(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:100]


class _DataClosed(PermissionError):
    """`problem.py` opened a file of `data/` while it was imported."""


_closed: list[str] = []
"""Folders in which no file can be opened at the moment."""
_hooked: list[bool] = []


def _refuse_closed(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: an interpreter can gain one, but never lose it."""
    if event != "open" or not _closed or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.path.realpath(os.fsdecode(arguments[0]))
    if any(path.startswith(folder + os.sep) for folder in _closed):
        raise _DataClosed(path)


@contextlib.contextmanager
def _as_ramp_imports(folder: Path) -> Iterator[None]:
    """Import in the kit's folder, where ramp-test is run, but with its `data/` closed.

    The warm interpreter, of which every submission is a fork, imports `problem.py` too: labels that were read
    then would be in the submission's memory. (This is for honest authors, whose code is trusted.)
    """
    if not _hooked:
        sys.addaudithook(_refuse_closed)
        _hooked.append(True)
    _closed.append(os.path.realpath(folder / "data"))
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        _closed.pop()


def _import(file: Path) -> ModuleType:
    file = file.resolve()
    external = str(file.parent / "external_imports")
    if Path(external).is_dir() and external not in sys.path:
        sys.path.append(external)
    # As in ramp-workflow, the module is called `problem` and stays out of sys.modules, so that two challenges
    # can be loaded by one process and cloudpickle sends their classes by value.
    spec = importlib.util.spec_from_file_location("problem", file)
    if spec is None or spec.loader is None:
        raise ContractError(file, "file", "a Python file", "something that cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        with _as_ramp_imports(file.parent):
            spec.loader.exec_module(module)
    except _DataClosed as error:
        expected = "an import that opens nothing in data/, since submissions run in forks of the importer"
        found = f"{error} is opened; do so in get_train_data, or keep what is no label in another folder"
        raise ContractError(file, f"line {_line_in(file, error)}", expected, found) from None
    except SyntaxError as error:
        broken = Path(error.filename or file)
        raise ContractError(
            broken, f"line {error.lineno}", "valid Python", f"SyntaxError: {error.msg}"
        ) from error
    except (HepChallengeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # A kit may also call sys.exit().
        line = _line_in(file, error)
        found = f"{type(error).__name__}: {error}"
        raise ContractError(file, f"line {line}", "code that can be imported", found) from error
    return module


def _line_in(file: Path, error: BaseException) -> int | str:
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class _Names:
    """Takes the contract's names out of a module."""

    def __init__(self, file: Path, module: ModuleType) -> None:
        self.file = file
        self.module = module

    def get(self, name: str, expected: str) -> Any:
        if not hasattr(self.module, name):
            raise ContractError(self.file, name, expected, "no such name")
        return getattr(self.module, name)

    def function(self, name: str, usage: str, *args: object, **kwargs: object) -> Callable[..., Any]:
        function = self.get(name, f"a function {usage}")
        if not callable(function):
            raise ContractError(self.file, name, f"a function {usage}", _kind(function))
        if not _can_call(function, *args, **kwargs):
            found = f"{name}{inspect.signature(function)}"
            raise ContractError(self.file, name, f"a function that can be called {usage}", found)
        return function  # type: ignore[no-any-return]

    def optional(self, name: str, usage: str, *args: object, **kwargs: object) -> Callable[..., Any] | None:
        if getattr(self.module, name, None) is None:
            return None
        return self.function(name, usage, *args, **kwargs)

    def methods(self, name: str, expected: str, methods: tuple[str, ...]) -> Any:
        value = self.get(name, expected)
        for method in methods:
            if not callable(getattr(value, method, None)):
                raise ContractError(
                    self.file, f"{name}.{method}", f"{expected} with a method {method}", _kind(value)
                )
        return value


def _check_score_type(file: Path, index: int, score_type: Any) -> None:
    where = f"score_types[{index}]"
    if inspect.isclass(score_type):
        raise ContractError(file, where, "a score type", f"the class {score_type.__name__}; call it")

    def attribute(name: str, expected: str) -> Any:
        try:
            return getattr(score_type, name)
        except AttributeError:
            found = f"a {type(score_type).__name__} without it"
            raise ContractError(file, f"{where}.{name}", expected, found) from None

    name = attribute("name", "the metric's name")
    if not isinstance(name, str) or not name.strip():
        raise ContractError(file, f"{where}.name", "a string that is not empty", _kind(name))
    # numpy's integers and booleans are fine; strings such as "false" are the mistake to catch.
    precision = attribute("precision", "the number of decimals shown")
    if isinstance(precision, bool) or not hasattr(precision, "__index__") or precision < 0:
        raise ContractError(file, f"{where}.precision", "a whole number of decimals from 0", _kind(precision))
    lower = attribute("is_lower_the_better", "true or false")
    if lower not in (True, False):
        raise ContractError(file, f"{where}.is_lower_the_better", "true or false", _kind(lower))
    if not callable(attribute("score_function", "a method score_function(ground_truths, predictions)")):
        found = _kind(score_type.score_function)
        raise ContractError(file, f"{where}.score_function", "a method", found)


def _check_score_types(file: Path, score_types: Any) -> tuple[Any, ...]:
    if not isinstance(score_types, list | tuple):
        raise ContractError(file, "score_types", "a list of score types", _kind(score_types))
    if not score_types:
        raise ContractError(file, "score_types", "at least one score type", "an empty list")
    seen: dict[str, int] = {}
    for index, score_type in enumerate(score_types):
        _check_score_type(file, index, score_type)
        name = str(score_type.name)
        if name in seen:
            where = f"score_types[{index}].name"
            raise ContractError(file, where, "every name once", f"{name!r} as in score_types[{seen[name]}]")
        seen[name] = index
    return tuple(score_types)


def load_problem(folder: Path) -> Problem:
    """Import `problem.py` of a folder and check every name of the challenge contract.

    `external_imports/` next to it is put on `sys.path` first. The module is not entered in `sys.modules`.
    While it is imported, the folder is the working folder and files in its `data/` cannot be opened.

    Raises
    ------
    ContractError
        If the file is absent or cannot be imported (the line is named), or a name is missing or unusable.
    """
    file = folder / PROBLEM_NAME
    if not file.is_file():
        raise ContractError(file, "file", "a problem.py as ramp-workflow knows it", "no such file")
    names = _Names(file, _import(file))

    title = names.get("problem_title", "a string")
    if not isinstance(title, str) or not title.strip():
        raise ContractError(file, "problem_title", "a string that is not empty", _kind(title))
    predictions = names.get("Predictions", "a class of predictions")
    if not callable(predictions):
        raise ContractError(file, "Predictions", "a class of predictions", _kind(predictions))
    if not callable(getattr(predictions, "combine", None)):
        raise ContractError(
            file, "Predictions.combine", "a class method that combines folds", _kind(predictions)
        )
    return Problem(
        file=file,
        module=names.module,
        title=title.strip(),
        Predictions=predictions,
        workflow=names.methods("workflow", "a workflow", ("train_submission", "test_submission")),
        score_types=_check_score_types(file, names.get("score_types", "a list of score types")),
        get_cv=names.function("get_cv", "as get_cv(X, y)", "X", "y"),
        get_train_data=names.function("get_train_data", "as get_train_data(path='.')", path="."),
        get_test_data=names.function("get_test_data", "as get_test_data(path='.')", path="."),
        get_test_parts=names.optional("get_test_parts", "as get_test_parts(path='.')", path="."),
        get_test_ids=names.optional("get_test_ids", "as get_test_ids(path='.')", path="."),
        get_hit_ids=names.optional("get_hit_ids", "as get_hit_ids(X, index)", "X", 0),
        predictions_from_columns=names.optional("predictions_from_columns", "with one mapping", {}),
        make_toy_data=names.optional(
            "make_toy_data",
            "as make_toy_data(target, seed=0, n_events=None)",
            "target",
            seed=0,
            n_events=None,
        ),
        prepare_data=names.optional("prepare_data", "as prepare_data(source, target)", "source", "target"),
        draw_results=names.optional("draw_results", f"as draw_results({', '.join(_DRAWN)})", *_DRAWN),
        get_curves=names.optional(
            "get_curves", "as get_curves(truth, predictions, inputs)", "truth", "predictions", "inputs"
        ),
        gates=check_gates(file, getattr(names.module, "gates", ())),
    )
