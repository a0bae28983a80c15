"""Data sets: the digits, folders of images and errors in them, digests of files, and the registry."""

import os
import re
import shutil
import unicodedata

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image
from prunecurve import digests
from prunecurve.data.datasets import DATASETS
from prunecurve.data.datasets.folder import listed, picture
from prunecurve.data.datasets.pixels import with_channels
from prunecurve.data.splits import SPLITS, images_per_split, require_enough, split_sizes
from prunecurve.errors import StudyError


def test_digits_are_the_bundled_1797():
    found = DATASETS["digits"].read(None, 28)
    assert (found.images.shape, found.images.dtype) == ((1797, 1, 28, 28), np.uint8)
    assert np.bincount(found.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert not found.splits.any()
    assert DATASETS["digits"].counts("") == {"train": 1797}
    assert found.images.max() > 240
    assert DATASETS["digits"].read(None, 8).images.shape == (1797, 1, 8, 8)


def write_folder(folder, mode="L", classes=("cat", "dog"), count=4):
    for i, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for j in range(count):
            Image.new("RGB", (20, 10 + j), (50 * i, 40 * j, 10)).convert(mode).save(folder / name / f"{j}.png")


# ---- layouts of a folder of images. Only names count here, so the files are empty


def create(root, *paths):
    """Create empty files; a path that ends in a slash is a folder."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).mkdir() if path.endswith("/") else (root / path).touch()


CLASSES = ("cat/0.png", "cat/1.png", "dog/0.png")
TRAIN, VAL, TEST = ([f"{split}/{path}" for path in CLASSES] for split in SPLITS)
# The same name on macOS, which writes é as e and an accent, and on other systems.
COMPOSED, SEPARATE = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("paths", "names", "labels", "splits"),
    [
        (CLASSES, ("cat", "dog"), [0, 0, 1], [0] * 3),
        ([*TRAIN, *TEST, ".cache/x/"], ("cat", "dog"), [0, 0, 1] * 2, [0] * 3 + [2] * 3),
        ([*TEST, *TRAIN, *VAL], ("cat", "dog"), [0, 0, 1] * 3, [0] * 3 + [1] * 3 + [2] * 3),
        ([*TRAIN, *VAL, "__MACOSX/train/cat/._0.png"], ("cat", "dog"), [0, 0, 1] * 2, [0] * 3 + [1] * 3),
        (["train/0.png", "test/0.png"], ("test", "train"), [0, 1], [0] * 2),
        (["training/0.png", "valley/0.png", "cat/0.png"], ("cat", "training", "valley"), [0, 1, 2], [0] * 3),
        (["car/0.png", "train/0.png", "car/.x/0.png"], ("car", "train"), [0, 1], [0] * 2),
        (
            [f"train/{COMPOSED}/0.png", "train/dog/0.png", f"test/{SEPARATE}/0.png"],
            (COMPOSED, "dog"),
            [0, 1, 0],
            [0, 0, 2],
        ),
    ],
)
def test_layouts_of_a_folder(tmp_path, paths, names, labels, splits):
    create(tmp_path, *paths)
    paths, *numbers, found = listed(tmp_path)
    assert (found, *(each.tolist() for each in numbers), len(paths)) == (names, labels, splits, len(labels))
    assert DATASETS["image_folder"].counts(tmp_path) == {
        split: splits.count(number) for number, split in enumerate(SPLITS)
    }


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["only/0.png"], "classes in .*: 1, but two are needed[.] dataset image_folder reads data_dir/CLASS/IMAGE, or"),
        ([*TRAIN, "test/cat/0.png", "test/Dog/0.png"], "classes in .* that .*train does not have: Dog$"),
        ([*CLASSES, "bird/0.heic", ".hidden/"], "without images: bird; add images or remove the folders"),
        ([*TRAIN, "test/"], "without images: test;"),
        ([*TRAIN, "val/cat/"], "without images: val/cat;"),
        # Without its images, the split would be drawn from train.
        ([*TRAIN, *VAL, "test/0.png"], "not in their place: test/0.png; set data_dir to another folder, rename or"),
        ([*TRAIN, *TEST, "train/0.png"], "not in their place: train/0.png;"),
        ([*TRAIN, "0.png"], "not in their place: 0.png;"),
        ([*TRAIN, "train/cat/a/b/0.png"], "not in their place: train/cat/a;"),
        ([*CLASSES, "0.png"], "not in their place: 0.png;"),
        ([*CLASSES, "cat/young/0.png"], "not in their place: cat/young;"),
        (["a/images/0.png", "b/images/0.png"], "not in their place: a/images, b/images;"),
        ([*TRAIN, "valid/cat/0.png"], "not in their place: valid; .*dataset image_folder reads .* data_dir/val/CLASS"),
        (["Train/a/0.png", "Test/a/0.png"], "not in their place: Test/a, Train/a; .* or data_dir/train/CLASS/IMAGE"),
    ],
)
def test_an_unknown_layout_is_named_and_the_known_ones_are_shown(tmp_path, paths, message):
    create(tmp_path, *paths)
    with pytest.raises(StudyError, match=rf"^data_dir: .*{message}"):
        listed(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"missing cannot be read: No such .*; dataset image_folder reads"):
        listed(tmp_path / "missing")


def test_all_endings_are_read_and_hidden_files_skipped(tmp_path, caplog):
    write_folder(tmp_path)
    for ending in ("bmp", "gif", "tif", "tiff", "webp", "jpeg", "JPG"):
        Image.new("L", (9, 9), 77).save(tmp_path / "dog" / f"x.{ending}", lossless=True)
    (tmp_path / "dog" / "._0.png").write_bytes(b"no image")
    (tmp_path / "dog" / "list.txt").touch()
    found = DATASETS["image_folder"].read(tmp_path, 8)
    assert found.images.shape == (15, 1, 8, 8) and found.labels.tolist() == [0] * 4 + [1] * 11
    assert (found.names, found.splits.tolist()) == (("cat", "dog"), [0] * 15)
    assert "different endings: .txt (1)" in caplog.text
    assert abs(found.images[[np.array(listed(tmp_path)[0]) == "dog/x.webp"][0]].astype(int) - 77).max() <= 1


def test_one_image_in_colour_makes_all_rgb(tmp_path):
    write_folder(tmp_path)
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "dog" / "red.jpg", quality=95)
    found = DATASETS["image_folder"].read(tmp_path, 8)
    assert found.images.shape == (9, 3, 8, 8)
    assert (found.images[0, 0] == found.images[0, 2]).all()
    assert found.images[-1, 0].min() > 240 > 20 > found.images[-1, 1].max()


def test_grey_pixels_are_grey_in_every_mode(tmp_path):
    write_folder(tmp_path)
    grey = Image.fromarray((np.arange(256).reshape(16, 16)).astype(np.uint8))
    grey.convert("RGB").save(tmp_path / "cat" / "rgb.png")
    grey.convert("P").save(tmp_path / "cat" / "palette.png")
    grey.save(tmp_path / "cat" / "gif.png", format="GIF")
    grey.convert("RGBA").save(tmp_path / "cat" / "rgba.png")
    found = DATASETS["image_folder"].read(tmp_path, 11)
    assert found.images.shape == (12, 1, 11, 11)
    # Palettes are resized as RGB, like the others.
    of = dict(zip(listed(tmp_path)[0], found.images))
    assert all((of[f"cat/{name}.png"] == of["cat/rgb.png"]).all() for name in ("palette", "gif", "rgba"))


def test_images_have_the_channels_of_the_config():
    grey, colour = np.arange(128, dtype=np.uint8).reshape(2, 1, 8, 8), np.zeros((2, 3, 8, 8), np.uint8)
    assert (with_channels(grey, "3") == grey.repeat(3, axis=1)).all() and with_channels(grey, "1") is grey
    colour[1] = np.array([200, 100, 50])[:, None, None]
    # 0.299 · 200 + 0.587 · 100 + 0.114 · 50
    assert with_channels(colour, "1")[:, 0, 0, 0].tolist() == [0, 124] and with_channels(colour, "3") is colour


def test_other_numbers_of_channels_are_not_converted():
    images = np.zeros((2, 5, 8, 8), np.uint8)
    assert with_channels(images, "auto") is images
    with pytest.raises(StudyError, match="image_channels: 3, but an image has 5 channels, and only 1 and 3 can be"):
        with_channels(images, "3")


def saved(path, image, **options):
    """Return the pixels that are read from a file of this image, 8×8."""
    image.save(path, **options)
    return picture(path, 8)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_have_one_scale_in_all_images(tmp_path, ending):
    values = np.append(np.arange(61) * 1040, [255, 256, 65535]).reshape(8, 8)
    pixels = saved(tmp_path / f"x.{ending}", Image.fromarray(values.astype(np.uint16)))
    assert (pixels == values[None] >> 8).all() and pixels.shape == (1, 8, 8)


def test_pixels_without_a_range_are_refused(tmp_path):
    with pytest.raises(StudyError, match=r"x\.tif is not a readable image \(the range of 32-bit"):
        saved(tmp_path / "x.tif", Image.fromarray(np.full((8, 8), 70000, np.int32)))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(tmp_path, mode):
    ink = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (0, 0, 4, 8))
    pixels = saved(tmp_path / "x.png", ink.convert(mode))
    assert pixels.shape == (1, 8, 8) and (pixels[:, :, :4] == 0).all() and (pixels[:, :, 4:] == 255).all()


def test_the_orientation_in_exif_is_applied(tmp_path):
    image, exif = Image.new("L", (8, 8), 0), Image.Exif()
    image.paste(255, (0, 0, 4, 8))
    # 6: the camera was turned, the left half of the pixels is the top of the picture.
    exif[0x0112] = 6
    top, bottom = saved(tmp_path / "x.png", image, exif=exif)[0, ::7]
    assert (top.tolist(), bottom.tolist()) == ([255] * 8, [0] * 8)


def test_a_broken_image_is_named(tmp_path):
    write_folder(tmp_path)
    path = tmp_path / "dog" / "2.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(
        StudyError, match=r"data_dir: .*dog/2\.png is not a readable image .*; replace it, or begin its"
    ):
        DATASETS["image_folder"].read(tmp_path, 8)


@pytest.mark.parametrize("link", ["cat/gone.png", "bird"])
def test_a_link_to_nothing_is_named(tmp_path, link):
    write_folder(tmp_path)
    (tmp_path / link).symlink_to("gone")
    with pytest.raises(StudyError, match=rf"data_dir: .*{link} cannot be read: No such file"):
        listed(tmp_path)


def test_a_copy_and_files_that_are_not_read_do_not_change_the_fingerprint(tmp_path):
    write_folder(tmp_path / "a")
    before = DATASETS["image_folder"].fingerprint(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    os.utime(tmp_path / "b" / "cat" / "0.png", (1, 1))
    for name in ("cat/.DS_Store", "cat/._0.png", "cat/notes.txt", "list.csv"):
        (tmp_path / "b" / name).write_text("x")
    assert DATASETS["image_folder"].fingerprint(tmp_path / "b") == before
    (tmp_path / "b" / "cat").rename(tmp_path / "b" / "ape")
    assert DATASETS["image_folder"].fingerprint(tmp_path / "b") != before


def test_digests_are_kept_between_calls(tmp_path, monkeypatch):
    write_folder(tmp_path / "images")
    cache = tmp_path / "kept" / "digests.json"
    read = []
    digest = digests.content_digest
    monkeypatch.setattr(digests, "content_digest", lambda path: read.append(path) or digest(path))

    def call():
        read.clear()
        return DATASETS["image_folder"].fingerprint(tmp_path / "images", cache), len(read)

    first = call()
    assert first[1] == 8
    assert call() == first, "files that were changed just now are read again"
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    assert call() == first
    assert call() == (first[0], 0)
    # Another content of the same size, with the old modification time.
    path = tmp_path / "images" / "cat" / "0.png"
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = call()
    assert changed[0] != first[0] and changed[1] == 1
    cache.write_text("{")
    assert call() == (changed[0], 8)
    shutil.rmtree(cache.parent)
    cache.parent.write_text("a file where the folder should be")
    assert call() == (changed[0], 8), "a cache that cannot be written only costs time"


# ---- the registry


@pytest.mark.parametrize("name", DATASETS)
def test_the_sizes_of_a_data_set_fit_the_images_it_has(tmp_path, name):
    declared = DATASETS[name].sizes
    assert tuple(declared) == SPLITS
    if name in ("image_folder", "arrays"):
        assert split_sizes(declared, {"train": 1000}) == {"train": 600, "val": 200, "test": 200}
    else:
        images = DATASETS[name].counts(tmp_path)
        require_enough(images, split_sizes(declared, images), dataset=name)


def test_the_example_of_the_config_page_is_a_data_set():
    """It is executed as it is printed."""
    page = (PROJECT / "config" / "README.md").read_text(encoding="utf-8").split("**A data set** is")[1]
    code = "".join(
        line[4:] or "\n" for line in re.search(r"(?:    .*\n|\n)+    DATASETS.*\n", page)[0].splitlines(True)
    )
    module = {}
    exec(code, module)
    (noise,) = module["DATASETS"].values()
    found, counts = noise.read(None, 9), noise.counts(None)
    assert (found.images.shape, found.images.dtype) == ((1000, 1, 9, 9), np.uint8)
    assert counts == {"train": 1000} and images_per_split(found.splits)["train"] == 1000
    assert len(set(found.names)) == found.labels.max() + 1 == 2
    assert found.images[found.labels == 0].max() == 127 and found.images[found.labels == 1].min() == 127
    require_enough(counts, split_sizes(noise.sizes, counts), dataset="noise")
    assert noise.fingerprint(None, None) == ""
