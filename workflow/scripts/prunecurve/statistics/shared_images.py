"""How many images the networks of a study have in common."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from prunecurve.data.splits import SPLITS

# The images of the same split are compared, and the test images of one network with the training images of another.
COLUMNS = ("dataset", "seed", "other", "split", "other_split", "images", "shared", "share")
COMPARED = (*((split, split) for split in SPLITS), ("test", "train"))


def shared_images(index: Mapping[int, np.ndarray], dataset: str) -> list[dict[str, object]]:
    """Return one row for each ordered pair of networks and each comparison of splits.

    index: by seed, int (n, 2): the split of each image of a network, as its index in SPLITS, and the image's number in
    the data set. A row has the number of images of `seed` in `split` (images), how many of them `other` has in
    `other_split` (shared), and their share.
    """
    table = []
    for (seed, own), (other, others) in permutations(index.items(), 2):
        for split, other_split in COMPARED:
            images, compared = (
                rows[rows[:, 0] == SPLITS.index(name), 1] for rows, name in ((own, split), (others, other_split))
            )
            shared = int(np.isin(images, compared).sum())
            row = {"dataset": dataset, "seed": seed, "other": other, "split": split, "other_split": other_split}
            table.append(row | {"images": len(images), "shared": shared, "share": shared / len(images)})
    return table
