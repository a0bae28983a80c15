"""Single images. Their labels are the numbers of the data set's classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from prunecurve.errors import StudyError, some

INPUTS = "images"
KEYS: tuple[str, ...] = ()
RECALLS: dict[str, int] = {}
SYMMETRIC = False


def require(split: str, classes: np.ndarray, names: Sequence[str]) -> None:
    """Raise StudyError if a class has no images in a split: see `Inputs.require`."""
    if missing := [name for name, count in zip(names, np.bincount(classes, minlength=len(names))) if not count]:
        raise StudyError(
            f"images.{split}: the {len(classes)} images of the split include none of class {some(missing, 5)}; raise "
            f"images.{split}, add images of the class, or take it out of the data set"
        )


def inputs(classes: np.ndarray, rng: "np.random.Generator") -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs, int32 (n, 1): each image alone, in order; and their labels, int64 (n,): the classes."""
    return np.arange(len(classes), dtype=np.int32)[:, None], classes.astype(np.int64)


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the labels: those of the classes."""
    return tuple(names)


if TYPE_CHECKING:
    from prunecurve.data.tasks import Inputs
    from prunecurve.data.tasks.classes import inputs as module

    CHECKED: Inputs = module  # The type checker compares this module with the contract.
