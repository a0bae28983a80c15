"""Draw one figure from its data, as PNG and SVG."""

import argparse
from pathlib import Path

from prunecurve import figures
from prunecurve.commandline import parser, run
from prunecurve.files import load_array
from prunecurve.naming import criterion_of
from prunecurve.statistics import read_table


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--figure", choices=figures.names(), required=True)
    made.add_argument("--data", type=Path, required=True, help="curve.csv or channels.csv")
    made.add_argument("--criteria", nargs="*", default=[], help="the study's criteria, in the order of its config")
    made.add_argument("--dataset", help="for the figures of one network: which, as --seed and --layer")
    made.add_argument("--seed", type=int)
    made.add_argument("--layer")
    made.add_argument("--ranking", type=Path, help="for the figures of one network: its order by the first criterion")
    made.add_argument("--mean-maps", type=Path, help="for the figures of one network: its mean maps")
    made.add_argument("--dpi", type=int, default=300, help="of the PNG")
    made.add_argument("--png", type=Path, required=True, help="output")
    made.add_argument("--svg", type=Path, required=True, help="output")
    return made


def work(arguments: argparse.Namespace) -> None:
    table, maps = read_table(arguments.data), None
    if arguments.mean_maps:
        rank = read_table(arguments.ranking).set_index("channel")["order"] + 1
        network = {"dataset": arguments.dataset, "seed": arguments.seed, "layer": arguments.layer}
        table = table.assign(**network, rank=table["channel"].map(rank))
        maps = load_array(arguments.mean_maps, shape=(len(table), None, None))
    # An archive may hold more criteria than are to be drawn.
    if arguments.criteria:
        for column in {"criterion", "other"} & set(table):
            table = table[table[column].map(criterion_of).isin(arguments.criteria)]
    figure = figures.draw(arguments.figure, figures.Data(table, tuple(arguments.criteria), maps))
    figures.save(figure, arguments.dpi, arguments.png, arguments.svg)


if __name__ == "__main__":
    run(work, options().parse_args())
