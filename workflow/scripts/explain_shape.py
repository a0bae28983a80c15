"""Take the curves apart: where networks flip, which class they lose first, what each metric and removal makes of it."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.curves import gather
from prunecurve.files import write_rows, write_table
from prunecurve.shape import table
from prunecurve.statistics import read_table


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--curve", type=Path, required=True, help="the study's")
    made.add_argument("--rows", required=True, help="path of rows, with {seed}, {criterion}, {removal} and {ks} in it")
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criterion", required=True, help="the criterion whose curves are drawn for every removal")
    made.add_argument("--removals", nargs="+", required=True)
    made.add_argument("--packs", nargs="+", required=True, help="what stands for {ks}, in rising order")
    made.add_argument("--ks", nargs="+", required=True, help="the K that each curve must have")
    made.add_argument("--shown", type=Path, required=True, help="output: all rows of that criterion")
    made.add_argument("--table", type=Path, required=True, help="output: a row for each network, ranking and removal")
    return made


def work(arguments: argparse.Namespace) -> None:
    chosen = arguments.seeds, [arguments.criterion], arguments.removals
    write_rows(arguments.shown, gather(arguments.rows, *chosen, arguments.packs, arguments.ks), sealed=False)
    everything = pd.concat([read_table(arguments.curve), read_table(arguments.shown)]).drop_duplicates(
        ["seed", "criterion", "removal", "k"]
    )
    write_table(arguments.table, table(everything))


if __name__ == "__main__":
    run(work, options().parse_args())
