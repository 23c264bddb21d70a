"""The anomaly kit's published baseline, 8 folds: `hepchallenge score` with 2 jobs against `ramp-test`.

Both run the same problem.py and the same submission; isolation is on. Every round starts from an empty
workspace, so that nothing is taken over from an earlier one. Needs the published kit's data:
give their folder as the only argument, or have them in ../shared/data/anomaly; else toy data are used.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from measure import alternate, command

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    default = ROOT.parent / "shared" / "data" / "anomaly"
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    given = ["--data", str(data)] if data.is_dir() else []
    print(f"data: {'published kit' if given else 'toy'}")
    scripts = Path(sysconfig.get_path("scripts"))
    workspace = Path(tempfile.mkdtemp(prefix="hepchallenge-bench-"))
    try:
        alternate(
            command(
                [
                    str(scripts / "hepchallenge"),
                    "score",
                    "anomaly",
                    str(ROOT / "starting_kits/anomaly/random_forest"),
                    *given,
                    "--jobs",
                    "2",
                    "--json",
                    "--workspace",
                    str(workspace),
                ]
            ),
            command(
                [
                    str(scripts / "ramp-test"),
                    "--ramp-kit-dir",
                    str(ROOT / "challenges/anomaly"),
                    "--ramp-data-dir",
                    str(data if given else ROOT / "challenges/anomaly"),
                    "--ramp-submission-dir",
                    str(ROOT / "starting_kits/anomaly"),
                    "--submission",
                    "random_forest",
                ]
            ),
            names=("hepchallenge score anomaly --jobs 2", "ramp-test"),
            rounds=5,
            aim=0.8,
            before=lambda: shutil.rmtree(workspace, ignore_errors=True),
        )
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
