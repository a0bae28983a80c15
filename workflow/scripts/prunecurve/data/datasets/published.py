"""torchvision's data sets: MNIST (LeCun 1998), two of its format, and CIFAR-10 and CIFAR-100 (Krizhevsky 2009).

torchvision unpacks what it finds in data_dir and downloads what is missing. It compares archives with their published
MD5 checksums, so that after an interrupted download the next one begins again.
"""

import functools
import hashlib
import importlib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prunecurve.data.datasets import Contents, DataSet, ImageSet
from prunecurve.data.datasets.digests import digest_of_files
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import SPLITS
from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.errors import StudyError

# The images, uint8 (n, C, H, W), and the labels, int64 (n,), of the training images and of the test images.
Parts = list[tuple[np.ndarray, np.ndarray]]
# A function (class of torchvision, data_dir) to the images and the names of the classes.
Reader = Callable[[Any, Path], tuple[Parts, tuple[str, ...]]]
# The four unpacked files of MNIST and of data sets in its format.
IDX_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
# The digests of published files, as in `idx_fingerprint`. Data sets that are not listed are identified by their names.
PUBLISHED_DIGESTS = {"MNIST": "907fafb99ba94f2f"}


def read(class_name: str, reader: Reader, data_dir: Path, size: int) -> ImageSet:
    """Read a data set, and download it first if it is missing. Its test images are test images of the study.

    class_name: its class in torchvision. Raises StudyError, naming the folder, if it cannot be read or downloaded.
    """
    published = getattr(torchvision_datasets(), class_name)
    folder = Path(data_dir, getattr(published, "base_folder", f"{class_name}/raw"))
    try:
        parts, names = reader(published, Path(data_dir))
    except StudyError:
        raise
    # torchvision passes on all exceptions of the download and of the file parser.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"data_dir: {class_name} could not be read from {folder} or downloaded to it ({reason}); if a file "
            "there is damaged, delete it to download it again; without internet access, either set data_dir to a "
            "folder that already contains the data set in torchvision's layout, or use a data set that needs no "
            "download: dataset: digits, or dataset: image_folder or arrays with your own images"
        ) from error
    splits = np.repeat(np.array([0, SPLITS.index("test")], np.int8), [len(labels) for _, labels in parts])
    images = np.concatenate([resized_all(part, size) for part, _ in parts])
    return ImageSet(images, np.concatenate([labels for _, labels in parts]), splits, names)


def torchvision_datasets() -> Any:
    """Import torchvision.datasets, even if torchvision was compiled for a different build of torch. Takes seconds."""
    return with_torchvision(lambda: importlib.import_module("torchvision.datasets"))


def read_idx(published: Any, data_dir: Path) -> tuple[Parts, tuple[str, ...]]:
    """Read a data set in MNIST's format; the names of its classes are their numbers."""
    halves = [published(data_dir, train=train, download=True) for train in (True, False)]
    classes = max(int(half.targets.max()) for half in halves) + 1
    return [(half.data.numpy()[:, None], half.targets.numpy()) for half in halves], tuple(map(str, range(classes)))


def idx_fingerprint(class_name: str, data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return "" if the files are the published ones or not unpacked yet, else a digest of their contents."""
    raw = Path(data_dir, class_name, "raw")
    if class_name not in PUBLISHED_DIGESTS or not all((raw / name).is_file() for name in IDX_FILES):
        return ""
    digest = digest_of_files(raw, IDX_FILES, cache)
    return "" if digest == PUBLISHED_DIGESTS[class_name] else digest


def read_cifar(published: Any, data_dir: Path) -> tuple[Parts, tuple[str, ...]]:
    """Read CIFAR-10 or CIFAR-100 with its fine labels from pickle files.

    torchvision checks a file and opens it again to unpickle it. A file that is replaced in between would be unpickled,
    which can run any code. Therefore only its download and its checksums are used.
    """
    folder = data_dir / published.base_folder
    halves, meta = [published.train_list, published.test_list], [published.meta["filename"], published.meta["md5"]]
    if not all((folder / name).is_file() for name, _ in (*halves[0], *halves[1], meta)):
        download = torchvision_datasets().utils.download_and_extract_archive
        download(published.url, str(data_dir), filename=published.filename, md5=published.tgz_md5)
    parts = []
    for half in halves:
        files = [unpickled(folder / name, md5) for name, md5 in half]
        labels = [file["labels" if "labels" in file else "fine_labels"] for file in files]
        images = np.concatenate([file["data"] for file in files]).reshape(-1, 3, 32, 32)
        parts.append((images, np.concatenate(labels).astype(np.int64)))
    return parts, tuple(unpickled(folder / meta[0], meta[1])[published.meta["key"]])


def unpickled(path: Path, md5: str) -> dict[str, Any]:
    """Return the content of a published pickle file. Raises StudyError, before unpickling, if it is a different file.

    The file is read once: the bytes with the published checksum are those that are unpickled.
    """
    content = path.read_bytes()
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise StudyError(
            f"data_dir: {path} is not the published file (MD5 checksum {actual}, published {md5}); it was not "
            "unpickled, because a pickle file from elsewhere can run any code; delete it to download it again"
        )
    with warnings.catch_warnings():
        # Python 2 wrote the files. Newer versions of numpy warn about names and numbers in them.
        warnings.simplefilter("ignore")
        return pickle.loads(content, encoding="latin1")


def _declared(class_name: str, reader: Reader, train: int, channels: int) -> DataSet:
    """Return the data set of a class of torchvision with `train` training images; each has 10,000 test images."""
    return DataSet(
        read=functools.partial(read, class_name, reader),
        contents=lambda data_dir: Contents({"train": train, "test": 10_000}, channels),
        sizes={"train": 6000, "val": 1000, "test": 1000},
        fingerprint=functools.partial(idx_fingerprint, class_name),
    )


DATASETS = {
    "mnist": _declared("MNIST", read_idx, 60_000, channels=1),
    "fashion_mnist": _declared("FashionMNIST", read_idx, 60_000, channels=1),
    "kmnist": _declared("KMNIST", read_idx, 60_000, channels=1),
    "cifar10": _declared("CIFAR10", read_cifar, 50_000, channels=3),
    "cifar100": _declared("CIFAR100", read_cifar, 50_000, channels=3),
}
