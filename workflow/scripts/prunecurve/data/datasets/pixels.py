"""From a picture of any kind to 8-bit pixels of one size."""

from typing import Any

import numpy as np

from prunecurve.errors import StudyError

# The value of image_channels that leaves the channels as they are.
AUTO = "auto"


def resized(image: Any, size: int) -> np.ndarray:
    """Resize a Pillow image with bilinear interpolation; return uint8 (C, size, size)."""
    from PIL import Image

    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resized_all(images: np.ndarray, size: int) -> np.ndarray:
    """Resize an array of images, uint8 (n, C, H, W), as `resized` does; return uint8 (n, C, size, size).

    Each channel is resized by itself. For RGB, Pillow does the same. The array may be memory-mapped.
    """
    from PIL import Image

    if images.shape[2:] == (size, size):
        return np.array(images, order="C")
    planes = (resized(Image.fromarray(plane), size) for image in images for plane in image)
    return np.concatenate(list(planes)).reshape(*images.shape[:2], size, size)


def eight_bit(image: Any) -> Any:
    """Convert a Pillow image to 8-bit grey (mode `L`) or RGB. Transparent images are put on a white background.

    16-bit grey is divided by 256, whatever values the image has, so that equal values give equal pixels in all images.
    (Pillow's own conversion clips 16-bit values at 255 and ignores transparency.) Raises ValueError for pixels that
    have no fixed range: floating-point numbers and 32-bit integers.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("F", "I"):
        raise ValueError("the range of 32-bit pixels is not known; save it with 8 or 16 bits")
    grey = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def with_channels(images: np.ndarray, asked: str) -> np.ndarray:
    """Return images, uint8 (n, C, S, S), with the channels of image_channels of the config.

    Grey images become RGB with three equal channels; RGB becomes grey by the luma of ITU-R 601, as in Pillow. Raises
    StudyError if images that are to be converted have neither 1 nor 3 channels.
    """
    from PIL import Image

    channels = images.shape[1]
    if asked in (AUTO, str(channels)):
        return images
    if channels == 1:
        return images.repeat(3, axis=1)
    if channels != 3:
        raise StudyError(
            f"image_channels: {asked}, but an image has {channels} channels, and only 1 and 3 can be converted; "
            f"allowed: {AUTO}"
        )
    return np.stack([np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")) for image in images])[:, None]
