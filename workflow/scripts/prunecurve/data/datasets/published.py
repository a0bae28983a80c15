"""torchvision's data sets: MNIST (LeCun 1998), two of its format, and CIFAR-10 and CIFAR-100 (Krizhevsky 2009).

torchvision unpacks what it finds in data_dir and downloads what is missing. It compares archives with their published
MD5 checksums, so that after an interrupted download the next one begins again. CIFAR's files are pickles, which can run
any code: torchvision replaces files of other checksums, and does not unpickle them.
"""

import functools
import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from prunecurve.data.datasets import DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import SPLITS
from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.digests import digest_of_files
from prunecurve.errors import StudyError

# The four unpacked files of MNIST, and their digest as published.
MNIST_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
MNIST_DIGEST = "907fafb99ba94f2f"


def torchvision_datasets() -> Any:
    """Import torchvision.datasets, even if torchvision was compiled for a different build of torch. Takes seconds."""
    return with_torchvision(lambda: importlib.import_module("torchvision.datasets"))


def read(class_name: str, data_dir: Path, size: int) -> ImageSet:
    """Read a data set, and download it first if it is missing. Its test images are test images of the study.

    class_name: its class in torchvision. Raises StudyError, naming the folder, if it cannot be read or downloaded.
    """
    published = getattr(torchvision_datasets(), class_name)
    try:
        with warnings.catch_warnings():
            # Python 2 wrote CIFAR's files. Newer versions of numpy warn about numbers in them.
            warnings.simplefilter("ignore")
            halves = [published(data_dir, train=train, download=True) for train in (True, False)]
    # torchvision passes on all exceptions of the download and of the file parser.
    except Exception as error:
        folder = Path(data_dir, getattr(published, "base_folder", f"{class_name}/raw"))
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"data_dir: {class_name} could not be read from {folder} or downloaded to it ({reason}); if "
            "files there are damaged, delete the folder to download them again; without internet access, either set "
            "data_dir to a folder that already contains the data set in torchvision's layout, or use a data set that "
            "needs no download: dataset: digits, or dataset: image_folder or arrays with your own images"
        ) from error
    # MNIST and its like are grey, (n, H, W), and name their classes by numbers; CIFAR is (n, H, W, 3).
    parts = [np.asarray(half.data) for half in halves]
    grey = parts[0].ndim == 3
    images = [resized_all(part[:, None] if grey else part.transpose(0, 3, 1, 2), size) for part in parts]
    labels = np.concatenate([half.targets for half in halves]).astype(np.int64)
    splits = np.repeat(np.array([0, SPLITS.index("test")], np.int8), [len(part) for part in parts])
    return ImageSet(np.concatenate(images), labels, splits, tuple("0123456789" if grey else halves[0].classes))


def mnist_fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return "" if the files of MNIST are the published ones or not unpacked yet, else a digest of their contents."""
    raw = Path(data_dir, "MNIST", "raw")
    if not all((raw / name).is_file() for name in MNIST_FILES):
        return ""
    digest = digest_of_files(raw, MNIST_FILES, cache)
    return "" if digest == MNIST_DIGEST else digest


def _declared(class_name: str, train: int, **functions: Any) -> DataSet:
    """Return the data set of a class of torchvision with `train` training images; each has 10,000 test images."""
    counts, sizes = {"train": train, "test": 10_000}, {"train": 6000, "val": 1000, "test": 1000}
    return DataSet(functools.partial(read, class_name), lambda data_dir: counts, sizes, **functions)


DATASETS = {
    "mnist": _declared("MNIST", 60_000, fingerprint=mnist_fingerprint),
    "fashion_mnist": _declared("FashionMNIST", 60_000),
    "kmnist": _declared("KMNIST", 60_000),
    "cifar10": _declared("CIFAR10", 50_000),
    "cifar100": _declared("CIFAR100", 50_000),
}
