"""Toy events: the format of the published ones, honest physics, and their habits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.trackml.published import SCHEMAS
from hepchallenge.challenges.trackml.toy import ToyEvent, detectors, simulate_event
from hepchallenge.challenges.trackml.toy.geometry import COLUMNS
from hepchallenge.challenges.trackml.toy.propagation import Physics, helix_points

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "trackml"
PIXELS = (7, 8, 9)
BARREL = (8, 13, 17)
NO_MATTER = Physics(scattering=False, energy_loss=False, interactions=False)


@pytest.fixture(scope="module")
def event() -> ToyEvent:
    return simulate_event(7, 1, n_hits=6000)


@pytest.fixture(scope="module")
def known(event: ToyEvent) -> pd.DataFrame:
    """Hits of particles, with their module, particle and local coordinates."""
    return _joined(event)


def _joined(event: ToyEvent) -> pd.DataFrame:
    table = event.hits.merge(event.truth, on="hit_id").merge(event.particles, on="particle_id")
    table = table.merge(detectors(), on=["volume_id", "layer_id", "module_id"])
    rotation = table[COLUMNS[6:15]].to_numpy().reshape(-1, 3, 3)
    centre = table[["cx", "cy", "cz"]].to_numpy()
    for prefix in ("", "t"):
        point = table[[prefix + axis for axis in "xyz"]].to_numpy(np.float64)
        local = np.einsum("nij,ni->nj", rotation, point - centre)
        table[[prefix + axis for axis in "uvw"]] = local
    momentum = table[["tpx", "tpy", "tpz"]].to_numpy(np.float64)
    table[["pu", "pv", "pw"]] = np.einsum("nij,ni->nj", rotation, momentum)
    return table


def _pt(table: pd.DataFrame) -> np.ndarray:
    return np.hypot(table["px"], table["py"]).to_numpy()


# --- Tables


def test_seed_and_event_id_determine_an_event(event: ToyEvent) -> None:
    simulate_event(8, 1, n_hits=300)
    for ours, again in zip(event, simulate_event(7, 1, n_hits=6000), strict=True):
        pd.testing.assert_frame_equal(ours, again, check_exact=True)


@pytest.mark.parametrize(("event_id", "seed"), [(8, 1), (7, 2)])
def test_another_seed_or_id_gives_another_event(event: ToyEvent, event_id: int, seed: int) -> None:
    other = simulate_event(event_id, seed, n_hits=6000)
    assert not np.isin(other.hits["x"], event.hits["x"]).mean() > 0.01


def test_tables_have_the_published_columns_and_types(event: ToyEvent) -> None:
    for name, schema in SCHEMAS.items():
        table = getattr(event, name)
        assert list(table.columns) == list(schema.columns), name
        assert [str(t) for t in table.dtypes] == [
            str(t.to_pandas_dtype()().dtype) for t in schema.columns.values()
        ]


def test_hits_are_numbered_from_one_in_the_order_of_modules(event: ToyEvent) -> None:
    hits = event.hits
    assert hits["hit_id"].tolist() == list(range(1, len(hits) + 1))
    assert event.truth["hit_id"].tolist() == hits["hit_id"].tolist()
    module = hits[["volume_id", "layer_id", "module_id"]]
    pd.testing.assert_frame_equal(module, module.sort_values(list(module.columns), kind="stable"))


def test_order_within_a_module_does_not_tell_particles_from_noise() -> None:
    event = simulate_event(3, 1, n_hits=20_000, cells=False)
    module = event.hits[["volume_id", "layer_id", "module_id"]]
    noise = (event.truth["particle_id"] == 0).to_numpy()
    following = (module.iloc[1:].to_numpy() == module.iloc[:-1].to_numpy()).all(axis=1)
    mixed = following & (noise[1:] != noise[:-1])
    after, before = (mixed & noise[1:]).sum(), (mixed & noise[:-1]).sum()
    assert abs(after - before) < 5 * np.sqrt(after + before)


def test_particle_ids_are_unique_and_tell_secondaries(event: ToyEvent) -> None:
    ids = event.particles["particle_id"].to_numpy()
    assert len(np.unique(ids)) == len(ids)
    assert (ids > 0).all()
    generation, secondary, process = (ids >> 24) & 0xFFF, (ids >> 12) & 0xFFF, ids & 0xFFF
    assert ((generation > 0) == (secondary > 0)).all()
    assert ((generation > 0) == (process > 0)).all()
    radius = np.hypot(event.particles["vx"], event.particles["vy"])
    assert 0.1 < (generation > 0).mean() < 0.35
    assert radius[generation > 0].min() > 18
    assert np.median(radius[generation == 0]) < 0.05


def test_nhits_counts_the_hits_of_the_truth(event: ToyEvent) -> None:
    counts = event.truth["particle_id"].value_counts()
    expected = counts.reindex(event.particles["particle_id"], fill_value=0)
    assert event.particles["nhits"].tolist() == expected.tolist()
    assert set(event.truth["particle_id"]) - set(event.particles["particle_id"]) == {0}


def test_weights_sum_to_one_and_noise_has_none(event: ToyEvent) -> None:
    truth = event.truth
    assert truth["weight"].to_numpy().sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    noise = truth["particle_id"] == 0
    assert 0.1 < noise.mean() < 0.3
    assert (truth["weight"][noise] == 0).all()
    momentum = np.linalg.norm(truth.loc[noise, ["tpx", "tpy", "tpz"]], axis=1)
    np.testing.assert_allclose(momentum, 1e6, rtol=1e-5)


def test_events_without_cells_have_the_same_hits(event: ToyEvent) -> None:
    bare = simulate_event(7, 1, n_hits=6000, cells=False)
    assert len(bare.cells) == 0
    assert bare.cells.dtypes.equals(event.cells.dtypes)
    pd.testing.assert_frame_equal(bare.hits, event.hits)


@pytest.mark.parametrize("n_hits", [1000, 30_000])
def test_events_have_about_as_many_hits_as_asked_for(n_hits: int) -> None:
    counts = [len(simulate_event(i, 0, n_hits=n_hits, cells=False).hits) for i in range(3)]
    assert np.mean(counts) == pytest.approx(n_hits, rel=0.25)


@pytest.mark.parametrize(("event_id", "seed", "n_hits"), [(-1, 0, 500), (0, -1, 500), (0, 0, 99)])
def test_numbers_out_of_range_are_refused(event_id: int, seed: int, n_hits: int) -> None:
    with pytest.raises(ValueError, match="must"):
        simulate_event(event_id, seed, n_hits=n_hits)


# --- Physics


def test_without_matter_hits_lie_on_helices_of_the_right_curvature() -> None:
    table = _joined(simulate_event(0, 0, n_hits=6000, physics=NO_MATTER, cells=False))
    table = table[_pt(table) < 5]  # where float32 still tells the radius to a few micrometres
    charge, pt = table["q"].to_numpy(), _pt(table)
    # pT [GeV] = 0.3 B [T] R [m], clockwise for positive particles
    radius = pt / (0.299792458 * 2.0) * 1000
    cx = table["vx"] + charge * radius * table["py"] / pt
    cy = table["vy"] - charge * radius * table["px"] / pt
    assert np.abs(np.hypot(table["tx"] - cx, table["ty"] - cy) - radius).max() < 0.02
    start = np.arctan2(table["vy"] - cy, table["vx"] - cx)
    end = np.arctan2(table["ty"] - cy, table["tx"] - cx)
    turned = np.mod(-charge * (end - start), 2 * np.pi)
    assert turned.max() < np.pi + 0.3
    z = table["vz"] + table["pz"] / pt * radius * turned
    assert np.abs(z - table["tz"]).max() < 0.05
    np.testing.assert_allclose(np.hypot(table["tpx"], table["tpy"]), pt, rtol=1e-5)


def test_matter_scatters_slows_and_makes_secondaries() -> None:
    def moved(physics: Physics) -> tuple[float, float, int]:
        event = simulate_event(0, 0, n_hits=2000, physics=physics, cells=False)
        table = _joined(event)
        before = np.linalg.norm(table[["px", "py", "pz"]], axis=1)
        after = np.linalg.norm(table[["tpx", "tpy", "tpz"]], axis=1)
        tilt = np.abs(table["tpz"] / after - table["pz"] / before).max()
        secondaries = ((event.particles["particle_id"].to_numpy() >> 24) & 0xFFF != 0).sum()
        return float((1 - after / before).max()), float(tilt), int(secondaries)

    loss, tilt, secondaries = moved(NO_MATTER)
    assert (loss < 1e-6, tilt < 1e-6, secondaries) == (True, True, 0)
    assert moved(Physics(scattering=False, interactions=False))[0] > 0.01
    assert moved(Physics(energy_loss=False, interactions=False))[1] > 0.01
    assert moved(Physics(energy_loss=False, scattering=False))[2] > 0


def test_particles_never_gain_energy(known: pd.DataFrame) -> None:
    produced = np.linalg.norm(known[["px", "py", "pz"]].to_numpy(np.float64), axis=1)
    at_hit = np.linalg.norm(known[["pu", "pv", "pw"]], axis=1)
    assert (at_hit <= produced * (1 + 1e-6)).all()
    # Farther out, less is left.
    path = np.linalg.norm(known[["tx", "ty", "tz"]].to_numpy() - known[["vx", "vy", "vz"]].to_numpy(), axis=1)
    lost = produced - at_hit
    assert np.median(lost[path > 500]) > np.median(lost[path < 100]) > 0


def test_particles_that_are_too_soft_leave_no_hits(event: ToyEvent) -> None:
    soft = _pt(event.particles) < 0.15
    assert soft.sum() > 10
    assert (event.particles["nhits"][soft] == 0).all()
    assert _pt(event.particles).min() > 0.0999


@given(
    pt=st.floats(0.1, 100),
    angle=st.floats(-3, 3),
    pz=st.floats(-50, 50),
    charge=st.sampled_from([-1, 1]),
    path=st.floats(-2000, 2000),
)
def test_helices_lead_back_to_where_they_began(
    pt: float, angle: float, pz: float, charge: int, path: float
) -> None:
    position = np.array([[10.0, -20.0, 30.0]])
    momentum = np.array([[pt * np.cos(angle), pt * np.sin(angle), pz]])
    charges = np.array([charge])
    there = helix_points(position, momentum, charges, np.array([path]))
    back, turned = helix_points(*there, charges, np.array([-path]))
    np.testing.assert_allclose(back, position, atol=1e-7)
    np.testing.assert_allclose(turned, momentum, atol=1e-9)


# --- Measurement


def test_hits_lie_in_the_plane_and_within_the_borders_of_their_modules(known: pd.DataFrame) -> None:
    for u, v, w in (("u", "v", "w"), ("tu", "tv", "tw")):
        half = (
            known["module_minhu"]
            + (known["module_maxhu"] - known["module_minhu"]) * (known[v] / known["module_hv"] + 1) / 2
        )
        assert (known[w].abs() < 1e-3).all()
        # A strip may reach over the slanted edge of a trapezoid.
        assert (known[u].abs() <= half + known["pitch_u"] + 0.1).all()
        assert (known[v].abs() <= known["module_hv"] + 1e-3).all()


def test_measured_positions_differ_from_the_truth_by_fractions_of_the_pitch(known: pd.DataFrame) -> None:
    du, dv = (known["u"] - known["tu"]) / known["pitch_u"], (known["v"] - known["tv"]) / known["pitch_v"]
    assert 0.1 < du.std() < 0.35
    assert 0.1 < dv.std() < 0.35
    assert abs(du.mean()) < 0.02
    assert abs(dv.mean()) < 0.02


def test_cells_lie_around_the_hit_and_as_far_apart_as_its_direction_says(
    event: ToyEvent, known: pd.DataFrame
) -> None:
    assert set(event.cells["hit_id"]) == set(event.hits["hit_id"])
    assert event.cells["hit_id"].is_monotonic_increasing
    assert not event.cells.duplicated(["hit_id", "ch0", "ch1"]).any()
    cells = event.cells.groupby("hit_id")[["ch0", "ch1"]].agg(["min", "max"])
    table = known.merge(
        pd.DataFrame({f"{name}_{what}": cells[name, what] for name, what in cells.columns}), on="hit_id"
    )
    depth = table["module_t"] * np.where(table["volume_id"].isin(BARREL), 1, 2)
    for axis, channel, half in (("u", "ch0", "module_maxhu"), ("v", "ch1", "module_hv")):
        pitch = table[f"pitch_{axis}"]
        low, high = table[f"{channel}_min"], table[f"{channel}_max"]
        assert (low >= 0).all()
        assert (high < np.rint(2 * table[half] / pitch)).all()
        inside = (table[axis] + table[half]) / pitch
        assert ((inside > low - 1e-2) & (inside < high + 1 + 1e-2)).all()
        slope = (table[f"p{axis}"] / table["pw"]).abs()
        reach = slope * depth / pitch
        whole = (low > 0) & (high < np.rint(2 * table[half] / pitch) - 1) & (slope < 10)
        assert ((high - low)[whole] - reach[whole]).abs().max() <= 1.0 + 1e-3


def test_pixels_share_out_the_length_of_the_path_and_strips_say_yes(
    event: ToyEvent, known: pd.DataFrame
) -> None:
    total = event.cells.groupby("hit_id")["value"].sum().rename("total")
    table = known.merge(total, on="hit_id")
    pixel = table["volume_id"].isin(PIXELS)
    slope2 = (table["pu"] ** 2 + table["pv"] ** 2) / table["pw"] ** 2
    depth = table["module_t"] * np.where(table["volume_id"].isin(BARREL), 1, 2)
    ratio = (table["total"] / (depth * np.sqrt(1 + slope2)))[pixel & (slope2 < 100)]
    assert ratio.median() == pytest.approx(1, abs=0.02)
    assert ratio.quantile(0.9) < 1.2
    volume = event.hits["volume_id"].to_numpy()[event.cells["hit_id"] - 1]
    assert (event.cells["value"][~np.isin(volume, PIXELS)] == 1).all()


# --- Habits of the published events


def test_counts_are_near_those_of_published_events() -> None:
    train = REAL / "kaggle_train"
    if not train.is_dir():
        pytest.skip(f"no published events at {train}")
    hits = pd.concat([pd.read_csv(train / f"event00000{e}-hits.csv.gz") for e in (1001, 1039)])
    particles = pd.concat([pd.read_csv(train / f"event00000{e}-particles.csv.gz") for e in (1001, 1039)])
    toy = simulate_event(0, 0, n_hits=60_000, cells=False)

    def shares(table: pd.DataFrame) -> pd.Series:
        return table.groupby(["volume_id", "layer_id"]).size() / len(table)

    ours, theirs = shares(toy.hits), shares(hits)
    assert ours.index.equals(theirs.index)
    assert (ours - theirs).abs().max() < 0.01
    assert ((ours / theirs) - 1).abs().max() < 0.4
    for chosen in (lambda n: n == 0, lambda n: n >= 4, lambda n: n >= 12):
        assert chosen(toy.particles["nhits"]).mean() == pytest.approx(
            chosen(particles["nhits"]).mean(), abs=0.04
        )
    assert toy.particles["nhits"].mean() == pytest.approx(particles["nhits"].mean(), rel=0.08)
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(_pt(toy.particles), share) == pytest.approx(
            np.quantile(_pt(particles), share), rel=0.1
        )


def test_steep_tracks_leave_no_hits_in_the_barrel(known: pd.DataFrame) -> None:
    """In the published events neither do tracks of |eta| > 3."""
    steep = np.abs(np.arcsinh(known["tpz"] / np.hypot(known["tpx"], known["tpy"]))) > 3
    assert steep.sum() > 100
    assert not known["volume_id"][steep].isin(BARREL).any()


def test_neighbouring_modules_overlap_at_the_published_rate(known: pd.DataFrame) -> None:
    part = REAL / "event000000001"
    if not part.is_dir():
        pytest.skip(f"no published truth at {part}")
    tables = [pd.read_csv(part / f"event000000001-{name}.csv.gz") for name in ("hits", "truth")]
    published = tables[0].merge(tables[1], on="hit_id")
    published = published[published["particle_id"] != 0]

    def per_layer(table: pd.DataFrame) -> pd.Series:
        counts = table.groupby(["particle_id", "volume_id", "layer_id"]).size()
        return counts.groupby("volume_id").mean()

    np.testing.assert_allclose(per_layer(known), per_layer(published), atol=0.15)
