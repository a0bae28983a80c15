"""The metrics that training needs too: predictions, the confusion matrix and the log loss of C classes.

They are a module of their own because a network depends on them. A new metric of a task does not change a network, so
it must not train all networks again. Imports only numpy.
"""

import functools

import numpy as np


def predict(logits: np.ndarray) -> np.ndarray:
    """Return the predicted classes, int64 (N,), of logits (N, C): the largest logit, on a tie the lowest class."""
    return logits.argmax(axis=1)


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, or 0 if the denominator is 0."""
    return numerator / denominator if denominator else 0.0


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of logits (N, C) and labels (N,), integers or Booleans."""
    # One class after the other: numpy's own reduction begins each row with an addition to log(0).
    own = np.take_along_axis(logits, labels.astype(np.int64)[:, None], axis=1)
    # If a network diverged, its loss is not finite; the caller checks this, so numpy need not warn.
    with np.errstate(invalid="ignore"):
        return float(np.mean(functools.reduce(np.logaddexp, (logits - own).T)))


def counts_of(predicted: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three counts of each class, int64 (C,): its inputs, those predicted right, and its predictions."""
    return (
        np.bincount(labels, minlength=classes),
        np.bincount(labels[predicted == labels], minlength=classes),
        np.bincount(predicted, minlength=classes),
    )
