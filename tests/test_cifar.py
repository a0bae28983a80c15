"""CIFAR-10 and CIFAR-100: files in the published format, and no unpickling of a file that is not the published one."""

import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
import warnings
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from prunecurve.data.datasets import DATASETS, cifar, downloads
from prunecurve.data.checks import check_data
from prunecurve.errors import StudyError

NAMES = {
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    "cifar100": [f"class {number}" for number in range(100)],
}
BOTH = pytest.mark.parametrize("name", NAMES)


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 wrote for the published files: strings of bytes, numbers for Booleans."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    def save_number(self, value):
        self.save_long(int(value))

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[bool] = save_number


def pickled(content):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def batch(name, count, seed):
    """Return the content of a file of images, as published."""
    rng = np.random.default_rng(seed)
    classes = len(NAMES[name])
    labels = [int(label) for label in (np.arange(count) + seed) % classes]
    data = rng.integers(0, 256, (count, 3072), np.uint8)
    common = {"batch_label": "a batch", "data": data, "filenames": [f"{i}.png" for i in range(count)]}
    if name == "cifar10":
        return common | {"labels": labels}
    return common | {"fine_labels": labels, "coarse_labels": [label // 5 for label in labels]}


def write(data_dir, name, count=20):
    """Write a data set of `count` images per file, and return the content of the files of images and the checksums."""
    source = cifar.SOURCES[name]
    folder = data_dir / source.folder
    folder.mkdir(parents=True)
    contents = {file: batch(name, count, seed) for seed, file in enumerate((*source.train, *source.test))}
    meta = {"num_vis": 3072, source.names: NAMES[name], "coarse_label_names": ["of cifar100"]}
    for file, content in (contents | {source.meta: meta}).items():
        (folder / file).write_bytes(pickled(content))
    md5 = {f"{source.folder}/{file}": hashlib.md5((folder / file).read_bytes()).hexdigest() for file in source.files}
    return contents, md5


@pytest.fixture
def written(tmp_path, monkeypatch, name):
    """A data set in `tmp_path` whose files count as the published ones; the contents of its files of images."""
    contents, md5 = write(tmp_path, name)
    monkeypatch.setattr(cifar, "MD5", md5)
    return contents


def pack(data_dir, name):
    """Replace the folder of a data set by the archive."""
    source = cifar.SOURCES[name]
    folder = data_dir / source.folder
    with tarfile.open(data_dir / source.archive, "w:gz") as archive:
        archive.add(folder, source.folder)
    for file in list(folder.iterdir()):
        file.unlink()
    folder.rmdir()


@pytest.fixture
def no_unpickling(monkeypatch):
    for function in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, function, lambda *arguments, **options: pytest.fail("a file was unpickled"))


# ---- what is read


@BOTH
@pytest.mark.parametrize("packed", [False, True])
def test_the_files_are_read(tmp_path, name, written, packed):
    if packed:
        pack(tmp_path, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, known = DATASETS[name].read(tmp_path, 32), DATASETS[name].census(tmp_path)
    train = 20 * len(cifar.SOURCES[name].train)
    assert (found.images.shape, found.images.dtype) == ((train + 20, 3, 32, 32), np.uint8)
    pixels = np.concatenate([content["data"] for content in written.values()])
    assert found.images.tobytes() == pixels.tobytes(), "rows of 1,024 red, 1,024 green and 1,024 blue pixels"
    labels = [label for content in written.values() for label in content.get("labels", content.get("fine_labels"))]
    assert found.labels.tolist() == known.labels.tolist() == labels
    assert found.labels.dtype == known.labels.dtype == np.int64
    assert found.splits.tolist() == known.splits.tolist() == [0] * train + [2] * 20
    assert known.channels == 3
    assert found.names == known.names == tuple(NAMES[name])
    assert DATASETS[name].fingerprint(tmp_path, None) == "", "the content is always the published one"


@BOTH
def test_the_same_as_torchvision(tmp_path, monkeypatch, name, written):
    source = cifar.SOURCES[name]
    theirs = getattr(downloads.import_torchvision_datasets(), source.class_name)
    for split in ("train", "test"):
        listed = [(file, cifar.MD5[f"{source.folder}/{file}"]) for file in getattr(source, split)]
        monkeypatch.setattr(theirs, f"{split}_list", listed)
    monkeypatch.setattr(theirs, "meta", theirs.meta | {"md5": cifar.MD5[f"{source.folder}/{source.meta}"]})
    found = DATASETS[name].read(tmp_path, 20)
    images, labels = [], []
    for train in (True, False):
        loaded = theirs(tmp_path, train=train)
        labels += loaded.targets
        images += [np.asarray(image.resize((20, 20), Image.Resampling.BILINEAR)) for image, _ in loaded]
    assert found.labels.tolist() == labels and found.names == tuple(loaded.classes)
    assert (found.images == np.stack(images).transpose(0, 3, 1, 2)).all()


@BOTH
def test_the_files_and_their_checksums_are_those_of_torchvision(name):
    source, theirs = (
        cifar.SOURCES[name],
        getattr(downloads.import_torchvision_datasets(), cifar.SOURCES[name].class_name),
    )
    assert (source.folder, source.archive) == (theirs.base_folder, theirs.filename)
    assert [file for file, _ in theirs.train_list] == list(source.train)
    assert [file for file, _ in theirs.test_list] == list(source.test)
    assert (source.meta, source.names) == (theirs.meta["filename"], theirs.meta["key"])
    listed = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
    ours = {path: md5 for path, md5 in cifar.MD5.items() if path.startswith(f"{source.folder}/")}
    assert {f"{source.folder}/{file}": md5 for file, md5 in listed} == ours


@BOTH
def test_the_study_is_checked_before_any_job(tmp_path, name, written):
    config = {
        "task": "pairs",
        "dataset": name,
        "seeds": [0],
        "images": {"train": 12, "val": 8, "test": 30, "disjoint": False},
        "pairs_per_image": {"same": 1, "different": 1},
        "preprocess": {},
        "image_channels": "auto",
    }
    with pytest.raises(
        StudyError, match=rf"images: test asks for 30 images, but {name} has 20 test images; lower images\.test"
    ):
        check_data(config, tmp_path)
    config["images"]["test"] = 20
    with pytest.raises(StudyError, match=r"pairs_per_image\.same: 1 needs 2 images of each class, .* of class "):
        check_data(config, tmp_path)
    config["images"] |= {"train": 6000, "val": 1000, "test": 10001}
    with pytest.raises(StudyError, match=r"test asks for 10001 images, but cifar\d+ has 10000 test images"):
        check_data(config, tmp_path / "not downloaded")


# ---- other files


@BOTH
@pytest.mark.parametrize("packed", [False, True])
def test_other_files_are_refused_before_unpickling(tmp_path, name, packed, no_unpickling):
    source = cifar.SOURCES[name]
    write(tmp_path, name)
    if packed:
        pack(tmp_path, name)
    first = f"{source.archive}: {source.folder}/" if packed else f"{source.folder}/{source.train[0]}"
    for look in (DATASETS[name].census, lambda folder: DATASETS[name].read(folder, 32)):
        with pytest.raises(StudyError) as error:
            look(tmp_path)
        message = str(error.value)
        assert message.startswith(f"data_dir: {tmp_path}/{first}") and "\n" not in message
        assert f"is not the published file of {source.class_name} (MD5 checksum " in message
        assert message.endswith("replace it or delete it to download it again")


@BOTH
@pytest.mark.parametrize("part", ["train", "test", "meta"])
def test_each_file_is_checked(tmp_path, name, written, part):
    source = cifar.SOURCES[name]
    file = source.meta if part == "meta" else getattr(source, part)[-1]
    path = tmp_path / source.folder / file

    class Danger:
        def __reduce__(self):
            return pytest.fail, ("a file was unpickled",)

    path.write_bytes(pickle.dumps(Danger()))
    with pytest.raises(StudyError, match=rf"data_dir: .*{source.folder}/{file} is not the published file"):
        DATASETS[name].census(tmp_path)


@BOTH
def test_the_bytes_that_are_checked_are_the_bytes_that_are_unpickled(tmp_path, monkeypatch, name, written):
    """A file that is replaced after it was checked is not read again."""
    check = hashlib.md5

    def replacing(content, **options):
        for path in (tmp_path / cifar.SOURCES[name].folder).iterdir():
            if path.read_bytes() == content:
                path.write_bytes(b"cos\nabort\n(tR.")
        return check(content, **options)

    monkeypatch.setattr(cifar.hashlib, "md5", replacing)
    assert len(DATASETS[name].census(tmp_path).labels) == 20 * len(written)


@BOTH
def test_a_truncated_archive_is_named(tmp_path, name, written):
    source = cifar.SOURCES[name]
    pack(tmp_path, name)
    archive = tmp_path / source.archive
    content = archive.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-4000], b"", b"not an archive"):
        archive.write_bytes(damaged)
        with pytest.raises(
            StudyError, match=rf"data_dir: .*{source.archive} (is truncated or not a \.tar\.gz|has no )"
        ):
            DATASETS[name].census(tmp_path)
    with tarfile.open(archive, "w:gz") as empty:
        empty.addfile(tarfile.TarInfo("another folder"))
        link = tarfile.TarInfo(f"{source.folder}/{source.train[0]}")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
        empty.addfile(link)
    with pytest.raises(StudyError, match=rf"{source.archive} has no {source.folder}/{source.train[0]}, .*; replace it"):
        DATASETS[name].census(tmp_path)


@BOTH
def test_a_data_dir_that_is_the_folder_itself_is_told(tmp_path, name, written):
    folder = tmp_path / cifar.SOURCES[name].folder
    with pytest.raises(StudyError, match=rf"data_dir: .* is looked for in .*; set data_dir to {tmp_path}$"):
        DATASETS[name].census(folder)
    folder.rename(tmp_path / "other")
    with pytest.raises(StudyError, match=rf"; move its files to {tmp_path}/other/{folder.name}$"):
        DATASETS[name].census(tmp_path / "other")


# ---- downloads


@BOTH
def test_missing_files_are_downloaded_into_data_dir(tmp_path, monkeypatch, name):
    """torchvision's own download code, from a server on this machine."""
    source, served = cifar.SOURCES[name], tmp_path / "served"
    contents, md5 = write(served, name)
    monkeypatch.setattr(cifar, "MD5", md5)
    pack(served, name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(served))

        def log_message(self, *arguments):
            pass

    theirs = getattr(downloads.import_torchvision_datasets(), source.class_name)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(theirs, "url", f"http://127.0.0.1:{server.server_port}/{source.archive}")
        with pytest.raises(StudyError, match="could not be downloaded"):
            DATASETS[name].read(tmp_path / "data", 32)
        checksum = hashlib.md5((served / source.archive).read_bytes()).hexdigest()
        monkeypatch.setattr(theirs, "tgz_md5", checksum)
        found = DATASETS[name].read(tmp_path / "data", 32)
        server.shutdown()
    assert len(found.images) == 20 * len(contents)
    assert os.listdir(tmp_path / "data") == [source.folder], "no temporary folder is left"
    assert sorted(os.listdir(tmp_path / "data" / source.folder)) == sorted(source.files)
    assert DATASETS[name].read(tmp_path / "data", 32).images.tobytes() == found.images.tobytes()


@BOTH
def test_without_a_network_the_message_names_what_is_missing(tmp_path, monkeypatch, name):
    source = cifar.SOURCES[name]
    # Port 9 of this machine refuses connections immediately.
    theirs = getattr(downloads.import_torchvision_datasets(), source.class_name)
    monkeypatch.setattr(theirs, "url", f"http://127.0.0.1:9/{source.archive}")
    with pytest.raises(StudyError) as error:
        DATASETS[name].read(tmp_path / "new", 32)
    for part in (
        f"data_dir: {source.class_name} is not in",
        source.train[0],
        f"(or {source.archive} in",
        "or arrays with your own",
    ):
        assert part in str(error.value)
    assert not any(tmp_path.iterdir()), "a failed download leaves no folders"
