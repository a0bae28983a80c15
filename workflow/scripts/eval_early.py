"""Evaluate one network with the first K channels of an earlier convolution's ranking removed; write one row per K."""

import argparse

from prunecurve.commandline import run
from prunecurve.sweep.evaluation import options as evaluation_options
from prunecurve.sweep.evaluation import write_curve
from prunecurve.sweep.torch_evaluation import TorchEvaluator


def options() -> argparse.ArgumentParser:
    cli = evaluation_options(__doc__)
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    return cli


def work(arguments: argparse.Namespace) -> None:
    files = arguments.features, arguments.labels, arguments.weights, arguments.layer, arguments.mean_features
    write_curve(TorchEvaluator(*files, threads=arguments.threads), arguments)


if __name__ == "__main__":
    run(work, options().parse_args())
