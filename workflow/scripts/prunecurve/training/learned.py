"""Whether a network has learned its task. If it gives a constant answer, its curve shows nothing about pruning."""

from collections.abc import Iterable, Mapping

from prunecurve.errors import StudyError

# The balanced accuracy of a constant answer for two classes. A history without the column `constant` has two.
TWO_CLASSES = 0.5


def kept_epoch(rows: Iterable[Mapping[str, object]]) -> Mapping[str, object]:
    """Return the row of a training history whose weights were kept."""
    return next(row for row in rows if int(row["kept"]))


def least_score(require: float, constant: float) -> float:
    """Return the least balanced accuracy that `training.require` asks of a network of C classes.

    require: the least balanced accuracy for two classes, where a constant answer has 0.5. It is rescaled from [0.5, 1]
    to [constant, 1], where `constant` is 1/C.
    """
    if constant == TWO_CLASSES:
        return require
    return constant + (require - TWO_CLASSES) / (1 - TWO_CLASSES) * (1 - constant)


def shortfall(row: Mapping[str, object], require: float, inputs: str = "pairs") -> str:
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


def require_learned(row: Mapping[str, object], require: float, inputs: str, seed: int, remedy: str) -> None:
    """Raise StudyError if the network of a seed, with this kept epoch, does not reach `training.require`.

    remedy: what a user can change, for the message. The other arguments are those of `shortfall`.
    """
    if lacks := shortfall(row, require, inputs):
        raise StudyError(
            f"training: the network of seed {seed} has {lacks}. {remedy}; training.require: 0 accepts every network"
        )
