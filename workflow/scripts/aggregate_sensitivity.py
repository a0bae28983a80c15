"""Collect the curves of several layers over the share of channels removed, and compute how many can go."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.files import write_text
from prunecurve.statistics.curves import gather, without_class_counts
from prunecurve.statistics.histories import add_histories, warning_of
from prunecurve.statistics.means import read_table
from prunecurve.statistics.sensitivity import sensitivity_table, sensitivity_text
from prunecurve.sweep.k_batches import from_words
from prunecurve.tables import write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--criteria")
    placeholders = "{layer}, {seed}, {criterion}, {removal}, {ks}"
    cli.add_argument("--rows", required=True, help=f"path of rows, with placeholders {placeholders}")
    cli.add_argument("--removals", nargs="+", required=True, help="values of {removal}")
    cli.add_argument("--layers", nargs="+", required=True, metavar="NAME:CHANNELS")
    jobs = "per layer: the K of each file by its {ks}"
    cli.add_argument("--ks", nargs="+", required=True, metavar="'KS=K,K,… …'", help=jobs)
    add_histories(cli)
    cli.add_argument("--curves", type=Path, required=True, help="output: all rows, with the share of channels removed")
    cli.add_argument("--table", type=Path, required=True, help="output: one row per layer and criterion")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed after a run")
    return cli


def work(arguments: argparse.Namespace) -> None:
    tables = []
    for word, ks in zip(arguments.layers, arguments.ks, strict=True):
        layer, _, channels = word.rpartition(":")
        path = arguments.rows.replace("{layer}", layer)
        rows = gather(path, arguments.seeds, arguments.criteria, arguments.removals, from_words(ks.split()))
        tables.append(rows.assign(share_removed=rows["k"].astype(int) / int(channels)))
    write_table(arguments.curves, without_class_counts(pd.concat(tables)))
    table = sensitivity_table(read_table(arguments.curves))
    write_table(arguments.table, table)
    write_text(arguments.text, sensitivity_text(table, f"{arguments.text.parent}/figures/", warning_of(arguments)))


if __name__ == "__main__":
    run(work, options().parse_args())
