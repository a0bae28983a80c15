"""Errors in a config that concern several keys, whose single values are allowed."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prunecurve.config.layers import Layers, is_built_in, pruned_layer
from prunecurve.data import tasks
from prunecurve.model.factory import SEED_IN_PATH, wrong_form
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria

# Messages name all layers of a small network; for others they name the command that lists them.
NAMED = 12


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of a config, one line each; the first key of a line is to be changed."""
    yield from _of_plan(config)
    layers = Layers.of(config)
    if layers is None:
        # Its layers are known after a job (rules/common.smk).
        yield from _of_users_network(config)
    else:
        yield from _of_built_in(config, layers)
    if not tasks.load(config["task"]).RECALLS and not isinstance(weight := config["training"]["same_weight"], str):
        yield (
            f"training.same_weight: {weight} is the weight of same pairs, which the task {config['task']} does not "
            "have; allowed: balanced (or task: pairs)"
        )


def _of_users_network(config: Mapping[str, Any]) -> Iterator[str]:
    network, seeds = config["network"], config["seeds"]
    if (wrong := wrong_form(network["factory"])) is not None:
        yield f"network.factory: {network['factory']} {wrong}"
    if network["weights"] and SEED_IN_PATH not in network["weights"] and len(seeds) > 1:
        yield (
            f"network.weights: one file of weights is one network, and there are {len(seeds)} seeds; "
            f"write {SEED_IN_PATH} in the path (weights_{SEED_IN_PATH}.pt), or give one seed (seeds: [{seeds[0]}])"
        )


def _of_built_in(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    for key in ("arguments", "weights", "leaf_modules"):
        if config["network"][key]:
            yield f"network.{key}: it belongs to the network of network.factory, which is not given"
    network, size = config["network"], config["image_size"]
    blocks = len(network["channels"])
    if size >> blocks < 1:
        yield (
            f"network.channels: {blocks} blocks are too many for image_size {size}, since each halves the image; "
            f"allowed: at most {size.bit_length() - 1} blocks"
        )
    if network["kernel_size"] % 2 == 0:
        yield f"network.kernel_size: {network['kernel_size']} is even; allowed: odd numbers, which keep the map size"
    yield from misfits(config, layers)
    if pruned_layer(config, layers) in layers.channels.keys() - layers.convolutions.keys():
        for name in config["ranking"]["criteria"]:
            if "scale" in criteria.reads(name):
                yield f"ranking.criteria: {name} needs batch normalisation, and {config['layer']} (layer) has none"


def _of_plan(config: Mapping[str, Any]) -> Iterator[str]:
    budgets = [key for key in ("macs", "params", "tolerance") if config["plan"][key] is not None]
    if len(budgets) != 1:
        given = f"{' and '.join(budgets)} are given" if budgets else "no budget is given"
        yield f"plan: {given}; give one of macs, params and tolerance, and null (or nothing) for the others"


def misfits(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    """Yield the errors of the keys `layer`, `sweep` and `ranking.criteria` for these layers, one line each."""
    layer = pruned_layer(config, layers)
    channels = layers.channels.get(layer)
    if channels is None:
        yield wrong_layer(layer, layers)
        return
    width = "network.channels" if layer in layers.convolutions else "network.hidden"
    of_key = f" ({width})" if is_built_in(config) else ""
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
        return f"{key}: last stands for the last convolution, and the network has none; allowed: {names}"
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
