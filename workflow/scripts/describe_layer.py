"""Find a layer in the network of one seed; write its weights and what follows it, for the jobs without torch."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--layer")
    add_model(cli)
    cli.add_argument("--output", type=Path, required=True, help="output: the layer as a record of arrays")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # One thread: the largest pass is one of a single input.
    prepare_torch("cpu", 1)
    model, shape, leaf_modules = load_network(model_file(arguments))
    layer = describe(PrunableLayer(model, arguments.layer, shape, leaf_modules=leaf_modules))
    log.info("%s: %d channels, %s; backend %s", layer.name, layer.channels, layer.weight.shape, layer.backend)
    save_layer(arguments.output, layer)


if __name__ == "__main__":
    run(work, options().parse_args())
