"""Gather what is known of every channel of every network: its statistics and its rank by each criterion."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import read_columns, read_rows, write_rows


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--channels", required=True, help="path of a network's statistics, with {seed} in it")
    made.add_argument("--rankings", required=True, help="path of a ranking, with {seed} and {criterion} in it")
    made.add_argument("--dataset", required=True)
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--output", type=Path, required=True, help="output: rank_X is 1 for the first to go by X")
    return made


def work(arguments: argparse.Namespace) -> None:
    rows = []
    for seed in arguments.seeds:
        ranks: dict[int, dict[str, int]] = {}
        for criterion in arguments.criteria:
            orders, channels = read_columns(
                arguments.rankings.format(seed=seed, criterion=criterion), "order", "channel"
            )
            for order, channel in zip(orders, channels):
                ranks.setdefault(int(channel), {})[f"rank_{criterion}"] = int(order) + 1
        for row in read_rows(arguments.channels.format(seed=seed)):
            rows.append({"dataset": arguments.dataset, "seed": seed} | row | ranks[int(row["channel"])])
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
