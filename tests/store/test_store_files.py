"""Predictions and logs: exact, content-addressed, never pickled, and damage never passes."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepchallenge.exceptions import StoreError
from hepchallenge.records import StoredArray
from hepchallenge.store import Store, write_atomically


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Files do not depend on the database."""
    return Store(tmp_path / "workspace")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hnp.arrays(
        dtype=hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes(),
        shape=hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_arrays_come_back_bit_for_bit(store: Store, array: np.ndarray[Any, Any], fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    stored = store.save_array(array)
    back = store.load_array(stored)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert stored.path == f"predictions/{stored.digest[:2]}/{stored.digest}.npy"


def test_a_stored_file_is_what_numpy_itself_reads(store: Store) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        np.load(store.workspace / store.save_array(array).path, allow_pickle=False), array
    )


def test_equal_arrays_share_one_file(store: Store) -> None:
    assert store.save_array(np.ones(3)) == store.save_array(np.ones(3))
    assert len(list((store.workspace / "predictions").rglob("*.npy"))) == 1


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-1] + b"?"], ids=["short", "bit"])
def test_saving_again_heals_a_damaged_file(store: Store, damage: Callable[[bytes], bytes]) -> None:
    stored, log = store.save_array(np.ones(3)), store.save_log(b"log")
    for path in (store.workspace / stored.path, store.workspace / log):
        path.write_bytes(damage(path.read_bytes()))
    assert (store.save_array(np.ones(3)), store.save_log(b"log")) == (stored, log)
    np.testing.assert_array_equal(store.load_array(stored), np.ones(3))
    assert store.load_log(log) == b"log"


def test_what_lies_there_whole_is_not_written_again(store: Store) -> None:
    paths = [store.workspace / store.save_array(np.ones(3)).path, store.workspace / store.save_log(b"log")]
    before = [path.stat() for path in paths]
    store.save_array(np.ones(3))
    store.save_log(b"log")
    assert [(path.stat().st_ino, path.stat().st_ctime_ns) for path in paths] == [
        (stat.st_ino, stat.st_ctime_ns) for stat in before
    ]


def test_a_subclass_is_stored_as_the_memory_it_holds(store: Store) -> None:
    class Liar(np.ndarray):
        def tobytes(self, order: Any = "C") -> bytes:
            return b"\0" * self.nbytes

    back = store.load_array(store.save_array(np.ones(3).view(Liar)))
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, np.ones(3))


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.array([None, 1.0]), np.zeros(2, [("a", object), ("b", float)])],
    ids=["object", "none", "field"],
)
def test_arrays_of_objects_are_refused(store: Store, array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(StoreError, match="expected plain numbers or text"):
        store.save_array(array)
    assert not list(store.workspace.rglob("*.npy"))


def test_any_flipped_truncated_or_added_byte_is_found(store: Store) -> None:
    stored = store.save_array(np.arange(5.0))
    path = store.workspace / stored.path
    whole = path.read_bytes()
    damaged = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    damaged += [whole[:-1], b"", whole + b"\0"]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(StoreError, match="damaged"):
            store.load_array(stored)


def test_a_missing_file_is_an_error(store: Store) -> None:
    stored = store.save_array(np.arange(5.0))
    (store.workspace / stored.path).unlink()
    with pytest.raises(StoreError, match="cannot read"):
        store.load_array(stored)


@pytest.mark.parametrize("change", [{"shape": (5, 1)}, {"dtype": "<i8"}, {"digest": "0" * 64}])
def test_a_record_that_does_not_fit_the_file_is_an_error(store: Store, change: dict[str, Any]) -> None:
    stored = store.save_array(np.arange(5.0))
    with pytest.raises(StoreError, match="expected"):
        store.load_array(replace(stored, **change))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "predictions/../../x.npy", "logs/{d2}/{d}.npy", "{d}.npy", ""]
)
def test_a_path_that_the_store_never_made_is_refused(store: Store, path: str) -> None:
    digest = store.save_array(np.arange(5.0)).digest
    path = path.format(d=digest, d2=digest[:2])
    with pytest.raises(StoreError, match="not a stored file"):
        store.load_array(StoredArray(digest=digest, path=path, shape=(5,), dtype="<f8"))


def test_a_pickle_is_never_opened_even_under_its_right_digest(store: Store) -> None:
    content = io.BytesIO()
    np.save(content, np.array([{}], dtype=object), allow_pickle=True)
    log = store.save_log(content.getvalue())
    digest = Path(log).stem
    path = f"predictions/{digest[:2]}/{digest}.npy"
    write_atomically(store.workspace / path, content.getvalue())
    with pytest.raises(StoreError, match="Python objects"):
        store.load_array(StoredArray(digest=digest, path=path, shape=(1,), dtype="|O"))


def test_logs_come_back_and_damage_is_found(store: Store) -> None:
    content = bytes(range(256)) * 3
    path = store.save_log(content)
    assert not os.path.isabs(path)
    assert store.load_log(path) == content
    (store.workspace / path).write_bytes(b"other")
    with pytest.raises(StoreError, match="damaged"):
        store.load_log(path)
    with pytest.raises(StoreError, match="not a stored file"):
        store.load_log("../secret.log")


def test_only_old_leftovers_of_killed_writers_are_swept(store: Store) -> None:
    store.save_array(np.ones(1))
    old, young = (store.workspace / "predictions" / f".{name}.part" for name in ("old", "young"))
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    Store(store.workspace)
    assert (old.exists(), young.exists()) == (False, True)


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_atomically(tmp_path / "board.csv", b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left"):
        write_atomically(target, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("board.csv", b"old")]
