"""How many images the networks of a study have in common."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from prunecurve.data.splits import SPLITS

# The images of the same split are compared, and the test images of one network with the training images of another.
COMPARED = (*((split, split) for split in SPLITS), ("test", "train"))


COLUMNS = ("dataset", "seed", "other", "split", "other_split", "images", "shared", "share")


def shared_images(index: Mapping[int, np.ndarray], dataset: str) -> list[dict[str, object]]:
    """Return one row for each ordered pair of networks and each comparison of splits.

    index: by seed, int (n, 2): the split of each image of a network, as its index in SPLITS, and the image's number in
    the data set. A row has the number of images of `seed` in `split` (images), how many of them `other` has in
    `other_split` (shared), and their share.
    """
    images = {
        (seed, split): rows[rows[:, 0] == number, 1]
        for seed, rows in index.items()
        for number, split in enumerate(SPLITS)
    }
    table = []
    for seed, other in permutations(index, 2):
        for split, other_split in COMPARED:
            own = images[seed, split]
            shared = int(np.isin(own, images[other, other_split]).sum())
            row = {"dataset": dataset, "seed": seed, "other": other, "split": split, "other_split": other_split}
            table.append(row | {"images": len(own), "shared": shared, "share": shared / len(own)})
    return table
