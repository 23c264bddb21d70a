"""Gates: checks on extra samples that a submission must pass before it is scored.

A gate's sample has the columns of the test inputs. It is predicted together with everything else, in one
shuffled stream of rows, so that a submission cannot tell what a row is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from hepchallenge.exceptions import ContractError
from hepchallenge.records import BAGGED_PARTS, PARTS
from hepchallenge.scoring.gates import GateResult

__all__ = ["Gate", "check_gates"]


class Gate(Protocol):
    """One entry of `gates` in `problem.py`.

    Where a challenge takes prediction files, a gate also has `get_ids(path)`: the ids of its rows, different
    from those of the test rows, which a file has to hold as well.

    Attributes
    ----------
    name : str
        What it is called in records; not the name of a part.
    """

    name: str

    def get_data(self, path: str) -> tuple[Any, Any]:
        """Return the sample's inputs, with the columns of the test inputs, and its truth."""

    def check(self, prediction: NDArray[Any], truth: Any) -> GateResult:
        """Return statistic, threshold and whether the prediction passes: the statistic is smaller."""


def check_gates(file: Path, gates: Any) -> tuple[Gate, ...]:
    """Check `gates` of a `problem.py`.

    Raises
    ------
    ContractError
        If it is no list, or a gate lacks a name, a method, or has a name that is taken.
    """
    if not isinstance(gates, list | tuple):
        raise ContractError(file, "gates", "a list of gates", f"{type(gates).__name__} {gates!r}"[:100])
    taken = {*PARTS, *BAGGED_PARTS, "stream"}
    for index, gate in enumerate(gates):
        where = f"gates[{index}]"
        name = getattr(gate, "name", None)
        if not isinstance(name, str) or not name.isidentifier():
            raise ContractError(
                file, f"{where}.name", "a name made of letters, digits and _", repr(name)[:80]
            )
        if name in taken:
            raise ContractError(file, f"{where}.name", "a name of its own", repr(name))
        taken.add(name)
        for method in ("get_data", "check"):
            if not callable(getattr(gate, method, None)):
                expected = f"a gate with a method {method}"
                raise ContractError(file, f"{where}.{method}", expected, type(gate).__name__)
    return tuple(gates)
