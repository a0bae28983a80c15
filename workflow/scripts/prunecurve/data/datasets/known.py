"""What the workflow needs to know about a data set before it plans jobs: classes, sizes of splits, a digest."""

import gzip
import hashlib
import importlib
import json
import os
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from prunecurve.data import datasets
from prunecurve.data.datasets import bundled, folder, idx
from prunecurve.data.datasets.image_set import Census
from prunecurve.data.pairs import AUTO
from prunecurve.errors import StudyError
from prunecurve.files import atomic

# A file that was changed less than this many seconds ago can change again without another modification time.
SETTLED = 2.0


def census(dataset: str, data_dir: str | Path) -> Census:
    """Return the classes and splits of all images of a data set, without reading the images.

    Raises StudyError if data_dir does not hold the data set, in a message that says what was found.
    """
    if dataset == "digits":
        return bundled.census()
    if dataset == "image_folder":
        return folder.listed(data_dir).census
    return idx.census(idx.TORCHVISION[dataset], data_dir)


def declared_sizes(dataset: str, asked: Mapping[str, int | float | str]) -> dict[str, int | float | str]:
    """Return the asked sizes of splits, with the data set's own sizes in place of `auto`, if it declares some."""
    module = importlib.import_module(f"{datasets.__name__}.{datasets.MODULES[dataset]}")
    own = getattr(module, "SIZES", {}).get(dataset, {})
    return {split: own.get(split, size) if size == AUTO else size for split, size in asked.items()}


def fingerprint(dataset: str, data_dir: str | Path, cache: str | Path | None = None) -> str:
    """Return a string that changes if the data of image_folder or mnist change, but not if they are copied or moved.

    For image_folder it is a digest of the names and contents of all images; for mnist a digest of the name, the size
    and the first 64 KiB of each unpacked file, or "" if they are the published ones. For the other data sets it is "".
    cache: a file for the digests of images, so that a second call does not read them again. It may be missing, damaged,
    deleted or in a read-only folder. Raises StudyError if data_dir does not hold the data set.
    """
    if dataset == "image_folder":
        return _of_images(Path(data_dir), cache)
    if dataset in idx.TORCHVISION:
        files = idx.located(idx.TORCHVISION[dataset], data_dir)
        if dataset == "mnist" and len(files) == len(idx.FILES):
            return _other_than_published(files)
    return ""


def _of_images(data_dir: Path, cache: str | Path | None) -> str:
    paths = folder.listed(data_dir).paths
    # A cache holds the digests of one folder, so that it does not grow.
    name = os.path.realpath(data_dir)
    old = _read_cache(cache, name)
    new, content = {}, hashlib.sha256()
    settled = time.time_ns() - int(SETTLED * 1e9)
    for path in paths:
        file = f"{data_dir}/{path}"
        try:
            stat = os.stat(file)
            # A change of any of these means that the file may be another one. A changed file gets a new ctime even if
            # its modification time is set back.
            key = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            before = old.get(path)
            digest = before[1] if before and before[0] == key else _digest(file)
        except OSError as error:
            raise StudyError(f"data_dir: {file} can't be read: {error.strerror or error}") from error
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < settled:
            new[path] = (key, digest)
        content.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    if cache and new != old:
        _write_cache(cache, name, new)
    return content.hexdigest()[:16]


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _read_cache(cache: str | Path | None, name: str) -> dict:
    try:
        held = json.loads(Path(cache or "").read_text(encoding="utf-8"))
        return {path: (list(key), str(digest)) for path, (key, digest) in held[name].items()}
    # A file that is missing or damaged only costs time.
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_cache(cache: str | Path, name: str, digests: dict) -> None:
    with suppress(OSError, StudyError, UnicodeError), atomic(cache) as temporary:
        Path(temporary).write_text(json.dumps({name: digests}), encoding="utf-8")


# Digest of the published files, computed as in `_other_than_published`. Other files in their place are other data.
MNIST = "336c79d432494e89"


def _other_than_published(files: dict[str, Path]) -> str:
    """Return "" if the files are the published ones, else their digest, which is that of the unpacked files."""
    content = hashlib.sha256()
    for name in idx.FILES:
        path = files[name]
        size, start = (_of_gzip if path.suffix == ".gz" else _of_plain)(path)
        content.update(f"{name} {size}\0".encode() + start)
    digest = content.hexdigest()[:16]
    return "" if digest == MNIST else digest


def _of_plain(path: Path) -> tuple[int, bytes]:
    """Return the size of a file and its first 64 KiB."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, file.read(1 << 16)


def _of_gzip(path: Path) -> tuple[int, bytes]:
    """Return the size and the first 64 KiB of the content of a gzip file; of a damaged file, those of the file."""
    try:
        with path.open("rb") as file:
            # The last four bytes hold the unpacked size.
            file.seek(-4, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
        with gzip.open(path) as file:
            return size, file.read(1 << 16)
    except (OSError, EOFError, ValueError, zlib.error):
        return _of_plain(path)
