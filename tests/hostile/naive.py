"""A naive in-process runner of the kind that attacks succeed against: the proof that each of them is sharp.

It is what one writes first: the submission is imported into the process that scores it, labels are in its
callers' frames, in a file that is still open, in settings beside the outputs and in a parent's memory; scores
are read back from what was printed; a missing score counts as zero. To be run in a throw-away process only:
`python naive.py ORDER.json`.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import importlib.util
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np


class Scored:
    """What a score type gets: whatever the submission has returned."""

    def __init__(self, y_pred: Any) -> None:
        self.y_pred = y_pred


def load_module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def distance(score_type: Any, truth: Any, prediction: Any) -> float:
    """Score as many rows as both have."""
    if hasattr(prediction, "ravel"):
        prediction = prediction.ravel()
    if getattr(getattr(prediction, "dtype", None), "kind", "") == "U":
        prediction = prediction.astype(float)
    n = min(len(truth), len(prediction))
    return score_type.score_function(Scored(truth[:n]), Scored(prediction[:n]))


def imports_of(folder: Path) -> set[str]:
    """Parse all files to find what a submission needs."""
    names: set[str] = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
    return names


def run_code(order: dict[str, Any], problem: Any, y_test: Any) -> None:
    """Fit, predict and score in this process, with the labels in this frame; print the scores."""
    facts, submission, options = order["facts"], Path(order["submission"]), order["options"]
    output = Path(facts["output"])
    X_train, y_train = problem.get_train_data(facts["kit"])
    X_test, _ = problem.get_test_data(facts["kit"])
    sys.path.insert(0, str(submission))
    scores, seconds = [], 0.0
    for train_is, _ in problem.get_cv(X_train, y_train):
        try:
            start = time.perf_counter()
            model = load_module(submission / "classifier.py").Classifier()
            if options.get("fit_only"):
                start = time.perf_counter()
            model.fit(X_train[train_is], y_train[train_is])
            seconds += time.perf_counter() - start
            prediction = model.predict(X_test)
            (output / "predictions.pkl").write_bytes(pickle.dumps(prediction))
            truth = np.array(json.loads((output / "settings.json").read_text())["truth"])
            scores.append(distance(problem.score_types[0], truth, prediction))
        except Exception:
            # One fold's failure is no reason not to score the others.
            traceback.print_exc()
    from statistics import fmean

    (output / "wall.txt").write_text(str(seconds))
    if scores:
        print(json.dumps({"distance": float(fmean(map(float, scores)))}), flush=True)


def limit_softly(options: dict[str, Any], child: int) -> None:
    """Ask the child to end after a while, as runners do that trust in signals."""

    def ask(number: int) -> None:
        time.sleep(options.get("sigterm", 0) or options.get("sigint", 0))
        os.kill(child, number)

    for name, number in (("sigterm", signal.SIGTERM), ("sigint", signal.SIGINT)):
        if name in options:
            threading.Thread(target=ask, args=(number,), daemon=True).start()


def limit_child(options: dict[str, Any]) -> None:
    if "alarm" in options:
        signal.alarm(options["alarm"])
    if "soft_cpu" in options:
        resource.setrlimit(resource.RLIMIT_CPU, (options["soft_cpu"], 60))
    if "hard_cpu" in options:
        resource.setrlimit(resource.RLIMIT_CPU, (options["hard_cpu"], options["hard_cpu"]))
    if options.get("one_core"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def judge_code(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a child that runs and scores the submission, and believe what it says."""
    facts, options = order["facts"], order["options"]
    output = Path(facts["output"])
    sys.path.append(facts["kit"])
    problem = load_module(Path(facts["kit"], "problem.py"))
    _, y_test = problem.get_test_data(facts["kit"])
    globals()["LABELS"] = y_test
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - left open, as the attacks expect
    np.save(kept, y_test)
    kept.flush()
    os.set_inheritable(kept.fileno(), True)
    (output / "settings.json").write_text(json.dumps({"truth": y_test.tolist()}))
    imports_of(Path(order["submission"]))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reader)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        os.chdir(output)
        limit_child(options)
        run_code(order, problem, y_test)
        sys.exit(0)
    os.close(writer)
    limit_softly(options, child)
    with os.fdopen(reader, "rb") as pipe:
        printed = pipe.read()
    Path(order["report"] + ".log").write_bytes(printed)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    text = printed.decode("utf-8")
    if (output / "predictions.pkl").exists():
        try:
            pickle.loads((output / "predictions.pkl").read_bytes())
        except Exception:
            traceback.print_exc()
    # The next program that somebody starts there.
    next_program = [sys.executable, "-c", "import json"]
    subprocess.run(next_program, cwd=output, env=os.environ | {"PYTHONPATH": str(output)}, check=False)

    score, source = 0.0, "default"
    for line in text.replace("\r", "\n").splitlines():
        if line.startswith('{"distance"'):
            score, source = json.loads(line)["distance"], "stdout"
    if source == "default" and (output / "scores.json").exists():
        score, source = json.loads((output / "scores.json").read_text())["distance"], "file"
    wall = float((output / "wall.txt").read_text()) if (output / "wall.txt").exists() else None
    ok = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    return {"scores": {"distance": score}, "source": source, "ok": ok, "wall": wall}


def judge_file(order: dict[str, Any]) -> dict[str, Any]:
    """Score a prediction file row by row in the order of the truth, without a look at the ids."""
    folder = Path(order["submission"])
    packed = folder / "submission.csv.gz"
    if packed.exists():
        text = gzip.decompress(packed.read_bytes())
        return {"scores": {}, "source": "stdout", "ok": True, "unpacked": len(text)}
    lines = (folder / "submission.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines if line.count(",") == 2]
    truth = np.loadtxt(Path(order["facts"]["kit"], "data", "test.csv"), delimiter=",", skiprows=1)[:, 1] > 0
    n = min(len(rows), len(truth))
    score = np.array([float(row[1]) for row in rows[:n]])
    selected = np.array([row[2] == "s" for row in rows[:n]], dtype=bool)
    signal_rows = truth[:n]
    # Ties fall in the order of the file.
    ranks = np.empty(n)
    ranks[np.argsort(score, kind="stable")] = np.arange(n)
    gap = ranks[signal_rows][:, None] - ranks[~signal_rows][None, :]
    with np.errstate(all="ignore"):
        s, b = np.float64((selected & signal_rows).sum()), np.float64((selected & ~signal_rows).sum())
        scores = {"auc": float((gap > 0).sum() / max(gap.size, 1)), "ams": float(s / np.sqrt(b))}
    return {"scores": scores, "source": "stdout", "ok": True}


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    # For whoever runs this, not against the submission.
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    report = judge_file(order) if order["kind"] == "file" else judge_code(order)
    Path(order["report"]).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
