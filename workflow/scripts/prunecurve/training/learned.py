"""Whether a network has learned its task: what training.csv says about it on the validation inputs.

A network that gives a constant answer is not worth a study, because its curve shows nothing about pruning.
Snakemake reads this module at every start; it imports nothing heavier than numpy.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from prunecurve.data.basic_metrics import counts_of, log_loss, predict, ratio

# The balanced accuracy of a constant answer for two classes. A history without the column `constant` has two.
TWO_CLASSES = 0.5
# A network that guesses is more than three standard errors above a constant answer in about one of a thousand cases.
STANDARD_ERRORS = 3


def validation_columns(logits: np.ndarray, labels: np.ndarray, recalls: Mapping[str, int]) -> dict[str, float]:
    """Return the columns of training.csv about the validation inputs: logits (N, C) and labels (N,), integers from 0.

    The loss is in nats. `constant`, only if C > 2, is the balanced accuracy of each constant answer, 1/C.
    `above_constant` says whether the balanced accuracy is clearly above it: by three standard errors of the mean of C
    independent shares, the recalls of the classes. recalls: the classes whose recall has a column, by its name.
    """
    logits, classes = logits.astype(np.float64), logits.shape[1]
    inputs, correct, _ = counts_of(predict(logits), labels, classes)
    recall, constant = correct / np.maximum(inputs, 1), 1 / classes
    balanced_accuracy = sum(recall.tolist()) / classes
    variance = (recall * (1 - recall) / np.maximum(inputs, 1)).sum() / classes**2
    excess = balanced_accuracy - constant
    return {
        "val_loss": log_loss(logits, labels),
        "val_accuracy": ratio(int(correct.sum()), len(labels)),
        "val_balanced_accuracy": balanced_accuracy,
        **{f"val_recall_{name}": float(recall[label]) for name, label in recalls.items()},
        **({"constant": constant} if constant != TWO_CLASSES else {}),
        "above_constant": int(excess > 0 and excess**2 > STANDARD_ERRORS**2 * variance),
    }


def kept_epoch(rows: Iterable[Mapping[str, float | str]]) -> Mapping[str, float | str]:
    """Return the row of training.csv whose weights were kept."""
    return next(row for row in rows if int(row["kept"]))


def shortfall(row: Mapping[str, float | str], require: float, inputs: str) -> str:
    """Return what a kept epoch lacks for `training.require`; an empty text if the network is good enough.

    row: of training.csv, as numbers or as text. A history of an older version lacks the column `above_constant` and
    passes its test. require: the least balanced accuracy for two classes; for C classes it is rescaled from [0.5, 1] to
    [1/C, 1]. inputs: what the task calls its inputs.
    """
    score, constant = float(row["val_balanced_accuracy"]), float(row.get("constant", TWO_CLASSES))
    share = (require - TWO_CLASSES) / (1 - TWO_CLASSES)
    least = require if constant == TWO_CLASSES else constant + share * (1 - constant)
    if not require or (score >= least and int(row.get("above_constant", 1))):
        return ""
    asked = "" if least == require else f", which asks for {least:.3g} here"
    reason = f"training.require is {require}{asked}" if score < least else "this is within three standard errors"
    return (
        f"a balanced accuracy of {score:.3f} on the validation {inputs}; "
        f"a constant answer has {constant:.3g}, and {reason}"
    )
