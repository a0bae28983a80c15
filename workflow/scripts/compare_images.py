"""Count the images that every two networks of a study have in common."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import load_array, write_rows
from prunecurve.statistics.shared_images import shared_images


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--index", required=True, help="path of the images that make_pairs drew, with placeholder {seed}")
    cli.add_argument("--dataset", required=True, help="name of the data set, for the table")
    cli.add_argument("--seeds", type=int, nargs="+", required=True)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per pair of networks and of splits")
    return cli


def work(arguments: argparse.Namespace) -> None:
    index = {seed: load_array(arguments.index.format(seed=seed), shape=(None, 2)) for seed in arguments.seeds}
    write_rows(arguments.output, shared_images(index, arguments.dataset), sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
