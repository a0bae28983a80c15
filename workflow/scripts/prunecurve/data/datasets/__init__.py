"""The data sets, by name. Each module in this folder with a dictionary `DATASETS` declares the data sets in it.

To add a data set, add a module; no other file changes.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prunecurve.data.splits import AUTO, SPLITS, require_enough, split_sizes


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
class DataSet:
    """Everything about one data set. Each function raises StudyError if data_dir does not hold the data set.

    read: (data_dir, image size S) to all images of the data set. Missing files may be downloaded.
    counts: (data_dir) to the number of images in each split of the data set itself: {"train": n} if it has no splits.
    It is called at every start, before jobs are planned, so it reads no more than it must.
    sizes: for each split, what `auto` in the config means: a number of images, a share of them, or AUTO of splits.py.
    fingerprint: (data_dir, cache) to a string that is another one if the content is another one, but not if the files
    are copied or moved; empty for published content. cache: a file in which it may keep what a second call can use.
    """

    read: Callable[[Path, int], ImageSet]
    counts: Callable[[str | Path], Mapping[str, int]]
    sizes: Mapping[str, int | float | str]
    fingerprint: Callable[[str | Path, str | Path | None], str] = lambda data_dir, cache: ""


DATASETS: dict[str, DataSet] = {}
# The module of each data set.
MODULES: dict[str, str] = {}
for _module in pkgutil.iter_modules(__path__):
    _declared = getattr(importlib.import_module(f"{__name__}.{_module.name}"), "DATASETS", {})
    DATASETS |= _declared
    MODULES |= dict.fromkeys(_declared, _module.name)


def asked_sizes(config: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return the size of each split, as `split_sizes` reads it, with what the data set declares instead of `auto`."""
    declared, asked = DATASETS[config["dataset"]].sizes, config["images"]
    return {split: declared[split] if asked[split] == AUTO else asked[split] for split in SPLITS}


def check_data(config: Mapping[str, Any], data_dir: str | Path) -> None:
    """Raise StudyError if data_dir does not hold the data set, or if it has too few images. No image is read."""
    counts = DATASETS[config["dataset"]].counts(data_dir)
    networks = len(config["seeds"]) if config["images"]["disjoint"] else 1
    require_enough(counts, split_sizes(asked_sizes(config), counts), dataset=config["dataset"], networks=networks)
