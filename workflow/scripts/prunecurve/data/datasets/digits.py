"""scikit-learn's handwritten digits."""

from pathlib import Path

import numpy as np

from prunecurve.data.datasets import DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all


def read(data_dir: Path, size: int) -> ImageSet:
    """Read scikit-learn's handwritten digits: 1,797 images of 8×8 pixels in 10 classes (Alpaydin 1998)."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    # The pixel values are integers from 0 to 16.
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    labels = bundled.target.astype(np.int64)
    return ImageSet(resized_all(grey[:, None], size), labels, np.zeros(1797, np.int8), tuple("0123456789"))


DATASETS = {"digits": DataSet(read, lambda data_dir: {"train": 1797}, {"train": 1000, "val": 297, "test": 300})}
