"""GPUs: found with nvidia-ml-py, leased whole to one fold at a time, measured from outside.

Everything that NVML knows is asked through the small protocol `Devices`, so that leases and limits do not
depend on a driver. GPU time is leased devices times wall-clock time: a program can return before its kernels
have ended, and nobody else can use a leased device meanwhile.

This process never initialises CUDA, and neither does the warm interpreter: a fork of a process that
has done so cannot use it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.records import Limits
from hepchallenge.run.warden import descendants, pid_namespace

__all__ = ["Device", "Devices", "GpuMeter", "GpuPool", "Lease", "NvmlDevices", "open_devices"]

_CLEAR_SECONDS = 10.0
_POLL_SECONDS = 0.1
_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the pid namespace that a machine starts with."""


@dataclass(frozen=True)
class Device:
    """One whole GPU. `nodes` are the device files that a program needs to use it."""

    uuid: str
    name: str
    memory_bytes: int
    nodes: tuple[str, ...]


class Devices(Protocol):
    """What this module asks a driver."""

    pids_are_ours: bool
    """Whether the driver's process ids are those of this process's pid namespace."""

    def find(self) -> Sequence[Device]:
        """Return the devices that can be leased."""

    def processes(self, device: Device) -> Mapping[int, int | None]:
        """Return the processes that use a device, with the bytes that each holds, None if not known."""

    def computing(self, device: Device) -> set[int]:
        """Return the processes that compute on a device; a desktop does not."""

    def used_bytes(self, device: Device) -> int:
        """Return how much of a device's memory is in use, by whomever."""

    def close(self) -> None:
        """Let go of the driver."""


class NvmlDevices:
    """NVIDIA's driver, asked through nvidia-ml-py.

    Raises
    ------
    InfrastructureError
        Here if the package or the driver is missing, later if the driver does not answer.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise InfrastructureError(
                "GPUs are found with nvidia-ml-py, which is not installed: pip install 'hepchallenge[gpu]'"
            ) from None
        self._nvml: Any = pynvml
        with self._faults():
            pynvml.nvmlInit()
        self._handles: dict[str, Any] = {}
        # In a container of another pid namespace drivers tell pids of the host, or no memory.
        self.pids_are_ours = pid_namespace() == _FIRST_PID_NAMESPACE

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except self._nvml.NVMLError_LibraryNotFound:
            raise InfrastructureError(
                "no NVIDIA driver was found (libnvidia-ml.so.1): install it, or run without GPUs"
            ) from None
        except self._nvml.NVMLError as error:
            raise InfrastructureError(f"the NVIDIA driver says: {error}") from None

    def _is_split(self, handle: Any) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetMigMode(handle)[0])
        except self._nvml.NVMLError_NotSupported:
            return False

    @property
    def driver(self) -> str:
        """The version of the driver."""
        with self._faults():
            return str(self._nvml.nvmlSystemGetDriverVersion())

    def find(self) -> Sequence[Device]:
        """Return all devices but those that are split into instances (MIG)."""
        found = []
        with self._faults():
            for index in range(self._nvml.nvmlDeviceGetCount()):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                if self._is_split(handle):
                    continue
                node = f"/dev/nvidia{self._nvml.nvmlDeviceGetMinorNumber(handle)}"
                device = Device(
                    uuid=str(self._nvml.nvmlDeviceGetUUID(handle)),
                    name=str(self._nvml.nvmlDeviceGetName(handle)),
                    memory_bytes=int(self._nvml.nvmlDeviceGetMemoryInfo(handle).total),
                    nodes=(node, *_SHARED_NODES),
                )
                self._handles[device.uuid] = handle
                found.append(device)
        return found

    def processes(self, device: Device) -> Mapping[int, int | None]:
        """Return all processes that use a device, to compute or to draw, with the bytes that each holds."""
        handle = self._handles[device.uuid]
        held: dict[int, int | None] = {}
        with self._faults():
            for ask in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
                for user in getattr(self._nvml, ask)(handle):
                    # One that does both is listed twice, with the same memory.
                    sizes = (held.get(user.pid, 0), user.usedGpuMemory)
                    held[user.pid] = None if None in sizes else max(sizes)
        return held

    def computing(self, device: Device) -> set[int]:
        """Return the processes with a compute context on a device."""
        with self._faults():
            users = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handles[device.uuid])
        return {int(user.pid) for user in users}

    def used_bytes(self, device: Device) -> int:
        """Return how much of a device's memory is in use, by whomever."""
        with self._faults():
            return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handles[device.uuid]).used)

    def close(self) -> None:
        """Let go of the driver."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def open_devices() -> Devices:
    """Return the devices of this host; see `NvmlDevices` for what can be missing."""
    return NvmlDevices()


def _lock_device(device: Device) -> socket.socket | None:
    """Keep everybody else off a device, in this command and others, until the socket is closed.

    None if somebody has it already. A name of the abstract kind belongs to no user and to no folder, and
    dies with its process.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0hepchallenge-gpu-{device.uuid}")
    except OSError:
        lock.close()
        return None
    return lock


class Lease:
    """Devices that one fold has for itself."""

    def __init__(self, devices: Sequence[Device], driver: Devices) -> None:
        self.devices = tuple(devices)
        self._driver = driver
        self._used_before = {device: driver.used_bytes(device) for device in devices}

    @property
    def visible(self) -> str:
        """The value of CUDA_VISIBLE_DEVICES: by UUID, since CUDA and NVML number devices differently."""
        return ",".join(device.uuid for device in self.devices)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The device files that have to be visible."""
        return tuple(dict.fromkeys(node for device in self.devices for node in device.nodes))

    def used_bytes(self, pids: set[int]) -> int:
        """Return the GPU memory that these processes hold now.

        Where the driver does not tell it by process, the growth of what is in use on the leased devices, on
        which nobody else should be.
        """
        total = 0
        for device in self.devices:
            users = self._driver.processes(device) if self._driver.pids_are_ours else {}
            held = [size for pid, size in users.items() if pid in pids]
            if self._driver.pids_are_ours and None not in held:
                total += sum(size for size in held if size is not None)
            else:
                total += max(0, self._driver.used_bytes(device) - self._used_before[device])
        return total


class GpuMeter:
    """Counts GPU seconds and the largest GPU memory of one fold. Without a lease both are 0."""

    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._pid = 0
        self._done = 0.0
        self._since: float | None = None
        self.peak_memory_bytes = 0

    def attach(self, pid: int) -> None:
        """Count the memory of a process and everything below it."""
        self._pid = pid

    def begin(self) -> None:
        """Start the clock of a phase."""
        with self._lock:
            self._since = time.monotonic()

    def end(self) -> None:
        """Stop the clock."""
        with self._lock:
            self._done, self._since = self._used(), None

    def _used(self) -> float:
        if self._lease is None or self._since is None:
            return self._done
        return self._done + len(self._lease.devices) * (time.monotonic() - self._since)

    @property
    def seconds(self) -> float:
        """Leased devices times the wall-clock seconds of fit and predict so far."""
        with self._lock:
            return self._used()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the leased devices."""
        return tuple(device.name for device in self._lease.devices) if self._lease else ()

    def excess(self, limits: Limits) -> str:
        """Look at what is used now; return which limit it is above, or an empty text."""
        if self._lease is None:
            return ""
        if self._pid:
            held = self._lease.used_bytes({self._pid, *descendants(self._pid)})
            self.peak_memory_bytes = max(self.peak_memory_bytes, held)
        if limits.gpu_seconds is not None and self.seconds > limits.gpu_seconds:
            return (
                f"used {self.seconds:.1f} GPU seconds since the begin of fit (leased devices times "
                f"wall-clock time); {limits.gpu_seconds:g} are allowed"
            )
        if limits.gpu_memory_bytes is not None and self.peak_memory_bytes > limits.gpu_memory_bytes:
            return (
                f"held {self.peak_memory_bytes / 2**20:.0f} MiB of GPU memory; "
                f"{limits.gpu_memory_bytes / 2**20:.0f} MiB are allowed"
            )
        return ""


class GpuPool:
    """The devices of this host, leased `per_fold` at a time.

    Parameters
    ----------
    per_fold
        Devices per fold, from 1.
    driver
        Where devices come from; closed with the pool.

    Raises
    ------
    InfrastructureError
        If the host has fewer devices than one fold needs, or not the files to use them.
    """

    def __init__(self, per_fold: int, driver: Devices) -> None:
        self.per_fold = per_fold
        self._driver = driver
        self._change = threading.Condition()
        self._closed = False
        try:
            self.devices = tuple(driver.find())
            self._check()
        except BaseException:
            driver.close()
            raise

    def _check(self) -> None:
        if len(self.devices) < self.per_fold:
            names = ", ".join(device.name for device in self.devices) or "none"
            raise InfrastructureError(
                f"{self.per_fold} GPUs per fold were asked for, this host has {len(self.devices)} ({names}); "
                "split devices (MIG) are not leased"
            )
        for node in {node for device in self.devices for node in device.nodes}:
            if not os.path.exists(node) or not stat.S_ISCHR(os.stat(node).st_mode):
                raise InfrastructureError(
                    f"the device file {node} is missing, without which no GPU can be used; "
                    "`nvidia-modprobe -u -c 0` makes it"
                )

    @property
    def most_leases(self) -> int:
        """How many folds can have their devices at the same time."""
        return len(self.devices) // self.per_fold

    def _take(self, locks: contextlib.ExitStack) -> list[Device]:
        """Take and lock devices for one fold; an empty list if there are not enough just now."""
        chosen: list[Device] = []
        for device in self.devices:
            if len(chosen) == self.per_fold:
                break
            lock = _lock_device(device)
            if lock is not None:
                locks.callback(lock.close)
                chosen.append(device)
        if len(chosen) < self.per_fold:
            # All or none: two commands that each hold a part would wait for each other for ever.
            locks.close()
            return []
        return chosen

    @contextlib.contextmanager
    def lease(self, runs: int) -> Iterator[Lease]:
        """Wait for devices, clear them of leftovers, and keep them for the length of a `with` block.

        Parameters
        ----------
        runs
            A process id; what still uses a device and stands below it is ended.

        Raises
        ------
        InfrastructureError
            If the pool is closed meanwhile, or somebody else's process computes on a device.
        """
        with contextlib.ExitStack() as locks:
            with self._change:
                while not self._closed and not (chosen := self._take(locks)):
                    # Other commands free devices without a word.
                    self._change.wait(_POLL_SECONDS)
                self._check_open()
            try:
                for device in chosen:
                    self._clear(device, runs)
                yield Lease(chosen, self._driver)
            finally:
                locks.close()
                with self._change:
                    self._change.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise InfrastructureError("the command was ended before the fold had its GPUs")

    def _clear(self, device: Device, runs: int) -> None:
        """End what an earlier fold left on a device, and wait until nobody computes on it."""
        deadline = time.monotonic() + _CLEAR_SECONDS
        while True:
            ours = set(descendants(runs)) if self._driver.pids_are_ours else set()
            left = ours & set(self._driver.processes(device))
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not (left := left | self._driver.computing(device)):
                return
            self._check_open()
            if time.monotonic() > deadline:
                pids = ", ".join(map(str, sorted(left)))
                raise InfrastructureError(
                    f"GPU {device.uuid} ({device.name}) is in use by process {pids}, which is not ours to end"
                )
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Give out no more leases and let go of the driver; leases that wait end with an error."""
        with self._change:
            if self._closed:
                return
            self._closed = True
            self._change.notify_all()
        self._driver.close()
