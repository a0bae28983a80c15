"""Reading of data sets. Every data set is returned as an `ImageSet`: uint8 images (n, C, S, S), classes and splits.

To add a data set, write a function that returns an `ImageSet`, add it to `DATASETS`, and add its split
sizes to the config schema (`images`).
"""

from collections.abc import Callable
from pathlib import Path

from prunecurve.datasets.bundled import digits
from prunecurve.datasets.folder import image_folder
from prunecurve.datasets.idx import reader
from prunecurve.datasets.image_set import ImageSet

DATASETS: dict[str, Callable[[Path, int], ImageSet]] = {
    "digits": digits,
    "mnist": reader("MNIST"),
    "fashion_mnist": reader("FashionMNIST"),
    "kmnist": reader("KMNIST"),
    "image_folder": image_folder,
}
