"""Evaluate the plan of one network and its controls: remove the channels of all layers, repair and run the networks."""

import argparse
from pathlib import Path

from prunecurve.commandline import add_section, log, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Split, add_splits
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.plan.costs import load_costs
from prunecurve.plan.evaluation import planned_rows
from prunecurve.repair.networks import Repairs
from prunecurve.sweep.calibration import calibration_inputs
from prunecurve.sweep.parameters import Repair
from prunecurve.sweep.removal import REPAIRS
from prunecurve.tables import read_order, read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--dataset", "--seed", "--criterion", "--batch-size", "--threads", "--budget")
    add_model(cli)
    add_splits(cli, split="test", train="training")
    cli.add_argument("--plan-repair", choices=REPAIRS, required=True, help="the repair of the smaller networks")
    add_section(cli, "--repair", Repair, "the config section repair")
    cli.add_argument("--costs", type=Path, required=True, help="a file of plan_costs")
    cli.add_argument("--choice", type=Path, required=True, help="a file of choose_plan")
    cli.add_argument("--ranking", required=True, help="path of the ranking of a layer, with placeholder {layer}")
    cli.add_argument("--draws", type=int, default=3, help="number of networks without random channels, per method")
    tasks.add_task(cli)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per smaller network and repair")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # On the CPU, as the verification.
    prepare_torch("cpu", arguments.threads)
    model, costs = load_network(model_file(arguments))[0], load_costs(arguments.costs)
    split, training = (Split.read(s, "cpu", arguments.preprocess) for s in (arguments.split, arguments.train))
    repairs = Repairs(model, *calibration_inputs(training, arguments.repair, arguments.seed))
    orders = {
        layer: read_order(arguments.ranking.replace("{layer}", layer), channels)
        for layer, channels in costs.channels.items()
    }
    choice, names = read_rows(arguments.choice), ("criterion", "seed", "draws", "task", "batch_size")
    budget, value = arguments.budget
    identity = {"dataset": arguments.dataset, "seed": arguments.seed, "budget": budget, "value": value}
    known = {"repair": arguments.plan_repair} | {name: getattr(arguments, name) for name in names}
    rows = []
    for row in planned_rows(repairs, split, costs, choice, orders, **known):
        log.info("%s", row)
        rows.append(identity | row)
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
