"""A convolutional network on images of jets: pT and number of constituents in 37 times 37 pixels.

Jets are moved, turned and mirrored so that equal decays look alike and need not be learnt in every direction.
"""

import numpy as np
from constituents import constituents, straighten
from training import LARGE, Schedule, top_probability, torch, train

PIXELS = 37
HALF_WIDTH = 0.8  # of an image in pseudorapidity and azimuth: the radius of the jets
CHANNELS = (16, 32, 64)
LAST = 64

# The full schedule takes a GPU or a night. On fewer jets than LARGE, those of a toy, few epochs do, in about
# a minute on two cores.
FULL = Schedule(epochs=30, patience=6, batch=500, rate=2e-3, constituents=200)
QUICK = Schedule(epochs=6, patience=3, batch=125, rate=3e-3, constituents=100)


def images(jets, most):
    """Return images of pT and of numbers, shape (n, 2, PIXELS, PIXELS), as the only array of a list."""
    c = constituents(jets, most)
    column, row = (np.floor((axis / HALF_WIDTH + 1) / 2 * PIXELS) for axis in straighten(c))
    inside = c.real & (column >= 0) & (column < PIXELS) & (row >= 0) & (row < PIXELS)
    jet = np.nonzero(inside)[0]
    pixel = ((jet * PIXELS + row[inside]) * PIXELS + column[inside]).astype(np.int64)
    n_pixels = len(jets) * PIXELS**2
    pt, number = np.bincount(pixel, c.pt_share[inside], n_pixels), np.bincount(pixel, minlength=n_pixels)
    # The root lets soft constituents be seen beside hard ones.
    both = [values.reshape(-1, PIXELS, PIXELS) for values in (np.sqrt(pt), number / 3)]
    return [np.stack(both, axis=1)]


class JetImageNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        first, second, third = CHANNELS
        self.image = torch.nn.Sequential(
            *self.convolution(2, first, size=5, stride=2),
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
        # Colours beside each other in memory: a third of the time on CPUs.
        images = images.contiguous(memory_format=torch.channels_last)
        return self.last(self.drop(torch.relu(self.dense(self.image(images))))).squeeze(1)


class Classifier:
    def fit(self, X, y):
        schedule = FULL if len(X) >= LARGE else QUICK
        self.inputs = lambda jets: images(jets, schedule.constituents)
        self.network = JetImageNetwork().to(memory_format=torch.channels_last)
        train(self.network, self.inputs, X, y, schedule)
        return self

    def predict_proba(self, X):
        return top_probability(self.network, self.inputs, X)
