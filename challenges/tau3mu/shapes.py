"""Shapes of LHCb's background, in numbers few enough to be written down: quantiles and correlations.

Of every quantity of `coordinates.COORDINATES`, eleven quantiles; of all together, the correlations of their
normal scores, as eight common factors. Both were learned from the published correlation sample, and

    python -m hepchallenge.challenges.tau3mu.shapes check_correlation.csv

prints the two tables below again. No row of the sample can be got back from them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.tau3mu.coordinates import COORDINATES, coordinates_of

__all__ = ["NODES", "Shapes", "learn", "learned", "to_text"]

Floats = NDArray[np.float64]

NODES = np.array([-3.2, -2.3, -1.6, -1.0, -0.5, 0.0, 0.5, 1.0, 1.6, 2.3, 3.2])
"""Where quantiles are kept, in standard deviations of a normal distribution."""

_FACTORS = 8


class Shapes:
    """Quantiles and correlations of quantities that are normal once each is mapped on its own (a copula).

    Parameters
    ----------
    quantiles : mapping of str to array of shape (11,)
        Values at `NODES`, rising.
    loadings : mapping of str to array of shape (8,)
        Correlation of each quantity with the common factors.
    """

    def __init__(self, quantiles: Mapping[str, Floats], loadings: Mapping[str, Floats]) -> None:
        self.quantiles = dict(quantiles)
        self.loadings = dict(loadings)
        self.names = tuple(quantiles)
        common = np.array([loadings[name] for name in self.names])
        self.correlation: Floats = common @ common.T
        np.fill_diagonal(self.correlation, 1.0)

    def scores(self, name: str, values: Floats) -> Floats:
        """Return the normal scores, within -3.2 and 3.2, of values of a quantity that is not a count."""
        scale = np.log if COORDINATES[name] == "log" else np.asarray
        return np.asarray(np.interp(scale(values), scale(self.quantiles[name]), NODES))

    def values(self, name: str, scores: Floats) -> Floats:
        """Return the values that belong to normal scores; scores beyond 3.2 give the outermost quantile."""
        table = self.quantiles[name]
        if COORDINATES[name] == "log":
            return np.asarray(np.exp(np.interp(scores, NODES, np.log(table))))
        drawn = np.interp(scores, NODES, table)
        return np.floor(drawn) if COORDINATES[name] == "count" else drawn

    def conditional(self, wanted: tuple[str, ...], given: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Return the regression of scores on others and the Cholesky factor of what it leaves.

        Returns
        -------
        array of shape (len(wanted), len(given)), array of shape (len(wanted), len(wanted))
        """
        rows = [self.names.index(name) for name in wanted]
        columns = [self.names.index(name) for name in given]
        cross = self.correlation[np.ix_(rows, columns)]
        slope = np.linalg.solve(self.correlation[np.ix_(columns, columns)], cross.T).T
        left = self.correlation[np.ix_(rows, rows)] - slope @ cross.T
        return np.asarray(slope), np.asarray(np.linalg.cholesky(left))


def learn(columns: Mapping[str, Floats], seed: int = 0) -> Shapes:
    """Learn the shapes of a sample that has the published columns and `mass`.

    Counts are spread evenly up to the next whole number first, so that their quantiles differ; `seed` is that
    of the spread.
    """
    from scipy.special import ndtr, ndtri
    from scipy.stats import rankdata

    rng = np.random.default_rng(seed)
    quantiles, scores = {}, []
    for name, values in coordinates_of(columns).items():
        spread = values + rng.random(values.size) if COORDINATES[name] == "count" else values
        quantiles[name] = np.quantile(spread, ndtr(NODES))
        scores.append(ndtri(rankdata(spread) / (spread.size + 1)))
    common = _common_factors(np.corrcoef(scores))
    return Shapes(quantiles, dict(zip(quantiles, common, strict=True)))


def _common_factors(correlation: Floats) -> Floats:
    """Return the loadings, shape (n, 8), whose product is nearest to the correlations off the diagonal."""
    reduced = correlation.copy()
    shared = np.full(len(correlation), 0.5)
    for _ in range(200):
        np.fill_diagonal(reduced, shared)
        size, direction = np.linalg.eigh(reduced)
        common = direction[:, -_FACTORS:] * np.sqrt(np.maximum(size[-_FACTORS:], 0.0))
        # A quantity that the factors explain fully would leave no room for itself.
        shared = np.minimum(np.square(common).sum(axis=1), 0.98)
    common *= np.sqrt(shared / np.square(common).sum(axis=1))[:, np.newaxis]
    return np.asarray(common[:, ::-1] * np.where(common[:, ::-1].sum(axis=0) < 0, -1.0, 1.0))


def to_text(table: Mapping[str, Floats], digits: int) -> str:
    """Return one line per quantity: its name, then its numbers with so many significant digits."""
    width = max(map(len, table))
    lines = []
    for name, row in table.items():
        numbers = (np.format_float_positional(v, digits, fractional=False, trim="-") for v in row)
        lines.append(f"{name:{width}} {' '.join(numbers)}")
    return "\n".join(lines)


def _from_text(text: str) -> dict[str, Floats]:
    rows = (line.split() for line in text.strip().splitlines())
    return {name: np.array(numbers, dtype=np.float64) for name, *numbers in rows}


@cache
def learned() -> Shapes:
    """Return the shapes that were learned from the published correlation sample."""
    return Shapes(_from_text(_QUANTILES), _from_text(_LOADINGS))


_QUANTILES = """
pt                  500 1010 1480 2200 2950 3950 5230 7070 10400 16300 29400
eta                 2.08 2.24 2.47 2.75 3.08 3.41 3.74 4.06 4.39 4.75 5.3
p0_pt               302 307 333 416 537 763 1100 1610 2520 4320 8840
p1_pt               323 414 591 1010 1320 1770 2430 3410 5380 9760 19300
p2_pt               302 317 382 538 853 1330 1920 2780 4420 7900 13700
LifeTime            0.000322 0.000345 0.0004 0.000514 0.000688 0.000939 0.00129 0.00181 0.00272 0.00425 0.0113
MassShift           -0.0362 -0.0151 -0.00721 -0.0029 -0.00057 0.000993 0.00347 0.00732 0.014 0.0244 0.0557
FlightDistanceError 0.106 0.128 0.161 0.211 0.288 0.398 0.575 0.847 1.43 2.42 3.54
IPError             0.00675 0.00806 0.01 0.0118 0.0139 0.0163 0.0196 0.0237 0.0294 0.0385 0.0506
IPSig               0.257 0.787 1.93 3.69 5.65 7.97 10.6 12.9 15 16.5 19.6
Pointing            0.278 0.537 0.731 0.861 0.942 0.987 1.02 1.06 1.19 1.49 2.34
VertexChi2          0.0603 0.33 0.915 2.15 3.92 6.31 9.27 11.8 13.8 14.7 15
DOCAone             0.000103 0.000671 0.0036 0.0104 0.0209 0.0383 0.066 0.106 0.181 0.332 0.649
DOCAtwo             0.000106 0.000629 0.00312 0.00975 0.0189 0.0331 0.0548 0.0858 0.141 0.24 0.453
DOCAthree           0.0000462 0.000643 0.0038 0.011 0.0232 0.0426 0.0727 0.116 0.197 0.338 0.932
IP_p0p2             0.00608 0.021 0.052 0.0883 0.132 0.19 0.267 0.377 0.581 0.938 1.98
IP_p1p2             0.00467 0.0167 0.0389 0.0731 0.113 0.162 0.219 0.296 0.411 0.655 1.39
isolationa          0.0116 0.0739 0.361 1.02 1.87 2.96 4.53 6.56 9.65 14 20.8
isolationb          0.00245 0.113 0.448 1.22 2.17 3.36 4.97 7.12 10.3 15 22.2
isolationc          0.00236 0.0551 0.344 0.939 1.78 2.93 4.49 6.52 9.46 13.8 20.3
isolationd          0.00107 0.0173 0.0934 0.284 0.522 0.842 1.37 1.89 2.78 4.02 6.11
isolatione          0.00126 0.0194 0.0964 0.276 0.516 0.844 1.35 1.87 2.81 3.93 5.79
isolationf          0.00122 0.0154 0.089 0.252 0.517 0.835 1.32 1.89 2.78 3.88 6.06
CDF1                0.0559 0.204 0.331 0.464 0.604 0.747 0.871 1 1 1 1
CDF2/CDF1           0.154 0.376 0.547 0.685 0.79 0.88 0.95 1 1 1 1
CDF3/CDF2           0.099 0.251 0.431 0.606 0.738 0.848 0.93 0.99 1 1 1
p0_IsoBDT           -0.75 -0.547 -0.425 -0.334 -0.256 -0.186 -0.129 -0.101 -0.044 -0.0193 -0.00324
p1_IsoBDT           -0.691 -0.536 -0.417 -0.322 -0.246 -0.183 -0.124 -0.111 -0.0365 -0.0193 -0.0118
p2_IsoBDT           -0.738 -0.543 -0.433 -0.337 -0.261 -0.186 -0.132 -0.108 -0.044 -0.0193 -0.00807
p0_track_Chi2Dof    0.349 0.551 0.708 0.864 1.01 1.19 1.41 1.71 2.17 2.66 2.96
p1_track_Chi2Dof    0.338 0.507 0.658 0.793 0.932 1.09 1.27 1.51 1.9 2.46 2.9
p2_track_Chi2Dof    0.4 0.523 0.662 0.801 0.941 1.1 1.28 1.49 1.85 2.41 2.96
p0_IPSig            2.99 3.15 3.58 4.37 5.82 8.31 12.3 18.3 30.3 52.4 102
p1_IPSig            2.95 3.29 4.31 5.82 7.81 10.9 15.8 22.6 34 56.4 118
p2_IPSig            2.99 3.3 4.06 5.57 7.87 11.6 17.3 25.7 39.8 66.8 134
p0_IPError          0.00889 0.0124 0.0161 0.0209 0.0273 0.0374 0.051 0.0681 0.0977 0.151 0.313
p1_IPError          0.00788 0.00996 0.0122 0.0146 0.0176 0.0217 0.0273 0.0362 0.054 0.0883 0.157
p2_IPError          0.00748 0.0107 0.013 0.0161 0.0199 0.0263 0.0369 0.0533 0.0797 0.127 0.196
SPDhits             44.3 80.2 135 197 257 328 401 474 544 591 620
"""

_LOADINGS = """
pt                  -0.83 -0.28 -0.027 0.062 0.18 0.28 0.12 0.16
eta                 0.73 0.036 -0.014 0.24 0.37 0.26 0.13 -0.055
p0_pt               -0.68 -0.21 -0.012 0.36 0.086 0.03 0.035 -0.1
p1_pt               -0.63 -0.27 -0.076 0.5 -0.055 0.12 0.074 0.21
p2_pt               -0.47 -0.062 0.044 -0.62 0.35 0.25 0.1 0.05
LifeTime            0.25 -0.38 0.75 -0.027 -0.098 -0.079 0.044 -0.06
MassShift           0.12 0.054 0.15 -0.069 -0.56 0.59 0.021 -0.16
FlightDistanceError 0.45 -0.071 -0.079 0.35 0.49 0.51 0.2 0.028
IPError             0.88 0.031 0.098 0.073 0.077 -0.072 -0.11 -0.13
IPSig               -0.043 -0.16 0.45 -0.0049 -0.18 0.081 0.059 0.14
Pointing            -0.1 -0.081 -0.12 0.042 0.54 -0.61 -0.051 0.13
VertexChi2          0.17 0.11 -0.092 -0.0073 -0.14 -0.0048 0.11 0.51
DOCAone             0.51 0.13 -0.067 -0.18 -0.034 0.06 0.076 0.38
DOCAtwo             0.43 0.091 -0.034 0.18 -0.055 -0.026 0.02 0.12
DOCAthree           0.49 0.15 -0.09 0.048 -0.12 -0.014 0.044 0.34
IP_p0p2             0.26 -0.3 0.56 0.058 0.046 -0.18 0.052 0.12
IP_p1p2             0.35 -0.21 0.56 -0.027 -0.2 0.027 0.022 0.016
isolationa          -0.21 0.57 -0.056 0.1 -0.15 -0.038 0.05 -0.081
isolationb          -0.24 0.59 -0.06 0.069 -0.22 -0.069 0.076 0.016
isolationc          -0.18 0.62 -0.069 -0.18 -0.14 -0.02 0.048 -0.016
isolationd          -0.13 0.44 0.22 0.029 0.0013 0.0016 -0.12 -0.021
isolatione          -0.12 0.45 0.24 0.024 0.013 -0.00088 -0.12 0.025
isolationf          -0.13 0.44 0.22 0.023 0.0047 -0.0046 -0.091 0.029
CDF1                0.00027 -0.36 0.064 0.055 0.17 0.17 -0.1 -0.022
CDF2/CDF1           -0.069 -0.39 -0.19 -0.12 -0.12 0.019 0.017 0.018
CDF3/CDF2           -0.15 -0.14 -0.21 -0.04 -0.034 0.12 -0.39 0.082
p0_IsoBDT           -0.26 0.51 0.46 0.17 0.23 0.098 -0.13 0.028
p1_IsoBDT           -0.24 0.52 0.45 0.15 0.25 0.11 -0.12 0.081
p2_IsoBDT           -0.24 0.52 0.45 0.078 0.26 0.12 -0.11 0.066
p0_track_Chi2Dof    -0.068 0.034 0.046 -0.11 -0.14 -0.11 -0.0051 0.015
p1_track_Chi2Dof    -0.096 0.095 0.028 -0.16 -0.063 -0.15 -0.0096 -0.032
p2_track_Chi2Dof    -0.086 0.047 -0.003 0.079 -0.16 -0.18 0.016 0.0091
p0_IPSig            -0.29 -0.33 0.39 0.11 0.051 -0.13 0.016 -0.057
p1_IPSig            -0.15 -0.27 0.44 0.046 -0.23 -0.048 -0.0091 0.076
p2_IPSig            -0.23 -0.3 0.52 -0.25 0.069 -0.078 0.1 0.055
p0_IPError          0.77 0.11 0.051 -0.28 0.05 0.07 0.024 0.15
p1_IPError          0.71 0.09 0.1 -0.31 0.29 0.0013 -0.045 -0.22
p2_IPError          0.6 -0.028 -0.0071 0.75 -0.17 -0.14 -0.099 -0.054
SPDhits             -0.057 0.32 0.075 0.07 -0.0026 -0.18 0.83 -0.14
"""


def main(file: Path) -> None:
    """Print the tables of a correlation sample as they stand above."""
    from hepchallenge.challenges.tau3mu.data import CORRELATION_SCHEMA
    from hepchallenge.data import find_published, read_csv

    found = find_published(file, "*.csv")
    if found is None:
        raise SystemExit(f"{file}: expected a CSV file, found none")
    shapes = learn(read_csv(found, CORRELATION_SCHEMA).to_pandas())
    print(to_text(shapes.quantiles, digits=3))
    print()
    print(to_text(shapes.loadings, digits=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
