"""Jets as submissions get them: constituents one jet after the other, padded with zeros on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.scoring.toptag import flat_weights

__all__ = ["MAX_CONSTITUENTS", "JetTable", "Jets", "flat_pt_weights"]

MAX_CONSTITUENTS = 200
"""Most constituents that a jet has; the published tables have room for as many."""

_PT_EDGES = np.linspace(550, 650, 51)
_BLOCK = 50_000


class JetTable(NamedTuple):
    """Some jets as they are read or simulated, with labels.

    `constituents` has shape (m, 4), those of one jet after the other; `counts`, how many belong to each,
    `is_signal` and `truth`, the momentum of the top or zeros, have one row a jet.
    """

    constituents: NDArray[np.float32]
    counts: NDArray[np.int64]
    is_signal: NDArray[np.int8]
    truth: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Jets:
    """Many jets, each a list of constituents with four-momenta.

    It stands for the array of shape (n, 200, 4) that the published tables hold, float32, E, px, py, pz in
    GeV, constituents by falling pT and zeros after the last. Most of that array is zeros, so that only the
    constituents are kept: a quarter of the memory, mapped from disk and read when it is used. `np.asarray`
    gives the whole array, `padded` a part of it.

    Parameters
    ----------
    constituents : array of float32, shape (m, 4)
        Of all jets, one after the other.
    offsets : array of int64, shape (n + 1,)
        Jet i has the rows offsets[i] to offsets[i + 1] of `constituents`.
    validation : array of bool, shape (n,)
        Which jets are of the published validation set.

    Examples
    --------
    >>> jets = Jets.of([[[5, 3, 4, 0]], [[2, 2, 0, 0], [1, 0, 1, 0]]])
    >>> len(jets), jets.shape, jets.counts.tolist()
    (2, (2, 200, 4), [1, 2])
    >>> jets[1].tolist()
    [[2.0, 2.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]
    >>> jets[[1, 0]].padded(1).tolist()
    [[[2.0, 2.0, 0.0, 0.0]], [[5.0, 3.0, 4.0, 0.0]]]
    """

    constituents: NDArray[np.float32]
    offsets: NDArray[np.int64]
    validation: NDArray[np.bool_]

    @classmethod
    def of(cls, jets: Any) -> Jets:
        """Return jets from a sequence of their constituents, none of the validation set."""
        arrays = [np.asarray(jet, dtype=np.float32).reshape(-1, 4) for jet in jets]
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int64)
        flat = np.concatenate([np.zeros((0, 4), np.float32), *arrays])
        return cls(flat, offsets, np.zeros(len(arrays), dtype=bool))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the padded array."""
        return (len(self), MAX_CONSTITUENTS, 4)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the padded array."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Dimensions of the padded array."""
        return 3

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of constituents of every jet, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def has_constituents(self) -> bool:
        """Whether there are any; there are none where only labels were published."""
        return bool(self.offsets[-1] > self.offsets[0])

    def __getitem__(self, rows: Any) -> Any:
        """Return the constituents of one jet, shape (k, 4), or for several rows the `Jets` of these.

        Rows are chosen as of any array: by a slice, by numbers, or by one boolean a jet.

        Raises
        ------
        IndexError
            If there is no such jet.
        """
        if isinstance(rows, int | np.integer):
            row = range(len(self))[int(rows)]
            return self.constituents[self.offsets[row] : self.offsets[row + 1]]
        chosen = np.arange(len(self))[rows]
        if chosen.ndim != 1:
            raise IndexError(f"jets are chosen by one index, found one of shape {chosen.shape}")
        if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1 and bool((np.diff(chosen) == 1).all()):
            # Neighbours stay where they are, mapped from disk.
            first, last = int(chosen[0]), int(chosen[-1]) + 1
            return Jets(self.constituents, self.offsets[first : last + 1], self.validation[first:last])
        counts = self.counts[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], counts)
        return Jets(self.constituents[source], offsets, self.validation[chosen])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[row] for row in range(len(self)))

    def padded(self, n_constituents: int = MAX_CONSTITUENTS) -> NDArray[np.float32]:
        """Return the first constituents of every jet and zeros after them, shape (n, n_constituents, 4)."""
        kept = np.minimum(self.counts, n_constituents)
        result = np.zeros((len(self), n_constituents, 4), dtype=np.float32)
        inside = np.arange(n_constituents) < kept[:, None]
        starts = np.repeat(self.offsets[:-1], kept)
        rank = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
        result[inside] = self.constituents[starts + rank]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the padded array of all jets, 3 200 bytes a jet."""
        if copy is False:
            raise ValueError("the padded array is not kept, so that it has to be made")
        padded = self.padded()
        return padded if dtype is None else padded.astype(dtype, copy=False)

    @property
    def momentum(self) -> NDArray[np.float64]:
        """Summed four-momentum of every jet, shape (n, 4): E, px, py, pz in GeV."""
        result = np.zeros((len(self), 4))
        for first in range(0, len(self), _BLOCK):
            offsets = self.offsets[first : first + _BLOCK + 1]
            values = self.constituents[offsets[0] : offsets[-1]].astype(np.float64)
            jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            for i in range(4):
                result[first : first + _BLOCK, i] = np.bincount(jet, values[:, i], len(offsets) - 1)
        return result

    @property
    def pt(self) -> NDArray[np.float64]:
        """Transverse momentum of every jet in GeV, shape (n,)."""
        momentum = self.momentum
        pt: NDArray[np.float64] = np.hypot(momentum[:, 1], momentum[:, 2])
        return pt

    @property
    def mass(self) -> NDArray[np.float64]:
        """Invariant mass of every jet in GeV, shape (n,); 0 where rounding makes its square negative."""
        momentum = self.momentum
        square = momentum[:, 0] ** 2 - (momentum[:, 1:] ** 2).sum(axis=1)
        mass: NDArray[np.float64] = np.sqrt(np.maximum(square, 0))
        return mass


def flat_pt_weights(jets: Jets, is_signal: ArrayLike) -> NDArray[np.float64]:
    """Return weights with which both classes are flat in the jets' pT, in 50 bins from 550 to 650 GeV.

    An option for training, so that nothing is learnt from the small difference of the pT spectra.

    Parameters
    ----------
    jets : Jets
    is_signal : array of bool or of 0 and 1, shape (n,)

    Returns
    -------
    array of float64, shape (n,)
        See `hepchallenge.scoring.toptag.flat_weights`. Zero outside the range: a few published jets are.

    Raises
    ------
    ValueError
        If no bin holds both classes, or there is not one label a jet.
    """
    return flat_weights(jets.pt, is_signal, _PT_EDGES)
