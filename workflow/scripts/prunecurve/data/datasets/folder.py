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
from prunecurve.data.splits import AUTO, SPLITS, images_per_split
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
        log.warning("data_dir: files in %s that are not read, because they have different endings: %s", data_dir, kinds)
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
            # An image that is large, but not too large, does not need a warning: it is made smaller.
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
        places = list(_walk(root))
    except OSError as error:
        raise StudyError(f"data_dir: {error.filename or data_dir} cannot be read: {error.strerror or error}") from error
    folders, files = ([place for place, is_folder in places if is_folder == wanted] for wanted in (True, False))
    splits = _splits_of(folders, files)
    _require_no_others(root, folders, splits)
    # The length of a path to a class folder.
    depth = 2 if splits else 1
    in_classes = [file for file in files if len(file) == depth + 1]
    images = [file for file in in_classes if _is_image(file)]
    _require_places(root, folders, [file for file in files if _is_image(file)], depth)
    class_of = {file[depth - 1]: unicodedata.normalize("NFC", file[depth - 1]) for file in images}
    _require_classes(root, {(file[0] if splits else "", class_of[file[depth - 1]]) for file in images})
    # In the order of the splits, then of the names.
    images.sort(key=lambda file: (splits.index(file[0]) if splits else 0, file))
    names = tuple(sorted(set(class_of.values())))
    number = {name: i for i, name in enumerate(names)}
    ignored = Counter(os.path.splitext(file[-1])[1].lower() for file in in_classes if not _is_image(file))
    return Listing(
        paths=[os.path.join(*file) for file in images],
        labels=np.array([number[class_of[file[depth - 1]]] for file in images], np.int64),
        splits=np.array([SPLITS.index(file[0]) if splits else 0 for file in images], np.int8),
        names=names,
        ignored=dict(sorted(ignored.items())),
    )


# A file or a folder, as the names on the way to it from data_dir.
Place = tuple[str, ...]
# Folders below are not searched: a link to a folder above it would never end.
DEEPEST = 8


def _walk(folder: str | Path, place: Place = ()) -> Iterator[tuple[Place, bool]]:
    """Yield all folders and files that are not hidden, by name, and whether it is a folder. Links are followed.

    Raises StudyError for a link to nothing, and OSError for a folder that cannot be read.
    """
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not _is_hidden(entry.name)), key=lambda entry: entry.name)
    for entry in visible:
        below = (*place, entry.name)
        if entry.is_dir():
            yield below, True
            if len(below) < DEEPEST:
                yield from _walk(entry.path, below)
        elif entry.is_file():
            yield below, False
        elif entry.is_symlink() and (_is_image(below) or not os.path.splitext(entry.name)[1]):
            target = os.readlink(entry.path)
            raise StudyError(f"data_dir: {entry.path} is a link to {target}, which does not exist; remove the link")


def _is_hidden(name: str) -> bool:
    """Return whether a file or folder is skipped: archives of macOS have hidden files in the folder __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def _is_image(file: Place) -> bool:
    return file[-1].lower().endswith(ENDINGS)


def _splits_of(folders: list[Place], files: list[Place]) -> list[str]:
    """Return the splits that have a folder; none if all folders are classes, one of which may be called train."""
    top = [folder[0] for folder in folders if len(folder) == 1]
    if not any(folder[0] == "train" and len(folder) == 2 for folder in folders):
        return []
    if not set(top) <= set(SPLITS) and any(file[0] == "train" and len(file) == 2 and _is_image(file) for file in files):
        return []
    return [split for split in SPLITS if split in top]


def _require_no_others(root: Path, folders: list[Place], splits: list[str]) -> None:
    """Raise StudyError if there are other folders besides splits, or if one looks like train and there is no train.

    Without train, only a folder of folders looks like a split: one of images is a class of any name.
    """
    top, nested = ([folder[0] for folder in folders if len(folder) == length] for length in (1, 2))
    renamed = {
        name: split
        for name in top
        for split in SPLITS
        if name.lower().startswith(split) and split not in top and (splits or name in nested)
    }
    others = [name for name in top if name not in splits] if splits else list(renamed)
    if not others or not (splits or "train" in renamed.values()):
        return
    moved = [name for name in others if name not in renamed]
    advice = [f"rename {name} to {split}" for name, split in renamed.items()]
    advice += [f"move {_some(moved)} elsewhere, {HIDDEN.format('the name', 'it is')}"] if moved else []
    where = f"besides {' and '.join(splits)}" if splits else "that look like splits"
    raise StudyError(f"data_dir: folders in {root} {where}: {_some(others)}; {', '.join(advice)}. {LAYOUTS}")


def _require_places(root: Path, folders: list[Place], images: list[Place], depth: int) -> None:
    """Raise StudyError if an image is in no class folder, or a folder of a class or a split has no images."""
    if stray := [os.path.join(*image) for image in images if len(image) != depth + 1]:
        raise StudyError(
            f"data_dir: images in {root} that are not directly in a class folder: {_some(stray)}; set data_dir to "
            f"another folder, move them to the folder of their class, {HIDDEN.format('their names', 'they are')}. "
            f"{LAYOUTS}"
        )
    filled = {image[:length] for image in images for length in range(1, depth + 1)}
    if empty := [os.path.join(*folder) for folder in folders if len(folder) <= depth and folder not in filled]:
        raise StudyError(
            f"data_dir: folders in {root} without images: {_some(empty)}; add images, move the folders elsewhere, "
            f"{HIDDEN.format('their names', 'they are')}. {LAYOUTS}"
        )


def _require_classes(root: Path, classes_of_splits: set[tuple[str, str]]) -> None:
    """Raise StudyError if there are too few classes, or if a split has classes that train does not have."""
    classes: dict[str, set[str]] = {}
    for split, name in classes_of_splits:
        classes.setdefault(split, set()).add(name)
    train = classes.get("train", classes.get("", set()))
    if len(train) < 2:
        where = root / "train" if "train" in classes else root
        raise StudyError(
            f"data_dir: folders with images in {where}: {len(train)}, but at least two classes are needed. {LAYOUTS}"
        )
    for split in ("val", "test"):
        if unknown := sorted(classes.get(split, set()) - train):
            raise StudyError(
                f"data_dir: classes in {root / split} that {root / 'train'} does not have: {_some(unknown)}"
            )


def _some(names: list[str]) -> str:
    """Return at most ten of the names, as text."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def contents(data_dir: str | Path) -> Contents:
    """Return the number of images. Raises StudyError as `listed` does."""
    return Contents(images_per_split(listed(data_dir).splits))


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all images."""
    return digest_of_files(data_dir, listed(data_dir).paths, cache)


DATASETS = {"image_folder": DataSet(read, contents, dict.fromkeys(SPLITS, AUTO), fingerprint)}
