"""Explain the curves: where the more frequent answer flips, which class is lost first, what each metric shows."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.files import atomic, write_rows, write_table
from prunecurve.study.curves import gather
from prunecurve.study.shape import explanation, table
from prunecurve.study.statistics import read_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--curve", type=Path, required=True, help="the study's")
    cli.add_argument("--rows", required=True, help="path of rows, with {seed}, {criterion}, {removal} and {ks} in it")
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criterion", required=True, help="the criterion whose curves are drawn for every removal")
    cli.add_argument("--removals", nargs="+", required=True)
    cli.add_argument("--k-batches", nargs="+", required=True, help="the values of {ks}, in rising order")
    cli.add_argument("--ks", nargs="+", required=True, help="the K that each curve must have")
    cli.add_argument("--shown", type=Path, required=True, help="output: all rows of that criterion")
    cli.add_argument("--table", type=Path, required=True, help="output: one row per network, ranking and removal")
    cli.add_argument("--text", type=Path, required=True, help="output: the explanation in sentences, of that criterion")
    return cli


def work(arguments: argparse.Namespace) -> None:
    chosen = arguments.seeds, [arguments.criterion], arguments.removals
    write_rows(arguments.shown, gather(arguments.rows, *chosen, arguments.k_batches, arguments.ks), sealed=False)
    shown = read_table(arguments.shown)
    curves = pd.concat([read_table(arguments.curve), shown]).drop_duplicates(["seed", "criterion", "removal", "k"])
    with atomic(arguments.text) as temporary:
        Path(temporary).write_text(explanation(shown), encoding="utf-8", newline="\n")
    write_table(arguments.table, table(curves))


if __name__ == "__main__":
    run(work, options().parse_args())
