"""What an attacker is taken to know, and how it shows success; written beside every submission of code.

Knowing paths, addresses and the pid of the runner, which a stranger would have to find, makes every attack as
strong as it can be. The facts themselves are in `known.json`.
"""

import hashlib
import json
import os
import re
import struct
import time
from pathlib import Path

import numpy as np

FACTS = json.loads(Path(__file__).with_name("known.json").read_text())
N_TEST = FACTS["n_test"]
MARK = FACTS["mark"]
STOLEN = []
NUMBER = re.compile(rb"%d\.\d+" % MARK)


def fact(name):
    return FACTS[name]


def did(what):
    """Say that an attack had its effect."""
    print(f"DID {what}", flush=True)


def test_labels_in(value):
    """Return the test labels if an array or list is or holds them, else None."""
    if not isinstance(value, np.ndarray | list | tuple):
        return None
    try:
        array = np.asarray(value, dtype=float).ravel()
    except Exception:
        return None
    found = array[(array > MARK) & (array < MARK + 1)]
    return found if len(found) == N_TEST else None


def steal(value):
    """Say so if these are the test labels, and keep them for the prediction."""
    found = test_labels_in(value)
    if found is not None and not STOLEN:
        STOLEN.append(found.copy())
        print("STOLEN", hashlib.sha256(np.sort(found).tobytes()).hexdigest(), flush=True)
    return found is not None


def steal_from_bytes(data):
    """Look for labels in raw bytes, as text and as float64 in a row."""
    numbers = [float(word) for word in NUMBER.findall(data)]
    if steal(numbers):
        return True
    for shift in range(8):
        whole = max(len(data) - shift, 0) // 8 * 8
        array = np.frombuffer(data[shift : shift + whole], dtype="<f8")
        with np.errstate(invalid="ignore"):
            hits = np.flatnonzero((array > MARK) & (array < MARK + 1))
        for start in hits:
            if steal(array[start : start + N_TEST]):
                return True
    return False


def steal_from_file(path):
    try:
        with open(path, "rb") as file:
            return steal_from_bytes(file.read(1 << 22))
    except OSError:
        return False


def processes():
    """Return the ids of processes, near ones by guess where they are not listed."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return [1, *range(max(2, os.getpid() - 60), os.getpid() + 20)]


class Zeros:
    """A model that has learned nothing; attacks override one of its methods."""

    def fit(self, X, y):
        pass

    def predict(self, X):
        if STOLEN and len(X) == N_TEST:
            return STOLEN[0]
        return np.zeros(len(X))


def frame(kind, header, payload=b""):
    """Return a frame of the private channel."""
    head = json.dumps(header).encode()
    return struct.pack("<4sIIQ", b"HCF1", kind, len(head), len(payload)) + head + payload


BEGUN = time.monotonic()


def tired():
    """Whether an endless attack has gone on for long enough; nothing here runs for ever."""
    return time.monotonic() - BEGUN > 30


def burn(seconds):
    """Use CPU time."""
    start = time.process_time()
    while time.process_time() - start < seconds and not tired():
        pass


def digest(data):
    return hashlib.sha256(data).hexdigest()
