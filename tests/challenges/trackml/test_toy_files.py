"""Toy events on disk, as prepared folders and in the published format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hepchallenge.challenges.trackml.data import open_events
from hepchallenge.challenges.trackml.published import load_detectors, load_event
from hepchallenge.challenges.trackml.toy import detectors, make_toy_data, simulate_event, write_toy_files
from hepchallenge.challenges.trackml.toy.__main__ import main
from hepchallenge.challenges.trackml.toy.write import FIRST_EVENT
from hepchallenge.exceptions import UsageError


def test_prepared_toy_events_are_those_that_were_simulated(tmp_path: Path) -> None:
    make_toy_data(tmp_path, seed=4, n_events=4, n_hits=300)
    found = 0
    for part, expected in (("train", 3), ("test", 1)):
        events, truths = open_events(tmp_path, part)
        assert len(events) == expected
        for index, event_id in enumerate(events.event_ids.tolist()):
            toy = simulate_event(event_id, 4, n_hits=300)
            assert event_id >= FIRST_EVENT
            pd.testing.assert_frame_equal(events[index].hits, toy.hits)
            pd.testing.assert_frame_equal(events[index].cells, toy.cells)
            pd.testing.assert_frame_equal(truths[index].truth, toy.truth)
            found += 1
        pd.testing.assert_frame_equal(events.shared, detectors())
    assert found == 4


@pytest.mark.parametrize("compress", [False, True])
def test_files_are_in_the_published_format_and_say_toy(tmp_path: Path, compress: bool) -> None:
    files = write_toy_files(tmp_path / "new", events=1, hits=300, seed=2, compress=compress)
    assert {file.name.endswith(".gz") for file in files if file.name != "TOY.txt"} == {compress}
    assert "toy" in (tmp_path / "new" / "TOY.txt").read_text()
    toy = simulate_event(FIRST_EVENT, 2, n_hits=300)
    loaded = load_event(tmp_path / "new" / f"event{FIRST_EVENT}")
    for ours, theirs in zip(toy, loaded, strict=True):
        pd.testing.assert_frame_equal(ours, theirs[ours.columns], check_dtype=False)
    table = load_detectors(files[1])
    np.testing.assert_allclose(table["cx"], detectors()["cx"], rtol=1e-5)


def test_the_command_writes_events_without_cells_on_request(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path), "--events", "2", "--hits", "300", "--no-cells"])
    assert done.exit_code == 0, done.output
    assert "2 toy events" in done.output
    assert len(list(tmp_path.glob("event*-hits.csv"))) == 2
    assert not list(tmp_path.glob("*cells*"))


@pytest.mark.parametrize("option", ["--events=0", "--hits=99", "--seed=-1"])
def test_the_command_refuses_numbers_out_of_range(tmp_path: Path, option: str) -> None:
    done = CliRunner().invoke(main, [str(tmp_path / "out"), option])
    assert done.exit_code == 2
    assert "must" in done.output
    assert not (tmp_path / "out").exists()


def test_no_toy_data_of_impossible_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        make_toy_data(tmp_path, seed=0, n_events=0)
