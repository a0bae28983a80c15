"""Draw one figure from its one data file, as PNG and SVG."""

import argparse
from pathlib import Path

from prunecurve import figures
from prunecurve.commandline import parser, run
from prunecurve.files import load_array
from prunecurve.statistics import read_table


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--figure", choices=figures.names(), required=True)
    made.add_argument("--data", type=Path, required=True, help="curve.csv or channels.csv")
    made.add_argument("--criteria", nargs="+", required=True, help="the study's criteria, in the order of its config")
    made.add_argument("--seed", type=int, help="for the figures of one network: which")
    made.add_argument("--mean-maps", type=Path, help="for the figures of one network: its mean maps")
    made.add_argument("--dpi", type=int, default=300, help="of the PNG")
    made.add_argument("--png", type=Path, required=True, help="output")
    made.add_argument("--svg", type=Path, required=True, help="output")
    return made


def work(arguments: argparse.Namespace) -> None:
    table = read_table(arguments.data)
    if arguments.seed is not None:
        table = table[table["seed"] == arguments.seed]
    maps = load_array(arguments.mean_maps) if arguments.mean_maps else None
    figure = figures.draw(arguments.figure, figures.Data(table, tuple(arguments.criteria), maps))
    figures.save(figure, arguments.dpi, arguments.png, arguments.svg)


if __name__ == "__main__":
    run(work, options().parse_args())
