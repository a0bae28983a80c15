"""Checks of the data and the config together, before any job runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunecurve.data.datasets import DATASETS
from prunecurve.data.datasets.pixels import AUTO as KEPT
from prunecurve.data.datasets.pixels import channels_after
from prunecurve.data.parameters import Preprocess
from prunecurve.data.splits import AUTO, SPLITS, require_enough, split_sizes


def asked_sizes(config: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return the size of each split, with what the data set declares instead of `auto`.

    That is a number or a share of images, or `auto` for all images that the split is drawn from.
    """
    declared, asked = DATASETS[config["dataset"]].sizes, config["images"]
    return {split: declared[split] if asked[split] == AUTO else asked[split] for split in SPLITS}


def check_data(config: Mapping[str, Any], data_dir: str | Path) -> None:
    """Raise StudyError if the data set has too few images for the config, or different channels than its normalisation.

    No image is read. What only the images and their labels show is reported by the first jobs.
    """
    contents = DATASETS[config["dataset"]].contents(data_dir)
    networks = len(config["seeds"]) if config["images"]["disjoint"] else 1
    sizes = split_sizes(asked_sizes(config), contents.images)
    require_enough(contents.images, sizes, dataset=config["dataset"], networks=networks)
    channels, asked = contents.channels, str(config["image_channels"])
    if asked != KEPT:
        channels = channels_after(asked, channels or int(asked))
    if channels is not None:
        Preprocess(**config["preprocess"]).require(channels)
