"""A folder of images: one folder per class, and optionally one folder per split above them."""

import dataclasses
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prunecurve.data.datasets.digests import digest_of_files
from prunecurve.data.datasets.image_set import Census, DataSet, ImageSet
from prunecurve.data.datasets.pixels import eight_bit, resized, without_colour
from prunecurve.data.splits import AUTO, SPLITS
from prunecurve.errors import StudyError

log = logging.getLogger("prunecurve")

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LAYOUTS = (
    "dataset image_folder reads data_dir/CLASS/IMAGE, or data_dir/train/CLASS/IMAGE and, if they exist, "
    f"data_dir/val/CLASS/IMAGE and data_dir/test/CLASS/IMAGE; images end in {', '.join(ENDINGS)}"
)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The image files of a folder, in the order of their splits, classes and names.

    paths: relative to the folder. ignored: the number of other files in the class folders, by ending.
    """

    paths: list[str]
    census: Census
    ignored: dict[str, int]


def image_folder(data_dir: Path, size: int) -> ImageSet:
    """Read the images of a folder. Classes are numbered in the order of their names.

    The images have 1 channel if the pixels of all of them are grey, else 3. Raises StudyError, naming the file or the
    folder, if the layout is unknown or a file is not readable.
    """
    listing = listed(data_dir)
    if listing.ignored:
        kinds = ", ".join(f"{ending or 'no ending'} ({count})" for ending, count in listing.ignored.items())
        log.warning("data_dir: files in %s that are not read, because they have other endings: %s", data_dir, kinds)
    pictures = [picture(Path(data_dir, path), size) for path in listing.paths]
    channels = max(len(pixels) for pixels in pictures)
    images = np.stack([np.broadcast_to(pixels, (channels, size, size)) for pixels in pictures])
    census = listing.census
    return ImageSet(images, census.labels, census.splits, census.names)


def picture(path: Path, size: int) -> np.ndarray:
    """Read an image file as uint8 (C, size, size); C is 1 if all pixels are grey, else 3.

    The orientation in the EXIF data is applied. Of an animation or a file of several pages, the first image is read.
    Raises StudyError, naming the file, whatever the reason.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # An image that is large, but not too large, is no reason for a warning: it is made smaller.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                file_format = opened.format
                return without_colour(resized(eight_bit(ImageOps.exif_transpose(opened), file_format), size))
    # Pillow raises many kinds of exceptions for damaged files: OSError, SyntaxError, struct.error, MemoryError, …
    except Exception as error:
        if isinstance(error, Image.DecompressionBombError):
            raise StudyError(f"data_dir: {path} is too large to be read ({error}); make it smaller") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(f"data_dir: {path} is not a readable image ({reason}); replace or remove it") from error


def listed(data_dir: str | Path) -> Listing:
    """List the image files of a folder without reading them. Hidden files and folders are skipped.

    Raises StudyError, naming the folder or the file, if the layout is unknown, a class folder has no images, there are
    fewer than two classes, or a file is a link to nothing.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise StudyError(f"data_dir: {data_dir} is not a folder; {LAYOUTS}")
    try:
        return _listed(root)
    except OSError as error:
        raise StudyError(f"data_dir: {error.filename or data_dir} can't be read: {error.strerror or error}") from error


def _listed(root: Path) -> Listing:
    folders = _folders(root)
    by_split = "train" in folders and set(folders) <= set(SPLITS) and not any(_images(root / "train"))
    splits = [split for split in SPLITS if split in folders] if by_split else [""]
    files: list[tuple[str, str, str]] = []
    ignored: Counter[str] = Counter()
    empty = []
    for split in splits:
        for name in _folders(root / split):
            images = list(_images(root / split / name, ignored))
            files += [(split, name, image) for image in images]
            empty += [] if images else [os.path.join(split, name)]
    _require_classes(root, files, empty)
    names = tuple(sorted({name for _, name, _ in files}))
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[name] for _, name, _ in files], np.int64)
    of_split = np.array([SPLITS.index(split) if split else 0 for split, _, _ in files], np.int8)
    paths = [os.path.join(split, name, image) for split, name, image in files]
    return Listing(paths, Census(labels, of_split, names), dict(sorted(ignored.items())))


def _require_classes(root: Path, files: list[tuple[str, str, str]], empty: list[str]) -> None:
    """Raise StudyError if a folder is no class, if there are too few classes, or if the splits have other classes."""
    if empty:
        raise StudyError(
            f"data_dir: folders in {root} without images: {_some(empty)}; remove them, or begin their names with a dot "
            f"so that they are skipped. {LAYOUTS}"
        )
    classes = {split: {name for of, name, _ in files if of == split} for split in {split for split, _, _ in files}}
    count = len(classes.get("train", classes.get("", set())))
    if count < 2:
        where = root / "train" if "train" in classes else root
        raise StudyError(
            f"data_dir: folders with images in {where}: {count}, but at least two classes are needed. {LAYOUTS}"
        )
    for split in ("val", "test"):
        if unknown := sorted(classes.get(split, set()) - classes.get("train", set())):
            raise StudyError(
                f"data_dir: classes in {root / split} that {root / 'train'} does not have: {_some(unknown)}"
            )


def _some(names: list[str]) -> str:
    """Return at most ten of the names, as text."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _folders(folder: Path) -> list[str]:
    entries = _visible(folder)
    for entry in entries:
        _require_target(entry)
    return [entry.name for entry in entries if entry.is_dir()]


def _require_target(entry: os.DirEntry[str]) -> None:
    """Raise StudyError for a link to nothing. `is_file` and `is_dir` are false for it, without an error."""
    if entry.is_symlink() and not os.path.exists(entry.path):
        target = os.readlink(entry.path)
        raise StudyError(f"data_dir: {entry.path} is a link to {target}, which does not exist; remove the link")


def _images(folder: Path, ignored: Counter[str] | None = None) -> Iterator[str]:
    """Yield the names of the images directly in a folder; count the other files in `ignored`."""
    for entry in _visible(folder):
        ending = os.path.splitext(entry.name)[1].lower()
        if ending in ENDINGS:
            _require_target(entry)
            if entry.is_file():
                yield entry.name
        elif ignored is not None and entry.is_file():
            ignored[ending] += 1


def census(data_dir: str | Path) -> Census:
    """Return the classes and splits of a folder of images. Raises StudyError as `listed` does."""
    return listed(data_dir).census


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all images."""
    return digest_of_files(data_dir, listed(data_dir).paths, cache)


DATASETS = {"image_folder": DataSet(image_folder, census, dict.fromkeys(SPLITS, AUTO), fingerprint)}
