"""ParticleNet-Lite: constituents learn from their nearest neighbours, twice, before they are averaged.

After arXiv:1902.08570, with the sizes of its lite network. Neighbours are those in pseudorapidity and azimuth
for both blocks; in the paper the second block looks for them among what the first one has made.
"""

from itertools import pairwise

import numpy as np
from constituents import constituents, log
from training import LARGE, Schedule, top_probability, torch, train

FEATURES = 7
NEIGHBOURS = 7
BLOCKS = ((32, 32, 32), (64, 64, 64))  # sizes of the layers of each block
LAST = 128

# The full schedule takes a GPU or a night. Fewer jets than LARGE, those of a toy, need no more than few
# epochs on the hardest constituents, some two minutes on two cores.
FULL = Schedule(epochs=20, patience=5, batch=500, rate=5e-3, constituents=100)
QUICK = Schedule(epochs=6, patience=3, batch=125, rate=5e-3, constituents=40)


def features(jets, most):
    """Return of every constituent what the network gets, (n, k, 7), where it is, (n, k, 2), if it is real."""
    c = constituents(jets, most)
    distance = np.hypot(c.eta, c.phi)
    columns = [c.eta, c.phi, log(c.pt), log(c.energy), log(c.pt_share), log(c.energy_share), distance]
    return np.stack(columns, axis=2), np.stack([c.eta, c.phi], axis=2), c.real


def nearest(place, real):
    """Return the nearest neighbours of all real constituents, numbered from 0, shape (m, NEIGHBOURS).

    Where a jet has too few, constituents are their own neighbours: of these they learn nothing new.
    """
    # Azimuths are counted from the jet's axis, too far from where they jump for a neighbour beyond.
    square = ((place[:, :, None] - place[:, None]) ** 2).sum(dim=3)
    itself = torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    square = square.masked_fill(itself | ~real[:, None], torch.inf)
    square, chosen = square.topk(NEIGHBOURS, dim=2, largest=False)
    number = torch.cumsum(real.flatten(), dim=0).view(real.shape) - 1
    chosen = number[torch.arange(len(real), device=real.device)[:, None, None], chosen]
    return torch.where(square < torch.inf, chosen, number[:, :, None])[real]


class EdgeConv(torch.nn.Module):
    """Replaces each constituent by the mean of a function of it and of the steps to its neighbours."""

    def __init__(self, n_in, sizes):
        super().__init__()
        # The first layer is linear in (x, neighbour - x), so that it can be applied before neighbours are
        # looked up: a seventh of the work.
        self.own = torch.nn.Linear(n_in, sizes[0], bias=False)
        self.step = torch.nn.Linear(n_in, sizes[0], bias=False)
        later = pairwise(sizes)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b, bias=False) for a, b in later)
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(size) for size in sizes)
        self.shortcut = torch.nn.Linear(n_in, sizes[-1], bias=False)
        self.shortcut_norm = torch.nn.BatchNorm1d(sizes[-1])

    def forward(self, x, neighbours):
        step = self.step(x)
        # A look-up of rows whose gradients are summed in a fixed order, with one thread or with many.
        there = torch.nn.functional.embedding(neighbours.flatten(), step)
        here = (self.own(x) - step).repeat_interleave(neighbours.shape[1], dim=0)
        edge = torch.relu(self.norms[0](here + there))
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            edge = torch.relu(norm(layer(edge)))
        mean = edge.view(*neighbours.shape, edge.shape[1]).mean(dim=1)
        return torch.relu(mean + self.shortcut_norm(self.shortcut(x)))


class ParticleNetLite(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(FEATURES)
        sizes = [FEATURES, *(block[-1] for block in BLOCKS)]
        self.blocks = torch.nn.ModuleList(
            EdgeConv(n_in, block) for n_in, block in zip(sizes[:-1], BLOCKS, strict=True)
        )
        self.dense = torch.nn.Linear(sizes[-1], LAST)
        self.drop = torch.nn.Dropout(0.1)
        self.last = torch.nn.Linear(LAST, 1)

    def forward(self, features, place, real):
        """Return one logit a jet."""
        neighbours = nearest(place, real)
        # Only real constituents, one jet after the other: means of the normalisation are theirs alone.
        x = self.norm(features[real])
        for block in self.blocks:
            x = block(x, neighbours)
        padded = x.new_zeros(*real.shape, x.shape[1])
        padded[real] = x
        mean = padded.sum(dim=1) / real.sum(dim=1, keepdim=True).clamp(min=1)
        return self.last(self.drop(torch.relu(self.dense(mean)))).squeeze(1)


class Classifier:
    def fit(self, X, y):
        schedule = FULL if len(X) >= LARGE else QUICK
        self.inputs = lambda jets: features(jets, schedule.constituents)
        self.network = ParticleNetLite()
        train(self.network, self.inputs, X, y, schedule)
        return self

    def predict_proba(self, X):
        return top_probability(self.network, self.inputs, X)
