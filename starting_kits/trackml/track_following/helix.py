"""A helix that learns from hits: two small Kalman filters, one for the circle and one for the line.

In a field along z the path of a particle is a circle seen along the beam, and z grows linearly with the arc
length of that circle. So the helix at a point of its path is described by

* the circle: the point's distance from the true path, the direction phi, the curvature (> 0 turns left);
* the line: the point's z and its slope dz/ds, which is 1 / tan(polar angle).

The two have a covariance matrix each, 3 x 3 and 2 x 2. A hit measures the distance across the direction of
flight and z; matter between hits makes the direction less certain. Lengths in mm, angles in rad, momenta in
GeV. A real field is weaker far from the centre: `curvature` is what it would be in the nominal field, and
each step uses the relative field (see conditions.py) of its middle.
"""

from typing import NamedTuple

import numpy as np
from kernel import kernel

NOMINAL_FIELD = 2.0  # tesla, at the centre of the detector
PT_TIMES_CURVATURE = 0.3e-3 * NOMINAL_FIELD  # GeV / mm: transverse momentum = this / curvature there
SCATTERING = 0.0136  # GeV: Highland's constant
PION_MASS = 0.1396  # GeV: most particles are pions
LOSS_PER_RADIATION_LENGTH = 0.036  # GeV: of a minimum ionising particle in silicon
FIELD_DOUBT = 0.05  # of what the field differs from the nominal one, a step
CURVATURE_NOISE = 0.004  # relative, a layer: the field is not the same everywhere
FIELD_STEP = 250.0  # mm between the knots at which the field is known
STRAIGHTEST = 1e-8  # per mm: curvatures are kept this far from zero


class Helix(NamedTuple):
    """State of the two filters at one point of the path."""

    x: float
    y: float
    phi: float
    curvature: float
    z: float
    slope: float
    # covariance of (distance, phi, curvature): upper triangle
    dd: float
    dp: float
    dk: float
    pp: float
    pk: float
    kk: float
    # covariance of (z, slope)
    zz: float
    zs: float
    ss: float


@kernel
def start_helix(x, y, z, phi, curvature, slope, sigma_distance, sigma_z):
    """Return a helix at a point, sure of nothing but (within the sigmas given) the point itself."""
    kk = (1e-3 + abs(curvature)) ** 2
    return Helix(
        x, y, phi, keep_curved(curvature), z, slope,
        sigma_distance**2, 0.0, 0.0, 0.2, 0.0, kk,
        sigma_z**2, 0.0, 100.0,
    )  # fmt: skip


@kernel
def keep_curved(curvature):
    """Return the curvature, or the smallest one of its sign if there is practically none."""
    if abs(curvature) > STRAIGHTEST:
        return curvature
    return STRAIGHTEST if curvature >= 0 else -STRAIGHTEST


@kernel
def field_at(field, z, part=0):
    """Return the effective (part 0) or radial (part 1) relative field at z, between its knots."""
    place, last = abs(z) / FIELD_STEP, field.shape[1] - 1
    if not place < last:
        return field[part, last]
    knot = int(place)
    return field[part, knot] + (place - knot) * (field[part, knot + 1] - field[part, knot])


@kernel
def step_in_circle(curvature, s):
    """Return half of the angle and the chord of an arc of length s."""
    half = 0.5 * curvature * s
    return half, s * (1 - half * half / 6) if abs(half) < 1e-3 else 2 * np.sin(half) / curvature


@kernel
def move(h, s, field):
    """Return the helix an arc length s further on (back, if s is negative)."""
    relative = field_at(field, h.z + 0.5 * s * h.slope)
    half, chord = step_in_circle(h.curvature * relative, s)
    x, y = h.x + chord * np.cos(h.phi + half), h.y + chord * np.sin(h.phi + half)
    # The radial field turns the momentum from across the beam to along it, or back.
    aside = 0.5 * ((h.y + y) * np.cos(h.phi + half) - (h.x + x) * np.sin(h.phi + half))
    radial = field_at(field, h.z + 0.5 * s * h.slope, 1)
    steeper = -s * h.curvature * (radial if h.z > 0 else -radial) * aside
    a, b, c = s, 0.5 * s * s * relative, s * relative
    d0 = h.dd + a * h.dp + b * h.dk
    d1 = h.dp + a * h.pp + b * h.pk
    d2 = h.dk + a * h.pk + b * h.kk
    p1 = h.pp + c * h.pk
    doubt2 = (FIELD_DOUBT * (1 - relative) * h.curvature * s) ** 2
    p2 = h.pk + c * h.kk
    return Helix(
        x, y, h.phi + 2 * half, h.curvature * (1 + h.slope * steeper),
        h.z + s * (h.slope + 0.5 * steeper * (1 + h.slope**2)), h.slope + steeper * (1 + h.slope**2),
        d0 + a * d1 + b * d2 + 0.25 * s * s * doubt2, d1 + c * d2 + 0.5 * s * doubt2, d2,
        p1 + c * p2 + doubt2, p2, h.kk,
        h.zz + 2 * s * h.zs + s * s * h.ss, h.zs + s * h.ss, h.ss + doubt2 * h.slope**4,
    )  # fmt: skip


@kernel
def circle_of(h, relative):
    """Return, in a relative field: signed radius, distance of the centre from the beam, angle at the centre.

    The angle is the one from the beam line to the point where the helix is.
    """
    rho = 1 / keep_curved(h.curvature * relative)
    cx, cy = h.x - np.sin(h.phi) * rho, h.y + np.cos(h.phi) * rho
    now = np.arctan2(cy * h.x - cx * h.y, cx * cx + cy * cy - cx * h.x - cy * h.y)
    return rho, np.hypot(cx, cy), now


@kernel
def to_cylinder(circle, radius):
    """Return the arc length to where a circle of `circle_of` next crosses a radius, or -1 if never."""
    rho, distance, now = circle
    cosine = (distance**2 + rho**2 - radius**2) / (2 * distance * abs(rho) + 1e-30)
    if abs(cosine) > 1.0:
        return -1.0
    half_angle = np.arccos(cosine)
    sign = 1.0 if rho > 0 else -1.0
    first = sign * (half_angle - now)
    second = sign * (-half_angle - now)
    if first < 0:
        first += 2 * np.pi
    if second < 0:
        second += 2 * np.pi
    return abs(rho) * min(first % (2 * np.pi), second % (2 * np.pi))


@kernel
def to_disk(h, z):
    """Return the arc length to where the helix crosses a plane of fixed z, or -1 if that is behind it."""
    if h.slope == 0.0:
        return -1.0
    s = (z - h.z) / h.slope
    return s if s > 0 else -1.0


@kernel
def spread_of_hit(layers, layer, h):
    """Return the variances of a hit across the direction of flight and in z, as the helix h sees them."""
    radius = np.hypot(h.x, h.y)
    cosine = (h.x * np.cos(h.phi) + h.y * np.sin(h.phi)) / radius  # of the angle to the radial direction
    cosine2 = min(cosine * cosine, 1.0)
    u2, v2 = layers.sigma_u[layer] ** 2, layers.sigma_v[layer] ** 2
    if layers.is_disk[layer]:
        # A disk's hit is exact in z; its error along the flight counts as an error of z.
        return u2 * cosine2 + v2 * (1 - cosine2), h.slope**2 * (u2 * (1 - cosine2) + v2 * cosine2)
    return u2 * cosine2, v2 + h.slope**2 * u2 * (1 - cosine2)


@kernel
def distances(h, x, y, z, field):
    """Return how far a point lies along the flight, across it (left is positive) and in z from the helix."""
    cosine, sine = np.cos(h.phi), np.sin(h.phi)
    ahead = (x - h.x) * cosine + (y - h.y) * sine
    left = (y - h.y) * cosine - (x - h.x) * sine
    curvature = h.curvature * field_at(field, h.z)
    return ahead, left - 0.5 * curvature * (ahead * ahead + left * left), z - h.z - h.slope * ahead


@kernel
def learn(h, x, y, z, across2, z2, field):
    """Return the helix moved to a hit and corrected by it, and the chi-square of the hit."""
    ahead, _, _ = distances(h, x, y, z, field)
    h = move(h, ahead, field)
    _, left, up = distances(h, x, y, z, field)
    total = h.dd + across2
    g0, g1, g2 = h.dd / total, h.dp / total, h.dk / total
    line = h.zz + z2
    f0, f1 = h.zz / line, h.zs / line
    chi2 = left * left / total + up * up / line
    return Helix(
        h.x - np.sin(h.phi) * g0 * left, h.y + np.cos(h.phi) * g0 * left, h.phi + g1 * left,
        keep_curved(h.curvature + g2 * left), h.z + f0 * up, h.slope + f1 * up,
        h.dd - g0 * h.dd, h.dp - g0 * h.dp, h.dk - g0 * h.dk, h.pp - g1 * h.dp, h.pk - g1 * h.dk,
        h.kk - g2 * h.dk,
        h.zz - f0 * h.zz, h.zs - f0 * h.zs, h.ss - f1 * h.zs,
    ), chi2  # fmt: skip


@kernel
def scatter(h, layers, layer, outwards):
    """Return the helix behind a layer: less sure of its direction, with the energy that the layer took."""
    squared = 1 + h.slope**2
    momentum2 = (PT_TIMES_CURVATURE / h.curvature) ** 2 * squared
    momentum = np.sqrt(momentum2)
    over_beta2 = 1 + PION_MASS**2 / momentum2
    radius = np.hypot(h.x, h.y)
    cosine = abs(h.x * np.cos(h.phi) + h.y * np.sin(h.phi)) / radius
    slant = np.sqrt(squared) / max(abs(h.slope) if layers.is_disk[layer] else cosine, 0.1)
    matter = layers.material[layer] * slant
    angle2 = SCATTERING**2 / momentum2 * over_beta2 * matter
    loss = LOSS_PER_RADIATION_LENGTH * matter * over_beta2**1.5 / momentum
    curvature2 = h.curvature**2
    # Fast particles lose little, and slow ones must not be turned into nothing.
    grown = 1 + min(loss, 0.2)
    return Helix(
        h.x, h.y, h.phi, h.curvature * grown if outwards else h.curvature / grown, h.z, h.slope,
        h.dd, h.dp, h.dk, h.pp + angle2 * squared, h.pk,
        h.kk + curvature2 * (angle2 * h.slope**2 + CURVATURE_NOISE**2 + (0.3 * (grown - 1)) ** 2),
        h.zz, h.zs, h.ss + angle2 * squared**2,
    )  # fmt: skip


@kernel
def turned_round(h, inflate):
    """Return the helix flying back where it came from, with its certainty divided by `inflate`."""
    return Helix(
        h.x, h.y, h.phi + np.pi, -h.curvature, h.z, -h.slope,
        h.dd * inflate, 0.0, 0.0, h.pp * inflate, 0.0, h.kk * inflate,
        h.zz * inflate, 0.0, h.ss * inflate,
    )  # fmt: skip
