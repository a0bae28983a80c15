"""scikit-learn's handwritten digits."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from prunecurve.data.datasets.image_set import Census, DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all

NAMES = tuple("0123456789")


def digits(data_dir: Path, size: int) -> ImageSet:
    """Read scikit-learn's handwritten digits: 1,797 images of 8×8 pixels in 10 classes (Alpaydin 1998)."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    # The pixel values are integers from 0 to 16.
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    images = resized_all(grey[:, None], size)
    return ImageSet(images, bundled.target.astype(np.int64), np.zeros(len(images), np.int8), NAMES)


def census(data_dir: str | Path) -> Census:
    """Return the classes of the digits. They are read without importing scikit-learn, which takes about a second."""
    splits = np.zeros(1797, np.int8)
    package = importlib.util.find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if file is None or not file.is_file():
        return Census(None, splits, NAMES, channels=1)
    # The last of the 65 columns is the class.
    lines = gzip.decompress(file.read_bytes()).split()
    return Census(np.array([int(line.rpartition(b",")[2]) for line in lines]), splits, NAMES, channels=1)


DATASETS = {"digits": DataSet(digits, census, sizes={"train": 1000, "val": 297, "test": 300})}
