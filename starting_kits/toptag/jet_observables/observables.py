"""Observables of jets: mass with and without grooming, N-subjettiness, number and shares of constituents.

Constituents are kept one jet after the other, so that a sum over those of a jet is a `bincount` and no jet
needs padding. fastjet, which clusters many jets in one call, is used for what needs a clustering history.
"""

import warnings

import awkward as ak
import fastjet
import numpy as np

RADIUS = 0.8
MOST_AXES = 4
EXPONENTS = (0.5, 1.0, 2.0)
SOFT_DROP_CUT = 0.1
JETS_AT_ONCE = 20_000

NAMES = ["pt", "mass", "count", "dispersion", "width"]
NAMES += [f"tau{n}_{exponent}" for exponent in EXPONENTS for n in range(1, MOST_AXES + 1)]
NAMES += ["tau21", "tau32", "tau43", "soft_drop_mass", "soft_drop_share", "soft_drop_angle"]
NAMES += ["pair_mass_low", "pair_mass_middle", "pair_mass_high"]

# fastjet's banner would be printed in the middle of what the program prints.
fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)


def observables(jets):
    """Return the observables `NAMES` of `Jets`, shape (n, len(NAMES)); NaN where a jet is too small."""
    parts = [jets[i : i + JETS_AT_ONCE] for i in range(0, len(jets), JETS_AT_ONCE)]
    return np.concatenate([np.zeros((0, len(NAMES))), *(observables_of_part(part) for part in parts)])


def observables_of_part(jets):
    # Fewer constituents than axes cannot be clustered: trees know what to do with missing values.
    large = np.flatnonzero(jets.counts >= MOST_AXES)
    table = np.full((len(jets), len(NAMES)), np.nan)
    table[:, :3] = np.column_stack([jets.pt, jets.mass, jets.counts])
    if len(large):
        found = simple_observables(jets[large]) | clustered_observables(jets[large])
        table[large, 3:] = np.column_stack([found[name] for name in NAMES[3:]])
    return table


def flat(jets):
    """Return the number of the jet and the momentum of every constituent, shapes (m,) and (m, 4)."""
    p = jets.constituents[jets.offsets[0] : jets.offsets[-1]].astype(np.float64)
    return np.repeat(np.arange(len(jets)), jets.counts), p


def simple_observables(jets):
    """Return what needs no clustering: the pT dispersion sqrt(sum pT^2) / sum pT, and the girth."""
    jet, p = flat(jets)
    pt, y, phi = pt_y_phi(p)
    scalar = np.bincount(jet, pt)
    _, axis_y, axis_phi = pt_y_phi(jets.momentum)
    angle = np.hypot(y - axis_y[jet], turn(phi - axis_phi[jet]))
    return {
        "dispersion": np.sqrt(np.bincount(jet, pt**2)) / scalar,
        "width": np.bincount(jet, pt * angle) / scalar / RADIUS,
    }


def clustered_observables(jets):
    """Return N-subjettiness along kT axes, soft-drop observables, and masses of pairs of three subjets."""
    jet, p = flat(jets)
    pt, y, phi = pt_y_phi(p)
    columns = ak.zip(dict(zip(("px", "py", "pz", "E"), p[:, [1, 2, 3, 0]].T, strict=True)))
    particles = ak.unflatten(columns, jets.counts)
    # An axis along the harder of two branches, not their sum, does not move when soft radiation is added.
    axes = fastjet.ClusterSequence(
        particles, fastjet.JetDefinition(fastjet.kt_algorithm, 10.0, fastjet.WTA_pt_scheme)
    )
    result = {}
    for n in range(1, MOST_AXES + 1):
        _, axis_y, axis_phi = pt_y_phi(subjets(axes, n))
        angle = np.hypot(y[:, None] - axis_y[jet], turn(phi[:, None] - axis_phi[jet])).min(axis=1)
        for exponent in EXPONENTS:
            largest = np.bincount(jet, pt) * RADIUS**exponent
            result[f"tau{n}_{exponent}"] = np.bincount(jet, pt * angle**exponent) / largest
    for n in range(2, MOST_AXES + 1):
        # A jet may be no wider than rounding errors: then there is no ratio.
        below = result[f"tau{n - 1}_1.0"]
        result[f"tau{n}{n - 1}"] = result[f"tau{n}_1.0"] / np.where(below > 1e-9, below, np.nan)

    trees = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0))
    groomed = trees.exclusive_jets_softdrop_grooming(symmetry_cut=SOFT_DROP_CUT, beta=0.0, R0=RADIUS)
    result["soft_drop_mass"] = np.maximum(ak.to_numpy(groomed.msoftdrop), 0)
    result["soft_drop_share"] = ak.to_numpy(groomed.ptsoftdrop) / jets.pt
    result["soft_drop_angle"] = ak.to_numpy(groomed.deltaRsoftdrop)

    sums = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.kt_algorithm, 10.0))
    three = subjets(sums, 3)
    pairs = np.sort([mass(three[:, i] + three[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))], axis=0)
    result |= dict(zip(("pair_mass_low", "pair_mass_middle", "pair_mass_high"), pairs, strict=True))
    return result


def subjets(sequence, n):
    """Return momenta (E, px, py, pz) of n exclusive subjets of every jet, shape (jets, n, 4)."""
    with warnings.catch_warnings():
        # The wrapper warns of every algorithm, even of kT, for which exclusive jets are defined.
        warnings.simplefilter("ignore")
        found = sequence.exclusive_jets(n)
    columns = [ak.to_numpy(ak.flatten(found[name])) for name in ("E", "px", "py", "pz")]
    return np.stack(columns, axis=1).reshape(-1, n, 4)


def pt_y_phi(p):
    """Return transverse momentum, rapidity and azimuth of momenta of shape (..., 4)."""
    energy, px, py, pz = np.moveaxis(p, -1, 0)
    pt = np.hypot(px, py)
    # The energy as sqrt(m^2 + p^2), since rounding may have left it below |pz|.
    square = np.maximum(energy**2 - pt**2 - pz**2, 0)
    return pt, np.arcsinh(pz / np.sqrt(pt**2 + square)), np.arctan2(py, px)


def turn(angle):
    """Return an angle between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def mass(p):
    return np.sqrt(np.maximum(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1), 0))
