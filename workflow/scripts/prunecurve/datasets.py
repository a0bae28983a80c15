"""Reading of data sets. Every data set is returned as uint8 images (n, C, S, S), class labels and a held-out mask.

To add a data set, write a function that returns an `ImageSet`, add it to `DATASETS`, and add its split
sizes to the config schema (`images`).
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prunecurve.errors import StudyError

OFFLINE_CHOICES = (
    "without internet access, either set data_dir to a folder that already contains the data set in torchvision's "
    "layout, or use a data set that needs no download: dataset: digits, or dataset: image_folder with your own images"
)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """All images of a data set.

    images: uint8 (n, C, S, S), from 0 (black) to 255 (white). labels: int64 (n,), class numbers.
    held_out: bool (n,), true for the images of the data set's own test split; all false if it has none.
    """

    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray


def resized(image, size: int) -> np.ndarray:
    """Resize a Pillow image with bilinear interpolation; return uint8 (C, size, size)."""
    from PIL import Image

    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def digits(data_dir: Path, size: int) -> ImageSet:
    """Read scikit-learn's handwritten digits: 1,797 images of 8×8 pixels in 10 classes (Alpaydin 1998)."""
    from PIL import Image
    from sklearn.datasets import load_digits

    bundled = load_digits()
    # The pixel values are integers from 0 to 16.
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    images = np.stack([resized(Image.fromarray(pixels), size) for pixels in grey])
    return ImageSet(images, bundled.target.astype(np.int64), np.zeros(len(images), bool))


def _import_torchvision_datasets():
    """Import torchvision.datasets, even if torchvision was compiled for another build of torch.

    With a CPU-only torch, the import can fail because two compiled operators are missing. Declaring
    them is enough, because the data sets do not use them.
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

        dataset_class = getattr(_import_torchvision_datasets(), class_name)
        raw = Path(data_dir) / class_name / "raw"
        complete = all(
            (raw / f"{part}-{kind}").is_file()
            for part in ("train", "t10k")
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        parts = []
        for train in (True, False):
            try:
                parts.append(dataset_class(str(data_dir), train=train, download=not complete))
            # torchvision passes on all exceptions of the download and of the file parser.
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
                raise StudyError(
                    f"data_dir: a split in {raw} has {len(part.data)} images but {len(part.targets)} labels; "
                    f"replace its files, or delete the folder to download it again"
                )
        grey = np.concatenate([part.data.numpy() for part in parts])
        images = grey[:, None]
        if images.shape[-2:] != (size, size):
            images = np.stack([resized(Image.fromarray(pixels), size) for pixels in grey])
        labels = np.concatenate([part.targets.numpy() for part in parts]).astype(np.int64)
        return ImageSet(images, labels, np.arange(len(labels)) >= len(parts[0].data))

    load.__doc__ = f"Read torchvision's {class_name}; its test images are held out."
    return load


def eight_bit(image):
    """Convert a Pillow image to 8-bit grey (mode `L`) if it is a grey image, else to RGB.

    16-bit grey is scaled, and transparent images are put on a white background. (Pillow's own conversion clips 16-bit
    values at 255 and ignores transparency.) Raises ValueError for floating-point pixels, which have no fixed range.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is not known")
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
    """Read one folder of PNG or JPEG files per class. Classes are numbered in the order of the folder names.

    The images have 1 channel if all files are grey, else 3. Raises StudyError if there are fewer than two classes or if
    a file is not readable.
    """
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
        raise StudyError(
            f"data_dir: {data_dir} has {len(folders)} folders, but dataset image_folder needs PNG or JPEG files in at "
            f"least two folders, one folder per class"
        )
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
        raise StudyError(f"data_dir: {data_dir} is not a folder; dataset image_folder needs one folder per class in it")


def fingerprint(dataset: str, data_dir: str | Path) -> str:
    """Return a string that changes if the data of image_folder or mnist change, but not if data_dir moves.

    For image_folder it is a digest of the files' names, sizes and modification times; for mnist a digest of the name,
    the size and the first 64 KiB of each file, or "" if they are the published ones. For the other data sets it is "".
    Reading all images at every start of the workflow would take too long.
    Raises StudyError if the folder of image_folder does not exist, so that the error comes before any job runs.
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


# Digest of the published files, computed as in `_other_than_published`. Other files in their place are other data.
MNIST = "336c79d432494e89"


def _other_than_published(raw: Path, published: str) -> str:
    """Return "" if the files are the published ones, or missing (they will be downloaded); else their digest."""
    content = hashlib.sha256()
    for part in ("train", "t10k"):
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            file = raw / f"{part}-{kind}"
            if not file.is_file():
                return ""
            with file.open("rb") as opened:
                content.update(f"{file.name} {file.stat().st_size}\0".encode() + opened.read(1 << 16))
    digest = content.hexdigest()[:16]
    return "" if digest == published else digest


DATASETS: dict[str, Callable[[Path, int], ImageSet]] = {
    "digits": digits,
    "mnist": _from_torchvision("MNIST"),
    "fashion_mnist": _from_torchvision("FashionMNIST"),
    "kmnist": _from_torchvision("KMNIST"),
    "image_folder": image_folder,
}
