"""Evaluate one network with the first K channels of a ranking removed: a row of the curve for each K asked for."""

import argparse
import gc
import os

# Starting and ending Python and numpy take longer than what lies between. There is no garbage in so short a life.
gc.disable()
# One thread, before numpy loads its BLAS: the row must not depend on how many cores there are.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve.commandline import parser, run
from prunecurve.files import read_order, write_rows
from prunecurve.removal import REMOVALS
from prunecurve.sweep import Evaluator


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--features", required=True, help="the split's pooled maps")
    made.add_argument("--pairs", required=True, help="the split's pairs, with the labels")
    made.add_argument("--weights", required=True, help="the network's weights")
    made.add_argument("--mean-features", nargs="?", help="mean pooled maps, for mean_replacement")
    made.add_argument("--ranking", required=True)
    made.add_argument("--partial-sums", help="the ranking's stored sums; without them the same, slower")
    made.add_argument("--removal", choices=REMOVALS, required=True)
    made.add_argument("--k", type=int, nargs="+", required=True, help="numbers of channels removed")
    made.add_argument("--dataset", required=True, help="for the row's first columns, as seed and criterion")
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--criterion", required=True)
    made.add_argument("--output", required=True, help="output: a CSV file with a row for each K")
    return made


def work(arguments: argparse.Namespace) -> None:
    evaluator = Evaluator(arguments.features, arguments.pairs, arguments.weights, arguments.mean_features)
    order = read_order(arguments.ranking, evaluator.channels)
    stored = evaluator.stored_sums(arguments.partial_sums) if arguments.partial_sums else None
    rows = evaluator.rows(order, arguments.k, arguments.removal, stored)
    identity = {name: getattr(arguments, name) for name in ("dataset", "seed", "criterion", "removal")}
    write_rows(arguments.output, [identity | row for row in rows])


if __name__ == "__main__":
    run(work, options().parse_args())
    # All is written; taking the interpreter apart would be a tenth of the job.
    os._exit(0)
