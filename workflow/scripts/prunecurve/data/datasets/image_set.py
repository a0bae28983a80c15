"""What a data set is: how it is read, its images with classes and splits, and what is known of it before a run."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Census:
    """The classes and the splits of all images of a data set, without the images.

    labels: int64 (n,), class numbers; None if they are not known yet, because the data set is not downloaded.
    splits: int8 (n,), the split that the data set itself assigns an image to, as its index in `SPLITS`. 0 (train)
    for all images if the data set has no splits. names: the name of each class, by its number. channels: C of an
    image; None if only reading the images tells it.
    """

    labels: np.ndarray | None
    splits: np.ndarray
    names: tuple[str, ...] = ()
    channels: int | None = None


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images of a data set.

    images: uint8 (n, C, S, S), from 0 (black) to 255 (white). labels, splits, names: as in `Census`.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: tuple[str, ...]


def published_content(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return the fingerprint of a data set whose content is the published one: the empty string."""
    return ""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Everything about one data set. Each function raises StudyError if data_dir does not hold the data set.

    read: (data_dir, image size S) to all images of the data set. Missing files may be downloaded.
    census: (data_dir) to the classes and splits. It is called at every start, before jobs are planned, so it reads no
    more than it must, checks what can be checked before a run, and imports nothing that is slow to import.
    sizes: for each split, what `auto` in the config means: a number of images, a share of them, or AUTO of splits.py.
    fingerprint: (data_dir, cache) to a string that is another one if the content is another one, but not if the files
    are copied or moved; empty for published content. cache: a file in which it may keep what a second call can use.
    """

    read: Callable[[Path, int], ImageSet]
    census: Callable[[str | Path], Census]
    sizes: Mapping[str, int | float | str]
    fingerprint: Callable[[str | Path, str | Path | None], str] = published_content
