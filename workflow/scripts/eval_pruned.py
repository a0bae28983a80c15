"""Evaluate one network with the first K channels of a ranking removed: a row of the curve for each K asked for."""

import argparse
import gc
import os

# Starting and ending Python and numpy take longer than what lies between. There is no garbage in so short a life.
gc.disable()
# One thread, before numpy loads its BLAS: the row must not depend on how many cores there are.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve.commandline import run
from prunecurve.sweep import Evaluator, write_curve
from prunecurve.sweep import options as evaluation_options


def options() -> argparse.ArgumentParser:
    made = evaluation_options(__doc__)
    made.add_argument("--partial-sums", help="the ranking's stored sums; without them the same, slower")
    return made


def work(arguments: argparse.Namespace) -> None:
    files = arguments.features, arguments.pairs, arguments.weights, arguments.layer, arguments.mean_features
    write_curve(Evaluator(*files), arguments, arguments.partial_sums)


if __name__ == "__main__":
    run(work, options().parse_args())
    # All is written; taking the interpreter apart would be a tenth of the job.
    os._exit(0)
