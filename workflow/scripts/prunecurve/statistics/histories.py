"""The training histories of a study's networks, and the warning about networks that have learned nothing."""

import argparse

from prunecurve.data import tasks
from prunecurve.statistics.means import read_table
from prunecurve.training.learned import kept_epoch


def add_histories(cli: argparse.ArgumentParser) -> None:
    """Add the options of a script that warns about networks that have learned nothing."""
    cli.add_argument("--training", help="path of a training history, with {seed}; needed for a warning")
    tasks.add_task(cli)
    cli.add_argument("--seeds", type=int, nargs="*", default=[], help="the seeds of the histories")


def warning_of(arguments: argparse.Namespace) -> str:
    """Return a warning that names the networks that are not clearly above a constant answer; empty if there are none.

    arguments: with the options of `add_histories`.
    """
    tables = {seed: read_table(arguments.training.replace("{seed}", str(seed))) for seed in arguments.seeds}
    kept = {seed: kept_epoch(table.to_dict("records")) for seed, table in tables.items()}
    seeds = [seed for seed, row in kept.items() if not int(row.get("above_constant", 1))]
    if not seeds:
        return ""
    shown = ", ".join(map(str, seeds[:10])) + (", …" if len(seeds) > 10 else "")
    which = f"{len(seeds)} of {len(kept)} networks (seed {shown})" if len(kept) > 1 else "the network"
    verb = "are" if len(seeds) > 1 else "is"
    return (
        f"WARNING: {which} {verb} not clearly better than a constant answer on the validation "
        f"{tasks.inputs_of(arguments.task).INPUTS}. "
        "The curve of such a network says nothing about pruning."
    )
