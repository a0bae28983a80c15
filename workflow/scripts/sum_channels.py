"""Write partial sums of the first linear layer over the channels of a ranking. Evaluations start from these sums."""

import argparse

from prunecurve.arrays import load_array, streamed_array
from prunecurve.commandline import parser, run
from prunecurve.graph.layer_file import load_layer
from prunecurve.sweep.backends.numpy_backend import Backend
from prunecurve.tables import read_order


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--features")
    cli.add_argument("--layer", required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--ranking", required=True, help="the ranking, a CSV file")
    cli.add_argument("--output", required=True, help="output: the sums from several places to the end of the ranking")
    return cli


def work(arguments: argparse.Namespace) -> None:
    layer = load_layer(arguments.layer)
    features = load_array(arguments.features, shape=(None, *layer.zero_filter.shape), mapped=True)
    backend, order = Backend(layer), read_order(arguments.ranking, layer.channels)
    with streamed_array(arguments.output, backend.sums_shape(features)) as sums:
        backend.partial_sums(features, order, out=sums)


if __name__ == "__main__":
    run(work, options().parse_args())
