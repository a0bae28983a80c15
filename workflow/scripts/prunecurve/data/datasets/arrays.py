"""Arrays of images and labels: `.npy` files, one pair of them for all images or one pair for each split."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prunecurve.data.datasets import Contents, DataSet, ImageSet
from prunecurve.data.datasets.digests import digest_of_files
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import AUTO, SPLITS, images_per_split
from prunecurve.errors import StudyError

IMAGES, LABELS, NAMES = "images.npy", "labels.npy", "classes.txt"
LAYOUTS = (
    f"dataset arrays reads data_dir/{IMAGES} and data_dir/{LABELS}, or files of these names in data_dir/train, in "
    "data_dir/test and, if it exists, in data_dir/val"
)


def read(data_dir: Path, size: int) -> ImageSet:
    """Read the arrays; each image is resized channel by channel. Raises StudyError as `opened` does."""
    images, labels, splits, names = opened(data_dir)
    return ImageSet(np.concatenate([resized_all(part, size) for part in images]), labels, splits, names)


def contents(data_dir: str | Path) -> Contents:
    """Return the numbers of images and of channels. Raises StudyError as `opened` does."""
    images, _, splits, _ = opened(data_dir)
    return Contents(images_per_split(splits), images[0].shape[1])


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all files."""
    root = Path(data_dir)
    paths = [folder / name for folder in located(root).values() for name in (IMAGES, LABELS)]
    paths += [root / NAMES] if (root / NAMES).is_file() else []
    return digest_of_files(data_dir, [path.relative_to(root).as_posix() for path in paths], cache)


def located(data_dir: str | Path) -> dict[str, Path]:
    """Return the folder of each split's arrays. If they are not split, data_dir is the folder of train.

    Raises StudyError, naming the folder, if it has neither layout or both.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise StudyError(f"data_dir: {data_dir} is not a folder; {LAYOUTS}")
    split = [name for name in SPLITS if (root / name).is_dir()]
    whole = [name for name in (IMAGES, LABELS) if (root / name).exists()]
    if whole and split:
        raise StudyError(
            f"data_dir: {root} has {whole[0]} and the folder {split[0]}, so it is not clear which arrays are meant; "
            f"move one of them to another folder. {LAYOUTS}"
        )
    if not whole and not split:
        raise StudyError(f"data_dir: there is no {IMAGES} in {root}, and no folder train; {LAYOUTS}")
    # Without the folders of train and test, the message names a file that is missing.
    return {"train": root} if whole else {name: root / name for name in SPLITS if name != "val" or name in split}


def opened(data_dir: str | Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, tuple[str, ...]]:
    """Open the arrays memory-mapped and check them. Of the images, only the headers of the files are read.

    Returns the images of each split, uint8 (n, C, H, W), and the labels, splits and names as in `ImageSet`. Raises
    StudyError, naming the file, if a file is missing, truncated or holds Python objects, if an array has another type,
    shape or length, or if the labels are not 0 to C−1 with images of each class in each split.
    """
    folders = located(data_dir)
    images = {folder / IMAGES: _images(folder / IMAGES) for folder in folders.values()}
    labels = {folder / LABELS: _labels(folder / LABELS) for folder in folders.values()}
    for (path, part), (labels_path, numbers) in zip(images.items(), labels.items()):
        if len(part) != len(numbers):
            raise StudyError(f"data_dir: {path} has {len(part)} images, but {labels_path} has {len(numbers)} labels")
    _require_equal_channels(images)
    names = _class_names(Path(data_dir), labels)
    for path, numbers in labels.items():
        _require_all_classes(path, numbers, names)
    splits = [np.full(len(part), SPLITS.index(split), np.int8) for split, part in zip(folders, labels.values())]
    numbers = np.concatenate([part.astype(np.int64) for part in labels.values()])
    return list(images.values()), numbers, np.concatenate(splits), names


def _mapped(path: Path) -> np.ndarray:
    """Open a `.npy` file memory-mapped. Its header is read, and its size is compared with the header."""
    if not path.is_file():
        raise StudyError(f"data_dir: {path} does not exist or is not a file; {LAYOUTS}")
    try:
        # It refuses Python objects. Nothing is unpickled.
        return np.lib.format.open_memmap(path, mode="r")
    # All exceptions: parsing a damaged header can raise SyntaxError, TokenError and others, which numpy does not catch.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise StudyError(f"data_dir: {path} cannot be read: {error.strerror}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"data_dir: {path} is not a readable .npy array ({reason}); save it again with numpy.save(…, "
            f"allow_pickle=False)"
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
    """Return the labels of a file: whole numbers of any type, (n,). Their values are checked elsewhere."""
    array = _mapped(path)
    if array.dtype.kind not in "iu":
        raise StudyError(f"data_dir: {path} has the type {array.dtype}, expected whole numbers (int64, uint8, …)")
    if array.ndim != 1 or not len(array):
        raise StudyError(f"data_dir: {path} has the shape {array.shape}, expected (n,), at least one label")
    return np.array(array)


def _require_equal_channels(images: Mapping[Path, np.ndarray]) -> None:
    (first, part), *others = images.items()
    for path, other in others:
        if other.shape[1] != part.shape[1]:
            raise StudyError(
                f"data_dir: the images in {path} have {other.shape[1]} channels, those in {first} {part.shape[1]}; all "
                f"splits need the same number"
            )


def _class_names(root: Path, labels: Mapping[Path, np.ndarray]) -> tuple[str, ...]:
    """Return the names of the classes: the lines of classes.txt if there is one, else the numbers 0 to C−1.

    Without classes.txt, C is the number of different labels in the first file. Raises StudyError, naming the file, if a
    label is not one of the C classes.
    """
    file = root / NAMES
    if file.exists():
        names, reason = _lines(file), f"the number of lines in {file} is"
    else:
        path, numbers = next(iter(labels.items()))
        names = tuple(map(str, range(len(np.unique(numbers)))))
        reason = f"the number of different labels in {path} is"
    if len(names) < 2:
        raise StudyError(f"data_dir: {reason} {len(names)}, but at least two classes are needed")
    for path, numbers in labels.items():
        wrong = np.flatnonzero((numbers < 0) | (numbers >= len(names)))
        if len(wrong):
            raise StudyError(
                f"data_dir: {path} has the label {numbers[wrong[0]]} (image {wrong[0]}, counted from 0); allowed: 0 to "
                f"{len(names) - 1}, because {reason} {len(names)}"
            )
    return names


def _lines(file: Path) -> tuple[str, ...]:
    """Return the lines of a text file. Raises StudyError if it is not UTF-8, or a line is empty or occurs twice."""
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().split("\n")]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"data_dir: {file} cannot be read as UTF-8 text: {reason}") from error
    for number, name in enumerate(names, start=1):
        if not name or name in names[: number - 1]:
            what = f"repeats the name {name}" if name else "is empty"
            raise StudyError(f"data_dir: line {number} of {file} {what}; it needs one name per class")
    return tuple(names)


def _require_all_classes(path: Path, labels: np.ndarray, names: tuple[str, ...]) -> None:
    missing = sorted(set(range(len(names))) - set(np.unique(labels).tolist()))
    if missing:
        shown = ", ".join(names[number] for number in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise StudyError(
            f"data_dir: {path} has no image of these classes: {shown}{more}; add images, or remove the classes"
        )


DATASETS = {"arrays": DataSet(read, contents, dict.fromkeys(SPLITS, AUTO), fingerprint)}
