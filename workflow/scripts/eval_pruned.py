"""Evaluate one network with the first K channels of a ranking removed; write one row per K."""

import argparse
import gc
import os

# Starting Python takes longer than the evaluation. So short a process needs no garbage collector.
gc.disable()

from prunecurve.commandline import run
from prunecurve.sweep.evaluation import Evaluator, write_curve
from prunecurve.sweep.evaluation import options as evaluation_options


def options() -> argparse.ArgumentParser:
    cli = evaluation_options(__doc__)
    cli.add_argument("--partial-sums", nargs="?", help="the ranking's stored sums; they save time for few K")
    return cli


def work(arguments: argparse.Namespace) -> None:
    files = arguments.features, arguments.labels, arguments.weights, arguments.layer, arguments.mean_features
    write_curve(Evaluator(*files), arguments, arguments.partial_sums)


if __name__ == "__main__":
    run(work, options().parse_args())
    # All files are written. Skip the interpreter's shutdown, which would take a tenth of the job's time.
    os._exit(0)
