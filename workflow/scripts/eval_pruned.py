"""Evaluate one network with the first K channels of a ranking removed; write one row per K."""

import argparse
import gc

# Starting Python takes longer than the evaluation. So short a process needs no garbage collector.
gc.disable()

from prunecurve.commandline import parser, run
from prunecurve.data import tasks
from prunecurve.model.model_file import add_model, model_file
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import add_calibration, add_evaluated_split, calibration, input_files
from prunecurve.sweep.removal import VARIANTS, parts_of
from prunecurve.tables import read_order, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--features", "--dataset", "--seed", "--criterion", "--threads")
    add_evaluated_split(cli)
    cli.add_argument("--layer", required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--mean-features", nargs="?", help="mean maps, for mean_replacement")
    add_model(cli, required=False, help="the network, if more than linear layers follow the pruned layer")
    cli.add_argument("--ranking", required=True, help="the ranking, a CSV file")
    cli.add_argument("--partial-sums", nargs="?", help="the ranking's stored sums; they save time for few K")
    cli.add_argument("--removal", choices=VARIANTS, required=True, help="kind of removal, with a repair")
    add_calibration(cli)
    cli.add_argument("--k", type=int, nargs="+", required=True, help="numbers of removed channels")
    # Not checked here: listing the tasks takes longer than importing one.
    cli.add_argument("--task", default=tasks.DEFAULT, help="the task, whose metrics are computed")
    cli.add_argument("--output", required=True, help="output: a CSV file with one row per K")
    return cli


def work(arguments: argparse.Namespace) -> None:
    files = arguments.features, arguments.split[-1], arguments.layer, arguments.mean_features
    model, inputs, fitted_to = model_file(arguments), input_files(arguments), calibration(arguments)
    evaluator = Evaluator(*files, model, arguments.threads, inputs, fitted_to)
    order = read_order(arguments.ranking, evaluator.layer.channels)
    stored = evaluator.stored_sums(arguments.partial_sums) if arguments.partial_sums else None
    rows = evaluator.rows(order, arguments.k, arguments.removal, stored, task=arguments.task)
    removal, repair = parts_of(arguments.removal)
    values = vars(arguments) | {"layer": evaluator.layer.name, "removal": removal, "repair": repair}
    identity = {column: values[column] for column in ("dataset", "seed", "layer", "criterion", "removal", "repair")}
    # Each curve has one file with K = 0. The settings of all its files are the same, and stand there.
    write_rows(arguments.output, [identity | row for row in rows], brief=0 not in arguments.k)


if __name__ == "__main__":
    run(work, options().parse_args())
