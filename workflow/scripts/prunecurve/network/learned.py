"""Whether a network has learned its task. If it gives a constant answer, its curve shows nothing about pruning."""

from collections.abc import Iterable, Mapping


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
