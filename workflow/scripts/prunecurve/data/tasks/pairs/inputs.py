"""The pairs and their labels: 1 is *same*, the positive class, 0 is *different*."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from prunecurve.errors import StudyError

INPUTS = "pairs"
KEYS: tuple[str, ...] = ("pairs_per_image",)
RECALLS = {"same": 1, "different": 0}
SYMMETRIC = True


def require(split: str, classes: np.ndarray, names: Sequence[str], same: int, different: int) -> None:
    """Raise StudyError if a split has no images, or too few for the `same` and `different` pairs of each image."""
    key, total = f"images.{split}", len(classes)
    if not total:
        raise StudyError(f"{key}: the split has no images, because the data set has too few")
    for label, count in zip(*(array.tolist() for array in np.unique(classes, return_counts=True))):
        same_and_itself = ("same", same + 1, count, f"of class {names[label]}")
        others = ("different", different, total - count, f"that are not of class {names[label]}")
        for kind, needed, available, which in (same_and_itself, others):
            if available < needed:
                raise StudyError(
                    f"pairs_per_image.{kind}: it needs {needed} images {which}, but the {total} images of {key} "
                    f"include only {available}; lower pairs_per_image.{kind}, raise {key}, add images, or take the "
                    "class out of the data set"
                )


def inputs(classes: np.ndarray, rng: "np.random.Generator", same: int, different: int) -> tuple[np.ndarray, np.ndarray]:
    """Combine every image with `same` images of its class and `different` images of other classes, all distinct.

    classes: (n,), the class of each image. Returns the pairs, int32 (N, 2) with N = n · (same + different): the
    indices of both images; and their labels, int64 (N,): 1 if both images are of the same class, else 0. Rows are
    ordered by the first image, with its same pairs first.
    """
    members = {label: np.flatnonzero(classes == label) for label in np.unique(classes)}
    pairs = np.empty((len(classes), same + different, 2), np.int32)
    pairs[:, :, 0] = np.arange(len(classes))[:, None]
    labels = np.tile(np.arange(same + different) < same, len(classes)).astype(np.int64)
    others = {label: np.flatnonzero(classes != label) for label in members}
    for image, label in enumerate(classes):
        own = members[label]
        # Draw from the other images of the class: draw among one fewer, then skip the image itself.
        drawn = rng.choice(len(own) - 1, same, replace=False)
        drawn += drawn >= np.searchsorted(own, image)
        pairs[image, :same, 1] = own[drawn]
        pairs[image, same:, 1] = rng.choice(others[label], different, replace=False)
    return pairs.reshape(-1, 2), labels


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the labels; they do not depend on the names of the classes."""
    return ("different", "same")


if TYPE_CHECKING:
    from prunecurve.data.tasks import Inputs
    from prunecurve.data.tasks.pairs import inputs as module

    CHECKED: Inputs = module  # The type checker compares this module with the contract.
