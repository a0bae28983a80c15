"""Evaluate one network with the first K channels of an earlier convolution's ranking removed; write one row per K."""

import argparse

from prunecurve.commandline import run
from prunecurve.early import EarlyEvaluator
from prunecurve.sweep import options as evaluation_options
from prunecurve.sweep import write_curve


def options() -> argparse.ArgumentParser:
    cli = evaluation_options(__doc__)
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    return cli


def work(arguments: argparse.Namespace) -> None:
    files = arguments.features, arguments.pairs, arguments.weights, arguments.layer, arguments.mean_features
    write_curve(EarlyEvaluator(*files, threads=arguments.threads), arguments)


if __name__ == "__main__":
    run(work, options().parse_args())
