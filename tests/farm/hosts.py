"""Hosts made of network namespaces: a switch, and hosts on it whose links can be cut and healed.

Nothing of it outlives the process that made it. Namespaces have no names: each lasts as long as a process
that waits for the end of its input, which is the end of this process, however that comes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest
from farm_processes import Here

__all__ = ["Host", "Network", "open_network"]

_NET = "10.213.77"
# Debian keeps it where not everybody looks.
_IP = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


@dataclass
class _Namespace:
    """A process that keeps namespaces open until its input ends."""

    words: list[str]
    first_of_all: str = "true"
    """A line for the shell, executed inside before anything else."""
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        line = [*self.words, "sh", "-c", f"{self.first_of_all}; echo; exec cat"]
        # Held by nobody else: that it is closed must mean that this process is gone.
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        # Empty if it could not be made; a line once it is there.
        if not self.process.stdout.readline():
            raise OSError((self.process.communicate()[1] or b"").decode().strip())

    @property
    def first(self) -> int:
        """Pid of the process that is inside of everything."""
        children = psutil.Process(self.process.pid).children()
        return children[0].pid if children else self.process.pid

    def close(self) -> None:
        """End it, and with it everything that is in its namespace of processes."""
        self.process.communicate(b"")


class Host(Here):
    """A host of its own: it has its network, its processes, and a link to the switch."""

    def __init__(self, network: Network, number: int, name: str) -> None:
        self.name = name
        self.address = f"{_NET}.{number}"
        self._port = f"port{number}"
        self._network = network
        isolated = ["--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        set_name = f"echo {name} > /proc/sys/kernel/hostname"
        self._namespace = _Namespace([*network.inside, "unshare", *isolated], set_name)
        pid = self._namespace.first
        enter = ["nsenter", "-t", str(pid), "--net", "--uts", "--pid", "--mount", "--wd=."]
        self._enter = [*network.inside, *enter]
        network.ip("link", "add", self._port, "type", "veth", "peer", "name", "uplink", "netns", str(pid))
        network.ip("link", "set", self._port, "master", "switch", "up")
        self._ip("address", "add", f"{self.address}/24", "dev", "uplink")
        self._ip("link", "set", "uplink", "up")
        self._ip("link", "set", "lo", "up")

    def _ip(self, *words: str) -> None:
        _run(*self._enter, str(_IP), *words)

    def line(self, words: list[str]) -> list[str]:
        """Return the command line that executes another one there."""
        return [*self._enter, *words]

    def cut(self) -> None:
        """Take the link down: the host sees it."""
        self._ip("link", "set", "uplink", "down")

    def heal(self) -> None:
        """Bring the link back, in whatever way it was lost."""
        self._network.ip("link", "set", self._port, "master", "switch", "up")
        self._ip("link", "set", "uplink", "up")

    def lose_silently(self) -> None:
        """Lose all that is sent, with every link up: the other end of the cable is unplugged."""
        self._network.ip("link", "set", self._port, "nomaster")

    def switch_off(self) -> None:
        """Take the power: nothing more is sent, not even the end of a connection, and all is killed."""
        self.lose_silently()
        self._namespace.close()

    def close(self) -> None:
        """End everything on it."""
        if self._namespace.process.poll() is None:
            self._namespace.close()


class Network:
    """A switch without hosts at first."""

    def __init__(self) -> None:
        as_root = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        self._namespace = _Namespace(["unshare", *as_root, "--net"])
        pid = str(self._namespace.first)
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        self.inside = ["nsenter", "-t", pid, *user, "--net", "--wd=."]
        self._hosts: list[Host] = []
        self._n_hosts = 0
        self.ip("link", "add", "switch", "type", "bridge")
        self.ip("link", "set", "switch", "up")

    def ip(self, *words: str) -> None:
        """Run `ip` at the switch."""
        _run(*self.inside, str(_IP), *words)

    def add(self, name: str) -> Host:
        """Add a host with a link."""
        self._n_hosts += 1
        host = Host(self, 1 + self._n_hosts, name)
        self._hosts.append(host)
        return host

    def close(self) -> None:
        """End all hosts."""
        for host in self._hosts:
            host.close()
        self._namespace.close()


@contextlib.contextmanager
def open_network() -> Iterator[Network]:
    """Open a network with one host on it, or skip with the reason why there can be none."""
    if _IP is None:
        pytest.skip("hosts of network namespaces: no program ip (Debian: iproute2)")
    for program in ("nsenter", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"hosts of network namespaces: no program {program} (Debian: util-linux)")
    network = None
    try:
        try:
            network = Network()
            network.add("first")
        except OSError as error:
            pytest.skip(f"hosts of network namespaces: {error}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"hosts of network namespaces: {error.stderr.strip()}")
        yield network
    finally:
        if network is not None:
            network.close()
