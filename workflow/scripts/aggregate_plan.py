"""Collect the plans of all networks and their evaluations in two tables, and summarise them in a text."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.data import tasks
from prunecurve.files import write_text
from prunecurve.plan.text import plan_text
from prunecurve.statistics.curves import without_class_counts
from prunecurve.statistics.means import read_table
from prunecurve.tables import read_rows, write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--seeds")
    placeholders = "with placeholders {seed} and {budget}"
    cli.add_argument("--choices", required=True, help=f"path of a file of choose_plan, {placeholders}")
    cli.add_argument("--evaluations", required=True, help=f"path of a file of evaluate_plan, {placeholders}")
    cli.add_argument("--budgets", nargs="+", required=True, metavar="KEY-VALUE", help="macs-0.5, …")
    tasks.add_task(cli)
    cli.add_argument("--table", type=Path, required=True, help="output: one row per seed, budget and smaller network")
    cli.add_argument("--layers", type=Path, required=True, help="output: one row per seed, budget, method and layer")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed")
    return cli


def work(arguments: argparse.Namespace) -> None:
    plan, layers = (
        pd.concat(
            pd.DataFrame(read_rows(path.format(seed=seed, budget=budget))).assign(seed=seed)
            for budget in arguments.budgets
            for seed in arguments.seeds
        )
        for path in (arguments.evaluations, arguments.choices)
    )
    layers.insert(0, "dataset", plan["dataset"].iloc[0])
    layers.insert(1, "seed", layers.pop("seed"))
    write_table(arguments.table, without_class_counts(plan))
    write_table(arguments.layers, layers)
    write_text(arguments.text, plan_text(read_table(arguments.table), read_table(arguments.layers), arguments.task))


if __name__ == "__main__":
    run(work, options().parse_args())
