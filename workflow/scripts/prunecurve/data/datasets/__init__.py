"""Reading of data sets. Every data set is returned as an `ImageSet`: uint8 images (n, C, S, S), classes and splits.

To add a data set, write a function that returns an `ImageSet`, add it to `READERS` of its module and the module to
`MODULES`. If `images.train: auto` and so on shall stand for numbers of images, add these to `SIZES` of the module.
"""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

from prunecurve.data.datasets.image_set import ImageSet

# The module that reads each data set. It is imported by name, so that an edit to one is an edit to its data sets alone.
MODULES = {
    "digits": "bundled",
    "mnist": "idx",
    "fashion_mnist": "idx",
    "kmnist": "idx",
    "image_folder": "folder",
}


def _read(dataset: str, data_dir: Path, size: int) -> ImageSet:
    module = importlib.import_module(f"{__name__}.{MODULES[dataset]}")
    return module.READERS[dataset](data_dir, size)


# By name: a function (data_dir, image size) that reads the whole data set.
DATASETS: dict[str, Callable[[Path, int], ImageSet]] = {name: functools.partial(_read, name) for name in MODULES}
