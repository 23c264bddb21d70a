"""Run, score and rank machine-learning challenges of particle physics with the labels out of reach."""

from hepchallenge._version import __version__

__all__ = ["__version__"]
