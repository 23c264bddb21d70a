"""ParticleNet-Lite: constituents learn from the nearest ones, then from the hardest, before they are summed.

After arXiv:1902.08570, smaller, and changed so that few jets teach it more. The second block of the paper
looks for neighbours among what the first one has made; here they are the hardest constituents, which
stand for its prongs. What passes between two constituents depends on the distance, relative momentum, sharing
and mass of the pair, as in arXiv:2202.03772. Jets are turned and mirrored first.
"""

import numpy as np
from constituents import constituents, log, straighten
from training import LARGE, Schedule, top_probability, torch, train

FEATURES = 7
PAIR = 4
NEAREST = 7
HARDEST = 8
BLOCKS = ((32, 64), (48, 96))  # sizes for a pair and for a constituent
LAST = 128

# The full schedule takes a GPU or a night. Fewer jets than LARGE, those of a toy, need no more than few
# epochs on the hardest constituents, some two minutes on two cores.
FULL = Schedule(epochs=20, patience=5, batch=500, rate=5e-3, constituents=100)
QUICK = Schedule(epochs=6, patience=3, batch=125, rate=5e-3, constituents=40)


def features(jets, most):
    """Return what the network gets of every constituent, shape (n, k, 7), and which are real, (n, k)."""
    c = constituents(jets, most)
    x, y = straighten(c)
    distance = np.hypot(c.eta, c.phi)
    columns = [x, y, log(c.pt), log(c.energy), log(c.pt_share), log(c.energy_share), distance]
    return np.stack(columns, axis=2), c.real


def nearest(place, real):
    """Return the nearest neighbours of all real constituents, numbered from 0, shape (m, NEAREST).

    Where a jet has too few, constituents are their own neighbours: of these they learn nothing new.
    """
    square = ((place[:, :, None] - place[:, None]) ** 2).sum(dim=3)
    itself = torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    square = square.masked_fill(itself | ~real[:, None], torch.inf)
    square, chosen = square.topk(NEAREST, dim=2, largest=False)
    return numbered(chosen, square < torch.inf, real)


def hardest(log_pt, real):
    """Return the hardest constituents of the jet for all real ones, numbered as by `nearest`."""
    found, chosen = log_pt.masked_fill(~real, -torch.inf).topk(HARDEST, dim=1)
    shape = (*real.shape, HARDEST)
    return numbered(chosen[:, None].expand(shape), (found > -torch.inf)[:, None].expand(shape), real)


def numbered(chosen, valid, real):
    """Turn places in jets to numbers of real constituents, the own one where there is none to choose."""
    number = torch.cumsum(real.flatten(), dim=0).view(real.shape) - 1
    chosen = number[torch.arange(len(real), device=real.device)[:, None, None], chosen]
    return torch.where(valid, chosen, number[:, :, None])[real]


def pairs(place, log_pt, neighbours):
    """Return ln of distance, of relative kT, of the softer one's share and of m^2, shape (m, k, PAIR)."""
    step = place[neighbours] - place[:, None]
    distance = step.square().sum(dim=2).clamp(min=1e-6).log() / 2
    there = log_pt[neighbours]
    here = log_pt[:, None].expand_as(there)
    softer = torch.minimum(here, there)
    share = softer - torch.logaddexp(here, there)
    return torch.stack([distance, softer + distance, share, here + there + 2 * distance], dim=2)


class EdgeConv(torch.nn.Module):
    """Adds to constituents the mean of a function of them, of neighbours, and of what is between them."""

    def __init__(self, n_in, n_pair, n_out):
        super().__init__()
        # The first layer is linear in both constituents and what is between them, so that it can be applied
        # before neighbours are looked up: a seventh of the work.
        self.here = torch.nn.Linear(n_in, n_pair, bias=False)
        self.there = torch.nn.Linear(n_in, n_pair, bias=False)
        self.between = torch.nn.Linear(PAIR, n_pair)
        self.norm = torch.nn.BatchNorm1d(PAIR)
        self.pair = torch.nn.Linear(n_pair, n_pair)
        steps = []
        for size in (n_pair + n_in, n_out):
            steps += [torch.nn.Linear(size, n_out, bias=False), torch.nn.BatchNorm1d(n_out), torch.nn.ReLU()]
        self.both = torch.nn.Sequential(*steps)

    def forward(self, x, neighbours, between):
        between = self.between(self.norm(between.flatten(0, 1))).unflatten(0, neighbours.shape)
        # A look-up of rows whose gradients are summed in a fixed order, with one thread or with many.
        there = torch.nn.functional.embedding(neighbours, self.there(x))
        pair = torch.relu(between + there + self.here(x)[:, None])
        mean = torch.relu(self.pair(pair)).mean(dim=1)
        return self.both(torch.cat([mean, x], dim=1))


class ParticleNetLite(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(FEATURES)
        sizes = [FEATURES, *(block[-1] for block in BLOCKS)]
        self.blocks = torch.nn.ModuleList(
            EdgeConv(n_in, *block) for n_in, block in zip(sizes[:-1], BLOCKS, strict=True)
        )
        self.dense = torch.nn.Linear(sizes[-1], LAST)
        self.drop = torch.nn.Dropout(0.1)
        self.last = torch.nn.Linear(LAST, 1)

    def forward(self, features, real):
        """Return one logit a jet."""
        places, log_pts = features[:, :, :2], features[:, :, 2]
        # Only real constituents, one jet after the other: means of the normalisation are theirs alone.
        x, place, log_pt = self.norm(features[real]), places[real], log_pts[real]
        graphs = nearest(places, real), hardest(log_pts, real)
        for block, neighbours in zip(self.blocks, graphs, strict=True):
            x = block(x, neighbours, pairs(place, log_pt, neighbours))
        padded = x.new_zeros(*real.shape, x.shape[1])
        padded[real] = x
        # A sum, not an average, so that the number of constituents is seen.
        return self.last(self.drop(torch.relu(self.dense(padded.sum(dim=1) / 40)))).squeeze(1)


class Classifier:
    def fit(self, X, y):
        schedule = FULL if len(X) >= LARGE else QUICK
        self.inputs = lambda jets: features(jets, schedule.constituents)
        self.network = ParticleNetLite()
        train(self.network, self.inputs, X, y, schedule)
        return self

    def predict_proba(self, X):
        return top_probability(self.network, self.inputs, X)
