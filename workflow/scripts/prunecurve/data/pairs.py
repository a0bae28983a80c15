"""Drawing the images of each split and combining them to pairs."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.seeding import stream

SPLITS = ("train", "val", "test")

# The size of a split for which the config says `auto`: a share of the images, if several splits are drawn from them.
AUTO = "auto"
SHARES = {"train": Fraction(6, 10), "val": Fraction(2, 10), "test": Fraction(2, 10)}


def pools_of(splits: np.ndarray) -> dict[str, str]:
    """Return from which of the data set's own splits each split is drawn: the same one, or train if it is empty.

    splits: int (n,), the split that the data set assigns each image to, as its index in SPLITS.
    """
    own = set(np.unique(splits).tolist())
    return {split: split if number in own else "train" for number, split in enumerate(SPLITS)}


def split_sizes(asked: Mapping[str, int | float | str], splits: np.ndarray) -> dict[str, int]:
    """Return the number of images in each split.

    asked: for each split a number of images, a share (below 1) of the images that it is drawn from, or `auto`: all
    images if no other split is drawn from them, else shares in the ratio 60 : 20 : 20. splits: as in `pools_of`.
    """
    pools, sizes = pools_of(splits), {}
    for split, wanted in asked.items():
        available = int((splits == SPLITS.index(pools[split])).sum())
        if wanted == AUTO:
            shared = sum(SHARES[other] for other in SPLITS if pools[other] == pools[split])
            sizes[split] = math.floor(available * SHARES[split] / shared)
        else:
            sizes[split] = math.floor(available * Fraction(str(wanted))) if wanted < 1 else int(wanted)
    return sizes


def require_enough(splits: np.ndarray, sizes: Mapping[str, int], *, dataset: str, networks: int = 1) -> None:
    """Raise StudyError if the data set has too few images.

    splits: as in `pools_of`. sizes: images per split. dataset: its name, for the message. networks: the number of
    networks that draw images which no other network has.
    """
    pools = pools_of(splits)
    for pool in dict.fromkeys(pools.values()):
        which = [split for split in SPLITS if pools[split] == pool]
        available = int((splits == SPLITS.index(pool)).sum())
        count = networks * sum(sizes[split] for split in which)
        if count <= available:
            continue
        kind = (
            {"train": "training ", "val": "validation ", "test": "test "}[pool] if len(set(pools.values())) > 1 else ""
        )
        has = f"{dataset} has {available} {kind}images"
        lower = " or ".join(f"images.{split}" for split in which)
        if networks > 1:
            each = " + ".join(f"{split} {sizes[split]}" for split in which)
            raise StudyError(
                f"images.disjoint: {networks} networks × ({each}) images make {count}, but {has}; "
                f"use fewer seeds, lower {lower}, or set images.disjoint: false"
            )
        raise StudyError(
            f"images: {' + '.join(which)} ask{'s' * (len(which) == 1)} for {count} images, but {has}; lower {lower}"
        )


def draw_splits(
    splits: np.ndarray, sizes: Mapping[str, int], rng: np.random.Generator, *, dataset: str, block: int = 0
) -> dict[str, np.ndarray]:
    """Draw the images of each split without replacement and return their indices (int64); splits are disjoint.

    splits: int (n,), as in `pools_of`. sizes: images per split. dataset: its name, for the error message.
    block: with generators in the same state, different blocks (0, 1, …) draw disjoint images.
    Raises StudyError if the data set has too few images.
    """
    require_enough(splits, sizes, dataset=dataset, networks=block + 1)
    drawn = {}
    pools = pools_of(splits)
    for pool in dict.fromkeys(pools.values()):
        images = rng.permutation(np.flatnonzero(splits == SPLITS.index(pool)))
        which = [split for split in SPLITS if pools[split] == pool]
        start = block * sum(sizes[split] for split in which)
        for split in which:
            drawn[split] = images[start : start + sizes[split]]
            start += sizes[split]
    return {split: drawn[split] for split in SPLITS}


def draw_for_seed(
    splits: np.ndarray, sizes: Mapping[str, int], seed: int, place: int | None, *, dataset: str
) -> dict[str, np.ndarray]:
    """Draw the images of one network, as `draw_splits` does.

    place: None if networks may share images. If they may not, the place of the seed in the list of seeds: all networks
    then draw from one order of the images, each the next block, so that a seed added at the end changes no other draw.
    """
    if place is None:
        return draw_splits(splits, sizes, stream(seed, "images"), dataset=dataset)
    return draw_splits(splits, sizes, stream(0, "images/disjoint"), dataset=dataset, block=place)


def require_partners(
    labels: np.ndarray,
    same: int,
    different: int,
    *,
    key: str = "the split",
    names: Sequence[str] = (),
    available: np.ndarray | None = None,
) -> None:
    """Raise StudyError if a class has too few images for the pairs.

    labels: (n,), the class of each image of a split. same, different: pairs per image. key: the config key of the
    split's size, names: the names of the classes, for the message. available: images of each class that the split is
    drawn from.
    """
    numbers, counts = np.unique(labels, return_counts=True)
    if not len(labels):
        raise StudyError(f"{key}: the split has no images, because the data set has too few")
    for label, count in zip(numbers.tolist(), counts.tolist()):
        name = names[label] if label < len(names) else label
        others = len(labels) - count
        if count >= same + 1 and others >= different:
            continue
        # Up to three splits share the images of a class. If they are fewer than these need, larger splits do not help.
        few = available is not None and available[label] < len(SPLITS) * (same + 1)
        more = f"add images of class {name}, or take this class out of the data set" if few else f"raise {key}"
        if count < same + 1:
            lower = "lower pairs_per_image.same or " if same > 1 else ""
            raise StudyError(
                f"pairs_per_image.same: {same} needs {same + 1} images of each class, but the {len(labels)} images of "
                f"{key} include only {count} of class {name}"
                f"{'' if available is None else f' (drawn from {available[label]})'}; {lower}{more}"
            )
        raise StudyError(
            f"pairs_per_image.different: {different} needs {different} images of other classes, but the "
            f"{len(labels)} images of {key} include only {others} that are not of class {name}; "
            f"lower pairs_per_image.different or raise {key}"
        )


def require_pairs(
    labels: np.ndarray,
    splits: np.ndarray,
    drawn: Mapping[str, np.ndarray],
    *,
    same: int,
    different: int,
    names: Sequence[str] = (),
) -> None:
    """Raise StudyError if a split has too few images of a class for its pairs.

    labels, splits: (n,), of all images of the data set, as in `draw_splits`. drawn: the images of each split, as
    indices. names: the names of the classes, for the message.
    """
    for split, pool in pools_of(splits).items():
        available = np.bincount(labels[splits == SPLITS.index(pool)], minlength=int(labels.max()) + 1)
        key = f"images.{split}"
        require_partners(labels[drawn[split]], same, different, key=key, names=names, available=available)


def make_pairs(
    classes: np.ndarray, same: int, different: int, rng: np.random.Generator, *, key: str = "the split"
) -> tuple[np.ndarray, np.ndarray]:
    """Combine every image with `same` images of its class and `different` images of other classes, all distinct.

    classes: (n,), the class of each image. Returns the pairs, int32 (N, 2) with N = n · (same + different): the
    indices of both images; and their labels, int64 (N,): 1 if both images are of the same class, else 0. Rows are
    ordered by the first image, with its same pairs first. key: the config key of the split's size, for error
    messages. Raises StudyError if a class has too few images.
    """
    require_partners(classes, same, different, key=key)
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
