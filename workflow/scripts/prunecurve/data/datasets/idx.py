"""MNIST and data sets in its format: four IDX files, unpacked or as `.gz`, in torchvision's layout."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from prunecurve.data.datasets.image_set import Census, ImageSet
from prunecurve.data.datasets.pixels import resized
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError

OFFLINE_CHOICES = (
    "without internet access, either set data_dir to a folder that already contains the data set in torchvision's "
    "layout, or use a data set that needs no download: dataset: digits, or dataset: image_folder with your own images"
)

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


def reader(class_name: str) -> Callable[[Path, int], ImageSet]:
    """Return the function that reads a data set, given the name of its class in torchvision (`MNIST`)."""

    def load(data_dir: Path, size: int) -> ImageSet:
        from PIL import Image

        files = located(class_name, data_dir)
        if missing := [name for name in FILES if name not in files]:
            _download(class_name, Path(data_dir), missing)
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
        images = [np.stack([resized(Image.fromarray(pixels), size) for pixels in part]) for part in parts]
        return ImageSet(np.concatenate(images), labels, splits, _names(labels))

    load.__doc__ = f"Read {class_name}. Its test images are test images of the study. Missing files are downloaded."
    return load


def census(class_name: str, data_dir: str | Path) -> Census:
    """Return the classes and splits of a data set; without classes if it is not downloaded yet."""
    files = located(class_name, data_dir)
    if len(files) < len(FILES):
        return Census(None, np.repeat(np.array([0, 2], np.int8), list(PUBLISHED.values())))
    labels, splits = _labels(files)
    return Census(labels, splits, _names(labels))


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


def _download(class_name: str, data_dir: Path, missing: list[str]) -> None:
    """Download a data set with torchvision and move the missing files to their place.

    The download goes to a temporary folder, so that a failed or interrupted one leaves nothing in data_dir.
    """
    raw = data_dir / class_name / "raw"
    new = [folder for folder in (raw, *raw.parents) if not folder.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as temporary:
            getattr(_import_torchvision_datasets(), class_name)(temporary, train=True, download=True)
            raw.mkdir(parents=True, exist_ok=True)
            for name in missing:
                os.replace(Path(temporary) / class_name / "raw" / name, raw / name)
    # torchvision passes on all exceptions of the download and of the file parser.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StudyError(
            f"data_dir: {class_name} is not in {data_dir} and could not be downloaded there ({reason}). {_found(raw)}; "
            f"{OFFLINE_CHOICES}"
        ) from error
    finally:
        for folder in new:
            # Succeeds for empty folders only.
            with suppress(OSError):
                folder.rmdir()


def _found(raw: Path) -> str:
    """Say which files are missing, and what is there instead."""
    missing = [name for name in FILES if name not in _in_folder(raw)]
    there = sorted(path.name for path in raw.iterdir()) if raw.is_dir() else []
    return f"Missing in {raw}: {', '.join(missing)} (unpacked or .gz); found there: {', '.join(there[:8]) or 'nothing'}"


def _import_torchvision_datasets() -> Any:
    """Import torchvision.datasets, even if torchvision was compiled for another build of torch.

    With a CPU-only torch, the import can fail because two compiled operators are missing. Declaring
    them is enough, because the data sets do not use them.
    """
    import torch

    try:
        from torchvision import datasets
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets
    return datasets


READERS = {name: reader(class_name) for name, class_name in TORCHVISION.items()}
