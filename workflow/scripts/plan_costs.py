"""Find what the parameters and MACs of a network are without channels of several layers, and check it by surgery."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.graph.nodes import example_of
from prunecurve.model.network_file import add_untrained, prepare_torch, untrained
from prunecurve.plan.cost_model import cost_model, random_removals, require_counted
from prunecurve.plan.costs import save_costs
from prunecurve.verification.surgery import parameters_and_macs, structural


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_untrained(cli)
    cli.add_argument("--layers", nargs="+", required=True, help="the layers of a plan, one per group")
    cli.add_argument("--output", type=Path, required=True, help="output: a CSV file with one row per operation")
    return cli


def work(arguments: argparse.Namespace) -> None:
    prepare_torch("cpu", 1)
    # Only shapes matter, so the network need not be trained.
    model, input_shape = untrained(arguments)
    costs, whole = cost_model(model, input_shape, arguments.layers, arguments.network.leaf_modules)
    for layer, reason in whole.items():
        log.warning("plan: %s keeps all its channels, because %s", layer, reason)
    example = example_of(model, input_shape)
    for removed in random_removals(costs):
        ks = {layer: len(channels) for layer, channels in removed.items()}
        size = parameters_and_macs(structural(model, removed, example), example)
        require_counted(costs, ks, size, f"K = {ks}")
        log.info("%s: as predicted with K = %s", size, ks)
    save_costs(arguments.output, costs)


if __name__ == "__main__":
    run(work, options().parse_args())
