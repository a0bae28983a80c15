"""Evaluate the plan of one network and its controls: remove the channels of all layers, and run the networks."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Split, add_splits
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.plan.costs import load_costs
from prunecurve.plan.evaluation import planned_rows
from prunecurve.tables import read_order, read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--dataset", "--seed", "--criterion", "--batch-size", "--threads")
    add_model(cli)
    add_splits(cli, split="test")
    cli.add_argument("--costs", type=Path, required=True, help="a file of plan_costs")
    cli.add_argument("--choice", type=Path, required=True, help="a file of choose_plan")
    cli.add_argument("--ranking", required=True, help="path of the ranking of a layer, with placeholder {layer}")
    cli.add_argument("--draws", type=int, default=3, help="number of networks without random channels, per method")
    tasks.add_task(cli)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per pruned network")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # On the CPU, as the verification.
    prepare_torch("cpu", arguments.threads)
    model, costs = load_network(model_file(arguments))[0], load_costs(arguments.costs)
    split = Split.read(arguments.split, "cpu", arguments.preprocess)
    orders = {
        layer: read_order(arguments.ranking.replace("{layer}", layer), channels)
        for layer, channels in costs.channels.items()
    }
    choice, identity = read_rows(arguments.choice), {"dataset": arguments.dataset, "seed": arguments.seed}
    names = ("criterion", "seed", "draws", "task", "batch_size")
    rows = []
    for row in planned_rows(model, split, costs, choice, orders, **{name: getattr(arguments, name) for name in names}):
        log.info("%s", row)
        rows.append(identity | row)
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
