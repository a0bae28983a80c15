"""Data sets: the real digits, files in torchvision's layout, folders of images, and errors in them."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image
from prunecurve import datasets
from prunecurve.datasets import DATASETS, fingerprint
from prunecurve.errors import StudyError


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


def test_digits_are_the_bundled_1797():
    found = DATASETS["digits"](None, 28)
    assert (found.images.shape, found.images.dtype) == ((1797, 1, 28, 28), np.uint8)
    assert np.bincount(found.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert not found.held_out.any()
    assert found.images.max() > 240
    assert DATASETS["digits"](None, 8).images.shape == (1797, 1, 8, 8)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_torchvisions_files_are_read_from_data_dir(tmp_path, name, folder):
    write_idx(tmp_path / folder / "raw")
    found = DATASETS[name](tmp_path, 28)
    assert found.images.shape == (50, 1, 28, 28)
    assert found.held_out.tolist() == [False] * 30 + [True] * 20
    assert found.labels[:30].tolist() == [i % 10 for i in range(30)]
    raw = (tmp_path / folder / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert found.images[30:].tobytes() == raw
    assert DATASETS[name](tmp_path, 14).images.shape == (50, 1, 14, 14)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_file_names_the_folder(tmp_path, name):
    write_idx(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StudyError, match=r"data_dir: a file of MNIST in .*raw is truncated"):
        DATASETS["mnist"](tmp_path, 28)


def test_other_data_than_the_published_have_a_fingerprint_wherever_they_lie(tmp_path):
    assert fingerprint("mnist", tmp_path) == "", "missing files are downloaded later"
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_idx(tmp_path / folder / "MNIST" / "raw", seed=seed)
    a, b, c = (fingerprint("mnist", tmp_path / folder) for folder in "abc")
    assert a == b != c and a and c


def test_images_and_labels_of_other_lengths_are_told(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw")
    labels = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">2i", 2049, 29) + bytes(29))
    with pytest.raises(StudyError, match=r"data_dir: a split in .*raw has 30 images but 29 labels"):
        DATASETS["mnist"](tmp_path, 28)


def test_without_a_network_the_message_names_the_offline_choices(tmp_path, monkeypatch):
    torchvision_datasets = datasets._import_torchvision_datasets()
    # Port 9 of this machine refuses connections immediately.
    monkeypatch.setattr(torchvision_datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(StudyError) as error:
        DATASETS["mnist"](tmp_path, 28)
    for part in ("data_dir: MNIST is not in", "could not be downloaded", "dataset: digits", "dataset: image_folder"):
        assert part in str(error.value)


def test_missing_files_are_downloaded_into_data_dir(tmp_path, monkeypatch):
    """torchvision's own download code, from a server on this machine."""
    import hashlib
    import http.server
    import threading

    write_idx(tmp_path / "served")
    for file in list((tmp_path / "served").iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    resources = [
        (file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted((tmp_path / "served").glob("*.gz"))
    ]

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mnist = datasets._import_torchvision_datasets().MNIST
        monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(mnist, "resources", resources)
        assert len(DATASETS["mnist"](tmp_path / "data", 28).images) == 50
        server.shutdown()
    assert len(DATASETS["mnist"](tmp_path / "data", 28).images) == 50


def write_folder(folder, mode="L", classes=("cat", "dog"), count=4):
    for i, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for j in range(count):
            Image.new("RGB", (20, 10 + j), (50 * i, 40 * j, 10)).convert(mode).save(folder / name / f"{j}.png")


def test_a_folder_a_class(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    found = DATASETS["image_folder"](tmp_path, 16)
    assert found.images.shape == (8, 1, 16, 16)
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_one_image_in_colour_makes_all_rgb(tmp_path):
    write_folder(tmp_path)
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "dog" / "red.jpg", quality=95)
    found = DATASETS["image_folder"](tmp_path, 8)
    assert found.images.shape == (9, 3, 8, 8)
    assert (found.images[0, 0] == found.images[0, 2]).all()
    assert found.images[-1, 0].min() > 240 > 20 > found.images[-1, 1].max()


def ramp(mode):
    """Return a 16-bit grey ramp from black to white, or a half black, half transparent image."""
    if mode == "I;16":
        return Image.fromarray((np.arange(64).reshape(8, 8) * 1040).astype(np.uint16))
    ink = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (0, 0, 4, 8))
    return ink.convert(mode)


def test_16_bits_are_scaled_and_stay_grey(tmp_path):
    write_folder(tmp_path)
    ramp("I;16").save(tmp_path / "cat" / "0.png")
    found = DATASETS["image_folder"](tmp_path, 8).images
    assert found.shape[1] == 1
    assert found[0, 0].ravel().tolist() == [value * 1040 >> 8 for value in range(64)]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(tmp_path, mode):
    write_folder(tmp_path)
    ramp(mode).save(tmp_path / "cat" / "0.png")
    found = DATASETS["image_folder"](tmp_path, 8).images
    assert found.shape[1] == {"RGBA": 3, "LA": 1}[mode]
    assert (found[0, 0, :, :4] == 0).all() and (found[0, 0, :, 4:] == 255).all()


def test_a_broken_image_is_named(tmp_path):
    write_folder(tmp_path)
    path = tmp_path / "dog" / "2.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StudyError, match=r"data_dir: .*dog/2\.png is not a readable image"):
        DATASETS["image_folder"](tmp_path, 8)


def test_a_folder_without_classes_is_told(tmp_path):
    with pytest.raises(StudyError, match=r"data_dir: .*missing is not a folder"):
        DATASETS["image_folder"](tmp_path / "missing", 8)
    write_folder(tmp_path, classes=("only",))
    with pytest.raises(StudyError, match="has 1 folders, but dataset image_folder needs PNG or JPEG files in at"):
        DATASETS["image_folder"](tmp_path, 8)


def test_a_missing_folder_is_told_before_anything_runs(tmp_path):
    with pytest.raises(StudyError, match=r"data_dir: .*missing is not a folder"):
        fingerprint("image_folder", tmp_path / "missing")


def test_a_changed_folder_has_another_fingerprint(tmp_path):
    write_folder(tmp_path)
    before = fingerprint("image_folder", tmp_path)
    assert before == fingerprint("image_folder", tmp_path) != ""
    assert fingerprint("digits", tmp_path) == ""
    (tmp_path / "dog" / "0.png").unlink()
    assert fingerprint("image_folder", tmp_path) != before
