"""The settings of a config, as results store them, compared with those of a finished study and of an archive."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from prunecurve.config.check import check
from prunecurve.config.layers import Layers, ks, pruned_layer, recovery_ks
from prunecurve.config.model import KEYS, change_of
from prunecurve.data.datasets import asked_sizes
from prunecurve.errors import StudyError
from prunecurve.model.factory import CONTENT_OF_WEIGHTS
from prunecurve.model.parameters import BuiltIn, Network
from prunecurve.provenance import SEPARATOR
from prunecurve.training.parameters import Recipe

# The keys that archives of older versions do not have, and the values that they mean.
OLDER: dict[str, dict[str, Any]] = {
    "sweep": {"repairs": ["none"]},
    "sensitivity": {"repairs": ["none"]},
    "plan": {"repair": "none"},
}
DATA_CONTENT = f"content of data_dir{SEPARATOR}"
WEIGHTS_CONTENT = f"{CONTENT_OF_WEIGHTS}{SEPARATOR}"


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line. A mapping becomes JSON without `|`, which separates settings in files."""
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True).replace("|", "\\u007c")
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()


def resolved(config: Mapping[str, Any], layers: Layers | None = None) -> dict[str, Any]:
    """Return the value of each key, with dots between levels. Two configs that need the same jobs give the same values:

    `layer`, `sweep.ks`, `recovery.ks` and the sizes of the splits have the values that they mean. The first three are
    left as they are if the network is from outside and `layers` is not given. Keys that have no effect on the network
    are left out: those of the built-in network with a factory, the others without one, and the recipe if nothing is
    trained. Of network.weights, which is a place and not a content, there is whether it is given.
    """
    values, layers = dict[str, Any](), layers or Layers.of(config)
    for name, value in config.items():
        values |= (
            {f"{name}.{key}": each for key, each in value.items()} if "properties" in KEYS[name] else {name: value}
        )
    if layers:
        layer = values["layer"] = pruned_layer(config, layers)
        chosen = ks(config, layer, layers)
        values["sweep.ks"] = "all" if len(chosen) == layers.channels[layer] else chosen
        values["recovery.ks"] = recovery_ks(config, layer, layers)
    if config["network"]["factory"]:
        unused = {f"network.{name}" for name in BuiltIn.model_fields}
        if values["network.weights"]:
            # Nothing is trained.
            values["network.weights"] = "given"
            unused |= {f"training.{name}" for name in Recipe.model_fields}
    else:
        unused = {f"network.{name}" for name in Network.model_fields if name not in ("factory", *BuiltIn.model_fields)}
    values |= {f"images.{split}": size for split, size in asked_sizes(config).items()}
    return {key: value for key, value in values.items() if key not in unused}


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
    stored: Iterable[str], config: Mapping[str, Any], data: Sequence[str], layers: Layers | None = None
) -> list[str]:
    """Return what a run would replace in a study with the settings `stored`: one line per key.

    config, data: what the run asks for, the data as in `data_settings` and `weights_settings`. layers: those of a
    network from outside; without them, values that depend on its layers are not compared.
    """
    stored, asked, lines = sorted(stored), settings(config, layers), []
    if not (layers or Layers.of(config)):
        del asked["sweep.ks"], asked["recovery.ks"]
        if config["layer"] == "last":
            del asked["layer"]
    for line in stored:
        key, _, value = line.partition(SEPARATOR)
        if key in asked and line != asked[key]:
            wanted = asked[key].partition(SEPARATOR)[2]
            if not _extends(key, yaml.safe_load(wanted), yaml.safe_load(value), config["images"]["disjoint"]):
                lines.append(f"{line}; asked for: {wanted}")
    # More seeds have more weights and replace nothing.
    if {line for line in stored if line.startswith(WEIGHTS_CONTENT)} - set(data):
        lines.append("network.weights: the finished study has different weights")
    has, asks = ([line for line in each if line.startswith(DATA_CONTENT)] for each in (stored, data))
    if stored and has != asks:
        lines.append("data_dir: its images are not those of the finished study")
    return lines


def _extends(key: str, asked: Any, has: Any, disjoint: bool) -> bool:
    """Return whether a value only adds to the one of a finished study: a list (or `all`) or a number that includes it.

    disjoint: the key images.disjoint. The images of a seed then depend on its place in the list of seeds.
    """
    if change_of(key) != "extends":
        return False
    if key == "seeds" and disjoint:
        return asked[: len(has)] == has
    if isinstance(asked, str) or isinstance(has, str):
        return asked == "all"
    # The figures of the shape and of the mean maps are drawn for the first criterion.
    if key == "ranking.criteria" and asked[0] != has[0]:
        return False
    if isinstance(has, list) or isinstance(asked, list):
        # Before version 1, one budget of a plan was a number.
        return isinstance(has, list) and set(has) <= set(asked)
    return asked >= has


def of_archive(frozen: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an archive, with the values given on the command line (`asked`).

    frozen: the config in the manifest. That of an older version has sizes for each data set in `images`:
    `images: {mnist: {train: 6000, …}, digits: {…}}`, and no repairs. Raises StudyError, with one line per key, if the
    given values need results that the archive does not hold.
    """
    images = {key: value for key, value in frozen["images"].items() if not isinstance(value, Mapping)}
    frozen = {**frozen, "images": images | frozen["images"].get(frozen["dataset"], {})}
    for section, value in OLDER.items():
        frozen[section] = value | frozen.get(section, {})
    try:
        has = resolved(check(frozen))
    except StudyError as error:
        raise StudyError(f"archive: in the manifest, {error}") from error
    sections = [key for key in asked if isinstance(asked[key], Mapping) and isinstance(frozen.get(key), Mapping)]
    config = check({**frozen, **asked, **{key: {**frozen[key], **asked[key]} for key in sections}})
    wrong = []
    for key, wants in resolved(config).items():
        # Criteria may be left out, but not the first: the archive has the maps' order and the shapes of the first only.
        fewer = key == "ranking.criteria" and set(wants) <= set(has[key]) and wants[0] == has[key][0]
        if wants != has.get(key) and not fewer and change_of(key) != "none":
            wrong.append(f"  {key}: asked for: {as_yaml(wants)}; the archive holds: {as_yaml(has.get(key))}")
    if wrong:
        raise StudyError(
            f"archive: {config['archive']} holds a different study:\n"
            + "\n".join(wrong)
            + "\nremove these keys, or run the study itself (without archive)"
        )
    return config
