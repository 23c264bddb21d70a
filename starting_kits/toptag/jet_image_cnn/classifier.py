"""A convolutional network on images of jets: how much pT goes where, 37 times 37 pixels.

Jets are moved, turned and mirrored so that equal decays look alike and need not be learnt in every direction.
"""

import numpy as np
from constituents import constituents
from training import LARGE, Schedule, top_probability, torch, train

PIXELS = 37
HALF_WIDTH = 0.8  # of an image in pseudorapidity and azimuth: the radius of the jets
CHANNELS = (16, 32, 64)
LAST = 64

# The full schedule takes a GPU or a night. On fewer jets than LARGE, those of a toy, few epochs do, in about
# a minute on two cores.
FULL = Schedule(epochs=30, patience=6, batch=500, rate=2e-3, constituents=200)
QUICK = Schedule(epochs=6, patience=3, batch=125, rate=3e-3, constituents=60)


def straighten(c):
    """Return where constituents are, two arrays (n, k), in a frame of the jet's own.

    Its origin is the centre of pT, the second axis that along which pT spreads most, and each axis points to
    where there is more pT.
    """
    total = np.maximum(c.pt_share.sum(axis=1, keepdims=True), 1e-9)
    share = c.pt_share / total

    def mean(values):
        return (share * values).sum(axis=1, keepdims=True)

    x, y = c.eta - mean(c.eta), c.phi - mean(c.phi)
    # The angle of the largest eigenvector of the covariance, from the second axis.
    turn = 0.5 * np.arctan2(2 * mean(x * y), mean(y * y) - mean(x * x))
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return tuple(np.where(mean(np.sign(axis)) < 0, -axis, axis) for axis in (x, y))


def images(jets, most):
    """Return the images of jets, shape (n, 1, PIXELS, PIXELS), as the only array of a list."""
    c = constituents(jets, most)
    column, row = (np.floor((axis / HALF_WIDTH + 1) / 2 * PIXELS) for axis in straighten(c))
    inside = c.real & (column >= 0) & (column < PIXELS) & (row >= 0) & (row < PIXELS)
    jet = np.nonzero(inside)[0]
    pixel = ((jet * PIXELS + row[inside]) * PIXELS + column[inside]).astype(np.int64)
    pt = np.bincount(pixel, c.pt_share[inside], len(jets) * PIXELS**2)
    # The root lets soft constituents be seen beside hard ones.
    return [np.sqrt(pt).reshape(-1, 1, PIXELS, PIXELS)]


class JetImageNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        first, second, third = CHANNELS
        self.image = torch.nn.Sequential(
            *self.convolution(1, first, size=5, stride=2),
            *self.convolution(first, second),
            torch.nn.MaxPool2d(2),
            *self.convolution(second, third),
            torch.nn.MaxPool2d(2),
            *self.convolution(third, third),
            torch.nn.Flatten(),
        )
        self.dense = torch.nn.Linear(third * 4 * 4, LAST)
        self.drop = torch.nn.Dropout(0.2)
        self.last = torch.nn.Linear(LAST, 1)

    @staticmethod
    def convolution(n_in, n_out, size=3, stride=1):
        """Return the steps of a convolution whose image is smaller by `stride` in both directions."""
        convolution = torch.nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False)
        return convolution, torch.nn.BatchNorm2d(n_out), torch.nn.ReLU()

    def forward(self, images):
        """Return one logit a jet."""
        return self.last(self.drop(torch.relu(self.dense(self.image(images))))).squeeze(1)


class Classifier:
    def fit(self, X, y):
        schedule = FULL if len(X) >= LARGE else QUICK
        self.inputs = lambda jets: images(jets, schedule.constituents)
        self.network = JetImageNetwork()
        train(self.network, self.inputs, X, y, schedule)
        return self

    def predict_proba(self, X):
        return top_probability(self.network, self.inputs, X)
