"""Toy HiggsML events: simulated, never data, yet with the columns and the habits of the published file.

Four kinds of processes end in a hadronic tau, a lepton (electron or muon) and missing momentum:

* signal: H -> tau tau at 125 GeV from gluon fusion, vector-boson fusion and with a W or Z;
* Z -> tau tau, simulated apart for up to one jet, for two jets and for two jets of large mass, so that
  the rare topologies that look like the signal have many events of small weight, as in the published file;
* top pairs, with a true tau or a quark jet taken for one;
* W + jets, where a jet is taken for the tau.

Resonances decay in their rest frame (H and top isotropically, Z and the W of W + jets by 1 + cos^2) and are
boosted against the partons that they recoil from; taus share their momentum between visible part and
collinear neutrinos.
The "detector" smears the momenta, loses soft partons (so that the missing momentum has a resolution), adds
pile-up and applies the thresholds seen in the published file. All derived columns are then computed from the
*rounded* primitive ones, for signal and background alike, so that rounding tells nothing.

The numbers were tuned on quantiles of published events and on two published scores; they make a good
exercise and no prediction of any measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hepchallenge.challenges.higgsml.kinematics import (
    DERIVED_COLUMNS,
    MISSING,
    PRIMITIVE_COLUMNS,
    delta_r,
    derived,
    invariant_mass,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BACKGROUND_TOTAL",
    "COLUMNS",
    "DEFAULT_EVENTS",
    "MINIMUM_EVENTS",
    "SET_EVENTS",
    "SIGNAL_TOTAL",
    "generate",
    "visible_mass_estimate",
]

Floats = npt.NDArray[np.float64]

SIGNAL_TOTAL = 691.9886077135781
"""Expected signal events: the sum of ``Weight`` over the published file."""
BACKGROUND_TOTAL = 410999.84732187376
"""Expected background events: the sum of ``Weight`` over the published file."""
SET_EVENTS = {"t": 250_000, "b": 100_000, "v": 450_000, "u": 18_238}
"""Events of each ``KaggleSet`` in the published file: training, public, private, unused."""
SIGNAL_ROWS = 85_667 / 250_000
"""Fraction of signal rows, that of the published training set."""
DEFAULT_EVENTS = 150_000
MINIMUM_EVENTS = 200

COLUMNS = (
    "EventId",
    "DER_mass_MMC",
    *DERIVED_COLUMNS,
    *PRIMITIVE_COLUMNS,
    "Weight",
    "Label",
    "KaggleSet",
    "KaggleWeight",
)
"""The 35 columns of the published file, in its order."""

_FIRST_EVENT_ID = 100_000
_H_MASS, _Z_MASS, _W_MASS, _TOP_MASS = 125.0, 91.19, 80.4, 172.5
_Z_WIDTH, _W_WIDTH = 2.5, 2.1
_JET_PT, _JET_ETA = 30.0, 4.5
_SEEN_PT = 20.0  # partons below it hardly enter the measured missing momentum
_TAU_PT, _LEP_PT, _MAX_ETA = 20.0, 26.0, 2.5
_PARTONS = 5  # initial-state partons kept of any event
_UNSEEN_WIDTH = 8.0  # recoil, per axis, that no measured object carries


# --- four-momenta: arrays of shape (4, n), rows E, px, py, pz in GeV ---------------------------------------


def _momentum(pt: Floats, eta: Floats, phi: Floats, mass: float | Floats = 0.0) -> Floats:
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([np.sqrt(px * px + py * py + pz * pz + np.square(mass)), px, py, pz])


def _from_rapidity(px: Floats, py: Floats, rapidity: Floats, mass: float | Floats) -> Floats:
    transverse = np.sqrt(px * px + py * py + np.square(mass))
    return np.stack([transverse * np.cosh(rapidity), px, py, transverse * np.sinh(rapidity)])


def _boost(p: Floats, parent: Floats, mass: float | Floats) -> Floats:
    """Bring `p` from the rest frame of `parent` to the frame where `parent` is given."""
    along = p[1] * parent[1] + p[2] * parent[2] + p[3] * parent[3]
    shift = (along / (parent[0] + mass) + p[0]) / mass
    return np.stack([(p[0] * parent[0] + along) / mass, *(p[i] + shift * parent[i] for i in (1, 2, 3))])


def _decay(
    rng: np.random.Generator,
    parent: Floats,
    mass: float | Floats,
    heavy: float | Floats = 0.0,
    forward: bool = False,
) -> tuple[Floats, Floats]:
    """Decay `parent` into a particle of mass `heavy` and a massless one, isotropically or by 1 + cos^2."""
    n = parent.shape[1]
    cosine = rng.uniform(-1.0, 1.0, n)
    if forward:
        # The cubic c^3 + 3c = 8u - 4 inverts the distribution function of 1 + cos^2.
        half = 4.0 * rng.random(n) - 2.0
        root = np.cbrt(half + np.sqrt(half * half + 1.0))
        cosine = root - 1.0 / root
    azimuth = rng.uniform(-np.pi, np.pi, n)
    momentum = (np.square(mass) - np.square(heavy)) / (2.0 * mass)
    sine = np.sqrt(1.0 - cosine * cosine)
    direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine]) * momentum
    first = np.concatenate([np.sqrt(momentum**2 + np.square(heavy)) * np.ones((1, n)), direction])
    second = np.concatenate([momentum * np.ones((1, n)), -direction])
    return _boost(first, parent, mass), _boost(second, parent, mass)


def _pt(p: Floats) -> Floats:
    return np.asarray(np.hypot(p[1], p[2]))


def _eta(p: Floats) -> Floats:
    return np.asarray(np.arcsinh(p[3] / np.maximum(_pt(p), 1e-9)))


def _phi(p: Floats) -> Floats:
    return np.asarray(np.arctan2(p[2], p[1]))


def _resonance_mass(rng: np.random.Generator, n: int, mass: float, width: float) -> Floats:
    """Breit-Wigner masses within 25 widths, floor and ceiling like a generator's cuts."""
    reach = np.arctan(50.0)
    return mass + 0.5 * width * np.tan(rng.uniform(-reach, reach, n))


def _lepton_fraction(rng: np.random.Generator, n: int) -> Floats:
    """Momentum fraction x of the lepton in tau -> l nu nu: density (5 - 9 x^2 + 4 x^3) / 3."""
    grid = np.linspace(0.0, 1.0, 401)
    return np.interp(rng.random(n), (5.0 * grid - 3.0 * grid**3 + grid**4) / 3.0, grid)


def _hadron_fraction(rng: np.random.Generator, n: int) -> Floats:
    """Visible momentum fraction of a hadronic tau decay, averaged over its modes."""
    return rng.beta(2.6, 1.5, n)


# --- what a process hands to the detector ---------------------------------------------------------


@dataclass
class _Partons:
    """Quarks and gluons beside the taus, each array of shape (n, k); all zeros where there is none."""

    px: Floats
    py: Floats
    eta: Floats

    def joined_by(self, *momenta: Floats) -> _Partons:
        """Return these partons and further ones, given as four-momenta."""
        return _Partons(
            np.column_stack([self.px, *(p[1] for p in momenta)]),
            np.column_stack([self.py, *(p[2] for p in momenta)]),
            np.column_stack([self.eta, *(_eta(p) for p in momenta)]),
        )

    def recoil(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return (px, py) of what recoils against the partons and against radiation that is not resolved."""
        n = len(self.px)
        unseen_x, unseen_y = rng.normal(0.0, _UNSEEN_WIDTH, (2, n))
        return unseen_x - self.px.sum(axis=1), unseen_y - self.py.sum(axis=1)


@dataclass
class _Events:
    """Truth of n events: visible tau, lepton, partons, and the weight inside a process.

    Neutrinos need no entry: whatever balances tau, lepton and partons was carried off by them.
    """

    tau: Floats
    lep: Floats
    partons: _Partons
    weight: Floats


def _radiation(
    rng: np.random.Generator, n: int, mean: float, power: float, spread: float, lowest: float = 10.0
) -> _Partons:
    """Initial-state partons: Poisson number, power-law pt from `lowest` GeV, normal pseudorapidity."""
    present = np.arange(_PARTONS) < np.minimum(rng.poisson(mean, n), _PARTONS)[:, None]
    some = int(present.sum())
    pt = np.minimum(lowest * np.exp(rng.standard_exponential(some) / power), 600.0)
    phi = rng.uniform(-np.pi, np.pi, some)
    partons = _Partons(*np.zeros((3, n, _PARTONS)))
    partons.px[present] = pt * np.cos(phi)
    partons.py[present] = pt * np.sin(phi)
    partons.eta[present] = rng.normal(0.0, spread, some)
    return partons


def _ditau(
    rng: np.random.Generator,
    boson: Floats,
    mass: float | Floats,
    partons: _Partons,
    spin: int,
) -> _Events:
    """Decay a resonance to a hadronic and a leptonic tau."""
    n = boson.shape[1]
    tau, lep = _decay(rng, boson, mass, forward=spin == 1)
    return _Events(_hadron_fraction(rng, n) * tau, _lepton_fraction(rng, n) * lep, partons, np.ones(n))


def _gluon_fusion(rng: np.random.Generator, n: int) -> _Events:
    partons = _radiation(rng, n, 2.6, 1.8, 1.9)
    higgs = _from_rapidity(*partons.recoil(rng), rng.normal(0.0, 1.3, n), _H_MASS)
    return _ditau(rng, higgs, _H_MASS, partons, 0)


def _boson_fusion(rng: np.random.Generator, n: int) -> _Events:
    side = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    tags = [
        _momentum(
            8.0 + rng.gamma(1.9, 28.0, n),
            sign * side * rng.normal(2.2, 1.1, n),
            rng.uniform(-np.pi, np.pi, n),
        )
        for sign in (1.0, -1.0)
    ]
    partons = _radiation(rng, n, 1.0, 1.9, 2.0).joined_by(*tags)
    higgs = _from_rapidity(*partons.recoil(rng), rng.normal(0.0, 0.9, n), _H_MASS)
    return _ditau(rng, higgs, _H_MASS, partons, 0)


def _with_boson(mass: float, width: float, invisible: float) -> Callable[[np.random.Generator, int], _Events]:
    """Return the generator of H with a W or Z, which decays to quarks or, now and then, invisibly."""

    def simulate(rng: np.random.Generator, n: int) -> _Events:
        isr = _radiation(rng, n, 1.5, 1.8, 1.9)
        other_pt = rng.gamma(2.2, 34.0, n)
        phi = rng.uniform(-np.pi, np.pi, n)
        bx, by = other_pt * np.cos(phi), other_pt * np.sin(phi)
        masses = _resonance_mass(rng, n, mass, width)
        boson = _from_rapidity(bx, by, rng.normal(0.0, 1.0, n), masses)
        first, second = _decay(rng, boson, masses)
        unseen = rng.random(n) < invisible
        rx, ry = isr.recoil(rng)
        higgs = _from_rapidity(rx - bx, ry - by, rng.normal(0.0, 1.3, n), _H_MASS)
        return _ditau(rng, higgs, _H_MASS, isr.joined_by(first * ~unseen, second * ~unseen), 0)

    return simulate


def _z_to_taus(
    mean: float, power: float, spread: float, lowest: float
) -> Callable[[np.random.Generator, int], _Events]:
    """Return the generator of Z -> tau tau with the given radiation."""

    def simulate(rng: np.random.Generator, n: int) -> _Events:
        partons = _radiation(rng, n, mean, power, spread, lowest)
        masses = _resonance_mass(rng, n, _Z_MASS, _Z_WIDTH)
        boson = _from_rapidity(*partons.recoil(rng), rng.normal(0.0, 1.6, n), masses)
        return _ditau(rng, boson, masses, partons, 1)

    return simulate


def _top_pair(rng: np.random.Generator, n: int) -> _Events:
    isr = _radiation(rng, n, 1.5, 1.8, 1.8)
    rx, ry = isr.recoil(rng)
    pt, phi = rng.gamma(2.2, 48.0, n), rng.uniform(-np.pi, np.pi, n)
    tx, ty = pt * np.cos(phi), pt * np.sin(phi)
    middle = rng.normal(0.0, 0.8, n)
    gap = rng.normal(0.0, 0.6, n)
    top = _from_rapidity(0.5 * rx + tx, 0.5 * ry + ty, middle + gap, _TOP_MASS)
    antitop = _from_rapidity(0.5 * rx - tx, 0.5 * ry - ty, middle - gap, _TOP_MASS)
    w_one, bottom = _decay(rng, top, _TOP_MASS, _W_MASS)
    w_two, antibottom = _decay(rng, antitop, _TOP_MASS, _W_MASS)
    lep, _ = _decay(rng, w_one, _W_MASS)
    one, two = _decay(rng, w_two, _W_MASS)
    # The second W gives a tau and its neutrino, or two quarks, one of which passes for a tau.
    true = rng.random(n) < 0.65
    tau = one * np.where(true, _hadron_fraction(rng, n), rng.beta(5.0, 1.5, n))
    partons = isr.joined_by(bottom, antibottom, two * ~true)
    return _Events(tau, lep, partons, np.ones(n))


def _w_jets(rng: np.random.Generator, n: int) -> _Events:
    partons = _radiation(rng, n, 2.6, 1.9, 1.8)
    masses = _resonance_mass(rng, n, _W_MASS, _W_WIDTH)
    rapidity = rng.normal(0.0, 1.6, n)
    # The jet that passes for a tau: simulated with a hard spectrum and weighted down to the rate of fakes.
    fake_pt = 18.0 + rng.exponential(11.0, n)
    fake = _momentum(fake_pt, 0.5 * rapidity + rng.normal(0.0, 1.15, n), rng.uniform(-np.pi, np.pi, n))
    rx, ry = partons.recoil(rng)
    w = _from_rapidity(rx - fake[1], ry - fake[2], rapidity, masses)
    lep, _ = _decay(rng, w, masses, forward=True)
    weight = np.exp(0.25 * rng.standard_normal(n)) * np.clip(30.0 / fake_pt, 0.25, 1.5)
    return _Events(fake, lep, partons, weight)


def _any(jets: Floats, mass: Floats) -> npt.NDArray[np.bool_]:
    return np.ones(len(jets), dtype=bool)


def _at_most_one_jet(jets: Floats, mass: Floats) -> npt.NDArray[np.bool_]:
    return jets <= 1


def _two_jets(jets: Floats, mass: Floats) -> npt.NDArray[np.bool_]:
    return (jets >= 2) & (mass < 300.0)


def _two_jets_of_large_mass(jets: Floats, mass: Floats) -> npt.NDArray[np.bool_]:
    return (jets >= 2) & (mass >= 300.0)


@dataclass(frozen=True)
class _Process:
    """One simulated sample.

    `share` is its fraction of the rows of its class, `weight` the mean weight of a row in units common to the
    class; `keep` takes the number of jets and the mass of the leading two and says which events to accept.
    """

    name: str
    signal: bool
    share: float
    weight: float
    simulate: Callable[[np.random.Generator, int], _Events]
    keep: Callable[[Floats, Floats], npt.NDArray[np.bool_]] = _any


_PROCESSES = (
    _Process("ggH", True, 0.382, 5.72, _gluon_fusion),
    _Process("VBF", True, 0.441, 0.461, _boson_fusion),
    _Process("WH", True, 0.092, 0.815, _with_boson(_W_MASS, _W_WIDTH, 0.32)),
    _Process("ZH", True, 0.085, 0.4605, _with_boson(_Z_MASS, _Z_WIDTH, 0.27)),
    _Process("Ztautau_01j", False, 0.15, 512.0, _z_to_taus(3.4, 2.3, 1.9, 10.0), _at_most_one_jet),
    _Process("Ztautau_2j", False, 0.09, 94.0, _z_to_taus(3.2, 2.9, 1.9, 22.0), _two_jets),
    _Process(
        "Ztautau_2j_high_mass", False, 0.09, 22.0, _z_to_taus(3.2, 2.5, 2.5, 25.0), _two_jets_of_large_mass
    ),
    _Process("ttbar", False, 0.07, 227.0, _top_pair),
    _Process("Wjets", False, 0.60, 1100.0, _w_jets),
)


# --- detector -------------------------------------------------------------------------------------


def _measure(rng: np.random.Generator, events: _Events, process: _Process) -> dict[str, Floats]:
    """Smear, find the jets, apply the thresholds: unrounded primitive columns of the accepted events."""
    near = (_pt(events.tau) > 16.0) & (_pt(events.lep) > 23.0)
    tau, lep = events.tau[:, near], events.lep[:, near]
    px, py, eta = (a[near] for a in (events.partons.px, events.partons.py, events.partons.eta))
    parton_pt = np.hypot(px, py)
    n = tau.shape[1]
    tau_pt = _pt(tau) * rng.normal(1.0, 0.06, n)
    lep_pt = _pt(lep) * rng.normal(1.0, 0.015, n)
    tau_eta, tau_phi, lep_eta, lep_phi = _eta(tau), _phi(tau), _eta(lep), _phi(lep)
    noise = rng.standard_normal(parton_pt.shape) * np.sqrt(0.55 / np.maximum(parton_pt, 8.0) + 0.0025)
    response = np.clip(1.0 + noise, 0.2, None)
    seen = parton_pt * response
    jet = (seen > _JET_PT) & (np.abs(eta) < _JET_ETA)
    response *= np.where(seen > _SEEN_PT, 1.0, 0.1) * (np.abs(eta) < 4.9)

    # Missing momentum balances all that is measured: hard objects, jets and a soft term with pile-up.
    soft = rng.gamma(1.6, 33.0, n)
    noise_x, noise_y = 0.4 * np.sqrt(soft) * rng.standard_normal((2, n))
    met_x = noise_x - (response * px).sum(axis=1) - tau_pt * np.cos(tau_phi) - lep_pt * np.cos(lep_phi)
    met_y = noise_y - (response * py).sum(axis=1) - tau_pt * np.sin(tau_phi) - lep_pt * np.sin(lep_phi)

    order = np.argsort(np.where(jet, -seen, 0.0), axis=1, kind="stable")[:, :2]
    rows = np.arange(n)[:, None]
    top_pt, top_eta = seen[rows, order], eta[rows, order]
    top_phi = np.arctan2(py[rows, order], px[rows, order])
    count = jet.sum(axis=1).astype(np.float64)
    mass = invariant_mass(*(a[:, i] for i in (0, 1) for a in (top_pt, top_eta, top_phi)))
    accepted = (
        (tau_pt > _TAU_PT) & (lep_pt > _LEP_PT)
        & (np.abs(tau_eta) < _MAX_ETA) & (np.abs(lep_eta) < _MAX_ETA)
        & (delta_r(tau_eta, tau_phi, lep_eta, lep_phi) > 0.3)
        & process.keep(count, mass)
    )  # fmt: skip
    columns = {
        "PRI_tau_pt": tau_pt,
        "PRI_tau_eta": tau_eta,
        "PRI_tau_phi": tau_phi,
        "PRI_lep_pt": lep_pt,
        "PRI_lep_eta": lep_eta,
        "PRI_lep_phi": lep_phi,
        "PRI_met": np.hypot(met_x, met_y),
        "PRI_met_phi": np.arctan2(met_y, met_x),
        "PRI_met_sumet": 0.85 * (tau_pt + lep_pt) + (response * parton_pt).sum(axis=1) + soft,
        "PRI_jet_num": np.minimum(count, 3.0),
        "PRI_jet_leading_pt": np.where(count >= 1, top_pt[:, 0], MISSING),
        "PRI_jet_leading_eta": np.where(count >= 1, top_eta[:, 0], MISSING),
        "PRI_jet_leading_phi": np.where(count >= 1, top_phi[:, 0], MISSING),
        "PRI_jet_subleading_pt": np.where(count >= 2, top_pt[:, 1], MISSING),
        "PRI_jet_subleading_eta": np.where(count >= 2, top_eta[:, 1], MISSING),
        "PRI_jet_subleading_phi": np.where(count >= 2, top_phi[:, 1], MISSING),
        "PRI_jet_all_pt": np.where(jet, seen, 0.0).sum(axis=1),
        "weight": events.weight[near],
    }
    return {name: values[accepted] for name, values in columns.items()}


def _sample(rng: np.random.Generator, process: _Process, wanted: int) -> dict[str, Floats]:
    """Simulate until `wanted` events of a process are accepted."""
    parts: list[dict[str, Floats]] = []
    found, efficiency = 0, 0.05
    while found < wanted:
        trials = int(min(max(1.1 * (wanted - found) / efficiency, 2_000), 100_000))
        parts.append(_measure(rng, process.simulate(rng, trials), process))
        accepted = len(parts[-1]["weight"])
        found += accepted
        efficiency = max(accepted / trials, 1e-3)
    return {name: np.concatenate([part[name] for part in parts])[:wanted] for name in parts[0]}


# --- the mass estimate ----------------------------------------------------------------------------

_POINTS = 16  # of the grid, along each of two axes
_MET_WIDTH = 13.0  # assumed resolution of the missing momentum per axis, GeV
_WORST_FIT = 14.0  # chi square above which there is no estimate
_MASS_SCALE = 0.945  # brings the H and Z peaks to their published places
_MASS_SMEARING = 0.03  # relative, with the tails of Student's t for three degrees of freedom


def _quantile_points(density: Floats, grid: Floats) -> Floats:
    """Return points that cut a density into `_POINTS` parts of equal content, each at its middle."""
    content = np.cumsum(density)
    middle = (np.arange(_POINTS) + 0.5) / _POINTS
    return np.interp(middle, content / content[-1], grid)


def visible_mass_estimate(columns: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Estimate the mass of the tau pair from the visible momenta and the missing one.

    The neutrinos are taken as collinear to their taus. Over a grid of the two visible momentum
    fractions, whose points are equally probable beforehand, each hypothesis is weighted by how well its
    neutrinos explain the missing momentum; the estimate is the weighted mean of the logarithm of the
    mass. It is a poor relation of the experiments' "missing mass calculator", and it takes signal and
    background alike.

    Parameters
    ----------
    columns : dict of str to ndarray
        The primitive columns of tau, lepton and missing momentum, and ``DER_mass_vis``, shape (n,).

    Returns
    -------
    mass : ndarray
        Mass in GeV, shape (n,), float64.
    misfit : ndarray
        Chi square of the best hypothesis (two degrees of freedom), shape (n,); large where no tau pair
        explains the missing momentum.
    """
    grid = (np.arange(2000) + 0.5) / 2000
    tau_points = _quantile_points(grid**1.6 * (1.0 - grid) ** 0.5, grid)
    lep_points = _quantile_points((5.0 - 9.0 * grid**2 + 4.0 * grid**3) * (grid > 0.05), grid)
    tau_x = columns["PRI_tau_pt"] * np.cos(columns["PRI_tau_phi"]) / _MET_WIDTH
    tau_y = columns["PRI_tau_pt"] * np.sin(columns["PRI_tau_phi"]) / _MET_WIDTH
    lep_x = columns["PRI_lep_pt"] * np.cos(columns["PRI_lep_phi"]) / _MET_WIDTH
    lep_y = columns["PRI_lep_pt"] * np.sin(columns["PRI_lep_phi"]) / _MET_WIDTH
    met_x = columns["PRI_met"] * np.cos(columns["PRI_met_phi"]) / _MET_WIDTH
    met_y = columns["PRI_met"] * np.sin(columns["PRI_met_phi"]) / _MET_WIDTH
    total, mean = np.full(len(tau_x), 1e-300), np.zeros(len(tau_x))
    misfit = np.full(len(tau_x), np.inf)
    for x_tau in tau_points:
        rest_x = met_x - (1.0 / x_tau - 1.0) * tau_x
        rest_y = met_y - (1.0 / x_tau - 1.0) * tau_y
        for x_lep in lep_points:
            share = 1.0 / x_lep - 1.0
            chi2 = np.square(rest_x - share * lep_x) + np.square(rest_y - share * lep_y)
            np.minimum(misfit, chi2, out=misfit)
            weight = np.exp(-0.5 * chi2)
            total += weight
            mean += weight * (-0.5 * np.log(x_tau * x_lep))
    return columns["DER_mass_vis"] * np.exp(mean / total) * _MASS_SCALE, misfit


# --- the file -------------------------------------------------------------------------------------


def _split(n: int, shares: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Split n into whole numbers in the given proportions (largest remainders get the rest)."""
    exact = n * np.asarray(shares, dtype=np.float64) / np.sum(shares)
    whole = np.floor(exact).astype(np.int64)
    rest = np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]
    whole[rest] += 1
    return np.asarray(whole)


def _rounded(values: Floats) -> Floats:
    return np.round(values, 3) + 0.0  # the sum turns -0.0 into 0.0


def generate(n_events: int = DEFAULT_EVENTS, seed: int = 0) -> pd.DataFrame:
    """Simulate toy events in the format of ``atlas-higgs-challenge-2014-v2.csv``.

    Parameters
    ----------
    n_events : int
        Rows of all four ``KaggleSet`` together, at least `MINIMUM_EVENTS`. Sets and classes have
        the proportions of the published file (``t`` 30.6 %, ``b`` 12.2 %, ``v`` 55.0 %, ``u`` 2.2 %;
        signal 34.3 %).
    seed : int
        Seed of numpy's PCG64; the same seed and number of events give the same table.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`: GeV and radians to three decimals, `MISSING` where the published
        file has it, ``Label`` "s" or "b". ``Weight`` sums to `SIGNAL_TOTAL` and `BACKGROUND_TOTAL`
        over the table, ``KaggleWeight`` does so within each ``KaggleSet``. Signal weights take one value
        per production process, as in the published file: they tell the label and are no feature.

    Raises
    ------
    ValueError
        When `n_events` is smaller than `MINIMUM_EVENTS`.
    """
    return _generate(n_events, seed)[0]


def _generate(n_events: int, seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.str_]]:
    """Return the table of `generate` and the name of each row's process."""
    import pandas as pd

    if n_events < MINIMUM_EVENTS:
        raise ValueError(f"n_events must be at least {MINIMUM_EVENTS}, found {n_events}")
    rng = np.random.Generator(np.random.PCG64(seed))
    n_signal = round(SIGNAL_ROWS * n_events)
    parts: list[dict[str, Floats]] = []
    origins: list[npt.NDArray[np.str_]] = []
    for signal, rows in ((True, n_signal), (False, n_events - n_signal)):
        processes = [process for process in _PROCESSES if process.signal is signal]
        for process, wanted in zip(processes, _split(rows, [p.share for p in processes]), strict=True):
            part = _sample(rng, process, int(wanted))
            part["weight"] = part["weight"] * (process.weight / max(part["weight"].mean(), 1e-300))
            parts.append(part)
            origins.append(np.full(int(wanted), process.name))
    shuffled = rng.permutation(n_events)
    columns = {name: np.concatenate([part[name] for part in parts])[shuffled] for name in parts[0]}
    weight = columns.pop("weight")
    is_signal = shuffled < n_signal

    columns = {name: _rounded(values) for name, values in columns.items()}
    columns.update({name: _rounded(values) for name, values in derived(columns).items()})
    mass, misfit = visible_mass_estimate(columns)
    mass = mass * np.exp(_MASS_SMEARING * rng.standard_t(3.0, n_events))
    columns["DER_mass_MMC"] = np.where(misfit > _WORST_FIT, MISSING, _rounded(mass))

    sizes = _split(n_events, list(SET_EVENTS.values()))
    sets = np.repeat(np.array(list(SET_EVENTS)), sizes)
    tested = slice(sizes[0], n_events - sizes[3])  # public and private rows are mixed, as published
    sets[tested] = rng.permutation(sets[tested])
    kaggle_weight = np.zeros(n_events)
    for label, total in ((True, SIGNAL_TOTAL), (False, BACKGROUND_TOTAL)):
        rows_of_label = is_signal == label
        weight[rows_of_label] *= total / weight[rows_of_label].sum()
        for name in SET_EVENTS:
            chosen = rows_of_label & (sets == name)
            kaggle_weight[chosen] = weight[chosen] * (total / max(weight[chosen].sum(), 1e-300))
    table: dict[str, npt.NDArray[np.generic]] = {
        "EventId": np.arange(_FIRST_EVENT_ID, _FIRST_EVENT_ID + n_events),
        **columns,
        "PRI_jet_num": columns["PRI_jet_num"].astype(np.int64),
        "Weight": weight,
        "Label": np.where(is_signal, "s", "b").astype(object),
        "KaggleSet": sets.astype(object),
        "KaggleWeight": kaggle_weight,
    }
    return pd.DataFrame({name: table[name] for name in COLUMNS}), np.concatenate(origins)[shuffled]
