"""Drawing the images of each split."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from prunecurve.data.pools import SPLITS, pools_of
from prunecurve.errors import StudyError
from prunecurve.seeding import stream

# The size of a split for which the config says `auto`: a share of the images, if several splits are drawn from them.
AUTO = "auto"
SHARES = {"train": Fraction(6, 10), "val": Fraction(2, 10), "test": Fraction(2, 10)}


def split_sizes(asked: Mapping[str, int | float | str], splits: np.ndarray) -> dict[str, int]:
    """Return the number of images in each split.

    asked: for each split a number of images, a share (below 1) of the images that it is drawn from, or `auto`: all
    images if no other split is drawn from them, else shares in the ratio 60 : 20 : 20. splits: as in `pools_of`.
    """
    pools, sizes = pools_of(splits), {}
    for split, wanted in asked.items():
        available = int((splits == SPLITS.index(pools[split])).sum())
        if wanted == AUTO:
            shared = sum(SHARES[other] for other in SPLITS if pools[other] == pools[split])
            sizes[split] = math.floor(available * SHARES[split] / shared)
        else:
            sizes[split] = math.floor(available * Fraction(str(wanted))) if wanted < 1 else int(wanted)
    return sizes


def require_enough(splits: np.ndarray, sizes: Mapping[str, int], *, dataset: str, networks: int = 1) -> None:
    """Raise StudyError if the data set has too few images.

    splits: as in `pools_of`. sizes: images per split. dataset: its name, for the message. networks: the number of
    networks that draw images which no other network has.
    """
    pools = pools_of(splits)
    for pool in dict.fromkeys(pools.values()):
        which = [split for split in SPLITS if pools[split] == pool]
        available = int((splits == SPLITS.index(pool)).sum())
        count = networks * sum(sizes[split] for split in which)
        if count <= available:
            continue
        kind = (
            {"train": "training ", "val": "validation ", "test": "test "}[pool] if len(set(pools.values())) > 1 else ""
        )
        has = f"{dataset} has {available} {kind}images"
        lower = " or ".join(f"images.{split}" for split in which)
        if networks > 1:
            each = " + ".join(f"{split} {sizes[split]}" for split in which)
            raise StudyError(
                f"images.disjoint: {networks} networks × ({each}) images make {count}, but {has}; "
                f"use fewer seeds, lower {lower}, or set images.disjoint: false"
            )
        raise StudyError(
            f"images: {' + '.join(which)} ask{'s' * (len(which) == 1)} for {count} images, but {has}; lower {lower}"
        )


def draw_splits(
    splits: np.ndarray, sizes: Mapping[str, int], rng: np.random.Generator, *, dataset: str, block: int = 0
) -> dict[str, np.ndarray]:
    """Draw the images of each split without replacement and return their indices (int64); splits are disjoint.

    splits: int (n,), as in `pools_of`. sizes: images per split. dataset: its name, for the error message.
    block: with generators in the same state, different blocks (0, 1, …) draw disjoint images.
    Raises StudyError if the data set has too few images.
    """
    require_enough(splits, sizes, dataset=dataset, networks=block + 1)
    drawn = {}
    pools = pools_of(splits)
    for pool in dict.fromkeys(pools.values()):
        images = rng.permutation(np.flatnonzero(splits == SPLITS.index(pool)))
        which = [split for split in SPLITS if pools[split] == pool]
        start = block * sum(sizes[split] for split in which)
        for split in which:
            drawn[split] = images[start : start + sizes[split]]
            start += sizes[split]
    return {split: drawn[split] for split in SPLITS}


def draw_for_seed(
    splits: np.ndarray, sizes: Mapping[str, int], seed: int, place: int | None, *, dataset: str
) -> dict[str, np.ndarray]:
    """Draw the images of one network, as `draw_splits` does.

    place: None if networks may share images. If they may not, the place of the seed in the list of seeds: all networks
    then draw from one order of the images, each the next block, so that a seed added at the end changes no other draw.
    """
    if place is None:
        return draw_splits(splits, sizes, stream(seed, "images"), dataset=dataset)
    return draw_splits(splits, sizes, stream(0, "images/disjoint"), dataset=dataset, block=place)
