"""Whether a network has learned its task. If it gives a constant answer, its curve shows nothing about pruning."""

import argparse
from collections.abc import Iterable, Mapping

from prunecurve.files import read_rows


def kept_epoch(rows: Iterable[Mapping[str, object]]) -> Mapping[str, object]:
    """Return the row of a training history whose weights were kept."""
    return next(row for row in rows if int(row["kept"]))


def shortfall(row: Mapping[str, object], require: float) -> str:
    """Return what a kept epoch lacks for `training.require`; an empty text if the network is good enough.

    row: of training.csv, as numbers or as text. A history of an older version lacks the column and passes its test.
    """
    score = float(row["val_balanced_accuracy"])
    if not require or (score >= require and int(row.get("above_constant", 1))):
        return ""
    reason = f"training.require is {require}" if score < require else "this is within three standard errors"
    return f"a balanced accuracy of {score:.3f} on the validation pairs; a constant answer has 0.5, and {reason}"


def add_histories(cli: argparse.ArgumentParser) -> None:
    """Add the options of a script that warns about networks that have learned nothing."""
    cli.add_argument("--training", help="path of a training history, with {seed}; needed for a warning")
    cli.add_argument("--seeds", type=int, nargs="*", default=[], help="the seeds of the histories")


def histories(arguments: argparse.Namespace) -> dict[int, str]:
    """Return the path of each seed's training history from the options of `add_histories`."""
    return {seed: arguments.training.replace("{seed}", str(seed)) for seed in arguments.seeds}


def warning_about(histories: Mapping[int, str]) -> str:
    """Return a warning that names the networks that are not clearly above a constant answer; empty if there are none.

    histories: the path of training.csv of each seed.
    """
    kept = {seed: kept_epoch(read_rows(path)) for seed, path in histories.items()}
    seeds = [seed for seed, row in kept.items() if not int(row.get("above_constant", 1))]
    if not seeds:
        return ""
    shown = ", ".join(map(str, seeds[:10])) + (", …" if len(seeds) > 10 else "")
    which = f"{len(seeds)} of {len(kept)} networks (seed {shown})" if len(kept) > 1 else "the network"
    verb = "are" if len(seeds) > 1 else "is"
    return (
        f"WARNING: {which} {verb} not clearly better than a constant answer on the validation pairs. "
        f"{'Their' if len(seeds) > 1 else 'Its'} curve says nothing about pruning."
    )
