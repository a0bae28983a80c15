"""Functions that the metrics of several tasks share. Imports only numpy, because evaluation jobs import this module."""

import numpy as np

from prunecurve.data.basic_metrics import ratio


def log_odds(logits: np.ndarray) -> np.ndarray:
    """Return the log-odds of each class, log(p / (1 − p)), float64 (N, C): the scores of one class against the rest.

    logits: (N, C). Two classes give the difference of their logits. The other classes are summed without the largest
    logit, so that probabilities near 1 do not become equal by rounding.
    """
    logits = logits.astype(np.float64)
    largest = logits.argmax(axis=1)[:, None]
    centred = logits - np.take_along_axis(logits, largest, axis=1)
    shares = np.exp(centred)
    np.put_along_axis(shares, largest, 0.0, axis=1)
    rest = np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    others = 1.0 + rest - shares
    np.put_along_axis(others, largest, rest, axis=1)
    return centred - np.log(others)


def ranked(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each threshold from the highest score down, the inputs above it and the positive inputs above it.

    scores: (N,). positive: (N,), 1 or true for the positive class. There is one threshold below each group of equal
    scores, so the order within a group does not matter. Both arrays have one count per distinct score.
    """
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return last + 1, np.cumsum(positive[order].astype(np.int64))[last]


def auroc(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the area under the ROC curve from the counts of `ranked`.

    It is the share of (positive, negative) combinations with the higher score for the positive input; ties count one
    half. 0 if there are no positive or no negative inputs.
    """
    misses = above - hits
    # The negatives of a group score lower than the positives above the group and tie with those in the group.
    couples = np.diff(misses, prepend=0) * (hits + np.append(0, hits[:-1]))
    return ratio(float(couples.sum()) / 2, float(hits[-1]) * float(misses[-1]))


def average_precision(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the average precision from the counts of `ranked`: Σ (increase of recall) × precision over thresholds.

    Not interpolated, as in scikit-learn.
    """
    return ratio(float(np.sum(np.diff(hits, prepend=0) * (hits / above))), float(hits[-1]))


def rounded_order(scores: np.ndarray, positive: np.ndarray, m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is certain about the order of the inputs if each score can be m lower or higher.

    For each positive input, from the highest score down: the negative inputs that can be at or above it, those that
    must be, and the positive inputs that can be. The order of two inputs is certain only if their scores differ by more
    than 2 m. Shares no code with `ranked`: the verification uses it.
    """
    own, others = np.sort(scores[positive])[::-1], np.sort(scores[~positive])
    most = len(others) - np.searchsorted(others, own - 2 * m, side="left")
    least = len(others) - np.searchsorted(others, own + 2 * m, side="right")
    beside = len(own) - np.searchsorted(own[::-1], own - 2 * m, side="left")
    return most, least, beside


def auroc_bounds(scores: np.ndarray, positive: np.ndarray, m: float) -> tuple[float, float]:
    """Return the smallest and the largest area under the ROC curve if each score can be m lower or higher."""
    negatives = int((~positive).sum())
    if not negatives or not positive.any():
        return 0.0, 0.0
    most, least, _ = rounded_order(scores, positive, m)
    return float(1 - most.mean() / negatives), float(1 - least.mean() / negatives)


def log_loss_bounds(scores: np.ndarray, m: float | np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest log loss if each score can be m lower or higher.

    scores: (N,), the log-odds of the true class of each input.
    """
    return float(np.logaddexp(0.0, -scores - m).mean()), float(np.logaddexp(0.0, m - scores).mean())
