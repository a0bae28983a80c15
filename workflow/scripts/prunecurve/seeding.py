"""Independent random streams with names, so that a new use of random numbers does not change existing ones."""

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random generator for one purpose (`images`, `pairs/train`, `batches`, …) and one seed of the study.

    The name is the spawn key of numpy's SeedSequence, so streams with different names or seeds are independent.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))


def stream_seed(seed: int, name: str) -> int:
    """Return a 63-bit seed, drawn from the stream with this name, for a generator of another library (torch)."""
    return int(stream(seed, name).integers(2**63 - 1))
