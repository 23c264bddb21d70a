"""A driver of simulated (toy) devices, for tests of what is done with real ones."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence

from hepchallenge.run.gpu import Device

NODE = "/dev/tty"
"""A character device of every host that a container does not show by itself."""

_numbers = itertools.count()


def toy_devices(count: int, nodes: tuple[str, ...] = (NODE,)) -> list[Device]:
    """Return devices whose UUIDs no other test has, since they are locked on the whole host."""
    return [
        Device(f"GPU-toy-{os.getpid()}-{next(_numbers)}", f"toy GPU {index}", 8 << 30, nodes)
        for index in range(count)
    ]


class ToyDriver:
    """Tells what it was told. `users` gives the processes of a device; all of them compute."""

    def __init__(
        self,
        devices: Sequence[Device],
        users: Callable[[Device], Mapping[int, int | None]] = lambda _: {},
        used: Callable[[Device], int] = lambda _: 0,
        pids_are_ours: bool = True,
    ) -> None:
        self._devices = devices
        self._users = users
        self._used = used
        self.pids_are_ours = pids_are_ours
        self.closed = False

    def find(self) -> Sequence[Device]:
        return self._devices

    def processes(self, device: Device) -> Mapping[int, int | None]:
        return self._users(device)

    def computing(self, device: Device) -> set[int]:
        return set(self._users(device))

    def used_bytes(self, device: Device) -> int:
        return self._used(device)

    def close(self) -> None:
        self.closed = True
