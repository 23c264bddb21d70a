"""A particle flow network: every constituent is mapped by one network, the sum of all by another one.

The sizes are those of the PFN of arXiv:1902.09914, which arXiv:1810.05165 introduced. The sum knows no order
of the constituents, and any function of a set of them can be written like that. Jets are turned and
mirrored first, so that equal decays look alike and need not be learnt in every direction.
"""

from itertools import pairwise

import numpy as np
from constituents import constituents, log, straighten
from training import LARGE, Schedule, top_probability, torch, train

EACH = (100, 100, 256)  # sizes of the layers for a constituent
ALL = (100, 100, 100)  # sizes of the layers for their sum

# The full schedule takes a GPU or an evening. Fewer jets than LARGE, those of a toy, are learnt by heart long
# before its end: there few epochs on the hardest constituents do, in about a minute on two cores.
FULL = Schedule(epochs=60, patience=8, batch=500, rate=1e-3, constituents=200)
QUICK = Schedule(epochs=10, patience=3, batch=125, rate=2e-3, constituents=60)


def features(jets, most):
    """Return what the network gets of every constituent, shape (n, k, 4), and which are real, (n, k)."""
    c = constituents(jets, most)
    # Shifted and stretched to be of the order of one.
    x, y = straighten(c)
    columns = [(log(c.pt) - 1) / 2, 3 * x, 3 * y, (log(c.energy_share) + 5) / 2]
    return np.stack(columns, axis=2), c.real


def layers(sizes):
    """Return fully connected layers of these sizes with what makes them nonlinear."""
    steps = []
    for n_in, n_out in pairwise(sizes):
        steps += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*steps)


class ParticleFlowNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.each = layers((4, *EACH))
        self.all = layers((EACH[-1], *ALL))
        self.last = torch.nn.Linear(ALL[-1], 1)

    def forward(self, features, real):
        """Return one logit a jet."""
        # Only real constituents are mapped; most places are filled up.
        mapped = features.new_zeros(*real.shape, EACH[-1])
        mapped[real] = self.each(features[real])
        # A jet has some 50 constituents: a sum of the order of one is learnt faster.
        return self.last(self.all(mapped.sum(dim=1) / 50)).squeeze(1)


class Classifier:
    def fit(self, X, y):
        schedule = FULL if len(X) >= LARGE else QUICK
        self.inputs = lambda jets: features(jets, schedule.constituents)
        self.network = ParticleFlowNetwork()
        train(self.network, self.inputs, X, y, schedule)
        return self

    def predict_proba(self, X):
        return top_probability(self.network, self.inputs, X)
