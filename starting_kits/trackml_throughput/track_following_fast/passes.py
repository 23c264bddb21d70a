"""The passes over an event: the pairs of layers that start tracks, and the cuts; the surest first.

A pair (i, j) stands for all layers that straight tracks from the beam meet as their i-th and j-th, counted
from 0.
This kit is the track follower of the accuracy phase with fewer passes: most of the time would go into tracks
that start far from the beam line, and few of them count.
"""

from following import Cuts

PIXELS = ((0, 1), (0, 2), (1, 2))
INNER = ((0, 1), (1, 2), (2, 3), (3, 4))
FAST = Cuts(
    pt_min=0.2,
    beam_radius=0.05,
    beam_length=0.0,
    window=4.5,
    chi2_hit=20.0,
    chi2_overlap=60.0,
    holes=2,
    hole_cost=7.0,
    shortest=5,
    evidence=30.0,
)
SLOW = FAST._replace(pt_min=0.15, beam_radius=0.1, shortest=4, evidence=18.0)
NEAR = SLOW._replace(pt_min=0.2, beam_radius=3.0, beam_length=8.0, evidence=12.0)

PASSES = (
    (((0, 1),), FAST),
    (PIXELS, SLOW),
    (INNER, NEAR),
)
