"""Leases and limits of GPUs, with simulated (toy) devices; nothing here needs a driver."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from small_kit import LIMITS, classifier, open_bench
from toy_gpus import NODE, ToyDriver, toy_devices

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.records import Limits, Verdict
from hepchallenge.run import gpu
from hepchallenge.run.gpu import GpuMeter, GpuPool, Lease, NvmlDevices
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.warden import descendants


@contextlib.contextmanager
def _sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(90)"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(("count", "per_fold", "most"), [(1, 1, 1), (3, 1, 3), (5, 2, 2)])
def test_no_device_is_leased_twice_at_a_time(count: int, per_fold: int, most: int) -> None:
    pool = GpuPool(per_fold, ToyDriver(toy_devices(count)))
    held: list[str] = []
    largest = 0
    lock = threading.Lock()

    def use(_: int) -> None:
        nonlocal largest
        with pool.lease(os.getpid()) as lease:
            mine = lease.visible.split(",")
            with lock:
                assert len(mine) == per_fold
                assert not set(mine) & set(held)
                held.extend(mine)
                largest = max(largest, len(held))
            with lock:
                for uuid in mine:
                    held.remove(uuid)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(use, range(60)))
    assert (held, pool.most_leases) == ([], most)
    assert largest <= most * per_fold


def test_a_device_that_another_command_leases_is_left_alone() -> None:
    devices = toy_devices(1)
    pool = GpuPool(1, ToyDriver(devices))
    name = f"\0hepchallenge-gpu-{devices[0].uuid}"
    code = f"import socket; s = socket.socket(1, 2); s.bind({name!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        assert pool._take(contextlib.ExitStack()) == []
        other.kill()
        other.wait()
        # Its lock has died with it.
        with pool.lease(os.getpid()) as lease:
            assert lease.devices == tuple(devices)


def test_commands_that_need_all_devices_do_not_wait_for_each_other_for_ever() -> None:
    devices = toy_devices(2)
    pools = [GpuPool(2, ToyDriver(order)) for order in (devices, devices[::-1])]

    def use(pool: GpuPool) -> int:
        for _ in range(20):
            with pool.lease(os.getpid()):
                pass
        return 20

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(use, pools, timeout=60)) == [20, 20]


def test_a_host_with_too_few_devices_says_so() -> None:
    driver = ToyDriver(toy_devices(1))
    with pytest.raises(InfrastructureError, match=r"2 GPUs .* this host has 1 \(toy GPU 0\)"):
        GpuPool(2, driver)
    assert driver.closed


@pytest.mark.parametrize("node", ["/dev/not-there", __file__], ids=["missing", "no device"])
def test_a_device_without_its_file_is_an_error_that_says_what_makes_it(node: str) -> None:
    with pytest.raises(InfrastructureError, match=rf"{node} is missing.*nvidia-modprobe"):
        GpuPool(1, ToyDriver(toy_devices(1, (NODE, node))))


def test_a_fold_that_waits_for_devices_ends_with_the_command() -> None:
    pool = GpuPool(1, ToyDriver(toy_devices(1)))
    with ThreadPoolExecutor(1) as thread, pool.lease(os.getpid()):

        def wait() -> None:
            with pool.lease(os.getpid()):
                pass

        waiting = thread.submit(wait)
        pool.close()
        with pytest.raises(InfrastructureError, match="ended before"):
            waiting.result(60)


def test_a_leftover_of_ours_is_ended_before_the_next_lease() -> None:
    with _sleeper() as left:

        def users(_: object) -> dict[int, int | None]:
            return {left.pid: 5} if left.poll() is None else {}

        pool = GpuPool(1, ToyDriver(toy_devices(1), users))
        with pool.lease(os.getpid()):
            assert left.poll() == -9


@pytest.mark.parametrize("pids_are_ours", [True, False])
def test_a_process_of_somebody_else_is_never_ended(
    monkeypatch: pytest.MonkeyPatch, pids_are_ours: bool
) -> None:
    monkeypatch.setattr(gpu, "_CLEAR_SECONDS", 0)
    with _sleeper() as foreign, _sleeper() as runs:
        # Numbers that are not of our namespace may be those of anybody here.
        below = runs.pid if pids_are_ours else os.getpid()
        driver = ToyDriver(toy_devices(1), lambda _: {foreign.pid: 5}, pids_are_ours=pids_are_ours)
        pool = GpuPool(1, driver)
        with pytest.raises(InfrastructureError, match=f"use by process {foreign.pid}"), pool.lease(below):
            pass
        with pytest.raises(subprocess.TimeoutExpired):
            foreign.wait(0.5)
        with contextlib.ExitStack() as locks:
            assert pool._take(locks), "the device is free again"


def test_gpu_seconds_are_devices_times_the_wall_clock_of_the_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now)
    driver = ToyDriver(toy_devices(3))
    meter, none = GpuMeter(Lease(driver.find(), driver)), GpuMeter(None)
    for start, end in ((10.0, 12.0), (100.0, 101.5)):
        now = start
        meter.begin()
        none.begin()
        now = end
        if start == 100:
            assert meter.excess(Limits(gpu_seconds=10.5)) == ""
            assert "10.5 GPU seconds" in meter.excess(Limits(gpu_seconds=10.4))
        meter.end()
        none.end()
        now += 50
    assert (meter.seconds, none.seconds) == (10.5, 0)
    assert none.excess(Limits(gpu_seconds=1e-9, gpu_memory_bytes=1)) == ""


def test_gpu_memory_is_that_of_the_process_tree_over_all_leased_devices() -> None:
    sizes: dict[int, int | None] = {os.getpid(): 3 << 20, 1: 100 << 20}
    driver = ToyDriver(toy_devices(2), lambda _: sizes)
    meter = GpuMeter(Lease(driver.find(), driver))
    meter.attach(os.getpid())
    assert meter.excess(Limits(gpu_memory_bytes=6 << 20)) == ""
    sizes[os.getpid()] = 4 << 20
    assert meter.excess(Limits(gpu_memory_bytes=6 << 20)) == "held 8 MiB of GPU memory; 6 MiB are allowed"
    sizes[os.getpid()] = 0
    assert meter.excess(Limits(gpu_memory_bytes=6 << 20)), "a peak is not forgotten"
    assert meter.peak_memory_bytes == 8 << 20


@pytest.mark.parametrize(
    ("users", "pids_are_ours"),
    [({os.getpid(): None}, True), ({7: 1}, False)],
    ids=["unknown", "foreign pids"],
)
def test_where_no_memory_is_told_by_process_the_growth_on_the_device_counts(
    users: dict[int, int | None], pids_are_ours: bool
) -> None:
    used = 50
    driver = ToyDriver(toy_devices(1), lambda _: users, lambda _: used, pids_are_ours)
    lease = Lease(driver.find(), driver)
    used = 80
    assert lease.used_bytes({os.getpid()}) == 30


SHOW = f"""
print("visible:", os.environ["CUDA_VISIBLE_DEVICES"])
print("node:", os.path.exists("{NODE}"))
try:
    os.open("{NODE}", os.O_RDWR)
except OSError as error:
    print("opened:", error.strerror)
"""


@pytest.mark.parametrize("level", list(Isolation))
def test_a_fold_sees_its_leased_devices_and_no_others(tmp_path: Path, need: Any, level: Isolation) -> None:
    driver = ToyDriver(toy_devices(2))
    pool = GpuPool(2, driver)
    with open_bench(tmp_path, need(level), gpus=pool) as bench:
        result = bench.run(classifier(fit=SHOW + "time.sleep(0.5)"))
    assert result.verdict is Verdict.SCORED, result.message
    log = result.log.decode()
    assert f"visible: {driver.find()[0].uuid},{driver.find()[1].uuid}\n" in log
    # The terminal's driver is reached: it says that there is no terminal. A mount could have forbidden it.
    assert "node: True\nopened: No such device or address" in log
    assert result.gpus == ("toy GPU 0", "toy GPU 1")
    # From a little before a phase to a little after it.
    walls = sum(phase.wall_seconds for phase in result.phases)
    assert 2 * walls <= result.gpu_seconds <= 2 * result.wall_seconds


@pytest.mark.parametrize("level", list(Isolation))
def test_a_fold_without_a_lease_finds_no_device(tmp_path: Path, need: Any, level: Isolation) -> None:
    with open_bench(tmp_path, need(level)) as bench:
        result = bench.run(classifier(fit=SHOW))
    assert "visible: \n" in result.log.decode()
    if level is Isolation.NAMESPACES:
        assert "node: False" in result.log.decode()
    assert (result.gpus, result.gpu_seconds, result.gpu_peak_memory_bytes) == ((), 0, 0)


def test_the_warm_interpreter_cannot_find_a_device_to_initialise(tmp_path: Path) -> None:
    pool = GpuPool(1, ToyDriver(toy_devices(1)))
    with open_bench(tmp_path, Isolation.NONE, gpus=pool) as bench:
        environment = psutil.Process(bench.runner._zygote.pid).environ()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("phase", ["fit", "predict"])
def test_gpu_seconds_end_a_fold(tmp_path: Path, phase: str) -> None:
    pool = GpuPool(2, ToyDriver(toy_devices(2)))
    with open_bench(tmp_path, Isolation.NONE, gpus=pool) as bench:
        result = bench.run(classifier(**{phase: "time.sleep(90)"}), replace(LIMITS, gpu_seconds=0.5))
        assert result.verdict is Verdict.GPU_LIMIT, result.message
        assert result.message.startswith(f"{phase} used ")
        assert result.predictions == {}
        assert result.gpu_seconds >= 0.5
        # The devices are free again.
        assert bench.run(classifier(), replace(LIMITS, gpu_seconds=1e3)).verdict is Verdict.SCORED


def test_gpu_memory_of_children_ends_a_fold_and_that_of_others_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def users(_: object) -> dict[int, int | None]:
        # Every process below this one holds a little, and a stranger much.
        return dict.fromkeys(descendants(os.getpid()), 10 << 20) | {1: 1 << 40}

    pool = GpuPool(1, ToyDriver(toy_devices(1), users))
    monkeypatch.setattr(pool, "_clear", lambda *_: None)
    limits = replace(LIMITS, gpu_memory_bytes=25 << 20)
    with open_bench(tmp_path, Isolation.NONE, gpus=pool) as bench:
        assert bench.run(classifier(fit="time.sleep(0.3)"), limits).verdict is Verdict.SCORED
        result = bench.run(classifier(fit="os.fork()\nos.fork()\ntime.sleep(90)"), limits)
    assert result.verdict is Verdict.GPU_LIMIT, result.message
    assert "25 MiB are allowed" in result.message
    assert 25 << 20 < result.gpu_peak_memory_bytes < 1 << 30


def test_a_driver_that_fails_is_nobodys_fault(tmp_path: Path) -> None:
    def fall_off(_: object) -> int:
        raise InfrastructureError("the NVIDIA driver says: GPU is lost")

    pool = GpuPool(1, ToyDriver(toy_devices(1), used=fall_off))
    with open_bench(tmp_path, Isolation.NONE, gpus=pool) as bench:
        result = bench.run(classifier())
    assert (result.verdict, "GPU is lost" in result.message) == (Verdict.INFRASTRUCTURE, True)
    with contextlib.ExitStack() as locks:
        assert pool._take(locks), "the device is free again"


def test_without_nvidia_ml_py_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(InfrastructureError, match=r"pip install 'hepchallenge\[gpu\]'"):
        NvmlDevices()


def test_what_the_driver_says_is_read_through_nvidia_ml_py(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

    def split(handle: int) -> list[int]:
        if handle == 2:
            raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(handle == 1), 0]

    def user(pid: int, size: int | None) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, usedGpuMemory=size)

    # Only what nvidia-ml-py has can be replaced.
    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "600.1",
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMigMode": split,
        "nvmlDeviceGetMinorNumber": lambda handle: handle + 4,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetName": lambda handle: f"toy {handle}",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=100, used=10 * handle),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [user(7, 5), user(8, None)],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda handle: [user(7, 5), user(9, 6), user(8, 1)],
    }.items():
        monkeypatch.setattr(nvml, name, answer)
    driver = NvmlDevices()
    first, second = driver.find()
    # The middle one is split into instances.
    assert (first.uuid, second.uuid, second.name, second.memory_bytes) == ("GPU-0", "GPU-2", "toy 2", 100)
    assert second.nodes == ("/dev/nvidia6", "/dev/nvidiactl", "/dev/nvidia-uvm")
    assert driver.processes(second) == {7: 5, 8: None, 9: 6}
    assert (driver.computing(second), driver.used_bytes(second)) == ({7, 8}, 20)
    assert driver.driver == "600.1"

    def lost(_: int) -> None:
        raise nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(nvml, "nvmlDeviceGetMemoryInfo", lost)
    with pytest.raises(InfrastructureError, match="driver says: GPU is lost"):
        driver.used_bytes(first)
    driver.close()
