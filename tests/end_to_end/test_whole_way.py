"""From folders of strangers to the exported site, for every challenge, with the commands of an organiser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import hepchallenge.board
from hepchallenge.contract import list_challenges, load_challenge

# The cheapest kit of each, and a toy that it can learn from in seconds.
SMALL = {
    "anomaly": ("random_forest", ["--events", "3000"]),
    "higgsml": ("mass_window", ["--events", "4000"]),
    "tau3mu": ("geometry_boosting", ["--events", "20000"]),
    "toptag": ("mass_and_count", ["--events", "1500"]),
    "tracking2d": ("nearest_hit", ["--events", "60"]),
    "trackml": ("dbscan_helix", ["--events", "4", "--hits", "300"]),
    "trackml_throughput": ("dbscan_helix", ["--events", "4", "--hits", "300"]),
}
SCHEMA = json.loads(
    (Path(hepchallenge.board.__file__).parent / "schemas" / "board-1.schema.json").read_text()
)
CHALLENGES = [folder.name for folder in list_challenges()]


def command(*words: str, folder: Path, code: int = 0) -> str:
    line = [sys.executable, "-m", "hepchallenge", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CHALLENGES)
def test_a_challenge_goes_from_folders_to_an_exported_site(name: str, tmp_path: Path) -> None:
    kit, toy = SMALL[name]
    incoming = tmp_path / "incoming"
    shutil.copytree(load_challenge(name).kits_folder / kit, incoming / "good")
    (incoming / "broken").mkdir()
    command("data", name, "--toy", *toy, folder=tmp_path)

    folders = ["incoming/good", "incoming/broken"]
    printed = command("score", name, *folders, "--workspace", "w", "--json", folder=tmp_path, code=1)
    good, broken = json.loads(printed)["submissions"]
    assert (good["verdict"], broken["verdict"]) == ("scored", "invalid_submission")

    command("board", name, "--workspace", "w", "--export", "site", folder=tmp_path)
    written = {path.suffix: path for path in (tmp_path / "site").iterdir() if path.is_file()}
    assert {".csv", ".json", ".md", ".tex", ".html"} <= set(written)
    board = json.loads(written[".json"].read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(board)
    shown = [(row["rank"], row["name"], row["verdict"]) for row in board["submissions"]]
    assert shown == [(1, "good", "scored"), (None, "broken", "invalid_submission")]
    part = board["part"]
    value = good["scores"][board["metric"]][part]
    assert board["submissions"][0]["scores"][board["metric"]][part] == value
    page = (tmp_path / "site" / "index.html").read_text()
    for word in ("good", "broken", "toy"):
        assert word in page
