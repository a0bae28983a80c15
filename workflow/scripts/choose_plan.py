"""Choose how many channels to remove from each layer of one network, for a budget, by curves on validation inputs."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.plan.choice import choose, curves_of
from prunecurve.plan.costs import load_costs
from prunecurve.tables import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--budget")
    cli.add_argument("--costs", type=Path, required=True, help="a file of plan_costs")
    cli.add_argument("--rows", required=True, help="path of the rows of a layer, with placeholder {layer}")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per method and layer, with its K")
    return cli


def work(arguments: argparse.Namespace) -> None:
    costs = load_costs(arguments.costs)
    rows = {layer: read_rows(arguments.rows.replace("{layer}", layer)) for layer in costs.channels}
    curves = curves_of(rows)
    budget, value = arguments.budget
    chosen = choose(curves, costs, budget, float(value))
    for method, ks in chosen.items():
        log.info("%s: %s, %s", method, costs.both(ks), ks)
    write_rows(
        arguments.output,
        [
            {"budget": budget, "value": value, "method": method, "layer": layer}
            | {"k": k, "channels": costs.channels[layer], "share_removed": k / costs.channels[layer]}
            | {f"{metric}_cost": of_layer[layer].at(k) for metric, of_layer in curves.items()}
            for method, ks in chosen.items()
            for layer, k in ks.items()
        ],
    )


if __name__ == "__main__":
    run(work, options().parse_args())
