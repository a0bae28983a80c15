"""Collect the retrained networks in tables, compare the orders of the criteria, and summarise them in a text."""

import argparse
import itertools
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.files import write_text
from prunecurve.statistics.curves import without_class_counts
from prunecurve.statistics.histories import add_histories, warning_of
from prunecurve.statistics.means import by_criterion, read_table
from prunecurve.statistics.recovery import against_random, agreement, recovery_table, recovery_text
from prunecurve.tables import read_rows, write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--criteria")
    placeholders = "{seed}, {criterion}, {start}, {k}"
    cli.add_argument("--rows", required=True, help=f"path of retrained networks, with placeholders {placeholders}")
    controls = "paths of networks trained from scratch, with {seed} and {k}, and of unpruned networks, with {seed}"
    cli.add_argument("--controls", nargs=2, required=True, help=controls)
    cli.add_argument("--starts", nargs="+", required=True, help="values of {start}")
    cli.add_argument("--ks", type=int, nargs="+", required=True, help="values of {k}")
    cli.add_argument("--chosen", type=Path, required=True, help="a file of choose_learning_rates")
    add_histories(cli)
    cli.add_argument("--recovery", type=Path, required=True, help="output: all rows")
    cli.add_argument("--table", type=Path, required=True, help="output: means over networks")
    cli.add_argument("--agreement", type=Path, required=True, help="output: Kendall's τ between orders of the criteria")
    cli.add_argument("--comparisons", type=Path, required=True, help="output: criteria minus random")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed after a run")
    return cli


def work(arguments: argparse.Namespace) -> None:
    (scratch, unpruned), ks, paths = arguments.controls, arguments.ks, []
    for seed in arguments.seeds:
        of_seed = itertools.product(arguments.criteria, arguments.starts, ks)
        paths += [arguments.rows.format(seed=seed, criterion=name, start=start, k=k) for name, start, k in of_seed]
        paths += [*(scratch.format(seed=seed, k=k) for k in ks), unpruned.format(seed=seed)]
    rows = [row for path in paths for row in read_rows(path)]
    table = by_criterion(without_class_counts(pd.DataFrame(rows)))
    table.insert(table.columns.get_loc("criterion") + 1, "order", table.pop("order"))
    write_table(arguments.recovery, table)
    recovery, rates = read_table(arguments.recovery), read_table(arguments.chosen)
    write_table(arguments.table, recovery_table(recovery, arguments.task))
    write_table(arguments.agreement, agreement(recovery))
    write_table(arguments.comparisons, against_random(recovery))
    figures, warning = f"{arguments.text.parent}/figures/", warning_of(arguments)
    write_text(arguments.text, recovery_text(recovery, rates, figures, arguments.task, warning))


if __name__ == "__main__":
    run(work, options().parse_args())
