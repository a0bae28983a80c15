"""A folder of images: one folder per class, and optionally one folder per split above them."""

import dataclasses
import logging
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prunecurve.data.datasets import Contents, DataSet, ImageSet
from prunecurve.data.datasets.digests import digest_of_files
from prunecurve.data.datasets.pixels import eight_bit, resized, without_colour
from prunecurve.data.splits import AUTO, SPLITS, counts_of
from prunecurve.errors import StudyError

log = logging.getLogger("prunecurve")

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LAYOUTS = (
    "dataset image_folder reads data_dir/CLASS/IMAGE, or data_dir/train/CLASS/IMAGE and, if they exist, "
    f"data_dir/val/CLASS/IMAGE and data_dir/test/CLASS/IMAGE; images end in {', '.join(ENDINGS)}"
)
HIDDEN = "or begin {} with a dot, so that {} skipped"


@dataclasses.dataclass(frozen=True)
class Listing:
    """The image files of a folder, in the order of their splits, classes and names.

    paths: relative to the folder. labels, splits, names: as in `ImageSet`. ignored: the number of other files in the
    class folders, by ending.
    """

    paths: list[str]
    labels: np.ndarray
    splits: np.ndarray
    names: tuple[str, ...]
    ignored: dict[str, int]


def read(data_dir: Path, size: int) -> ImageSet:
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
    return ImageSet(images, listing.labels, listing.splits, listing.names)


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
        raise StudyError(
            f"data_dir: {path} is not a readable image ({reason}); replace it, {HIDDEN.format('its name', 'it is')}"
        ) from error


def listed(data_dir: str | Path) -> Listing:
    """List the image files of a folder without reading them. Hidden files and folders are skipped.

    Names of classes that differ only in the Unicode form (é as one or as two characters) are one class: archives of
    macOS have the other form. Raises StudyError, naming the folder or the file, if the layout is unknown, an image is
    in no class folder, a class or a split has no images, there are fewer than two classes, or a file is a link to
    nothing.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise StudyError(f"data_dir: {data_dir} is not a folder; {LAYOUTS}")
    try:
        return _listed(root)
    except OSError as error:
        raise StudyError(f"data_dir: {error.filename or data_dir} can't be read: {error.strerror or error}") from error


def _listed(root: Path) -> Listing:
    folders, splits = _folders(root), _splits_of(root)
    _require_no_others(root, folders, splits)
    files: list[tuple[str, str, str]] = []
    ignored: Counter[str] = Counter()
    empty, stray = [], list(_images(root))
    for split in splits or [""]:
        classes = _folders(root / split)
        stray += [os.path.join(split, image) for image in _images(root / split)] if split else []
        empty += [split] if split and not classes else []
        for name in classes:
            images = list(_images(root / split / name, ignored))
            stray += _deeper_images(root, os.path.join(split, name))
            files += [(split, name, image) for image in images]
            empty += [] if images else [os.path.join(split, name)]
    _require_places(root, stray, empty)
    class_of = {name: unicodedata.normalize("NFC", name) for _, name, _ in files}
    _require_classes(root, {(split, class_of[name]) for split, name, _ in files})
    names = tuple(sorted(set(class_of.values())))
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[class_of[name]] for _, name, _ in files], np.int64)
    of_split = np.array([SPLITS.index(split) if split else 0 for split, _, _ in files], np.int8)
    paths = [os.path.join(split, name, image) for split, name, image in files]
    return Listing(paths, labels, of_split, names, dict(sorted(ignored.items())))


def _splits_of(root: Path) -> list[str]:
    """Return the splits that have a folder; none if all folders are classes, one of which may be called train."""
    folders = _folders(root)
    if "train" not in folders or not _folders(root / "train"):
        return []
    if not set(folders) <= set(SPLITS) and any(_images(root / "train")):
        return []
    return [split for split in SPLITS if split in folders]


def _require_no_others(root: Path, folders: list[str], splits: list[str]) -> None:
    """Raise StudyError if there are other folders beside splits, or if one looks like train and there is no train.

    Without train, only a folder of folders looks like a split: one of images is a class of any name.
    """
    renamed = {
        name: split
        for name in folders
        for split in SPLITS
        if name.lower().startswith(split) and split not in folders and (splits or _folders(root / name))
    }
    others = [name for name in folders if name not in splits] if splits else list(renamed)
    if not others or not (splits or "train" in renamed.values()):
        return
    moved = [name for name in others if name not in renamed]
    advice = [f"rename {name} to {split}" for name, split in renamed.items()]
    advice += [f"move {_some(moved)} elsewhere, {HIDDEN.format('the name', 'it is')}"] if moved else []
    where = f"beside {' and '.join(splits)}" if splits else "that look like splits"
    raise StudyError(f"data_dir: folders in {root} {where}: {_some(others)}; {', '.join(advice)}. {LAYOUTS}")


def _require_places(root: Path, stray: list[str], empty: list[str]) -> None:
    """Raise StudyError if an image is in no class folder, or a folder of a class or a split has no images."""
    if stray:
        raise StudyError(
            f"data_dir: images in {root} that are not directly in a class folder: {_some(stray)}; set data_dir to "
            f"another folder, move them to the folder of their class, {HIDDEN.format('their names', 'they are')}. "
            f"{LAYOUTS}"
        )
    if empty:
        raise StudyError(
            f"data_dir: folders in {root} without images: {_some(empty)}; add images, move the folders elsewhere, "
            f"{HIDDEN.format('their names', 'they are')}. {LAYOUTS}"
        )


def _require_classes(root: Path, of_splits: set[tuple[str, str]]) -> None:
    """Raise StudyError if there are too few classes, or if a split has classes that train does not have.

    of_splits: each split with each of its classes.
    """
    classes = {split: {name for of, name in of_splits if of == split} for split, _ in of_splits}
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
        return sorted((entry for entry in entries if not _is_hidden(entry.name)), key=lambda entry: entry.name)


def _is_hidden(name: str) -> bool:
    """Return whether a file or folder is skipped: archives of macOS have hidden files in the folder __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


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


def _deeper_images(root: Path, folder: str) -> list[str]:
    """Return the images in the folders below a folder, relative to root."""
    below = [path.relative_to(root) for name in _folders(root / folder) for path in (root / folder / name).rglob("*")]
    visible = (path for path in sorted(below) if not any(map(_is_hidden, path.parts)))
    return [str(path) for path in visible if path.suffix.lower() in ENDINGS and (root / path).is_file()]


def contents(data_dir: str | Path) -> Contents:
    """Return the number of images. Raises StudyError as `listed` does."""
    return Contents(counts_of(listed(data_dir).splits))


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all images."""
    return digest_of_files(data_dir, listed(data_dir).paths, cache)


DATASETS = {"image_folder": DataSet(read, contents, dict.fromkeys(SPLITS, AUTO), fingerprint)}
