"""A folder of images: one folder per class, and optionally one folder per split above them."""

import logging
import os
import stat
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from prunecurve.data.datasets import DataSet, ImageSet
from prunecurve.data.datasets.pixels import eight_bit, resized
from prunecurve.data.splits import AUTO, SPLITS, images_per_split
from prunecurve.digests import digest_of_files
from prunecurve.errors import StudyError, some

log = logging.getLogger("prunecurve")

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LAYOUTS = (
    "dataset image_folder reads data_dir/CLASS/IMAGE, or data_dir/train/CLASS/IMAGE and, if they exist, "
    f"data_dir/val/CLASS/IMAGE and data_dir/test/CLASS/IMAGE; images end in {', '.join(ENDINGS)}"
)


def read(data_dir: Path, size: int) -> ImageSet:
    """Read the images of a folder. Classes are numbered in the order of their names.

    The images have 1 channel if the pixels of all of them are grey, else 3. Raises StudyError, naming the file or the
    folder, if the layout is unknown or a file is not readable.
    """
    paths, labels, splits, names = listed(data_dir)
    files = [file for folder in {os.path.dirname(path) for path in paths} for file in _visible(data_dir, folder)[1]]
    if ignored := Counter(os.path.splitext(file)[1].lower() for file in files if not _is_image(file)):
        kinds = ", ".join(f"{ending or 'no ending'} ({count})" for ending, count in sorted(ignored.items()))
        log.warning("data_dir: files in %s that are not read, because they have different endings: %s", data_dir, kinds)
    pictures = [picture(Path(data_dir, path), size) for path in paths]
    channels = max(len(pixels) for pixels in pictures)
    images = np.stack([np.broadcast_to(pixels, (channels, size, size)) for pixels in pictures])
    return ImageSet(images, labels, splits, names)


def picture(path: Path, size: int) -> np.ndarray:
    """Read an image file as uint8 (C, size, size); C is 1 if all pixels are grey, else 3.

    The orientation in the EXIF data is applied. Of an animation or a file of several pages, the first image is read.
    Raises StudyError, naming the file, whatever the reason.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            pixels = resized(eight_bit(ImageOps.exif_transpose(opened)), size)
            return pixels[:1] if (pixels == pixels[:1]).all() else pixels
    # Pillow raises many kinds of exceptions for damaged files: OSError, SyntaxError, struct.error, MemoryError, …
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(
            f"data_dir: {path} is not a readable image ({reason}); replace it, or begin its name with a dot, so that "
            "it is skipped"
        ) from error


def listed(data_dir: str | Path) -> tuple[list[str], np.ndarray, np.ndarray, tuple[str, ...]]:
    """List the image files of a folder without reading them. Hidden files and folders are skipped; links are followed.

    Returns their paths relative to the folder, in the order of their splits, classes and names; labels, splits and
    names as in `ImageSet`. Names of classes that differ only in the Unicode form (é as one or as two characters) are
    one class: archives of macOS have the other form. Raises StudyError, naming the folder or the file, if the layout is
    unknown, an image is in no class folder, a class or a split has no images, there are fewer than two classes, or a
    file is a link to nothing.
    """
    root, paths, names, numbers = Path(data_dir), [], [], []
    folders, files = _visible(root)
    has_splits = "train" in folders and bool(_visible(root, "train")[0])
    splits = [split for split in SPLITS if split in folders] if has_splits else [""]
    misplaced = [path for path in [*folders, *filter(_is_image, files)] if path not in splits] if has_splits else []
    empty = []
    for split in splits:
        classes, files = _visible(root, split)
        misplaced += filter(_is_image, files)
        empty += [split] if has_splits and not classes else []
        for folder in classes:
            nested, files = _visible(root, folder)
            images = list(filter(_is_image, files))
            misplaced += nested
            empty += [] if images else [folder]
            paths += images
            names += [unicodedata.normalize("NFC", os.path.basename(folder))] * len(images)
            numbers += [SPLITS.index(split) if has_splits else 0] * len(images)
    if misplaced:
        raise StudyError(
            f"data_dir: folders or images in {root} that are not in their place: {some(misplaced)}; set data_dir to "
            f"another folder, rename or move them, or begin their names with a dot, so that they are skipped. {LAYOUTS}"
        )
    if empty:
        raise StudyError(f"data_dir: folders in {root} without images: {some(empty)}; add images or remove the folders")
    trained = sorted({name for name, number in zip(names, numbers) if number == 0})
    if len(trained) < 2:
        raise StudyError(f"data_dir: classes in {root / splits[0]}: {len(trained)}, but two are needed. {LAYOUTS}")
    if unknown := sorted(set(names) - set(trained)):
        raise StudyError(f"data_dir: classes in {root} that {root / 'train'} does not have: {some(unknown)}")
    label_of = {name: label for label, name in enumerate(trained)}
    labels = np.array([label_of[name] for name in names], np.int64)
    return paths, labels, np.array(numbers, np.int8), tuple(trained)


def _visible(root: str | Path, folder: str = "") -> tuple[list[str], list[str]]:
    """Return the folders and the files in a folder that are not hidden, as paths relative to root, by name.

    Archives of macOS have hidden files in the folder __MACOSX. Raises StudyError for what cannot be read, also a link
    to nothing.
    """
    try:
        names = sorted(os.listdir(Path(root, folder)))
        paths = [os.path.join(folder, name) for name in names if not name.startswith(".") and name != "__MACOSX"]
        modes = [os.stat(Path(root, path)).st_mode for path in paths]
    except OSError as error:
        raise StudyError(f"data_dir: {error.filename} cannot be read: {error.strerror}; {LAYOUTS}") from error
    folders = [path for path, mode in zip(paths, modes) if stat.S_ISDIR(mode)]
    return folders, [path for path in paths if path not in folders]


def _is_image(path: str) -> bool:
    return path.lower().endswith(ENDINGS)


def fingerprint(data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a digest of the names and contents of all images."""
    return digest_of_files(data_dir, listed(data_dir)[0], cache)


DATASETS = {
    "image_folder": DataSet(
        read, lambda data_dir: images_per_split(listed(data_dir)[2]), dict.fromkeys(SPLITS, AUTO), fingerprint
    )
}
