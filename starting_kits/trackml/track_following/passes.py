"""The passes over an event: the pairs of layers that start tracks, and the cuts; the surest first.

A pair (i, j) stands for all layers that straight tracks from the beam meet as their i-th and j-th, counted
from 0.
"""

from following import Cuts

PIXELS = ((0, 1), (0, 2), (1, 2))
INNER = ((0, 1), (1, 2), (2, 3))
OUTER = ((2, 3), (3, 4), (4, 5), (5, 6), (6, 7))
FAST = Cuts(
    pt_min=0.25,
    beam_radius=0.05,
    beam_length=0.0,
    window=4.5,
    chi2_hit=25.0,
    chi2_overlap=60.0,
    holes=2,
    hole_cost=7.0,
    shortest=5,
    evidence=30.0,
)
SLOW = FAST._replace(pt_min=0.12, beam_radius=0.1, shortest=4, evidence=18.0)
NEAR = SLOW._replace(beam_radius=2.0, beam_length=3.0, evidence=8.0)
DISPLACED = NEAR._replace(pt_min=0.15, beam_radius=6.0, beam_length=20.0)
LATE = DISPLACED._replace(beam_radius=50.0, beam_length=150.0, shortest=3)

PASSES = (
    (((0, 1),), FAST),
    (PIXELS, SLOW),
    (INNER, NEAR),
    (INNER, DISPLACED),
    (OUTER, LATE),
)
