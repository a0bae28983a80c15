"""Whether a network has learned its task: its scores on the validation inputs and the rows of training.csv.

A network that gives a constant answer is not worth a study, because its curve shows nothing about pruning.
Snakemake reads this module at every start; it imports nothing heavier than numpy.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from prunecurve.data.basic_metrics import counts_of, log_loss, predict, ratio
from prunecurve.errors import StudyError

# The balanced accuracy of a constant answer for two classes. A history without the column `constant` has two.
TWO_CLASSES = 0.5
# A network that guesses is more than three standard errors above a constant answer in about one of a thousand cases.
STANDARD_ERRORS = 3


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of a network of C classes: log_loss in nats; recalls and inputs (C,), those of each class."""

    accuracy: float
    log_loss: float
    recalls: np.ndarray
    inputs: np.ndarray

    @property
    def constant(self) -> float:
        """The balanced accuracy of each constant answer, 1/C."""
        return 1 / len(self.recalls)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall."""
        return float(sum(self.recalls.tolist()) / len(self.recalls))

    @property
    def above_constant(self) -> bool:
        """Whether balanced accuracy is clearly above that of a constant answer: by three standard errors.

        The standard error is that of the mean of C independent shares, the recalls of the classes.
        """
        variances = self.recalls * (1 - self.recalls) / np.maximum(self.inputs, 1) / len(self.recalls) ** 2
        excess = self.balanced_accuracy - self.constant
        return bool(excess > 0 and excess**2 > STANDARD_ERRORS**2 * variances.sum())


def validation_scores(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Return the scores of logits (N, C) and labels (N,), integers from 0, in float64."""
    logits = logits.astype(np.float64)
    inputs, correct, _ = counts_of(predict(logits), labels, logits.shape[1])
    return Scores(
        accuracy=ratio(int(correct.sum()), len(labels)),
        log_loss=log_loss(logits, labels),
        recalls=correct / np.maximum(inputs, 1),
        inputs=inputs,
    )


def history_row(
    epoch: int, loss: float | str, scores: Scores, recalls: Mapping[str, int], rate: float | str, seconds: float
) -> dict[str, float | str]:
    """Return a row of training.csv; loss and rate are empty texts for a network that is not trained here.

    recalls: the classes whose recall has a column, by its name.
    """
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
    """Parse NAME=CLASS: the name of a column of training.csv and the number of its class."""
    name, _, label = word.rpartition("=")
    return name, int(label)


def kept_epoch(rows: Iterable[Mapping[str, float | str]]) -> Mapping[str, float | str]:
    """Return the row of training.csv whose weights were kept."""
    return next(row for row in rows if int(row["kept"]))


def least_score(require: float, constant: float) -> float:
    """Return the least balanced accuracy that `training.require` asks of a network of C classes.

    require: the least balanced accuracy for two classes, where a constant answer has 0.5. It is rescaled from [0.5, 1]
    to [constant, 1], where `constant` is 1/C.
    """
    if constant == TWO_CLASSES:
        return require
    return constant + (require - TWO_CLASSES) / (1 - TWO_CLASSES) * (1 - constant)


def shortfall(row: Mapping[str, float | str], require: float, inputs: str = "pairs") -> str:
    """Return what a kept epoch lacks for `training.require`; an empty text if the network is good enough.

    row: of training.csv, as numbers or as text. inputs: what the task calls its inputs. A history of an older version
    lacks the column `above_constant` and passes its test.
    """
    score, constant = float(row["val_balanced_accuracy"]), float(row.get("constant", TWO_CLASSES))
    least = least_score(require, constant)
    if not require or (score >= least and int(row.get("above_constant", 1))):
        return ""
    asked = "" if least == require else f", which asks for {least:.3g} here"
    reason = f"training.require is {require}{asked}" if score < least else "this is within three standard errors"
    return (
        f"a balanced accuracy of {score:.3f} on the validation {inputs}; "
        f"a constant answer has {constant:.3g}, and {reason}"
    )


def require_learned(row: Mapping[str, float | str], require: float, inputs: str, seed: int, remedy: str) -> None:
    """Raise StudyError if the network of a seed, with this kept epoch, does not reach `training.require`.

    remedy: what a user can change, for the message. The other arguments are those of `shortfall`.
    """
    if lacks := shortfall(row, require, inputs):
        raise StudyError(
            f"training: the network of seed {seed} has {lacks}. {remedy}; training.require: 0 accepts every network"
        )
