"""Training of a network on batches of jets, with early stopping, and its application."""

import copy
import os
from typing import NamedTuple

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError('this starting kit needs PyTorch: pip install "hepchallenge[torch]"') from error

KEPT_BACK = 0.1  # share of the training jets that tell when to stop
LARGE = 200_000  # jets from which on the full schedule is worth its time


class Schedule(NamedTuple):
    """How long and on how much of a jet a network is trained."""

    epochs: int  # at most
    patience: int  # epochs without a smaller loss on the jets kept back before the training stops
    batch: int  # jets
    rate: float  # the largest learning rate
    constituents: int  # of a jet that are used, the hardest


def device():
    """Return the device to compute on, a GPU if there is one."""
    # No more threads than there are cores for this process, nor than the environment allows.
    torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Equal seeds give equal trainings: on GPUs only on request, which some libraries read from here.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def on_device(arrays, place):
    """Return arrays as tensors there, floating-point numbers in single precision."""
    tensors = [torch.as_tensor(array) for array in arrays]
    return [(t.float() if t.is_floating_point() else t).to(place) for t in tensors]


def train(network, inputs, X, y, schedule):
    """Train a network that gives one logit a jet; `inputs(jets)` returns the arrays that it takes.

    Weights, batches and the jets kept back depend on torch's seed. The network ends with the weights of the
    epoch in which the loss on the jets kept back was least.
    """
    place = device()
    network.to(place)
    y = np.asarray(y, dtype=np.float32)
    order = torch.randperm(len(X)).numpy()
    kept_back, rows = np.split(order, [max(1, int(KEPT_BACK * len(X)))])
    # Batches of almost equal size: normalising a last batch of one or two jets would go wrong.
    n_batches = max(1, round(len(rows) / schedule.batch))
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=1e-4)
    # The rate rises, then falls to almost zero, so that even few epochs end with small steps.
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=schedule.epochs * n_batches, pct_start=0.2
    )
    loss_of = torch.nn.BCEWithLogitsLoss()
    held_back = torch.as_tensor(y[kept_back])
    least, best, since = np.inf, None, 0
    for _ in range(schedule.epochs):
        network.train()
        for batch in np.array_split(rows[torch.randperm(len(rows)).numpy()], n_batches):
            *tensors, label = on_device([*inputs(X[batch]), y[batch]], place)
            loss = loss_of(network(*tensors), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
        loss = loss_of(logits(network, inputs, X[kept_back]), held_back).item()
        since += 1
        if loss < least:
            least, best, since = loss, copy.deepcopy(network.state_dict()), 0
        if since == schedule.patience:
            break
    if best is not None:
        network.load_state_dict(best)


def logits(network, inputs, X, batch=1000):
    """Return the network's logit for every jet, a tensor of shape (n,)."""
    place = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [
            network(*on_device(inputs(X[first : first + batch]), place)).cpu()
            for first in range(0, len(X), batch)
        ]
    return torch.cat(parts) if parts else torch.zeros(0)


def top_probability(network, inputs, X):
    """Return the probability of every jet to be a top, shape (n,)."""
    return torch.sigmoid(logits(network, inputs, X).double()).numpy()
