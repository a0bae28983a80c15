"""Describe the layers of the network that a study trains: which of them can be pruned, and what that costs."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Split
from prunecurve.files import atomic, load_array, write_rows
from prunecurve.network.conv_net import Architecture
from prunecurve.network.layer_table import layer_table, layer_text
from prunecurve.network.model_file import ModelFile, add_factory, add_leaf_modules, arguments_of
from prunecurve.network.network_file import built, input_shape_of, prepare_torch
from prunecurve.network.parameters import BuiltIn
from prunecurve.network.user_network import require_logits
from prunecurve.settings import add_fields, fields_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--images", type=Path, required=True, help="images of the training split")
    cli.add_argument("--inputs", type=Path, required=True, help="the images of each input of the training split")
    cli.add_argument("--labels", type=Path, required=True, help="labels of the training split")
    add_fields(cli, BuiltIn)
    add_factory(cli)
    add_leaf_modules(cli)
    cli.add_argument("--table", type=Path, required=True, help="output: a CSV file with one row per layer")
    cli.add_argument("--text", type=Path, required=True, help="output: the table as it is printed")
    return cli


def work(arguments: argparse.Namespace) -> None:
    prepare_torch("cpu", 1)
    training = Split.of(*(load_array(path) for path in (arguments.images, arguments.inputs, arguments.labels)), "cpu")
    # Only shapes matter, so the network need not be trained.
    numbers, factory = training.numbers, arguments.factory
    if factory:
        model = built(ModelFile("", factory, arguments_of(arguments.arguments)), numbers, 0)
        require_logits(model, input_shape_of(numbers), numbers["classes"], trained=False)
    else:
        model = built(fields_of(Architecture, arguments, **numbers), numbers, 0)
    rows = layer_table(model, input_shape_of(numbers), arguments.leaf_modules)
    write_rows(arguments.table, rows)
    with atomic(arguments.text) as temporary:
        text = layer_text(rows, input_shape_of(numbers))
        Path(temporary).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
