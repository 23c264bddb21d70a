"""Observables of jets: transverse momentum, mass, number of constituents, and N-subjettiness.

Constituents are kept one jet after the other, so that a sum over those of a jet is a `bincount` and no jet
needs padding. fastjet clusters many jets in one call.
"""

import warnings

import awkward as ak
import fastjet
import numpy as np

RADIUS = 0.8
MOST_AXES = 4
EXPONENTS = (0.5, 1.0, 2.0)
JETS_AT_ONCE = 20_000

NAMES = ["pt", "mass", "count"]
NAMES += [f"tau{n}_{exponent}" for exponent in EXPONENTS for n in range(1, MOST_AXES + 1)]
NAMES += ["tau21", "tau32", "tau43"]

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
        found = subjettiness(jets[large])
        table[large, 3:] = np.column_stack([found[name] for name in NAMES[3:]])
    return table


def subjettiness(jets):
    """Return N-subjettiness about kT axes for every exponent, and ratios of neighbours for exponent 1."""
    jet = np.repeat(np.arange(len(jets)), jets.counts)
    p = jets.constituents[jets.offsets[0] : jets.offsets[-1]].astype(np.float64)
    pt, y, phi = pt_y_phi(p)
    columns = ak.zip(dict(zip(("px", "py", "pz", "E"), p[:, [1, 2, 3, 0]].T, strict=True)))
    # An axis along the harder of two branches, not their sum, does not move when soft radiation is added.
    axes = fastjet.ClusterSequence(
        ak.unflatten(columns, jets.counts),
        fastjet.JetDefinition(fastjet.kt_algorithm, 10.0, fastjet.WTA_pt_scheme),
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
