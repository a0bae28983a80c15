"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in torchvision's layout: a folder of pickle files, or the archive of it.

Unpickling can run any code. Therefore each file is read once, and the bytes that were read are unpickled only if they
have the MD5 checksum of the published file, which is the one that torchvision checks.
"""

import dataclasses
import functools
import hashlib
import os
import pickle
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from prunecurve.data.datasets.downloads import download
from prunecurve.data.datasets.image_set import Census, DataSet, ImageSet
from prunecurve.data.datasets.pixels import resized_all
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of one data set.

    class_name: its class in torchvision. folder, archive: where the files are in data_dir, and the archive that has the
    same folder. train, test: files of images. meta: the file of class names. labels, names: the keys in the files.
    """

    class_name: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: str
    names: str

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files."""
        return (*self.train, *self.test, self.meta)


SOURCES = {
    "cifar10": Source(
        class_name="CIFAR10",
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        labels="labels",
        names="label_names",
    ),
    "cifar100": Source(
        class_name="CIFAR100",
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        train=("train",),
        test=("test",),
        meta="meta",
        labels="fine_labels",
        names="fine_label_names",
    ),
}
# The MD5 checksums of the published files.
MD5 = {
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
}
# The published numbers of images, which both data sets have.
PUBLISHED = {"train": 50_000, "test": 10_000}
SIZES = {"train": 6000, "val": 1000, "test": 1000}
# More than the largest published file has. A larger file is not read to its end.
MOST_BYTES = 1 << 28


def read(source: Source, data_dir: Path, size: int) -> ImageSet:
    """Read CIFAR-10 or CIFAR-100 with its fine labels. Missing files are downloaded.

    The test images of the data set are test images of the study. Raises StudyError, naming the file, if a file is not
    the published one.
    """
    contents = _contents(source, Path(data_dir))
    if contents is None:
        _download(source, Path(data_dir))
        contents = _contents(source, Path(data_dir)) or ()
    by_file = dict(contents)
    pixels = np.concatenate([by_file[name]["data"] for name in (*source.train, *source.test)])
    census = _census(source, by_file)
    return ImageSet(resized_all(pixels.reshape(-1, 3, 32, 32), size), census.labels, census.splits, census.names)


def census(source: Source, data_dir: str | Path) -> Census:
    """Return the classes and splits; without classes if the data set is not downloaded yet."""
    contents = _contents(source, Path(data_dir))
    if contents is None:
        return Census(None, np.repeat(np.array([0, 2], np.int8), list(PUBLISHED.values())), channels=3)
    # The pixels are dropped, so that those of one file at a time are in memory.
    return _census(source, {name: content | {"data": None} for name, content in contents})


def _census(source: Source, by_file: dict[str, dict[str, Any]]) -> Census:
    parts = {
        split: np.concatenate([by_file[name][source.labels] for name in names])
        for split, names in (("train", source.train), ("test", source.test))
    }
    splits = [np.full(len(labels), SPLITS.index(split), np.int8) for split, labels in parts.items()]
    names = tuple(by_file[source.meta][source.names])
    labels = np.concatenate(list(parts.values())).astype(np.int64)
    return Census(labels, np.concatenate(splits), names, channels=3)


def _contents(source: Source, data_dir: Path) -> Iterable[tuple[str, dict[str, Any]]] | None:
    """Return the name and the content of each file, from the folder or else the archive; None if there is neither."""
    folder, archive = data_dir / source.folder, data_dir / source.archive
    if not _missing(folder, source):
        return ((name, unpickled(_bytes(folder / name), source, name, folder / name)) for name in source.files)
    if archive.is_file():
        return _of_archive(source, archive)
    if not folder.exists() and len(_missing(data_dir, source)) < len(source.files):
        here = Path(os.path.abspath(data_dir))
        move = f"set data_dir to {here.parent}" if here.name == source.folder else f"move its files to {folder}"
        raise StudyError(f"data_dir: {source.class_name} is looked for in {folder}, but is in {data_dir}; {move}")
    return None


def _missing(folder: Path, source: Source) -> list[str]:
    return [name for name in source.files if not (folder / name).is_file()]


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise StudyError(f"data_dir: {path} can't be read: {error.strerror or error}") from error


def _of_archive(source: Source, archive: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the content of each file in an archive, which is unpacked in memory."""
    missing = {f"{source.folder}/{name}": name for name in source.files}
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                # A link has no content of its own.
                if member.name in missing and member.isfile():
                    name, content = missing.pop(member.name), opened.extractfile(member).read(MOST_BYTES)
                    yield name, unpickled(content, source, name, f"{archive}: {member.name}")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(
            f"data_dir: {archive} is truncated or not a .tar.gz file ({reason}); replace it, or delete it to download "
            f"the data set again"
        ) from error
    if missing:
        raise StudyError(
            f"data_dir: {archive} has no {', '.join(missing)}; replace it, or delete it to download the data set again"
        )


def unpickled(content: bytes, source: Source, name: str, path: str | Path) -> dict[str, Any]:
    """Return the content of a pickle file. Raises StudyError, before unpickling, if it is not the published file.

    content: the bytes of the file. name: its name in the folder. path: where it was read from, for the message.
    """
    published, actual = MD5[f"{source.folder}/{name}"], hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != published:
        raise StudyError(
            f"data_dir: {path} is not the published file of {source.class_name} (MD5 checksum {actual}, published "
            f"{published}); it was not unpickled, because a pickle file of another origin can run any code; replace it "
            f"or delete it to download it again"
        )
    with warnings.catch_warnings():
        # Python 2 wrote the files. Newer versions of numpy warn about names and numbers in them.
        warnings.simplefilter("ignore")
        return pickle.loads(content, encoding="latin1")


def _download(source: Source, data_dir: Path) -> None:
    def fetch(datasets: Any, folder: str) -> None:
        published = getattr(datasets, source.class_name)
        # The class itself would unpickle the files too.
        datasets.utils.download_and_extract_archive(
            published.url, folder, filename=published.filename, md5=published.tgz_md5
        )

    missing = _missing(data_dir / source.folder, source)
    alternative = f"or {source.archive} in {data_dir}"
    download(source.class_name, data_dir, source.folder, missing, fetch, alternative=alternative)


def _data_set(source: Source) -> DataSet:
    return DataSet(functools.partial(read, source), functools.partial(census, source), SIZES)


DATASETS = {name: _data_set(source) for name, source in SOURCES.items()}
