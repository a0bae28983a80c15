"""Gather the curves of all convolutions: how accuracy falls with the share of each one's channels removed."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.curves import gather
from prunecurve.files import write_rows


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument(
        "--rows", required=True, help="path of rows, with {layer}, {seed}, {criterion}, {removal} and {ks}"
    )
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--removal", required=True)
    made.add_argument("--layers", nargs="+", required=True)
    made.add_argument("--channels", nargs="+", type=int, required=True, help="how many each of the layers has")
    made.add_argument("--packs", nargs="+", required=True, help="for each layer what stands for {ks}, with commas")
    made.add_argument("--ks", nargs="+", required=True, help="for each layer the K of its curves, with commas")
    made.add_argument("--output", type=Path, required=True, help="output: all rows, with the share removed")
    return made


def work(arguments: argparse.Namespace) -> None:
    rows = []
    layers = zip(arguments.layers, arguments.channels, arguments.packs, arguments.ks, strict=True)
    for layer, channels, packs, ks in layers:
        pattern = arguments.rows.replace("{layer}", layer)
        chosen = arguments.seeds, arguments.criteria, [arguments.removal]
        found = gather(pattern, *chosen, packs.split(","), ks.split(","))
        rows += [row | {"share_removed": int(row["k"]) / channels} for row in found]
    write_rows(arguments.output, rows, sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
