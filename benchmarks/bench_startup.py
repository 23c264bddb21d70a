"""`hepchallenge --help` against `ramp-test --help`, both with compiled bytecode."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from measure import alternate, command

if __name__ == "__main__":
    scripts = Path(sysconfig.get_path("scripts"))
    alternate(
        command([str(scripts / "hepchallenge"), "--help"]),
        command([str(scripts / "ramp-test"), "--help"]),
        names=("hepchallenge --help", "ramp-test --help"),
        rounds=9,
        aim=0.15,
    )
