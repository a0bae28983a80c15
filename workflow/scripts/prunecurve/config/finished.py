"""The settings of a config as artifacts store them (provenance), compared with those of a finished study."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from prunecurve.config.layers import Layers
from prunecurve.config.mappings import as_yaml
from prunecurve.config.model import change_of
from prunecurve.config.resolved import resolved
from prunecurve.model.factory import CONTENT_OF_WEIGHTS
from prunecurve.provenance import SEPARATOR

DATA_CONTENT = f"content of data_dir{SEPARATOR}"
WEIGHTS_CONTENT = f"{CONTENT_OF_WEIGHTS}{SEPARATOR}"


def settings(config: Mapping[str, Any], layers: Layers | None = None) -> dict[str, str]:
    """Return the line `KEY: VALUE` of each key that results depend on, by key, with the values of `resolved`."""
    values = resolved(config, layers).items()
    return {key: f"{key}{SEPARATOR}{as_yaml(value)}" for key, value in values if change_of(key) != "none"}


def data_settings(content: str) -> list[str]:
    """Return the setting for the content of `data_dir` (see datasets.fingerprint); none for published data."""
    return [f"{DATA_CONTENT}{content}"] if content else []


def weights_settings(contents: Iterable[str]) -> list[str]:
    """Return the settings for the digests of files of weights (network.weights)."""
    return [f"{WEIGHTS_CONTENT}{content}" for content in contents]


def replaced(
    carried: Iterable[str], config: Mapping[str, Any], data: Sequence[str], layers: Layers | None = None
) -> list[str]:
    """Return what a run would replace in a study with the settings `carried`: one line per key.

    config, data: what the run asks for, the data as in `data_settings` and `weights_settings`. layers: those of a
    network from outside; without them, values that depend on its layers are not compared.
    """
    carried, asked, lines = list(carried), settings(config, layers), []
    if not (layers or Layers.of(config)):
        del asked["sweep.ks"]
        if config["layer"] == "last":
            del asked["layer"]
    for line in sorted(carried):
        key, _, value = line.partition(SEPARATOR)
        if key not in asked or line == asked[key]:
            continue
        wanted = asked[key].partition(SEPARATOR)[2]
        if change_of(key) != "extends" or not _extends(
            key, yaml.safe_load(wanted), yaml.safe_load(value), config["images"]["disjoint"]
        ):
            lines.append(f"{line}; asked for: {wanted}")
    of_data = [line for line in data if line.startswith(DATA_CONTENT)]
    # More seeds have more weights and replace nothing.
    if {line for line in carried if line.startswith(WEIGHTS_CONTENT)} - set(data):
        lines.append("network.weights: the finished study has different weights")
    if carried and [line for line in carried if line.startswith(DATA_CONTENT)] != of_data:
        lines.append("data_dir: its images are not those of the finished study")
    return lines


def _extends(key: str, asked: Any, has: Any, disjoint: bool = False) -> bool:
    """Return whether a list (or `all`) or a number includes everything that a finished study has.

    disjoint: the key images.disjoint. The images of a seed then depend on its place in the list of seeds.
    """
    if key == "seeds" and disjoint:
        return asked[: len(has)] == has
    if asked == "all" or has == "all":
        return asked == "all"
    # The figures of the shape and of the mean maps are drawn for the first criterion.
    if key == "ranking.criteria" and asked[0] != has[0]:
        return False
    return set(has) <= set(asked) if isinstance(has, list) else asked >= has
