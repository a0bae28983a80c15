"""Errors in a config that concern several keys, whose single values are allowed."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prunecurve.config.layers import Layers, pruned_layer
from prunecurve.data import tasks
from prunecurve.errors import StudyError
from prunecurve.model.factory import SEED_IN_PATH
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria

# Messages name all layers of a small network; for others they name the command that lists them.
NAMED = 12


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of a config, one line each; the first key of a line is to be changed."""
    network, layers = config["network"], Layers.of(config)
    if layers:
        yield from _of_built_in(config, layers)
    # Layers from outside are known after a job (rules/layers.smk).
    elif network["weights"] and SEED_IN_PATH not in network["weights"] and len(config["seeds"]) > 1:
        yield (
            f"network.weights: one file of weights is one network, and there are {len(config['seeds'])} seeds; "
            f"write {SEED_IN_PATH} in the path (weights_{SEED_IN_PATH}.pt), or give one seed "
            f"(seeds: [{config['seeds'][0]}])"
        )
    if not tasks.load(config["task"]).RECALLS and not isinstance(weight := config["training"]["same_weight"], str):
        yield (
            f"training.same_weight: {weight} is the weight of same pairs, which the task {config['task']} does not "
            "have; allowed: balanced (or task: pairs)"
        )


def _of_built_in(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    network, size = config["network"], config["image_size"]
    for key in ("arguments", "weights", "leaf_modules"):
        if network[key]:
            yield f"network.{key}: it belongs to the network of network.factory, which is not given"
    blocks = len(network["channels"])
    if size >> blocks < 1:
        yield (
            f"network.channels: {blocks} blocks are too many for image_size {size}, since each halves the image; "
            f"allowed: at most {size.bit_length() - 1} blocks"
        )
    yield from misfits(config, layers)
    if pruned_layer(config, layers) in layers.channels.keys() - layers.convolutions.keys():
        for name in config["ranking"]["criteria"]:
            if "scale" in criteria.reads(name):
                yield f"ranking.criteria: {name} needs batch normalisation, and {config['layer']} (layer) has none"


def misfits(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    """Yield the errors of the keys `layer`, `sweep` and `ranking.criteria` for these layers, one line each."""
    layer = pruned_layer(config, layers)
    channels = layers.channels.get(layer)
    if channels is None:
        yield wrong_layer(layer, layers)
        return
    width = "network.channels" if layer in layers.convolutions else "network.hidden"
    of_key = "" if config["network"]["factory"] else f" ({width})"
    if channels < 2:
        yield f"layer: {layer} has {channels} channel{of_key}; allowed: at least 2"
        return
    for name in [] if config["sensitivity"]["layers"] == "all" else config["sensitivity"]["layers"]:
        if name not in layers.channels:
            yield wrong_layer(name, layers, "sensitivity.layers")
    yield from unmeasured(config, "ranking", [layer], layers)
    if layer in layers.zero_weights and "zero_weights" in config["sweep"]["removals"]:
        yield f"sweep.removals: zero_weights is not possible at {layer}: {layers.zero_weights[layer]}; leave it out"
    asked = config["sweep"]["ks"]
    if isinstance(asked, list) and max(asked) >= channels:
        yield (
            f"sweep.ks: K = {max(asked)} is out of range; allowed: 0 to {channels - 1}, "
            f"because {layer} has {channels} channels{of_key}"
        )


def wrong_layer(layer: str, layers: Layers, key: str = "layer") -> str:
    """Return the error for a layer, the value of a key, that cannot be pruned."""
    prunable = list(layers.channels)
    names = ", ".join(prunable) or "none"
    if len(prunable) > NAMED:
        names = f"one of {len(prunable)} layers (snakemake layers lists them)"
    if layer == "last":
        return f"{key}: last is the last convolution, but the network has none; allowed: {names}"
    allowed = f"allowed: last, {names}" if layers.last in layers.channels else f"allowed: {names}"
    if layer in layers.refused:
        return f"{key}: {layer} {layers.refused[layer]}; {allowed}"
    near = difflib.get_close_matches(layer, prunable, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key}: {layer} is not a convolution or linear layer of the network; {allowed}{hint}"


def unmeasured(config: Mapping[str, Any], section: str, measured: Iterable[str], layers: Layers) -> Iterator[str]:
    """Yield the errors of the criteria of a section that measure behind an activation where a layer has none."""
    for name in config[section]["criteria"]:
        if criteria.point(name.removeprefix(REVERSED), config["ranking"]["measure_at"]) in criteria.AFTER_ACTIVATION:
            for layer in measured:
                if layer in layers.signed:
                    yield f"{section}.criteria: at {layer}, {criteria.needs_activation(name, layers.signed[layer])}"


def sensitivity_layers(config: Mapping[str, Any], layers: Layers) -> list[str]:
    """Return the layers of the target `sensitivity`, in the order of the network.

    Raises StudyError if a criterion of the sensitivity cannot rank one of them.
    """
    asked = config["sensitivity"]["layers"]
    chosen = list(layers.convolutions) if asked == "all" else [layer for layer in layers.channels if layer in asked]
    if wrong := list(unmeasured(config, "sensitivity", chosen, layers)):
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise StudyError(wrong[0] + others)
    return chosen
