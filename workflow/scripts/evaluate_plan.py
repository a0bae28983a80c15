"""Evaluate the plan of one network and its controls: remove the channels of all layers, and run the networks."""

import argparse
from pathlib import Path

from prunecurve.commandline import add_section, add_split, log, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Normalisation, Split
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.plan.costs import load_costs
from prunecurve.plan.evaluation import planned_rows
from prunecurve.tables import read_order, read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_model(cli)
    add_split(cli, "--split", "test")
    add_section(cli, "--preprocess", Normalisation, "the config section preprocess")
    cli.add_argument("--batch-size", type=int, default=250, help="inputs per forward pass")
    cli.add_argument("--costs", type=Path, required=True, help="a file of plan_costs")
    cli.add_argument("--choice", type=Path, required=True, help="a file of choose_plan")
    cli.add_argument("--ranking", required=True, help="path of the ranking of a layer, with placeholder {layer}")
    cli.add_argument("--criterion", required=True, help="the criterion of the rankings, value of the column criterion")
    cli.add_argument("--draws", type=int, default=3, help="number of networks without random channels, per method")
    cli.add_argument(
        "--task", choices=tasks.names(), default=tasks.DEFAULT, help="the task, whose metrics are computed"
    )
    cli.add_argument("--dataset", required=True, help="value of the column dataset")
    cli.add_argument("--seed", type=int, required=True, help="value of the column seed, and seed of the random orders")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
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
