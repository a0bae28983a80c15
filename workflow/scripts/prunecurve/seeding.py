"""Independent random streams, named, so that a new use of chance never shifts the old ones."""

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The random generator of one purpose (`images`, `pairs/train`, `batches`, …) in the study's seed.

    The name is the spawn key of numpy's SeedSequence: streams of other names or seeds are independent.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))


def stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed for a generator that isn't numpy's (torch), from the stream of that name."""
    return int(stream(seed, name).integers(2**63 - 1))
