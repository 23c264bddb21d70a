"""The workspace: an append-only record of submissions, runs, folds, scorings, predictions and logs.

What is recorded is never changed or removed, so a command that is killed at any moment loses nothing
that it recorded, and the next command continues from there.
"""

from hepchallenge.store.attempts import Run, RunRequest
from hepchallenge.store.codec import key_digest
from hepchallenge.store.database import Store, open_workspace
from hepchallenge.store.files import write_atomically
from hepchallenge.store.receipts import Received

__all__ = [
    "Received",
    "Run",
    "RunRequest",
    "Store",
    "key_digest",
    "open_workspace",
    "write_atomically",
]
