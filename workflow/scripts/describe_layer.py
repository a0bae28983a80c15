"""Find a layer in the network of one seed; write its weights and what follows it, for the jobs without torch."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.network.conv_net import load_model, prepare_torch
from prunecurve.network.description import describe
from prunecurve.network.layer_file import save_layer
from prunecurve.network.layers import PrunableLayer


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--model", type=Path, required=True, help="the trained network")
    cli.add_argument("--layer", required=True, help="module path of the layer, for example conv3")
    cli.add_argument("--output", type=Path, required=True, help="output: the layer as a record of arrays")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # One thread: the largest pass is one of a single input.
    prepare_torch("cpu", 1)
    model = load_model(arguments.model)
    layer = describe(PrunableLayer(model, arguments.layer, model.input_shape))
    log.info("%s: %d channels, %s; backend %s", layer.name, layer.channels, layer.weight.shape, layer.backend)
    save_layer(arguments.output, layer)


if __name__ == "__main__":
    run(work, options().parse_args())
