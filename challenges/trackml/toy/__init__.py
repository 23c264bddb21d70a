"""Toy TrackML events: simulated, never data, in the layout of the real detector.

A top pair and minimum-bias collisions make particles (`particles`), which follow helices through the layers
of the detector (`geometry`), scatter, lose energy and interact (`propagation`), and leave hits, cells and
noise (`measurement`); `event` makes tables of them. Nothing here is a prediction of any measurement: the
numbers were tuned on published events to make a good exercise. `docs/trackml_toy.md` compares the two.
"""

from hepchallenge.challenges.trackml.toy.event import ToyEvent, simulate_event
from hepchallenge.challenges.trackml.toy.geometry import detectors
from hepchallenge.challenges.trackml.toy.write import make_toy_data, write_toy_files

__all__ = ["ToyEvent", "detectors", "make_toy_data", "simulate_event", "write_toy_files"]
