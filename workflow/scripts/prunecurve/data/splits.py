"""The splits: their sizes, which images they are drawn from, and the draw."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.seeding import stream

SPLITS = ("train", "val", "test")
# The size of a split for which the config says `auto`: a share of the images, if several splits are drawn from them.
AUTO = "auto"
SHARES = {"train": Fraction(6, 10), "val": Fraction(2, 10), "test": Fraction(2, 10)}


def images_per_split(splits: np.ndarray) -> dict[str, int]:
    """Return how many images the data set itself assigns to each split.

    splits: int (n,), the split of each image as its index in SPLITS; 0 (train) if the data set has no splits.
    """
    return dict(zip(SPLITS, np.bincount(splits, minlength=len(SPLITS)).tolist()))


def pools_of(counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the splits that are drawn from each of the data set's own splits: the same one, or train if it is empty.

    counts: the images of each split, as `images_per_split` returns them.
    """
    pools: dict[str, list[str]] = {}
    for split in SPLITS:
        pools.setdefault(split if counts.get(split) else "train", []).append(split)
    return pools


def split_sizes(asked: Mapping[str, int | float | str], counts: Mapping[str, int]) -> dict[str, int]:
    """Return the number of images in each split.

    asked: for each split a number of images, a share (below 1) of the images that it is drawn from, or `auto`: all
    images if no other split is drawn from them, else shares in the ratio 60 : 20 : 20. counts: as in `pools_of`.
    """
    sizes = {}
    for pool, splits in pools_of(counts).items():
        for split in splits:
            size = asked[split]
            if isinstance(size, str):
                size = counts[pool] * SHARES[split] / sum(SHARES[each] for each in splits)
            elif size < 1:
                size = counts[pool] * Fraction(str(size))
            sizes[split] = math.floor(size)
    return sizes


def require_enough(counts: Mapping[str, int], sizes: Mapping[str, int], *, dataset: str, networks: int = 1) -> None:
    """Raise StudyError if the data set has too few images.

    counts: as in `pools_of`. sizes: images per split. dataset: its name, for the message. networks: the number of
    networks that draw images which no other network has.
    """
    for pool, splits in pools_of(counts).items():
        needed = networks * sum(sizes[split] for split in splits)
        if needed > counts[pool]:
            key, asked, advice = "images", " + ".join(f"{split} {sizes[split]}" for split in splits), ""
            if networks > 1:
                key, asked = "images.disjoint", f"{networks} networks × ({asked})"
                advice = ", use fewer seeds, or set images.disjoint: false"
            raise StudyError(
                f"{key}: {asked} = {needed} images, but {dataset} has {counts[pool]} for {' + '.join(splits)}; "
                f"lower {' or '.join(f'images.{split}' for split in splits)}{advice}"
            )


def draw_splits(
    splits: np.ndarray, sizes: Mapping[str, int], seed: int, place: int | None = None, *, dataset: str
) -> dict[str, np.ndarray]:
    """Draw the images of one network without replacement and return their indices (int64); its splits are disjoint.

    splits: as in `images_per_split`. sizes: images per split. place: None if networks may share images. If they may
    not, the place of the seed in the list of seeds: all networks then draw from one order of the images, each the next
    block, so that a seed added at the end changes no other draw. dataset: its name, for the message. Raises StudyError
    if the data set has too few images.
    """
    rng, block = (stream(seed, "images"), 0) if place is None else (stream(0, "images/disjoint"), place)
    counts = images_per_split(splits)
    require_enough(counts, sizes, dataset=dataset, networks=block + 1)
    drawn: dict[str, np.ndarray] = {}
    for pool, together in pools_of(counts).items():
        images = rng.permutation(np.flatnonzero(splits == SPLITS.index(pool)))
        ends = np.cumsum([sizes[split] for split in together])
        drawn |= dict(zip(together, np.split(images[block * ends[-1] :], ends)))
    return {split: drawn[split] for split in SPLITS}
