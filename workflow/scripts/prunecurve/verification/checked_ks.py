"""The K that the verification compares with surgery: six fixed ones, and some drawn for each network and ranking."""

import numpy as np

from prunecurve.seeding import stream


def checked_ks(channels: int, count: int, seed: int, layer: str, ranking: str) -> list[int]:
    """Return 0, 1, one, two and three quarters of the channels, P−1, and `count` drawn K (fewer in a narrow layer).

    The fixed K alone would miss an error at all others. The same arguments give the same K, and a larger count keeps
    the K of a smaller one.
    """
    fixed = sorted({0, 1, channels // 4, channels // 2, 3 * channels // 4, channels - 1} & set(range(channels)))
    others = np.setdiff1d(np.arange(channels), fixed)
    drawn = stream(seed, f"verification/{layer}/{ranking}").permutation(len(others))[:count]
    return [*fixed, *sorted(others[drawn].tolist())]
