"""Write partial sums of the first linear layer over the channels of a ranking. Evaluations start from these sums."""

import argparse

from prunecurve.commandline import parser, run
from prunecurve.files import load_array, load_arrays, read_order, streamed_array
from prunecurve.sweep.head import Head, partial_sums, partial_sums_shape


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--features", required=True, help="the split's pooled maps")
    cli.add_argument("--weights", required=True, help="the network's weights")
    cli.add_argument("--ranking", required=True, help="the ranking, a CSV file")
    cli.add_argument("--output", required=True, help="output: the sums from several places to the end of the ranking")
    return cli


def work(arguments: argparse.Namespace) -> None:
    features = load_array(arguments.features, shape=(None, None, None, None), mapped=True)
    channels = features.shape[1]
    head = Head(load_arrays(arguments.weights), channels)
    order = read_order(arguments.ranking, channels)
    with streamed_array(arguments.output, partial_sums_shape(features, head)) as sums:
        partial_sums(features, head, order, out=sums)


if __name__ == "__main__":
    run(work, options().parse_args())
