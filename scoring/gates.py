"""What a gate says: a test that a submission has to pass before its score counts."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GateResult"]


@dataclass(frozen=True)
class GateResult:
    """The outcome of one gate.

    Attributes
    ----------
    name : str
        Of the gate.
    statistic, threshold : float
        What was measured, and what it was compared with.
    passed : bool
        Whether the submission may be scored. A gate with an upper limit passes strictly below it.
    """

    name: str
    statistic: float
    threshold: float
    passed: bool

    @classmethod
    def below(cls, name: str, statistic: float, threshold: float) -> GateResult:
        """Return the outcome of a gate that passes if the statistic is less than the threshold.

        A statistic equal to the threshold, or one that is NaN, does not pass.
        """
        return cls(name, statistic, threshold, statistic < threshold)
