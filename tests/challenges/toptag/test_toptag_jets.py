"""Jets without padding behave as the padded array that they stand for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.bundle import load_bundle, write_bundle
from hepchallenge.challenges.toptag.jets import Jets, flat_pt_weights


def some_jets(counts: list[int]) -> tuple[Jets, np.ndarray]:
    """Return jets and their padded array."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((count, 4), dtype=np.float32) + 1 for count in counts]
    padded = np.zeros((len(counts), 200, 4), dtype=np.float32)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
    return Jets.of(arrays), padded


COUNTS = st.lists(st.integers(0, 200), max_size=8)


@given(COUNTS, st.data())
def test_any_choice_of_rows_is_that_of_the_padded_array(counts: list[int], data: st.DataObject) -> None:
    jets, padded = some_jets(counts)
    n = len(counts)
    assert np.array_equal(np.asarray(jets), padded)
    rows = data.draw(st.lists(st.integers(-n, n - 1), max_size=12) if n else st.just([]))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    cut = data.draw(st.slices(n))
    for chosen in (np.array(rows, dtype=int), mask, cut):
        assert np.array_equal(jets[chosen].padded(), padded[chosen])


@given(COUNTS, st.integers(1, 220))
def test_padding_cuts_long_jets_and_fills_short_ones(counts: list[int], most: int) -> None:
    jets, padded = some_jets(counts)
    room = np.zeros((len(counts), 220, 4), dtype=np.float32)
    room[:, :200] = padded
    assert np.array_equal(jets.padded(most), room[:, :most])


def test_rows_of_a_part_pad_alike() -> None:
    jets, padded = some_jets([3, 0, 5, 2, 7])
    assert np.array_equal(jets[1:][[0, 3, 1]].padded(), padded[1:][[0, 3, 1]])


def test_one_jet_is_its_constituents() -> None:
    jets, padded = some_jets([3, 0, 5])
    assert np.array_equal(jets[-1], padded[2, :5])
    assert [len(jet) for jet in jets] == [3, 0, 5]
    with pytest.raises(IndexError):
        jets[3]


def test_neighbours_are_not_copied() -> None:
    jets, _ = some_jets([3, 4, 5, 6])
    assert np.shares_memory(jets[np.array([1, 2])].constituents, jets.constituents)
    assert not np.shares_memory(jets[np.array([1, 3])].constituents, jets.constituents)


def test_rows_follow_the_published_validation_set() -> None:
    jets, _ = some_jets([1, 2, 3])
    jets = Jets(jets.constituents, jets.offsets, np.array([False, True, True]))
    assert jets[[2, 0]].validation.tolist() == [True, False]
    assert jets[1:3].validation.tolist() == [True, True]


def test_jets_have_the_momentum_of_their_constituents() -> None:
    jets = Jets.of([[[5, 3, 4, 0]], [[2, 2, 0, 0], [1, 0, 0, 1]], []])
    assert jets.momentum.tolist() == [[5, 3, 4, 0], [3, 2, 0, 1], [0, 0, 0, 0]]
    assert jets.pt.tolist() == [5, 2, 0]
    assert jets.mass.tolist() == [0, 2, 0]
    assert jets[1:].mass.tolist() == [2, 0]


def test_momenta_of_many_jets_are_summed_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    jets, padded = some_jets([3, 0, 5, 2, 7])
    monkeypatch.setattr("hepchallenge.challenges.toptag.jets._BLOCK", 2)
    np.testing.assert_allclose(jets.momentum, padded.sum(axis=1, dtype=float))


def test_jets_travel_to_the_sandbox_as_they_are(tmp_path: object) -> None:
    jets, padded = some_jets([3, 0, 5])
    found = load_bundle(write_bundle(jets, tmp_path))  # type: ignore[arg-type]
    assert isinstance(found, Jets)
    assert np.array_equal(np.asarray(found), padded)
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(jets))), padded)


def test_flat_weights_give_both_classes_the_same_in_every_bin_of_pt() -> None:
    rng = np.random.default_rng(0)
    pt = np.concatenate([550 + 100 * rng.random(4000) ** 2, 550 + 100 * rng.random(4000), [700.0]])
    jets = Jets.of([[[p, p, 0, 0]] for p in pt])
    label = np.repeat([0, 1, 1], [4000, 4000, 1])
    weight = flat_pt_weights(jets, label)
    edges = np.linspace(550, 650, 51)
    sums = [np.histogram(jets.pt[label == k], edges, weights=weight[label == k])[0] for k in (0, 1)]
    np.testing.assert_allclose(sums, 80, rtol=1e-9)
    assert weight[-1] == 0
