"""Describe the layers of the network that a study trains: which of them can be pruned, and what that costs."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import write_text
from prunecurve.graph.layer_table import layer_table, layer_text
from prunecurve.graph.pruning import with_random_constants
from prunecurve.model.network_file import add_untrained, prepare_torch, untrained
from prunecurve.tables import write_rows
from prunecurve.verification.confirmation import Confirmation


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_untrained(cli)
    cli.add_argument("--table", type=Path, required=True, help="output: a CSV file with one row per layer")
    cli.add_argument("--text", type=Path, required=True, help="output: the table as it is printed")
    return cli


def work(arguments: argparse.Namespace) -> None:
    prepare_torch("cpu", 1)
    # It need not be trained. But where a scale starts with zeros, the removal of its channels would show nothing.
    model, input_shape = untrained(arguments)
    model = with_random_constants(model)
    rows = layer_table(model, input_shape, arguments.network.leaf_modules, Confirmation(model, input_shape).by)
    write_rows(arguments.table, rows, sealed=False)
    write_text(arguments.text, layer_text(rows, input_shape))


if __name__ == "__main__":
    run(work, options().parse_args())
