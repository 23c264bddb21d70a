"""Data are prepared once, all or nothing, and found again by what they were made from."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge import data
from hepchallenge.contract import Challenge
from hepchallenge.data.tables import table_digest, write_table
from hepchallenge.exceptions import DataError, InfrastructureError

Make = Callable[..., Challenge]


def folders_of(cache: Path) -> list[str]:
    return sorted(entry.name for entry in (cache / "small" / "prepared").iterdir() if entry.is_dir())


def test_toy_data_follow_seed_and_events_and_are_made_once(challenge: Challenge, cache: Path) -> None:
    first = data.toy(challenge, seed=1, events=20)
    made_at = (first / "train.arrow").stat().st_mtime_ns
    assert data.toy(challenge, seed=1, events=20) == first
    assert (first / "train.arrow").stat().st_mtime_ns == made_at
    other = data.toy(challenge, seed=2, events=20)
    assert data.read_manifest(first).rows == {"train": 20, "test": 20}
    assert data.read_manifest(first).digest != data.read_manifest(other).digest
    digest = data.read_manifest(first).digest
    shutil.rmtree(cache)
    assert data.read_manifest(data.toy(challenge, seed=1, events=20)).digest == digest


def test_a_manifest_says_what_was_used(challenge: Challenge, published: Path) -> None:
    prepared = data.prepare(challenge, published)
    manifest = data.read_manifest(prepared)
    assert (manifest.challenge, manifest.kind, manifest.rows) == ("small", "real", {"train": 2, "test": 1})
    assert [record.name for record in manifest.sources] == ["test.csv", "train.csv"]
    assert [record.name for record in manifest.files] == ["test.arrow", "train.arrow"]
    assert manifest.info == {"split": "as published"}
    assert str(published) not in (prepared / "manifest.json").read_text()


def test_the_digest_knows_values_but_not_places(
    challenge: Challenge, published: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(published, tmp_path / "elsewhere"))
    digest = data.read_manifest(data.prepare(challenge, published)).digest
    assert data.read_manifest(data.prepare(challenge, moved)).digest == digest
    (moved / "test.csv").write_text("id,x\n3,2.6\n")
    assert data.read_manifest(data.prepare(challenge, moved)).digest != digest


def test_every_kind_of_path_leads_to_its_data(challenge: Challenge, published: Path, tmp_path: Path) -> None:
    get = challenge.problem.get_train_data
    assert get(path=str(published))[0].tolist() == [0.5, 1.5]
    kit = tmp_path / "kit"
    shutil.copytree(published, kit / "data")
    assert get(path=kit)[0].tolist() == [0.5, 1.5]
    prepared = data.prepare(challenge, published)
    assert get(path=prepared)[0].tolist() == [0.5, 1.5]
    (tmp_path / "moved").mkdir()
    shutil.copytree(prepared, tmp_path / "moved" / "data")
    assert get(path=tmp_path / "moved")[0].tolist() == [0.5, 1.5]
    toy = data.read_table(data.toy(challenge), "train")["x"].to_numpy()
    assert np.array_equal(get(path=challenge.folder)[0], toy)


def test_a_changed_file_is_prepared_again(challenge: Challenge, published: Path) -> None:
    first = data.prepare(challenge, published)
    (published / "train.csv").write_text("id,x\n1,0.5\n2,7.5\n")
    second = data.prepare(challenge, published)
    assert second != first
    assert data.read_table(second, "train")["x"].to_pylist() == [0.5, 7.5]
    assert data.prepare(challenge, published) == second


def test_changed_code_prepares_again(make_challenge: Make, published: Path) -> None:
    first = data.prepare(make_challenge(), published)
    assert data.prepare(make_challenge("\n# another version\n"), published) != first


def test_a_folder_without_the_files_names_them(challenge: Challenge, tmp_path: Path, cache: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"expected train\.csv and test\.csv, found no train\.csv"):
        data.resolve(challenge, empty)
    with pytest.raises(DataError, match="no such file or folder"):
        data.resolve(challenge, tmp_path / "absent")
    assert folders_of(cache) == []


def test_data_of_another_challenge_are_refused(challenge: Challenge, published: Path) -> None:
    prepared = data.prepare(challenge, published)
    with pytest.raises(DataError, match="expected the data of other, found those of small"):
        data.open_prepared(prepared, challenge="other")


def test_damage_in_the_cache_is_mended_and_elsewhere_refused(
    challenge: Challenge, published: Path, tmp_path: Path
) -> None:
    prepared = data.prepare(challenge, published)
    moved = Path(shutil.copytree(prepared, tmp_path / "moved"))
    for folder in (prepared, moved):
        with (folder / "train.arrow").open("ab") as stream:
            stream.write(b"x")
    with pytest.raises(DataError, match=r"train\.arrow: size"):
        data.resolve(challenge, moved)
    assert data.read_table(data.prepare(challenge, published), "train").num_rows == 2
    (moved / "train.arrow").unlink()
    with pytest.raises(DataError, match="no such file"):
        data.resolve(challenge, moved)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"format": 99}, "format: expected 1, found 99"), ({"rows": None, "extra": 1}, "complete manifest")],
)
def test_a_strange_manifest_is_refused(
    challenge: Challenge, published: Path, tmp_path: Path, change: dict[str, object], match: str
) -> None:
    moved = Path(shutil.copytree(data.prepare(challenge, published), tmp_path / "moved"))
    document = json.loads((moved / "manifest.json").read_text())
    (moved / "manifest.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(DataError, match=match):
        data.resolve(challenge, moved)
    (moved / "manifest.json").write_text("[1")
    with pytest.raises(DataError, match="complete manifest"):
        data.resolve(challenge, moved)


def test_prepare_that_fails_leaves_nothing(challenge: Challenge, published: Path, cache: Path) -> None:
    (published / "test.csv").write_text("id,x\n3,abc\n")
    with pytest.raises(DataError, match="column x, row 1"):
        data.prepare(challenge, published)
    assert folders_of(cache) == []


def test_prepare_data_that_writes_nothing_is_told(make_challenge: Make, published: Path) -> None:
    challenge = make_challenge("\ndef prepare_data(source, target): pass\n")
    with pytest.raises(DataError, match="tables written by"):
        data.prepare(challenge, published)


RUN = """
import sys
from hepchallenge import data
from hepchallenge.contract import load_challenge
print(data.prepare(load_challenge(sys.argv[1]), sys.argv[2]), flush=True)
"""

SLOW = """
def make_toy_data(target, seed, n_events): pass
_quick = prepare_data
def prepare_data(source, target):
    import os, pathlib, time
    (target / "half").write_text("x")
    pathlib.Path(os.environ["STARTED"]).open("a").write("x")
    time.sleep(float(os.environ["SLEEP"]))
    (target / "half").unlink()
    _quick(source, target)
"""


def start(challenge: Challenge, published: Path, started: Path, sleep: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "STARTED": str(started), "SLEEP": str(sleep)}
    command = [sys.executable, "-c", RUN, str(challenge.folder), str(published)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("did not happen within a minute")


def test_a_killed_prepare_leaves_only_what_the_next_one_clears(
    make_challenge: Make, published: Path, cache: Path, tmp_path: Path
) -> None:
    challenge = make_challenge(SLOW)
    with start(challenge, published, tmp_path / "started", 600) as process:
        wait_for((tmp_path / "started").exists)
        process.send_signal(signal.SIGKILL)
    assert len(folders_of(cache)) == 1
    assert folders_of(cache)[0].startswith(".tmp-")
    with start(challenge, published, tmp_path / "started", 0) as process:
        prepared = Path(process.communicate()[0].strip())
    assert folders_of(cache) == [prepared.name]
    assert data.read_table(prepared, "train").num_rows == 2


def test_two_commands_prepare_once(make_challenge: Make, published: Path, tmp_path: Path) -> None:
    challenge = make_challenge(SLOW)
    processes = [start(challenge, published, tmp_path / "started", 0.5) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs[0] == outputs[1] != ""
    assert (tmp_path / "started").read_text() == "x"


def test_waiting_for_another_command_is_told(
    make_challenge: Make, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = make_challenge(SLOW)
    monkeypatch.setenv("STARTED", str(tmp_path / "mine"))
    monkeypatch.setenv("SLEEP", "0")
    told: list[bool] = []
    with start(challenge, published, tmp_path / "started", 1) as process:
        wait_for((tmp_path / "started").exists)
        data.prepare(challenge, published, waiting=lambda: told.append(True))
        process.communicate()
    assert told == [True]


def test_a_full_disk_is_told_and_leaves_nothing(challenge: Challenge, published: Path, cache: Path) -> None:
    rows = "".join(f"{i},{i}.5\n" for i in range(20_000))
    (published / "train.csv").write_text("id,x\n" + rows)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    command = [sys.executable, "-c", limit + RUN, str(challenge.folder), str(published)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "InfrastructureError" in done.stderr.splitlines()[-1]
    assert "no space left" in done.stderr.splitlines()[-1]
    assert folders_of(cache) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_truly_full_file_system_is_told_and_leaves_nothing(
    challenge: Challenge, published: Path, cache: Path
) -> None:
    cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cache], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        rows = "".join(f"{i},{i}.5\n" for i in range(20_000))
        (published / "train.csv").write_text("id,x\n" + rows)
        with pytest.raises(InfrastructureError, match="no space left"):
            data.prepare(challenge, published)
        assert folders_of(cache) == []
    finally:
        subprocess.run(["umount", cache], check=True)


def test_a_cache_that_cannot_be_written_is_told(challenge: Challenge, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(InfrastructureError, match="HEPCHALLENGE_CACHE"):
        data.toy(challenge)


# --- Tables


def test_a_prepared_table_is_mapped_not_copied(tmp_path: Path) -> None:
    values = np.arange(500_000, dtype=float)
    chunks = pa.chunked_array([values[:100_000], values[100_000:]])
    write_table(tmp_path / "train.arrow", pa.table({"x": chunks, "n": values.astype("i8")}))
    before = pa.total_allocated_bytes()
    column = data.read_table(tmp_path, "train", ["x"])["x"]
    array = column.chunk(0).to_numpy(zero_copy_only=True)
    assert pa.total_allocated_bytes() - before < 10_000
    assert (column.num_chunks, column.type) == (1, pa.float64())
    assert np.array_equal(array, values)
    assert not array.flags.writeable


def test_a_missing_or_damaged_table_or_column_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "train.arrow", pa.table({"x": [1.0]}))
    with pytest.raises(DataError, match=r"column y: .* only x"):
        data.read_table(tmp_path, "train", ["y"])
    with pytest.raises(DataError, match=r"no such file \(tables: train\)"):
        data.read_table(tmp_path, "test")
    (tmp_path / "train.arrow").write_bytes(b"ARROW1 but not really, this is some longer text")
    with pytest.raises(DataError, match="Feather v2"):
        data.read_table(tmp_path, "train")


columns = st.fixed_dictionaries(
    {},
    optional={
        "x": st.lists(st.floats(allow_nan=False), min_size=4, max_size=4),
        "n": st.lists(st.integers(-(2**60), 2**60), min_size=4, max_size=4),
        "s": st.lists(st.sampled_from(["", "s", "b", "sb"]), min_size=4, max_size=4),
        "t": st.lists(st.booleans(), min_size=4, max_size=4),
    },
)


@settings(deadline=None)
@given(values=columns, cut=st.integers(0, 4))
def test_a_table_digest_does_not_know_chunks_or_encoding(values: dict[str, list[object]], cut: int) -> None:
    table = pa.table(values)
    digest = table_digest(table)
    if values:
        assert table_digest(pa.concat_tables([table.slice(0, cut), table.slice(cut)])) == digest
    if "s" in values:
        index = table.column_names.index("s")
        encoded = table.set_column(index, "s", table["s"].dictionary_encode())
        assert table_digest(encoded) == digest


@settings(deadline=None)
@given(values=columns, other=columns)
def test_different_tables_have_different_digests(values: dict[str, object], other: dict[str, object]) -> None:
    # Equal means equal bits here: 0.0 and -0.0 are different data.
    same = repr(values) == repr(other)
    assert (table_digest(pa.table(values)) == table_digest(pa.table(other))) == same


def test_names_types_and_order_of_columns_are_part_of_the_digest() -> None:
    tables = [
        pa.table({"x": [0.0], "y": [0.0]}),
        pa.table({"y": [0.0], "x": [0.0]}),
        pa.table({"x": [0.0], "z": [0.0]}),
        pa.table({"x": [0.0], "y": [0]}),
        pa.table({"x": [0.0, 0.0]}),
    ]
    assert len({table_digest(table) for table in tables}) == len(tables)


def test_a_table_with_nulls_has_no_digest() -> None:
    with pytest.raises(TypeError, match="'x' has nulls"):
        table_digest(pa.table({"x": [1.0, None]}))
    with pytest.raises(TypeError, match="list"):
        table_digest(pa.table({"x": [[1.0]]}))
