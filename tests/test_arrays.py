"""The data set `arrays`: layouts, resizing, class names, fingerprints, errors, and one study through all steps."""

import io
import pickle

import numpy as np
import pytest
from conftest import TINY, Study
from PIL import Image
from prunecurve.data.datasets import DATASETS
from prunecurve.errors import StudyError
from prunecurve.model.network_file import load_model
from prunecurve.tables import read_rows

ARRAYS = DATASETS["arrays"]


def write(folder, images, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.arange(len(images)) % 3 if labels is None else labels)


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---- what is read


def test_one_pair_of_files_is_not_split(tmp_path):
    images = random_images(12, 8, 8)
    write(tmp_path, images)
    found = ARRAYS.read(tmp_path, 8)
    assert (found.images == images[:, None]).all() and found.images.shape == (12, 1, 8, 8)
    assert (found.labels.dtype, found.labels.tolist()) == (np.int64, [0, 1, 2] * 4)
    assert (found.splits.tolist(), found.names) == ([0] * 12, ("0", "1", "2"))


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test")])
def test_folders_of_splits_are_used(tmp_path, splits):
    for number, split in enumerate(splits):
        write(tmp_path / split, random_images(6, 3, 8, 8, seed=number))
    found = ARRAYS.read(tmp_path, 8)
    order = [number for number, name in enumerate(("train", "val", "test")) if name in splits]
    assert found.splits.tolist() == [number for number in order for _ in range(6)]
    assert ARRAYS.counts(tmp_path) == {"train": 6, "val": 6 * (len(splits) == 3), "test": 6}
    assert found.labels.tolist() == [0, 1, 2] * 2 * len(splits)
    assert found.images.shape[1] == 3
    for number in range(len(splits)):
        assert (found.images[6 * number : 6 * number + 6] == random_images(6, 3, 8, 8, seed=number)).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_are_resized_as_pillow_does(tmp_path, channels):
    images = random_images(3, channels, 20, 13)
    write(tmp_path, images)
    found = ARRAYS.read(tmp_path, 9).images
    assert found.shape == (3, channels, 9, 9)
    for image, resized in zip(images, found):
        if channels == 3:
            whole = Image.fromarray(image.transpose(1, 2, 0)).resize((9, 9), Image.Resampling.BILINEAR)
            assert (resized == np.asarray(whole).transpose(2, 0, 1)).all()
        for before, after in zip(image, resized):
            one = Image.fromarray(before).resize((9, 9), Image.Resampling.BILINEAR)
            assert (after == np.asarray(one)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, ">i4"])
def test_labels_of_every_integer_type(tmp_path, kind):
    write(tmp_path, np.asfortranarray(random_images(6, 5, 5)), (np.arange(6) % 3).astype(kind))
    found = ARRAYS.read(tmp_path, 5)
    assert (found.labels.dtype, found.labels.tolist()) == (np.int64, [0, 1, 2, 0, 1, 2])
    assert (found.images[:, 0] == random_images(6, 5, 5)).all()


def test_names_of_classes(tmp_path):
    write(tmp_path, random_images(6, 5, 5))
    (tmp_path / "classes.txt").write_bytes("\ufeffCafé au lait\r\ntea\r\n  water \r\n\r\n".encode())
    assert ARRAYS.read(tmp_path, 5).names == ("Café au lait", "tea", "water")


def test_before_a_run_no_pixels_are_read(tmp_path):
    """The file of images is sparse: 100 GB in its header, a few kB on the disk."""
    count = 100_000
    np.save(tmp_path / "labels.npy", np.arange(count) % 10)
    with (tmp_path / "images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (count, 1000, 1000)}
        )
        file.truncate(file.tell() + count * 1_000_000)
    assert ARRAYS.counts(tmp_path)["train"] == count


# ---- the fingerprint


def test_the_fingerprint_is_of_the_content(tmp_path):
    for folder in ("a", "b"):
        for split in ("train", "test"):
            write(tmp_path / folder / split, random_images(6, 8, 8))
    before = ARRAYS.fingerprint(tmp_path / "a")
    (tmp_path / "b" / "notes.txt").write_text("not read")
    assert before == ARRAYS.fingerprint(tmp_path / "b") != ""
    seen = {before}

    def changed(path, change):
        content = path.read_bytes() if path.exists() else None
        change(path)
        seen.add(ARRAYS.fingerprint(tmp_path / "b"))
        path.unlink() if content is None else path.write_bytes(content)

    other = random_images(6, 8, 8)
    other[-1, -1, -1] ^= 1
    changed(tmp_path / "b" / "test" / "images.npy", lambda path: np.save(path, other))
    changed(tmp_path / "b" / "train" / "labels.npy", lambda path: np.save(path, np.array([0, 1, 2, 0, 2, 1])))
    changed(tmp_path / "b" / "classes.txt", lambda path: path.write_text("a\nb\nc"))
    assert len(seen) == 4
    assert ARRAYS.fingerprint(tmp_path / "b") == before


# ---- errors

GOOD = random_images(6, 8, 8)


def saved(array, **options):
    """Return the bytes of a `.npy` file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


class Danger:
    """An object whose unpickling fails the test."""

    def __reduce__(self):
        return pytest.fail, ("a file was unpickled",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", b"a\nb", "wrong or missing: 2"),
        ("classes.txt", b"a\nb", "labels.npy needs each of the labels 0 to 1 "),
        ("classes.txt", b"a\n\nc\nd", "wrong or missing: 3"),
        ("classes.txt", b"a\nb\nc\xff", "classes.txt cannot be read as UTF-8 text"),
        ("images", None, "images.npy is not a readable .npy array (No such file or directory); save it with"),
        ("labels", None, "dataset arrays reads data_dir/images.npy and data_dir/labels.npy, or files of these names"),
        ("images", b"", "images.npy is not a readable .npy array ("),
        ("images", b"\x93NUMPY\x01\x00v\x00{'descr': (((", "images.npy is not a readable .npy array ("),
        ("images", saved(GOOD)[:-1], "images.npy is not a readable .npy array ("),
        ("labels", saved(np.array([Danger()]), allow_pickle=True), "Python objects in dtype"),
        ("labels", pickle.dumps(Danger()), "labels.npy is not a readable .npy array ("),
        ("images", saved(GOOD / 255), "images.npy has the type float64, expected uint8 (0 for black to 255 for"),
        ("labels", saved(np.zeros(6)), "labels.npy has the type float64 and the shape (6,), expected whole numbers"),
        ("labels", saved(np.array(["cat"] * 6)), "labels.npy has the type <U3 and"),
        ("images", saved(GOOD.reshape(6, 64)), "images.npy has the shape (6, 64), expected (n, H, W) or (n, C, H, W)"),
        ("images", saved(GOOD[:, :, :0]), "images.npy has the shape (6, 8, 0), expected"),
        ("images", saved(random_images(6, 8, 8, 3)), "which looks like (n, H, W, C), expected (n, C, H, W); save"),
        ("labels", saved(np.zeros((6, 1), int)), "and the shape (6, 1), expected whole numbers (int64, uint8, …) of"),
        ("labels", saved(np.arange(5) % 3), "has 6 images, but 5 labels"),
        ("labels", saved(np.array([0, 1, -1, 0, 1, 2])), "classes; wrong or missing: -1, 3"),
        (
            "labels",
            saved(np.array([1, 2, 3, 1, 2, 3])),
            "needs each of the labels 0 to 2 and no others, because classes.txt or",
        ),
        ("labels", saved(np.array([0, 1, 2**64 - 1] * 2, np.uint64)), f"wrong or missing: 2, {2**64 - 1}"),
        ("labels", saved(np.zeros(6, int)), "have 1 class, but at least two are needed"),
    ],
)
def test_an_error_names_the_file(tmp_path, name, content, message):
    write(tmp_path, GOOD)
    file = tmp_path / (name if "." in name else f"{name}.npy")
    file.unlink() if content is None else file.write_bytes(content)
    for look in (ARRAYS.counts, lambda folder: ARRAYS.read(folder, 8)):
        with pytest.raises(StudyError) as error:
            look(tmp_path)
        assert str(error.value).startswith("data_dir: ") and "\n" not in str(error.value)
        assert message in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("split", "labels", "message"),
    [
        ("test", [0, 1, 1, 0, 1, 1], "test/labels.npy needs each of the labels 0 to 2 "),
        ("val", [0, 1, 2, 3, 0, 1], "have 3 classes; wrong or missing: 3$"),
    ],
)
def test_the_splits_agree(tmp_path, split, labels, message):
    for name in ("train", "val", "test"):
        write(tmp_path / name, GOOD, labels if name == split else None)
    with pytest.raises(StudyError, match=message):
        ARRAYS.counts(tmp_path)


def test_the_splits_may_have_images_of_other_sizes(tmp_path):
    write(tmp_path / "train", GOOD)
    write(tmp_path / "test", random_images(3, 1, 5, 9))
    assert ARRAYS.read(tmp_path, 8).images.shape == (9, 1, 8, 8)


def test_an_unclear_layout_is_refused_and_a_missing_split_named(tmp_path):
    write(tmp_path / "train", GOOD)
    with pytest.raises(StudyError, match=r"data_dir: .*test/images\.npy is not a readable .npy array \(No such file"):
        ARRAYS.counts(tmp_path)
    write(tmp_path / "test", GOOD)
    (tmp_path / "val").mkdir()
    with pytest.raises(StudyError, match=r"data_dir: .*val/images\.npy is not a readable .npy array \(No such file"):
        ARRAYS.counts(tmp_path)
    write(tmp_path, GOOD)
    with pytest.raises(StudyError, match=r"has images\.npy and the folder train, so it is not clear .* reads"):
        ARRAYS.counts(tmp_path)


# ---- a study


@pytest.mark.snakemake
def test_own_arrays_through_all_steps(tmp_path):
    """Pairs of images with five channels, from folders of splits. An error is reported before any job runs."""
    rng = np.random.default_rng(0)
    levels = rng.integers(40, 216, (3, 5, 1, 1))
    study = Study(
        tmp_path / "study",
        TINY.replace("{train: 150, val: 80, test: 80}", "{train: 36, val: 15, test: auto}")
        .replace("same_weight: 6.0", "same_weight: 4.0")
        .replace("[mean_activation, l1_norm]", "[l1_norm]")
        .replace("repairs: [none]", "repairs: [none], ks: [2, 5], ks_per_job: 8")
        + "dataset: arrays\ndata_dir: mine\nimage_size: 16\npairs_per_image: {same: 1, different: 3}\n",
    )
    for split, count in (("train", 60), ("test", 18)):
        labels = np.arange(count) % 3
        noise = rng.integers(-30, 30, (count, 5, 20, 20))
        write(study.folder / "mine" / split, (levels[labels] + noise).astype(np.uint8), labels)
    (study.folder / "mine" / "classes.txt").write_text("red\ngreen\nblue\n")
    study.run("results/arrays/curve.csv", "results/arrays/seed0/conv3/verification.csv")
    results = study.folder / "results" / "arrays"
    assert [row["k"] for row in read_rows(results / "curve.csv", sealed=False)] == ["0", "2", "5"]
    assert [row["name"] for row in read_rows(results / "source" / "classes.csv")] == ["red", "green", "blue"]
    assert load_model(results / "seed0" / "model.pt").conv1.weight.shape == (4, 10, 3, 3)
    index = np.load(results / "seed0" / "images" / "index.npy")
    assert index[:, 0].tolist() == [0] * 36 + [1] * 15 + [2] * 18
    assert index[:51, 1].max() < 60 and sorted(index[51:, 1]) == list(range(60, 78))
    np.save(study.folder / "mine" / "test" / "labels.npy", np.arange(18) % 4)
    output = study.run("-n", "results/arrays/curve.csv", succeed=False).stdout
    assert "data_dir: mine/test/labels.npy needs each of the labels 0 to 2" in output
    assert "Traceback" not in output
