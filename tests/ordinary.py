"""Run a command as an ordinary user, from tests that root runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import hepchallenge

USER = 65534
_NEEDED = {
    sys.prefix,
    sys.base_prefix,
    sysconfig.get_path("purelib"),
    str(Path(hepchallenge.__file__).parents[1]),
}

# An interpreter in root's home is of no use to others. In a mount namespace of its own the way to it is
# replaced by folders that all may pass, in which nothing else is.
_OPEN_THE_WAY = """
set -e
mount --make-rprivate /
base=$(mktemp -d)
mount -t tmpfs -o mode=755 none "$base"
for place in $CLOSED; do
    mkdir -p "$base$place"
    mount --bind "$place" "$base$place"
done
for gate in $GATES; do
    mount -t tmpfs -o mode=755 none "$gate"
done
for place in $CLOSED; do
    mkdir -p "$place"
    mount --bind "$base$place" "$place"
done
umount --recursive "$base"
rmdir "$base"
exec "$@"
"""


def _closed() -> dict[str, str]:
    """Return needed folders in which another user cannot look, each with the outermost one that is closed."""
    closed = {}
    for place in map(os.path.realpath, sorted(_NEEDED)):
        way = [*reversed(Path(place).parents), Path(place)]
        gate = next((folder for folder in way if not folder.stat().st_mode & 0o001), None)
        if gate is not None:
            closed[place] = str(gate)
    return closed


def _command(words: Sequence[str]) -> list[str]:
    plain = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", *words]
    if not _closed():
        return plain
    return ["unshare", "--mount", "sh", "-c", _OPEN_THE_WAY, "sh", *plain]


@cache
def why_not() -> str:
    """Return an empty string if `run_as_user` works here, else the reason why not."""
    if os.getuid():
        return "only root can become another user; this run is one of an ordinary user itself"
    if shutil.which("setpriv") is None:
        return "no setpriv"
    tried = run_as_user([sys.executable, "-c", "import hepchallenge, numpy"], "/", {})
    if tried.returncode:
        return f"an ordinary user cannot run this interpreter: {tried.stderr.strip()[-300:]}"
    return ""


def run_as_user(
    words: Sequence[str], cwd: str | os.PathLike[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command as user and group `USER` without further groups; PATH and the way are added."""
    full = {"PATH": os.environ["PATH"], **environment}
    closed = _closed()
    full |= {"CLOSED": " ".join(closed), "GATES": " ".join(sorted(set(closed.values())))}
    return subprocess.run(
        _command(words), cwd=cwd, env=full, capture_output=True, text=True, timeout=600, check=False
    )
