"""Where images come from: every data set becomes uint8 images (n, C, S, S), class labels, and a held-out mask.

To add a data set, write a function that returns an `ImageSet`, name it in `DATASETS`, and give its
sizes in the config schema (`images`).
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prunecurve.errors import StudyError

OFFLINE_CHOICES = (
    "without a network, either set data_dir to a folder that already holds the data set in torchvision's layout, "
    "or use a data set that needs no download: dataset: digits, or dataset: image_folder with your own images"
)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images of a data set.

    images: uint8 (n, C, S, S), 0 black to 255 white. labels: int64 (n,), class numbers.
    held_out: bool (n,), true for the images that the data set itself keeps for testing; all false
    where it makes no such split.
    """

    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray


def resized(image, size: int) -> np.ndarray:
    """A Pillow image, resized with bilinear interpolation to uint8 (C, size, size)."""
    from PIL import Image

    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def digits(data_dir: Path, size: int) -> ImageSet:
    """scikit-learn's bundled handwritten digits: 1,797 images of 8×8 pixels in 10 classes (Alpaydin 1998)."""
    from PIL import Image
    from sklearn.datasets import load_digits

    bundled = load_digits()
    # The pixels are whole numbers from 0 to 16.
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    images = np.stack([resized(Image.fromarray(pixels), size) for pixels in grey])
    return ImageSet(images, bundled.target.astype(np.int64), np.zeros(len(images), bool))


def _import_torchvision_datasets():
    """torchvision.datasets, also where torchvision was compiled for another build of torch.

    Beside a CPU-only torch its import fails because two of its compiled operators are missing.
    Declaring them is enough for the data sets, which use neither.
    """
    import torch

    try:
        from torchvision import datasets
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets
    return datasets


def _from_torchvision(class_name: str) -> Callable[[Path, int], ImageSet]:
    def load(data_dir: Path, size: int) -> ImageSet:
        from PIL import Image

        made = getattr(_import_torchvision_datasets(), class_name)
        raw = Path(data_dir) / class_name / "raw"
        complete = all(
            (raw / f"{part}-{kind}").is_file()
            for part in ("train", "t10k")
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        parts = []
        for train in (True, False):
            try:
                parts.append(made(str(data_dir), train=train, download=not complete))
            # torchvision raises whatever the network or the file's parser does.
            except Exception as error:
                reason = " ".join(str(error).split())
                if complete:
                    raise StudyError(
                        f"data_dir: a file of {class_name} in {raw} is truncated or not an IDX file ({reason}); "
                        f"replace it, or delete the folder to download it again"
                    ) from error
                raise StudyError(
                    f"data_dir: {class_name} is not in {data_dir} and could not be downloaded there ({reason}); "
                    f"{OFFLINE_CHOICES}"
                ) from error
        for part in parts:
            if len(part.data) != len(part.targets):
                raise StudyError(f"data_dir: {raw} holds {len(part.data)} images but {len(part.targets)} labels")
        grey = np.concatenate([part.data.numpy() for part in parts])
        images = grey[:, None]
        if images.shape[-2:] != (size, size):
            images = np.stack([resized(Image.fromarray(pixels), size) for pixels in grey])
        labels = np.concatenate([part.targets.numpy() for part in parts]).astype(np.int64)
        return ImageSet(images, labels, np.arange(len(labels)) >= len(parts[0].data))

    load.__doc__ = f"torchvision's {class_name}, with its own test images held out."
    return load


def eight_bit(image):
    """A Pillow image as grey (`L`) if it has no colour, else RGB: 16-bit grey scaled, transparency laid on white.

    Pillow's own conversion would cut 16-bit values off at 255 and show what transparency hides. Raises ValueError
    for pixels that have no natural range.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose black and white are not known")
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        return Image.fromarray((pixels >> 8 if pixels.max() > 255 else pixels).clip(0, 255).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def image_folder(data_dir: Path, size: int) -> ImageSet:
    """A folder a class, of PNG or JPEG files: grey if all are grey, else RGB; classes in order of their names."""
    from PIL import Image, UnidentifiedImageError

    data_dir = Path(data_dir)
    _require_folder(data_dir)
    folders = sorted(path for path in data_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [
        (path, number)
        for number, folder in enumerate(folders)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_ENDINGS
    ]
    if len({number for _, number in files}) < 2:
        raise StudyError(f"data_dir: {data_dir} holds {len(folders)} folders, fewer than two of them with PNG or JPEG")
    pictures = []
    for path, _ in files:
        try:
            with Image.open(path) as opened:
                pictures.append(resized(eight_bit(opened), size))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise StudyError(f"data_dir: {path} is not a readable image ({error}); replace or remove it") from error
    channels = max(picture.shape[0] for picture in pictures)
    images = np.stack([np.broadcast_to(picture, (channels, size, size)) for picture in pictures])
    labels = np.array([number for _, number in files], dtype=np.int64)
    return ImageSet(images, labels, np.zeros(len(images), bool))


def _require_folder(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise StudyError(f"data_dir: {data_dir} is not a folder; dataset image_folder wants one folder a class in it")


def fingerprint(dataset: str, data_dir: str | Path) -> str:
    """What changes when the data do, wherever they lie; empty for a data set's own, published files.

    Of a folder of images a digest of its files' names, sizes and times; of MNIST's files their labels and first images.
    Reading all images would take too long at every start of the workflow. Raises StudyError where there is no such
    folder: before anything is run again for it.
    """
    if dataset == "mnist":
        return _other_than_published(Path(data_dir) / "MNIST" / "raw", MNIST)
    if dataset != "image_folder":
        return ""
    _require_folder(Path(data_dir))
    listed = sorted(
        (str(path.relative_to(data_dir)), stat.st_size, stat.st_mtime_ns)
        for path in Path(data_dir).glob("*/*")
        if path.suffix.lower() in IMAGE_ENDINGS and (stat := path.stat())
    )
    return hashlib.sha256(repr(listed).encode()).hexdigest()[:16]


# Of the published files, as `_other_than_published` has it; whoever puts other data in their place has another study.
MNIST = "336c79d432494e89"


def _other_than_published(raw: Path, published: str) -> str:
    """Empty if these files are the published ones, or none yet (then they are downloaded); else their digest."""
    content = hashlib.sha256()
    for part in ("train", "t10k"):
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            file = raw / f"{part}-{kind}"
            if not file.is_file():
                return ""
            with file.open("rb") as opened:
                content.update(f"{file.name} {file.stat().st_size}\0".encode() + opened.read(1 << 16))
    found = content.hexdigest()[:16]
    return "" if found == published else found


DATASETS: dict[str, Callable[[Path, int], ImageSet]] = {
    "digits": digits,
    "mnist": _from_torchvision("MNIST"),
    "fashion_mnist": _from_torchvision("FashionMNIST"),
    "kmnist": _from_torchvision("KMNIST"),
    "image_folder": image_folder,
}
