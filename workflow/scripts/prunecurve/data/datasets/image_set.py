"""What a data set is: images with classes and splits, or only the classes and splits, which are known before a run."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Census:
    """The classes and the splits of all images of a data set, without the images.

    labels: int64 (n,), class numbers; None if they are not known yet, because the data set is not downloaded.
    splits: int8 (n,), the split that the data set itself assigns an image to, as its index in `pairs.SPLITS`. 0 (train)
    for all images if the data set has no splits. names: the name of each class, by its number.
    """

    labels: np.ndarray | None
    splits: np.ndarray
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images of a data set.

    images: uint8 (n, C, S, S), from 0 (black) to 255 (white). labels, splits, names: as in `Census`.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: tuple[str, ...]
