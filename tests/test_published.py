"""torchvision's data sets: what is read, downloads and their errors, and no unpickling of files from elsewhere."""

import hashlib
import pickle
import struct

import numpy as np
import pytest
from prunecurve.data.datasets import DATASETS, published
from prunecurve.errors import StudyError

CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
LABELS = {"cifar10": [f"thing {number}" for number in range(10)], "cifar100": [f"class {n}" for n in range(100)]}


def write_idx(folder, train=30, test=20, size=28, seed=0):
    """Write files in MNIST's format: images and labels of train and t10k."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for part, count in (("train", train), ("t10k", test)):
        images, labels = rng.integers(0, 256, (count, size, size), np.uint8), np.arange(count, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 2051, count, size, size) + images.tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A function (name) that writes a data set whose files count as the published ones, and returns its folder."""
    rng = np.random.default_rng(0)

    def write(name):
        theirs = getattr(published.torchvision_datasets(), CIFAR[name])
        folder = tmp_path / theirs.base_folder
        folder.mkdir()

        def save(file, content):
            (folder / file).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / file).read_bytes()).hexdigest()

        for part in ("train_list", "test_list"):
            files = []
            for file, _ in getattr(theirs, part):
                labels = rng.integers(0, len(LABELS[name]), 20).tolist()
                content = {"data": rng.integers(0, 256, (20, 3072), np.uint8), "batch_label": "a batch"}
                kinds = {"labels": labels} if name == "cifar10" else {"coarse_labels": [0] * 20, "fine_labels": labels}
                files.append([file, save(file, content | kinds)])
            monkeypatch.setattr(theirs, part, files)
        meta = theirs.meta
        md5 = save(meta["filename"], {meta["key"]: LABELS[name], "num_vis": 3072})
        monkeypatch.setattr(theirs, "meta", meta | {"md5": md5})
        return folder

    return write


# ---- MNIST and data sets in its format


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_files_of_mnists_format_are_read(tmp_path, name, folder):
    write_idx(tmp_path / folder / "raw")
    (tmp_path / folder / "raw").chmod(0o555)
    found = DATASETS[name].read(tmp_path, 28)
    assert (found.images.shape, found.images.dtype, found.labels.dtype) == ((50, 1, 28, 28), np.uint8, np.int64)
    assert found.splits.tolist() == [0] * 30 + [2] * 20 and found.names == tuple("0123456789")
    assert found.labels.tolist() == [i % 10 for i in range(30)] + [i % 10 for i in range(20)]
    raw = (tmp_path / folder / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert found.images[30:].tobytes() == raw
    assert DATASETS[name].read(tmp_path, 14).images.shape == (50, 1, 14, 14)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_the_folder_of_a_truncated_file_is_named(tmp_path, name):
    """An interruption while torchvision unpacks its last file leaves this."""
    write_idx(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StudyError, match=r"data_dir: MNIST could not be read from .*MNIST/raw .*delete the folder"):
        DATASETS["mnist"].read(tmp_path, 28)


def test_other_data_than_the_published_have_a_fingerprint_wherever_they_are(tmp_path):
    fingerprint = DATASETS["mnist"].fingerprint
    assert fingerprint(tmp_path, None) == "", "missing files are downloaded later"
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_idx(tmp_path / folder / "MNIST" / "raw", seed=seed)
    a, b, c = (fingerprint(tmp_path / folder, None) for folder in "abc")
    assert a == b != c and a and c


# ---- CIFAR

BOTH = pytest.mark.parametrize("name", CIFAR)


@BOTH
def test_cifar_is_read(tmp_path, cifar, name):
    folder = cifar(name)
    found = DATASETS[name].read(tmp_path, 32)
    theirs = getattr(published.torchvision_datasets(), CIFAR[name])
    files = [pickle.loads((folder / file).read_bytes()) for file, _ in (*theirs.train_list, *theirs.test_list)]
    assert (found.images.reshape(-1, 3072) == np.concatenate([file["data"] for file in files])).all()
    labels = [label for file in files for label in file["labels" if name == "cifar10" else "fine_labels"]]
    assert (found.labels.dtype, found.labels.tolist()) == (np.int64, labels)
    assert found.splits.tolist() == [0] * (len(labels) - 20) + [2] * 20 and found.names == tuple(LABELS[name])


@BOTH
@pytest.mark.parametrize("part", ["train", "test", "meta"])
def test_a_file_of_another_checksum_is_not_unpickled(tmp_path, cifar, monkeypatch, name, part):
    class Danger:
        def __reduce__(self):
            return pytest.fail, ("a file was unpickled",)

    folder = cifar(name)
    theirs = getattr(published.torchvision_datasets(), CIFAR[name])
    monkeypatch.setattr(theirs, "url", f"http://127.0.0.1:9/{theirs.filename}")
    file = theirs.meta["filename"] if part == "meta" else getattr(theirs, f"{part}_list")[-1][0]
    (folder / file).write_bytes(pickle.dumps(Danger()))
    with pytest.raises(StudyError, match=rf"data_dir: {CIFAR[name]} could not be read .* delete the folder to"):
        DATASETS[name].read(tmp_path, 32)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_the_message_names_data_dir_and_the_offline_choices(tmp_path, monkeypatch, name):
    datasets = published.torchvision_datasets()
    # Port 9 of this machine refuses connections immediately.
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/x.tar.gz")
    with pytest.raises(StudyError) as error:
        DATASETS[name].read(tmp_path / "new" / "data", 28)
    assert "\n" not in str(error.value)
    folder = {"mnist": "MNIST/raw", "cifar10": "cifar-10-batches-py"}[name]
    for part in (f"could not be read from {tmp_path}/new/data/{folder} or", "refused", "dataset: digits", "arrays"):
        assert part in str(error.value)
    assert str(error.value).startswith("data_dir: ")
