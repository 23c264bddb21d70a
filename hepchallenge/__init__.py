"""Run, score and rank machine-learning challenges of particle physics with the labels out of reach.

`hepchallenge.score(challenge, submissions, data=...)` does what the command `hepchallenge score` does and
returns its record as typed objects. Importing this package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepchallenge._version import __version__

if TYPE_CHECKING:
    from hepchallenge.pipeline import score
    from hepchallenge.rescoring import rescore

__all__ = ["__version__", "rescore", "score"]


def __getattr__(name: str) -> Any:
    if name == "score":
        from hepchallenge.pipeline import score

        return score
    if name == "rescore":
        from hepchallenge.rescoring import rescore

        return rescore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
