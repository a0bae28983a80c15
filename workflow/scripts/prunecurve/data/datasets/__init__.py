"""The data sets, by name. Each module in this folder with a dictionary `DATASETS` declares the data sets in it.

To add a data set, add a module; no other file changes.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images of a data set.

    images: uint8 (n, C, S, S), from 0 (black) to 255 (white). labels: int64 (n,), class numbers. splits: int8 (n,), the
    split that the data set itself assigns an image to, as its index in `SPLITS`; 0 (train) for all images if the data
    set has no splits. names: the name of each class, by its number.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is known of a data set before its images are read.

    images: how many images the data set assigns to each split: {"train": n} if it has no splits. channels: C of an
    image; None if only reading the images tells it.
    """

    images: Mapping[str, int]
    channels: int | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Everything about one data set. Each function raises StudyError if data_dir does not hold the data set.

    read: (data_dir, image size S) to all images of the data set. Missing files may be downloaded.
    contents: (data_dir) to what is known before images are read. It is called at every start, before jobs are planned,
    so it reads no more than it must and imports nothing that is slow to import.
    sizes: for each split, what `auto` in the config means: a number of images, a share of them, or AUTO of splits.py.
    fingerprint: (data_dir, cache) to a string that is another one if the content is another one, but not if the files
    are copied or moved; empty for published content. cache: a file in which it may keep what a second call can use.
    """

    read: Callable[[Path, int], ImageSet]
    contents: Callable[[str | Path], Contents]
    sizes: Mapping[str, int | float | str]
    fingerprint: Callable[[str | Path, str | Path | None], str] = lambda data_dir, cache: ""


DATASETS: dict[str, DataSet] = {}
# The module of each data set.
MODULES: dict[str, str] = {}
for _module in pkgutil.iter_modules(__path__):
    _declared = getattr(importlib.import_module(f"{__name__}.{_module.name}"), "DATASETS", {})
    DATASETS |= _declared
    MODULES |= dict.fromkeys(_declared, _module.name)
