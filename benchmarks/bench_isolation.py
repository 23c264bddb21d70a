"""What isolation costs: the anomaly baseline, 8 folds with 2 jobs, at each level against `none`.

Every round starts from an empty workspace. Uses the published kit's data in ../shared/data/anomaly, or those
in the folder that is the only argument; else toy data.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from measure import alternate, command

from hepchallenge.run.isolation import Isolation, probe

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    default = ROOT.parent / "shared" / "data" / "anomaly"
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    given = ["--data", str(data)] if data.is_dir() else []
    print(f"data: {'published kit' if given else 'toy'}")
    workspace = Path(tempfile.mkdtemp(prefix="hepchallenge-bench-"))
    words = [str(Path(sysconfig.get_path("scripts"), "hepchallenge")), "score", "anomaly"]
    words += [str(ROOT / "starting_kits/anomaly/random_forest"), *given, "--jobs", "2", "--json"]
    words += ["--workspace", str(workspace), "--isolation"]
    try:
        for level in Isolation:
            if level is Isolation.NONE or (reason := probe(level)):
                if level is not Isolation.NONE:
                    print(f"{level}: not to be had on this host: {reason}")
                continue
            alternate(
                command([*words, str(level)]),
                command([*words, "none"]),
                names=(f"isolation {level}", "isolation none"),
                rounds=7,
                aim=1.1,
                before=lambda: shutil.rmtree(workspace, ignore_errors=True),
            )
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
