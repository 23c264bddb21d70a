"""Events of any source become the same prepared folder, and are read back one at a time."""

from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_events import make_detectors, make_event

from hepchallenge.challenges.trackml import data
from hepchallenge.challenges.trackml.data import PreparedEvent, open_events, write_prepared_events
from hepchallenge.challenges.trackml.events import TrainingEvents
from hepchallenge.data.prepared import MANIFEST_NAME
from hepchallenge.exceptions import DataError


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def manifest(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / MANIFEST_NAME).read_text()))


def events(seeds: list[int], parts: list[str] | None = None, n_hits: int = 6) -> Iterator[PreparedEvent]:
    for seed, part in zip(seeds, parts or ["train"] * len(seeds), strict=True):
        yield PreparedEvent(seed, part, **make_event(seed, n_hits))  # type: ignore[arg-type]


def test_published_events_are_divided_and_read_back_with_truth_in_the_order_of_hits(
    published: Path, tmp_path: Path
) -> None:
    truth = published / "event000001002-truth.csv"
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join([lines[0], *lines[3:], *lines[1:3]]) + "\n")
    data.prepare_data(published, tmp_path / "p")
    ids = np.arange(1000, 1008)
    parts = dict(zip(ids.tolist(), data.split_events(ids).tolist(), strict=True))
    seen = {}
    for part in ("train", "test"):
        found, truths = open_events(tmp_path / "p", part)
        assert np.array_equal(found.event_ids, truths.event_ids)
        same(found.shared, make_detectors())
        for event_id, event, known in zip(found.event_ids.tolist(), found, truths, strict=True):
            expected = make_event(event_id)
            same(event.hits, expected["hits"])
            same(event.cells, expected["cells"])
            same(known.truth, expected["truth"])
            same(known.particles, expected["particles"])
            assert len(known) == len(event.hits)
            seen[event_id] = part
    assert seen == {event_id: "train" if part == "train" else "test" for event_id, part in parts.items()}
    assert data.test_parts(tmp_path / "p").tolist() == [p for p in parts.values() if p != "train"]
    assert manifest(tmp_path / "p")["info"]["events"] == {"train": 6, "public": 1, "private": 1}


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True))
def test_a_quarter_of_the_events_is_for_testing_wherever_they_stand(ids: list[int]) -> None:
    parts = data.split_events(np.array(ids))
    n_test = -(-len(ids) // 4)
    n_public = int((parts == "public").sum())
    assert (parts != "train").sum() == n_test
    assert n_public == round(0.29 * n_test) < n_test
    backwards = data.split_events(np.array(ids[::-1]))
    assert backwards[::-1].tolist() == parts.tolist()


def test_a_single_event_is_a_private_test_event(tmp_path: Path, published: Path) -> None:
    for file in published.glob("event00000100[1-7]*"):
        file.unlink()
    data.prepare_data(published, tmp_path / "p")
    assert len(open_events(tmp_path / "p", "train")[0]) == 0
    assert data.test_parts(tmp_path / "p").tolist() == ["private"]


def test_events_without_truth_are_left_out_and_counted(tmp_path: Path, published: Path) -> None:
    for file in published.glob("event00000100[0-4]-truth.csv"):
        file.unlink()
    shutil.rmtree(tmp_path / "p", ignore_errors=True)
    data.prepare_data(published, tmp_path / "p")
    info = manifest(tmp_path / "p")["info"]
    assert (info["left_out_without_truth"], info["events"]["train"]) == (5, 2)
    for file in published.glob("*-truth.csv"):
        file.unlink()
    with pytest.raises(DataError, match="8 events, none of them with truth"):
        data.prepare_data(published, tmp_path / "q")


def test_the_detector_is_needed(tmp_path: Path, published: Path) -> None:
    (published / "detectors.csv").unlink()
    with pytest.raises(DataError, match=r"expected detectors.csv \(also .gz or .zip\)"):
        data.prepare_data(published, tmp_path / "p")


def test_events_in_memory_and_published_ones_become_the_same_tables(published: Path, tmp_path: Path) -> None:
    data.prepare_data(published, tmp_path / "files")
    ids = list(range(1000, 1008))
    stream = (
        event._replace(
            hits=event.hits.astype("f8").astype({name: "i8" for name in event.hits if name.endswith("_id")}),
            truth=event.truth.iloc[[4, 0, 5, 1, 2, 3]],
        )
        for event in events(ids, data.split_events(np.array(ids)).tolist())
    )
    write_prepared_events(tmp_path / "memory", stream, make_detectors())
    assert manifest(tmp_path / "memory")["tables"] == manifest(tmp_path / "files")["tables"]


def test_cells_may_be_absent(published: Path, tmp_path: Path) -> None:
    for file in published.glob("*-cells.csv"):
        file.unlink()
    data.prepare_data(published, tmp_path / "p")
    (event, *_) = open_events(tmp_path / "p", "test")[0]
    same(event.cells, make_event(1)["cells"].head(0))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("hits", lambda f: f.drop(columns="x"), "event 7, hits: column x: expected it in the table"),
        ("hits", lambda f: f.assign(hit_id=f.hit_id + 0.5), "column hit_id: expected whole numbers"),
        ("hits", lambda f: f.assign(x=np.nan), "event 7, hits: column x, row 1: expected a finite number"),
        ("truth", lambda f: f.head(3), r"event 7: column hit_id: expected a row for hit \d+"),
        ("cells", lambda f: f.assign(hit_id=10**6), r"event 7: column hit_id, row 1: .* found 1000000"),
        ("particles", lambda f: f.assign(particle_type=1), r"particles of event 7: .* as in the first event"),
        ("particles", lambda f: f.assign(q=2**40), "event 7, particles: column q: expected the type int32"),
    ],
)
def test_frames_that_are_not_as_published_are_refused(
    tmp_path: Path, name: str, change: object, message: str
) -> None:
    good, bad = events([6, 7])
    bad = bad._replace(**{name: change(getattr(bad, name))})  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        write_prepared_events(tmp_path, [good, bad], make_detectors())


def test_an_event_comes_once_and_at_least_one_comes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="event 5 again"):
        write_prepared_events(tmp_path / "a", events([5, 5]), make_detectors())
    with pytest.raises(DataError, match="events: expected at least one, found none"):
        write_prepared_events(tmp_path / "b", events([]), make_detectors())


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    write_prepared_events(tmp_path / "p", events([3, 1, 4, 9]), make_detectors(), {"toy": True})
    return tmp_path / "p"


def test_indices_slices_and_masks_choose_events(prepared: Path) -> None:
    found, truths = open_events(prepared, "train")
    same(found[-1].hits, make_event(9)["hits"])
    assert found[1:3].event_ids.tolist() == [1, 4]
    assert found[np.array([2, 0])].event_ids.tolist() == [4, 3]
    assert found[[True, False, False, True]][1:].event_ids.tolist() == [9]
    same(found[np.array([2, 0])][0].hits, make_event(4)["hits"])
    same(truths[[2, 0]][1].truth, make_event(3)["truth"])
    assert found.hit_ids(1).tolist() == make_event(1)["hits"]["hit_id"].tolist()
    with pytest.raises(IndexError):
        found[4]


def test_a_submission_may_write_into_its_frames(prepared: Path) -> None:
    found, truths = open_events(prepared, "train")
    training = TrainingEvents(found, truths)
    for frames in (found[0], training[0][1:]):
        for frame in frames:
            frame.iloc[0, 0] = 0
            frame.to_numpy(copy=False)
            assert frame.iloc[:, 0].to_numpy()[0] == 0
    same(found[0].hits, make_event(3)["hits"])
    event = training[2]
    assert (event.event_id, len(training), len(training[1:])) == (4, 4, 3)
    same(event.truth, make_event(4)["truth"])
    same(training.detectors, make_detectors())
    assert [item.event_id for item in training[[3, 0]]] == [9, 3]
    with pytest.raises(ValueError, match="expected truths of 3 events, found 4"):
        TrainingEvents(found[1:], truths)


def test_events_can_be_sent_to_another_process(prepared: Path) -> None:
    found, truths = pickle.loads(pickle.dumps(open_events(prepared, "train")))
    same(found[2].cells, make_event(4)["cells"])
    same(truths[2].particles, make_event(4)["particles"])


def test_missing_damaged_and_shorter_files_are_named(prepared: Path) -> None:
    file = prepared / "train-cells.arrow"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"train-cells.arrow: content: expected a Feather v2 table"):
        open_events(prepared, "train")
    file.unlink()
    with pytest.raises(DataError, match=r"train-cells.arrow: file: .* no such file"):
        open_events(prepared, "train")
    shutil.copy(prepared / "test-cells.arrow", file)
    with pytest.raises(DataError, match=r"train-cells.arrow: events: expected 4, found 0"):
        open_events(prepared, "train")


def test_memory_does_not_grow_with_the_number_of_events(tmp_path: Path) -> None:
    peaks = []
    for count in (3, 24):
        tracemalloc.start()
        write_prepared_events(
            tmp_path / str(count), events(list(range(count)), None, 20_000), make_detectors()
        )
        for event in TrainingEvents(*open_events(tmp_path / str(count), "train")):
            assert len(event.hits) == 20_000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_real_event_is_prepared(real: Path, tmp_path: Path) -> None:
    data.prepare_data(real, tmp_path)
    found, truths = open_events(tmp_path, "test")
    assert found.event_ids.tolist() == [1]
    assert (len(found[0].hits), len(found[0].cells), len(found.shared)) == (5527, 18564, 18728)
    assert np.array_equal(found[0].hits["hit_id"], truths[0].truth["hit_id"])
    # Events 1001 and 1039 have no truth, event 1000 has particles alone.
    assert manifest(tmp_path)["info"]["left_out_without_truth"] == 3
