"""Drawing the images of each split and combining them to pairs."""

from collections.abc import Mapping

import numpy as np

from prunecurve.errors import StudyError

SPLITS = ("train", "val", "test")


def draw_splits(
    held_out: np.ndarray, sizes: Mapping[str, int], rng: np.random.Generator, *, dataset: str
) -> dict[str, np.ndarray]:
    """Draw the images of each split without replacement and return their indices (int64); splits are disjoint.

    held_out: bool (n,). If it has true entries, test images are drawn from these, and training and
    validation images from the others. If all entries are false, all splits are drawn from one pool.
    sizes: images per split. dataset: its name, for the error message. Raises StudyError if the data set
    has too few images.
    """
    own_test = bool(held_out.any())
    pools = {"training": np.flatnonzero(~held_out), "test": np.flatnonzero(held_out)}
    taken = {"training": 0, "test": 0}
    pools = {name: rng.permutation(pool) for name, pool in pools.items()}
    splits = {}
    for split in SPLITS:
        pool = "test" if own_test and split == "test" else "training"
        splits[split] = pools[pool][taken[pool] : taken[pool] + sizes[split]]
        taken[pool] += sizes[split]
    for pool, count in taken.items():
        if count > len(pools[pool]):
            which = [s for s in SPLITS if not own_test or (s == "test") == (pool == "test")]
            raise StudyError(
                f"images.{dataset}: {' + '.join(which)} ask for {count} images, but the data set has "
                f"{len(pools[pool])}{' ' + pool + ' images' if own_test else ''}; lower {' or '.join(which)}"
            )
    return splits


def make_pairs(
    labels: np.ndarray, same: int, different: int, rng: np.random.Generator, *, key: str = "the split"
) -> np.ndarray:
    """Combine every image with `same` images of its class and `different` images of other classes, all distinct.

    labels: (n,), the class of each image. Returns int32 (n · (same + different), 3): first index, second
    index, and 1 if both images are of the same class, else 0. Rows are ordered by the first image, with
    its same pairs first. key: the config key of the split's size, for error messages. Raises StudyError
    if a class has too few images.
    """
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    for label, own in members.items():
        if len(own) < same + 1:
            raise StudyError(
                f"pairs_per_image.same: {same} needs {same + 1} images of each class, but the {len(labels)} images of "
                f"{key} include only {len(own)} of class {label}; lower pairs_per_image.same or raise {key}"
            )
        if len(labels) - len(own) < different:
            raise StudyError(
                f"pairs_per_image.different: {different} needs {different} images of other classes, but the "
                f"{len(labels)} images of {key} include only {len(labels) - len(own)} that are not of class {label}; "
                f"lower pairs_per_image.different or raise {key}"
            )
    pairs = np.empty((len(labels), same + different, 3), np.int32)
    pairs[:, :, 0] = np.arange(len(labels))[:, None]
    pairs[:, :, 2] = np.arange(same + different) < same
    others = {label: np.flatnonzero(labels != label) for label in members}
    for image, label in enumerate(labels):
        own = members[label]
        # Draw from the other images of the class: draw among one fewer, then skip the image itself.
        drawn = rng.choice(len(own) - 1, same, replace=False)
        drawn += drawn >= np.searchsorted(own, image)
        pairs[image, :same, 1] = own[drawn]
        pairs[image, same:, 1] = rng.choice(others[label], different, replace=False)
    return pairs.reshape(-1, 3)
