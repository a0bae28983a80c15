"""Arrays of images and labels: `.npy` files, one pair of them for all images or one pair for each split."""

from pathlib import Path

import numpy as np

from prunecurve.data.datasets import DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import AUTO, SPLITS, images_per_split
from prunecurve.digests import digest_of_files
from prunecurve.errors import StudyError, some

IMAGES, LABELS, NAMES = "images.npy", "labels.npy", "classes.txt"
LAYOUTS = (
    f"dataset arrays reads data_dir/{IMAGES} and data_dir/{LABELS}, or files of these names in data_dir/train, in "
    "data_dir/test and, if it exists, in data_dir/val"
)


def read(data_dir: Path, size: int) -> ImageSet:
    """Read the arrays; each image is resized channel by channel. Raises StudyError as `opened` does."""
    images, labels, splits, names = opened(data_dir)
    return ImageSet(np.concatenate([resized_all(part, size) for part in images]), labels, splits, names)


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all files."""
    root = Path(data_dir)
    paths = [folder / name for folder in located(root).values() for name in (IMAGES, LABELS)]
    paths += [root / NAMES] if (root / NAMES).is_file() else []
    return digest_of_files(data_dir, [path.relative_to(root).as_posix() for path in paths], cache)


def located(data_dir: str | Path) -> dict[str, Path]:
    """Return the folder of each split's arrays. If they are not split, data_dir is the folder of train.

    Raises StudyError, naming the folder, if it has both layouts.
    """
    root = Path(data_dir)
    split = [name for name in SPLITS if (root / name).is_dir()]
    if not split:
        return {"train": root}
    if (root / IMAGES).exists():
        raise StudyError(
            f"data_dir: {root} has {IMAGES} and the folder {split[0]}, so it is not clear which arrays are meant; "
            f"move one of them to another folder. {LAYOUTS}"
        )
    # Without the folders of train and test, the message names a file that is missing.
    return {name: root / name for name in SPLITS if name != "val" or name in split}


def opened(data_dir: str | Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, tuple[str, ...]]:
    """Open the arrays memory-mapped and check them. Of the images, only the headers of the files are read.

    Returns the images of each split, uint8 (n, C, H, W), and the labels, splits and names as in `ImageSet`. Raises
    StudyError, naming the file, if a file is missing, truncated or holds Python objects, if an array has another type,
    shape or length, or if the labels are not 0 to C−1 with images of each class in each split.
    """
    folders = located(data_dir)
    images = [_images(folder / IMAGES) for folder in folders.values()]
    labels = [_labels(folder / LABELS) for folder in folders.values()]
    names = _class_names(Path(data_dir) / NAMES, labels[0])
    if len(names) < 2:
        raise StudyError(f"data_dir: the data in {data_dir} have {len(names)} class, but at least two are needed")
    for folder, part, numbers in zip(folders.values(), images, labels):
        if len(part) != len(numbers):
            raise StudyError(f"data_dir: {folder} has {len(part)} images, but {len(numbers)} labels")
        if wrong := sorted(set(np.unique(numbers).tolist()) ^ set(range(len(names)))):
            raise StudyError(
                f"data_dir: {folder / LABELS} needs each of the labels 0 to {len(names) - 1} and no others, because "
                f"{NAMES} or the labels of train have {len(names)} classes; wrong or missing: {some(wrong)}"
            )
    splits = np.repeat([SPLITS.index(split) for split in folders], [len(part) for part in labels])
    return images, np.concatenate(labels).astype(np.int64), splits.astype(np.int8), names


def _mapped(path: Path) -> np.ndarray:
    """Open a `.npy` file memory-mapped. Its header is read, and its size is compared with the header."""
    try:
        # It refuses Python objects. Nothing is unpickled.
        return np.lib.format.open_memmap(path, mode="r")
    # All exceptions: parsing a damaged header can raise SyntaxError, TokenError and others, which numpy does not catch.
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"data_dir: {path} is not a readable .npy array ({reason}); save it with "
            f"numpy.save(…, allow_pickle=False). {LAYOUTS}"
        ) from error


def _images(path: Path) -> np.ndarray:
    """Return the images of a file, memory-mapped: uint8 (n, C, H, W)."""
    array = _mapped(path)
    if array.dtype != np.uint8:
        raise StudyError(f"data_dir: {path} has the type {array.dtype}, expected uint8 (0 for black to 255 for white)")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise StudyError(
            f"data_dir: {path} has the shape {array.shape}, expected (n, H, W) or (n, C, H, W), none of them 0"
        )
    if array.ndim == 4 and array.shape[3] <= 4 < min(array.shape[1:3]):
        raise StudyError(
            f"data_dir: {path} has the shape {array.shape}, which looks like (n, H, W, C), expected (n, C, H, W); "
            f"save images.transpose(0, 3, 1, 2)"
        )
    return array if array.ndim == 4 else array[:, None]


def _labels(path: Path) -> np.ndarray:
    """Return the labels of a file: whole numbers of any type, (n,)."""
    array = _mapped(path)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise StudyError(
            f"data_dir: {path} has the type {array.dtype} and the shape {array.shape}, expected whole numbers (int64, "
            "uint8, …) of the shape (n,)"
        )
    return np.array(array)


def _class_names(file: Path, labels: np.ndarray) -> tuple[str, ...]:
    """Return the names of the classes: the lines of a file if there is one, else the numbers 0 to C−1.

    C is then the number of different labels.
    """
    if not file.exists():
        return tuple(map(str, range(len(np.unique(labels)))))
    try:
        return tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().split("\n"))
    except (OSError, ValueError) as error:
        raise StudyError(f"data_dir: {file} cannot be read as UTF-8 text: {error}") from error


DATASETS = {
    "arrays": DataSet(
        read, lambda data_dir: images_per_split(opened(data_dir)[2]), dict.fromkeys(SPLITS, AUTO), fingerprint
    )
}
