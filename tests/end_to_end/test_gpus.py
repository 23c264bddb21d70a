"""`--gpus` from the outside: what a host without GPUs says, and what is recorded of a run with (toy) ones."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_kit import classifier, write_submission
from toy_gpus import ToyDriver, toy_devices

import hepchallenge
from hepchallenge.exceptions import InfrastructureError, UsageError
from hepchallenge.records import Verdict
from hepchallenge.run import gpu


def _has_driver() -> bool:
    return os.path.exists("/dev/nvidiactl")


@pytest.mark.skipif(_has_driver(), reason="this host has a GPU driver")
def test_a_host_without_gpus_says_so_before_anything_is_run(
    kit: Path, run: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    code, document, err = run(kit, "--gpus", "1")
    assert (code, document) == (3, None)
    installed = importlib.util.find_spec("pynvml") is not None
    assert ("no NVIDIA driver was found" if installed else "pip install 'hepchallenge[gpu]'") in err
    assert "Traceback" not in err
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("words", [("--gpus", "-1"), ("--gpu-seconds", "9"), ("--gpu-memory", "1GiB")])
def test_limits_on_gpus_without_gpus_are_wrong_usage(
    kit: Path, run: Callable[..., tuple[int, Any, str]], words: tuple[str, ...]
) -> None:
    code, document, err = run(kit, *words)
    assert (code, document) == (2, None)
    assert "gpu" in err


def test_a_number_of_gpus_below_0_is_refused(kit: Path) -> None:
    with pytest.raises(UsageError, match="gpus: expected a number from 0, found -1"):
        hepchallenge.score(kit, gpus=-1)


def test_what_gpus_cost_is_recorded_and_a_run_with_them_is_a_run_of_its_own(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers: list[ToyDriver] = []

    def open_devices() -> ToyDriver:
        drivers.append(ToyDriver(toy_devices(3)))
        return drivers[-1]

    monkeypatch.setattr(gpu, "open_devices", open_devices)
    greedy = write_submission(kit / "submissions" / "greedy", classifier(fit="time.sleep(90)"))
    options: dict[str, Any] = {"workspace": kit.parent / "workspace", "isolation": "none"}
    sources = [kit / "submissions" / "good", greedy]
    document = hepchallenge.score(kit, sources, gpus=2, jobs=4, limits={"gpu_seconds": 2}, **options)
    good, bad = document.submissions
    assert (good.scoring.verdict, bad.scoring.verdict) == (Verdict.SCORED, Verdict.GPU_LIMIT)
    assert [fold.gpus for fold in good.folds] == [("toy GPU 0", "toy GPU 1")] * 3
    assert 0 < good.gpu_seconds < bad.gpu_seconds
    shown = document.to_dict()["submissions"][0]
    assert shown["gpus"] == 2
    assert shown["gpu_seconds"] == sum(fold["gpu_seconds"] for fold in shown["folds"])
    assert shown["folds"][0]["gpus"] == ["toy GPU 0", "toy GPU 1"]
    assert drivers[0].closed
    # From the record, nothing is run; then without GPUs, which is another run.
    again = hepchallenge.score(kit, sources, gpus=2, limits={"gpu_seconds": 2}, **options)
    assert again.to_dict() == document.to_dict()
    plain = hepchallenge.score(kit, sources[:1], **options).submissions[0]
    assert (plain.run_at != good.run_at, plain.run_key.gpus, plain.gpu_seconds) == (True, 0, 0)


def test_folds_that_cannot_run_at_once_for_want_of_gpus_have_all_cores(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "open_devices", lambda: ToyDriver(toy_devices(1)))
    code = classifier(fit="raise ValueError('threads: ' + os.environ['OMP_NUM_THREADS'])")
    told = write_submission(kit / "submissions" / "told", code)
    document = hepchallenge.score(
        kit, [told], gpus=1, jobs=16, isolation="none", workspace=kit.parent / "workspace"
    )
    assert f"threads: {len(os.sched_getaffinity(0))}" in document.submissions[0].scoring.message


def test_more_gpus_than_there_are_end_the_command(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "open_devices", lambda: ToyDriver(toy_devices(1)))
    with pytest.raises(InfrastructureError, match="2 GPUs per fold were asked for, this host has 1"):
        hepchallenge.score(kit, gpus=2, isolation="none")
