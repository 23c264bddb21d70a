"""What is installed, and that it works from a wheel as well as from a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hepchallenge.store.schema import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "checkout"
    # Built from a copy of what git tracks, so that a build never leaves files in the checkout.
    source.mkdir()
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, os.fsdecode(tracked).split("\0")):
        old, new = ROOT / name, source / name
        if not old.is_symlink() and not old.exists():
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        if old.is_symlink():
            new.symlink_to(old.readlink())
        else:
            new.write_bytes(old.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(target), str(source)], check=True)
    (found,) = target.glob("*.whl")
    return found


def test_the_wheel_brings_one_name_to_site_packages(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"hepchallenge"}


def test_the_wheel_holds_every_tracked_file_of_the_linked_folders(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = set()
    for folder in ("scoring", "challenges", "starting_kits"):
        listed = subprocess.run(
            ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True
        )
        wanted |= {f"hepchallenge/{name}" for name in listed.stdout.split() if (ROOT / name).exists()}
    assert any(name.endswith("challenge.toml") for name in wanted)
    assert wanted <= packed, sorted(wanted - packed)


def test_the_wheel_can_upgrade_workspaces_of_every_release(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    scripts = {f"hepchallenge/store/migrations/versions/version_{n}.py" for n in range(2, SCHEMA_VERSION + 1)}
    assert scripts <= packed


def test_the_wheel_alone_scores_a_submission(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    environment = {
        **os.environ,
        "PYTHONPATH": str(target),
        "HEPCHALLENGE_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "hepchallenge"]
    made = subprocess.run(
        [*command, "data", "anomaly", "--toy", "--events", "2000"], cwd=tmp_path, env=environment, check=False
    )
    assert made.returncode == 0
    kit = target / "hepchallenge" / "starting_kits" / "anomaly" / "random_forest"
    done = subprocess.run(
        [*command, "score", "anomaly", str(kit), "--json", "--quick"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["data"]["kind"] == "toy"
    assert [s["verdict"] for s in document["submissions"]] == ["scored"]
    where = subprocess.run(
        [sys.executable, "-c", "import hepchallenge; print(hepchallenge.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(target))


def test_a_checkout_is_imported_under_its_packaged_names() -> None:
    code = "import hepchallenge.scoring, hepchallenge.challenges; print(hepchallenge.scoring.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "hepchallenge.scoring"


@pytest.mark.parametrize("module", ["pandas", "sklearn", "numpy", "pyarrow", "sqlalchemy", "alembic", "rich"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        "import sys; sys.argv = ['hepchallenge', '--help']\n"
        "from hepchallenge.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"assert {module!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
