"""The K that the verification compares with surgery: six fixed ones, and some drawn for each network and ranking."""

from prunecurve.seeding import stream


def checked_ks(channels: int) -> list[int]:
    """Return the K that are always checked: 0, 1, one, two and three quarters of the channels, and P−1."""
    return sorted({0, 1, channels // 4, channels // 2, 3 * channels // 4, channels - 1} & set(range(channels)))


def drawn_ks(channels: int, count: int, seed: int, layer: str, ranking: str) -> list[int]:
    """Return `count` further K in ascending order (fewer if there are no more), drawn for one network and ranking.

    The fixed K alone would miss an error at all others. The same arguments give the same K, and a larger count keeps
    the K of a smaller one.
    """
    fixed = set(checked_ks(channels))
    others = [k for k in range(channels) if k not in fixed]
    drawn = stream(seed, f"verification/{layer}/{ranking}").permutation(len(others))[:count]
    return sorted(others[place] for place in drawn)
