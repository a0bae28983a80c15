"""The rows of a training history, training.csv."""

from collections.abc import Mapping

from prunecurve.training.learned import TWO_CLASSES
from prunecurve.training.scores import Scores


def history_row(
    epoch: int,
    loss: float | str,
    scores: Scores,
    recalls: Mapping[str, int],
    rate: float | str,
    seconds: float,
) -> dict[str, float | str]:
    """Return a row of a training history; an empty text stands for a number that there is not."""
    # A history without the column `constant` is that of two classes, where a constant answer has one half.
    constant = {"constant": scores.constant} if scores.constant != TWO_CLASSES else {}
    return {
        "epoch": epoch,
        "train_loss": loss,
        "val_loss": scores.log_loss,
        "val_accuracy": scores.accuracy,
        "val_balanced_accuracy": scores.balanced_accuracy,
        **{f"val_recall_{name}": float(scores.recalls[label]) for name, label in recalls.items()},
        **constant,
        "above_constant": int(scores.above_constant),
        "learning_rate": rate,
        "seconds": round(seconds, 2),
    }


def named_recall(word: str) -> tuple[str, int]:
    """Parse NAME=CLASS, the number of a class and the name of its column in a history."""
    name, _, label = word.rpartition("=")
    return name, int(label)
