"""The splits, and which images each of them is drawn from. Evaluation jobs import it with the task: only numpy."""

import numpy as np

SPLITS = ("train", "val", "test")


def pools_of(splits: np.ndarray) -> dict[str, str]:
    """Return from which of the data set's own splits each split is drawn: the same one, or train if it is empty.

    splits: int (n,), the split that the data set assigns each image to, as its index in SPLITS.
    """
    own = set(np.unique(splits).tolist())
    return {split: split if number in own else "train" for number, split in enumerate(SPLITS)}
