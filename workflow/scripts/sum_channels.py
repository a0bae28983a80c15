"""Add up the first linear layer's outputs channel by channel, in a ranking's order: where evaluations start from."""

import argparse
import os

# As in eval_pruned.py, which must find the very bytes that it would compute itself.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve.commandline import parser, run
from prunecurve.files import load_array, load_arrays, read_order, streamed_array
from prunecurve.head import Head, partial_sums, partial_sums_shape


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--features", required=True, help="the split's pooled maps")
    made.add_argument("--weights", required=True, help="the network's weights")
    made.add_argument("--ranking", required=True)
    made.add_argument("--output", required=True, help="output: the sums over the ranking's ends")
    return made


def work(arguments: argparse.Namespace) -> None:
    features = load_array(arguments.features, shape=(None, None, None, None), mapped=True)
    channels = features.shape[1]
    head = Head(load_arrays(arguments.weights), channels)
    order = read_order(arguments.ranking, channels)
    with streamed_array(arguments.output, partial_sums_shape(features, head)) as sums:
        partial_sums(features, head, order, out=sums)


if __name__ == "__main__":
    run(work, options().parse_args())
