"""Checks of the data and the config together, before any job runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunecurve.data import tasks
from prunecurve.data.datasets import DATASETS
from prunecurve.data.datasets.pixels import AUTO as KEPT
from prunecurve.data.datasets.pixels import channels_after
from prunecurve.data.parameters import Preprocess
from prunecurve.data.splits import AUTO, SPLITS, draw_for_seed, require_enough, split_sizes

# The draws of this many seeds are tried. Each takes about two milliseconds, and make_pairs checks all of them.
MOST_TRIED = 100


def asked_sizes(config: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return the size of each split, with what the data set declares in place of `auto`.

    That is a number or a share of images, or `auto` for all images that the split is drawn from.
    """
    declared, asked = DATASETS[config["dataset"]].sizes, config["images"]
    return {split: declared[split] if asked[split] == AUTO else asked[split] for split in SPLITS}


def check_data(config: Mapping[str, Any], data_dir: str | Path) -> None:
    """Raise StudyError if the data set is not in data_dir, has too few images for the config, or other channels.

    The images of each seed are drawn as make_pairs does, but not read. For a data set that is not downloaded yet, only
    the number of images is checked.
    """
    dataset, known = config["dataset"], DATASETS[config["dataset"]].census(data_dir)
    sizes = split_sizes(asked_sizes(config), known.splits)
    disjoint = config["images"]["disjoint"]
    require_enough(known.splits, sizes, dataset=dataset, networks=len(config["seeds"]) if disjoint else 1)
    channels, asked = known.channels, str(config["image_channels"])
    if asked != KEPT:
        channels = channels_after(asked, channels or int(asked))
    if channels is not None:
        Preprocess(**config["preprocess"]).require(channels)
    if known.labels is None:
        return
    task = tasks.load(config["task"])
    parameters = {key: value for section in task.KEYS for key, value in config[section].items()}
    for place, seed in enumerate(config["seeds"][:MOST_TRIED]):
        drawn = draw_for_seed(known.splits, sizes, seed, place if disjoint else None, dataset=dataset)
        task.require(known.labels, known.splits, drawn, names=known.names, **parameters)
