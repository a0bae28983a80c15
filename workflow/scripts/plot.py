"""Draw one figure from its data, as PNG and SVG."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve import figures
from prunecurve.arrays import load_array
from prunecurve.commandline import parser, run
from prunecurve.naming import criterion_of
from prunecurve.statistics.histories import add_histories, warning_of
from prunecurve.statistics.means import read_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--figure", choices=figures.FOLDERS, required=True)
    cli.add_argument("--data", type=Path, required=True, help="the table of the figure's folder: curve_mean.csv, …")
    add_histories(cli)
    cli.add_argument("--criteria", nargs="*", default=[], help="the study's criteria, in the order of its config")
    cli.add_argument("--recalls", type=Path, nargs="?", help="class_recall.csv, for a figure of all classes")
    cli.add_argument("--layers", type=Path, nargs="?", help="plan_layers.csv, for the figure of a plan")
    words = ("DATASET", "SEED", "LAYER", "MAPS", "RANKING")
    files = "of one network's figures: what its title names, its mean maps, and the first criterion's ranking"
    cli.add_argument("--maps", nargs=5, metavar=words, help=files)
    cli.add_argument("--maps-order", choices=figures.MAPS_ORDERS, default="channel", help="how its maps are arranged")
    cli.add_argument("--dpi", type=int, default=300, help="of the PNG")
    cli.add_argument("--png", type=Path, required=True, help="output")
    cli.add_argument("--svg", type=Path, required=True, help="output")
    return cli


def of_criteria(table: pd.DataFrame, chosen: list[str]) -> pd.DataFrame:
    """Return the rows of the chosen criteria; a table of channels has no criteria."""
    for column in {"criterion", "other"} & set(table):
        table = table[table[column].map(criterion_of).isin(chosen)]
    return table


def work(arguments: argparse.Namespace) -> None:
    table, maps = read_table(arguments.data), None
    recalls = read_table(arguments.recalls) if arguments.recalls else None
    if arguments.maps:
        dataset, seed, layer, mean_maps, ranking = arguments.maps
        order = read_table(ranking).set_index("channel")["order"]
        table = table.assign(dataset=dataset, seed=int(seed), layer=layer, order=table["channel"].map(order))
        maps = load_array(mean_maps, shape=(len(table), None, None))
    # An archive may hold more criteria than are to be drawn.
    if arguments.criteria:
        table = of_criteria(table, arguments.criteria)
        recalls = None if recalls is None else of_criteria(recalls, arguments.criteria)
    warning = warning_of(arguments)
    layers = read_table(arguments.layers) if arguments.layers else None
    options = {"task": arguments.task, "recalls": recalls, "layers": layers}
    data = figures.Data(table, tuple(arguments.criteria), maps, arguments.maps_order, warning, **options)
    figure = figures.draw(arguments.figure, data)
    figures.save(figure, arguments.dpi, arguments.png, arguments.svg)


if __name__ == "__main__":
    run(work, options().parse_args())
