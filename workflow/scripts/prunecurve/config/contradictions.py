"""Errors in a config that concern several keys, whose single values are allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

from prunecurve.config.layers import Plan
from prunecurve.config.resolved import is_built_in, misfits, pruned_layer
from prunecurve.data import tasks
from prunecurve.data.checks import asked_sizes
from prunecurve.model import conv_net_layers as conv_net_plan
from prunecurve.model.factory import SEED_IN_PATH, wrong_form
from prunecurve.ranking import criteria

# 4 GB in float32; training holds several copies.
MOST_WEIGHTS = 10**9


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of a config, one line each; the first key of a line is to be changed."""
    yield from _of_preprocess(config)
    yield from _of_plan(config)
    if not is_built_in(config):
        # Its layers are known after a job (rules/common.smk).
        yield from _of_users_network(config)
    else:
        plan = Plan.of(config)
        yield from _of_built_in(config)
        yield from _of_layer(config, plan)
    yield from tasks.load(config["task"]).contradictions(config, asked_sizes(config))


def _of_users_network(config: Mapping[str, Any]) -> Iterator[str]:
    network, seeds = config["network"], config["seeds"]
    if (wrong := wrong_form(network["factory"])) is not None:
        yield f"network.factory: {network['factory']} {wrong}"
    if network["weights"] and SEED_IN_PATH not in network["weights"] and len(seeds) > 1:
        yield (
            f"network.weights: one file of weights is one network, and there are {len(seeds)} seeds; "
            f"write {SEED_IN_PATH} in the path (weights_{SEED_IN_PATH}.pt), or give one seed (seeds: [{seeds[0]}])"
        )


def _of_built_in(config: Mapping[str, Any]) -> Iterator[str]:
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
    if (weights := conv_net_plan.fewest_weights(network, size)) > MOST_WEIGHTS:
        yield (
            f"network.channels, network.hidden: the network would have {weights:.1e} weights or more; "
            f"allowed: at most {MOST_WEIGHTS:.0e}"
        )


def _of_layer(config: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    if (last := config["network"]["channels"][-1]) < 2:
        yield f"network.channels: the last block has {last} channel; allowed: at least 2, so that one can be removed"
        return
    yield from misfits(config, plan)
    if pruned_layer(config, plan) in plan.channels.keys() - plan.convolutions.keys():
        for name in config["ranking"]["criteria"]:
            if "scale" in criteria.reads(name):
                yield f"ranking.criteria: {name} needs batch normalisation, and {config['layer']} (layer) has none"


def _of_plan(config: Mapping[str, Any]) -> Iterator[str]:
    budgets = [key for key in ("macs", "params", "tolerance") if config["plan"][key] is not None]
    if len(budgets) != 1:
        given = f"{' and '.join(budgets)} are given" if budgets else "no budget is given"
        yield f"plan: {given}; give one of macs, params and tolerance, and null (or nothing) for the others"


def _of_preprocess(config: Mapping[str, Any]) -> Iterator[str]:
    counts = {len(config["preprocess"][key]) for key in ("mean", "std")} - {1}
    if len(counts) > 1:
        yield "preprocess: mean and std have different numbers of channels; give one number, or one for each channel"
