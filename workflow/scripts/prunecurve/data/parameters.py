"""The config sections `images`, `preprocess` and `pairs_per_image`: keys, types, bounds, defaults and descriptions."""

from typing import Annotated, Literal

from pydantic import Field

from prunecurve.errors import StudyError
from prunecurve.sections import Real, Section

Number = Annotated[int, Field(ge=2, le=100_000_000)]
Share = Annotated[Real, Field(gt=0, lt=1)]
Size = Literal["auto"] | Number | Share


class Images(Section):
    """Sizes of the splits: numbers of images, shares (below 1) of the images that the split is drawn from, or auto.

    auto is the number that the data set declares. If it declares none (image_folder and arrays), auto is all images
    that the split is drawn from; splits that are drawn from the same images share them 60 : 20 : 20. digits (1,797
    images) draws all splits from one pool. mnist, fashion_mnist and kmnist draw train and val from their 60,000
    training images and test from their 10,000 test images; cifar10 and cifar100 from 50,000 and 10,000. image_folder
    and arrays draw a split from the folder of this name if there is one, else from all images or from the folder train.
    """

    train: Size = "auto"
    """Number or share of training images."""

    val: Size = "auto"
    """Number or share of validation images (they decide which epoch is kept)."""

    test: Size = "auto"
    """Number or share of test images (the sweep evaluates the networks on them)."""

    disjoint: bool = False
    """Whether no two networks (seeds) may have an image in common. If true, all seeds draw from one random order of the
    images, each the next part, and the data set must have enough images for all of them. If false, each seed draws from
    all images."""


class Preprocess(Section):
    """Normalisation of the pixels. They are divided by 255; then (pixel − mean) / std gives the network's input. One
    number holds for all channels of an image; for several, give one number per channel."""

    mean: list[Annotated[Real, Field(ge=0, le=1)]] = Field([0], min_length=1, max_length=1000)
    """Mean of each channel, as a share of white."""

    std: list[Annotated[Real, Field(gt=0, le=1000)]] = Field([1], min_length=1, max_length=1000)
    """Standard deviation of each channel, as a share of white."""

    def require(self, channels: int) -> None:
        """Raise StudyError unless mean and std each have one number, or one for each channel of an image."""
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                colour = ", or set image_channels: 3" if len(numbers) == 3 and channels == 1 else ""
                raise StudyError(
                    f"preprocess.{name}: {len(numbers)} numbers, but the channels of an image are {channels}; give one "
                    f"number, or one per channel{colour}"
                )


class PairsPerImage(Section):
    """For the task pairs, the number of other images of the same split that each image is combined with."""

    same: int = Field(1, ge=1, le=1_000_000)
    """Number of pairs with images of the same class, per image."""

    different: int = Field(9, ge=1, le=1_000_000)
    """Number of pairs with images of different classes, per image."""
