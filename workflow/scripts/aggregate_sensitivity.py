"""Collect the curves of several layers: accuracy as a function of the share of channels removed."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import write_rows
from prunecurve.statistics.curves import gather, without_class_counts


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument(
        "--rows", required=True, help="path of rows, with placeholders {layer}, {seed}, {criterion}, {removal}, {ks}"
    )
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criteria", nargs="+", required=True)
    cli.add_argument("--removal", required=True)
    cli.add_argument("--layers", nargs="+", required=True)
    cli.add_argument("--channels", nargs="+", type=int, required=True, help="number of channels of each layer")
    cli.add_argument(
        "--k-batches", nargs="+", required=True, help="per layer: its batches of K (values of {ks}), comma-separated"
    )
    cli.add_argument("--ks", nargs="+", required=True, help="per layer: its values of K, comma-separated")
    cli.add_argument("--output", type=Path, required=True, help="output: all rows, with the share of channels removed")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = []
    layers = zip(arguments.layers, arguments.channels, arguments.k_batches, arguments.ks, strict=True)
    for layer, channels, k_batches, ks in layers:
        pattern = arguments.rows.replace("{layer}", layer)
        chosen = arguments.seeds, arguments.criteria, [arguments.removal]
        layer_rows = gather(pattern, *chosen, k_batches.split(","), ks.split(","))
        rows += [row | {"share_removed": int(row["k"]) / channels} for row in without_class_counts(layer_rows)]
    write_rows(arguments.output, rows, sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
