"""MNIST and data sets in its format: four IDX files, unpacked or as `.gz`, in torchvision's layout."""

import functools
import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from prunecurve.data.datasets.downloads import download
from prunecurve.data.datasets.image_set import Census, DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError

# The name of each data set's class in torchvision, which is also that of its folder.
TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
# The files of the training and of the test images; the images come before the labels.
PARTS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
FILES = [name for names in PARTS.values() for name in names]
# The published numbers of images, which all three data sets have.
PUBLISHED = {"train": 60_000, "test": 10_000}
SIZES = {"train": 6000, "val": 1000, "test": 1000}


def read(class_name: str, data_dir: Path, size: int) -> ImageSet:
    """Read the data set of a class of torchvision (`MNIST`). Missing files are downloaded.

    The test images of the data set are test images of the study. Raises StudyError, naming the file, if a file is
    damaged.
    """
    files = located(class_name, data_dir)
    if missing := [name for name in FILES if name not in files]:
        download(
            class_name,
            Path(data_dir),
            f"{class_name}/raw",
            missing,
            lambda datasets, folder: getattr(datasets, class_name)(folder, train=True, download=True),
            alternative="unpacked or .gz",
        )
        files = located(class_name, data_dir)
    labels, splits = _labels(files)
    parts = [_array(files[images], 3) for images, _ in PARTS.values()]
    for (images, _), part, split in zip(PARTS.values(), parts, PARTS):
        count = int((splits == SPLITS.index(split)).sum())
        if len(part) != count:
            raise StudyError(
                f"data_dir: {files[images]} has {len(part)} images, but its file of labels has {count} labels; "
                f"replace the two files, or delete them to download them again"
            )
    images = [resized_all(part[:, None], size) for part in parts]
    return ImageSet(np.concatenate(images), labels, splits, _names(labels))


def census(class_name: str, data_dir: str | Path) -> Census:
    """Return the classes and splits of a data set; without classes if it is not downloaded yet."""
    files = located(class_name, data_dir)
    if len(files) < len(FILES):
        return Census(None, np.repeat(np.array([0, 2], np.int8), list(PUBLISHED.values())), channels=1)
    labels, splits = _labels(files)
    return Census(labels, splits, _names(labels), channels=1)


def located(class_name: str, data_dir: str | Path) -> dict[str, Path]:
    """Return the path of each file that exists, by its name without `.gz`. An unpacked file is preferred.

    Raises StudyError if the files are not in the folder where they are looked for, but in a related one.
    """
    raw = Path(data_dir) / class_name / "raw"
    files = _in_folder(raw)
    for other in () if files else (raw.parent, Path(data_dir) / "raw", Path(data_dir)):
        if misplaced := _in_folder(other):
            there = Path(os.path.abspath(other))
            move = f"move them to {raw}"
            if there.parts[-2:] == (class_name, "raw"):
                move = f"set data_dir to {there.parent.parent}"
            name = next(iter(misplaced.values())).name
            raise StudyError(
                f"data_dir: {class_name} is looked for in {raw}, but {name} is in {other}; if these are the files of "
                f"{class_name}, {move}"
            )
    return files


def _in_folder(folder: Path) -> dict[str, Path]:
    choices = {name: [folder / name, folder / f"{name}.gz"] for name in FILES}
    present = {name: [path for path in paths if path.is_file()] for name, paths in choices.items()}
    return {name: paths[0] for name, paths in present.items() if paths}


def _labels(files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read the labels of all images, int64 (n,), and their splits, int8 (n,)."""
    parts = [_array(files[labels], 1) for _, labels in PARTS.values()]
    splits = [np.full(len(part), SPLITS.index(split), np.int8) for split, part in zip(PARTS, parts)]
    return np.concatenate(parts).astype(np.int64), np.concatenate(splits)


def _names(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(map(str, range(int(labels.max(initial=-1)) + 1)))


def _array(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of bytes: uint8 with 1 (labels) or 3 dimensions (images).

    The format is described at http://yann.lecun.com/exdb/mnist. Raises StudyError, naming the file, if it is damaged.
    """
    content = unpacked(path)
    header = np.frombuffer(content[: 4 + 4 * dimensions].ljust(4 + 4 * dimensions, b"\0"), ">u4").tolist()
    expected = 4 + 4 * dimensions + int(np.prod(header[1:], dtype=object))
    # The first number holds the type (8: bytes) and the number of dimensions.
    if header[0] != 0x800 + dimensions or expected != len(content) or not header[1]:
        known = header[0] == 0x800 + dimensions
        what = f"{len(content)} bytes, {expected} by its header" if known else "its header is another one"
        raise StudyError(
            f"data_dir: {path} is truncated or not an IDX file of {'labels' if dimensions == 1 else 'images'} "
            f"({what}); replace it, or delete it to download it again"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(header[1:])


def unpacked(path: Path) -> bytes:
    """Read a file; a `.gz` file is unpacked in memory, so that its folder may be read-only."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StudyError(
            f"data_dir: {path} is truncated or not a gzip file ({error}); replace it, or delete it to download it again"
        ) from error
    except OSError as error:
        raise StudyError(f"data_dir: {path} can't be read: {error.strerror or error}") from error


# Digests of published files, computed as in `fingerprint`. Other files in their place are other data. Data sets that
# are not listed here are identified by their names.
PUBLISHED_DIGESTS = {"MNIST": "336c79d432494e89"}


def fingerprint(class_name: str, data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return "" if the files are the published ones or not downloaded yet, else their digest.

    The digest is that of the name, the size and the first 64 KiB of each unpacked file.
    """
    files = located(class_name, data_dir)
    if class_name not in PUBLISHED_DIGESTS or len(files) < len(FILES):
        return ""
    content = hashlib.sha256()
    for name in FILES:
        path = files[name]
        size, start = (_start_of_gzip if path.suffix == ".gz" else _start_of_file)(path)
        content.update(f"{name} {size}\0".encode() + start)
    digest = content.hexdigest()[:16]
    return "" if digest == PUBLISHED_DIGESTS[class_name] else digest


def _start_of_file(path: Path) -> tuple[int, bytes]:
    """Return the size of a file and its first 64 KiB."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, file.read(1 << 16)


def _start_of_gzip(path: Path) -> tuple[int, bytes]:
    """Return the size and the first 64 KiB of the content of a gzip file; of a damaged file, those of the file."""
    try:
        with path.open("rb") as file:
            # The last four bytes hold the unpacked size.
            file.seek(-4, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
        with gzip.open(path) as file:
            return size, file.read(1 << 16)
    except (OSError, EOFError, ValueError, zlib.error):
        return _start_of_file(path)


def _data_set(class_name: str) -> DataSet:
    return DataSet(
        read=functools.partial(read, class_name),
        census=functools.partial(census, class_name),
        sizes=SIZES,
        fingerprint=functools.partial(fingerprint, class_name),
    )


DATASETS = {name: _data_set(class_name) for name, class_name in TORCHVISION.items()}
