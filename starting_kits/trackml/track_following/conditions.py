"""What the modules do not tell, the magnetic field and the beam: measured with training events.

A particle of transverse momentum pt turns by q * 0.3e-3 * B * s / pt on an arc of s mm. In training events
the momentum is known at every hit, so each two neighbouring hits of a particle measure B between them.
Measured is an effective field: where the field changes along z it has a radial part too, B_r = -(r / 2)
dB_z/dz, which bends tracks that come from the centre as B_z does, so that they feel B_z + (z / 2) dB_z/dz.
"""

import numpy as np
from helix import FIELD_STEP, NOMINAL_FIELD

KNOTS = 13
NOMINAL_BEAM = 55.0  # mm along the beam: spread of the points where particles come from
FROM_BEAM = 1.0  # mm: particles that start closer to the beam line belong to it
MIN_PAIRS = 10  # of hits around a knot; else its field is interpolated
MIN_POINTS = 30  # where particles start; with fewer, the beam is taken to be as wide as the nominal one
SHORTEST_ARC = 20.0  # mm


def measure_field(events):
    """Return, at |z| = 0, 1, 2 ... times FIELD_STEP, the effective field and the radial field.

    Both are relative to the nominal field, the radial one also to the radius in mm. Without events: a
    uniform field.
    """
    pairs = [field_of_pairs(event) for event in events]
    knots = FIELD_STEP * np.arange(KNOTS)
    field = np.array([np.ones(KNOTS), np.zeros(KNOTS)])
    z, strength = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0))
    near = [np.abs(z - knot) < FIELD_STEP / 2 for knot in knots]
    near = [rows for rows in near if np.count_nonzero(rows) >= MIN_PAIRS]
    if near:
        middles, strengths = ([np.median(values[rows]) for rows in near] for values in (z, strength))
        field[0] = np.interp(knots, middles, strengths) / NOMINAL_FIELD
        field[1] = radial_field(knots, field[0])
    return field


def radial_field(knots, effective):
    """Return B_r / r from the effective field: B_z is 2 / z^2 times the integral of z * effective."""
    fine = np.linspace(0.0, knots[-1], 3001)
    felt = np.interp(fine, knots, effective)
    area = np.concatenate([[0.0], np.cumsum(np.diff(fine) * 0.5 * ((fine * felt)[1:] + (fine * felt)[:-1]))])
    along = 2 * np.interp(knots[1:], fine, area) / knots[1:] ** 2
    return np.concatenate([[0.0], (along - effective[1:]) / knots[1:]])


def field_of_pairs(event):
    """Return |z| and the field [T] between hits that follow each other on a particle, shape (2, pairs)."""
    charge = event.particles[["particle_id", "q"]]
    truth = event.truth[event.truth["particle_id"] != 0].merge(charge, on="particle_id")
    along = np.hypot(truth["tx"], truth["ty"]) + np.abs(truth["tz"])
    truth = truth.iloc[np.lexsort((along, truth["particle_id"]))]
    first, second = truth.iloc[:-1], truth.iloc[1:]
    pt = [np.hypot(one["tpx"].to_numpy(), one["tpy"].to_numpy()) for one in (first, second)]
    phi = [np.arctan2(one["tpy"].to_numpy(), one["tpx"].to_numpy()) for one in (first, second)]
    turned = (phi[1] - phi[0] + np.pi) % (2 * np.pi) - np.pi
    step = {name: second[name].to_numpy() - first[name].to_numpy() for name in ("particle_id", "tx", "ty")}
    arc = np.hypot(step["tx"], step["ty"]) / np.sinc(turned / (2 * np.pi))
    z = 0.5 * np.abs(first["tz"].to_numpy() + second["tz"].to_numpy())
    good = (step["particle_id"] == 0) & (arc > SHORTEST_ARC) & (first["q"].to_numpy() != 0) & (pt[0] > 0)
    strength = (
        -turned[good] * 0.5 * (pt[0] + pt[1])[good] / (0.3e-3 * first["q"].to_numpy()[good] * arc[good])
    )
    return np.array([z[good], strength])


def measure_beam(events):
    """Return the spread [mm] along the beam of where particles start: half of the points' middle 68 %."""
    points = []
    for particles in (event.particles for event in events):
        z = particles["vz"].to_numpy()[np.hypot(particles["vx"], particles["vy"]) < FROM_BEAM]
        points.append(np.unique(np.round(z, 2)))  # many particles start at one point
    points = np.concatenate(points) if points else np.zeros(0)
    if len(points) < MIN_POINTS:
        return NOMINAL_BEAM
    low, high = np.quantile(points, [0.16, 0.84])
    # The fewer points, the less sure the spread, and tracks outside of it would be missed.
    return 0.5 * float(high - low) * (1 + 2 / np.sqrt(len(points)))
