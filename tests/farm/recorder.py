"""Keeps what leaves a process: every byte that it sends, and every address to which it connects."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path

__all__ = ["Recorder", "addresses_in", "watch_connections"]

_WATCH = """
import json, os, sys

def watch(event, args, file={file!r}):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and args[-1] is not None:
        with open(file, "a") as stream:
            stream.write(json.dumps(str(args[-1])) + "\\n")

sys.addaudithook(watch)
"""


def watch_connections(folder: Path) -> dict[str, str]:
    """Return variables with which a Python process, and those that it starts, notes where it connects to."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_WATCH.format(file=str(folder / "addresses")))
    return {"PYTHONPATH": str(folder)}


def addresses_in(folder: Path) -> set[str]:
    """Return the addresses that processes have noted."""
    return {json.loads(line) for line in (folder / "addresses").read_text().splitlines()}


class Recorder:
    """Stands between a process and a scheduler, and keeps what goes to the scheduler.

    Parameters
    ----------
    target
        Address of the scheduler, as Dask writes it.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._target = host, int(port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = [self._server]
        self._lock = threading.Lock()
        self.sent: list[bytearray] = []
        """One for each connection."""
        self.place = self._server.getsockname()
        self.address = f"tcp://127.0.0.1:{self.place[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return  # Closed, or no scheduler is left to speak with.
            sent = bytearray()
            with self._lock:
                self._ends += [near, far]
                self.sent.append(sent)
            threading.Thread(target=self._pump, args=(near, far, sent), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, None), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if kept is not None:
                    kept += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
