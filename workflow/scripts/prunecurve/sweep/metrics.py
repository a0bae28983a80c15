"""The metrics that an evaluation reports. Imports only numpy, because every evaluation job imports this module.

The positive class is *same* (label 1). A pair is predicted *same* if its second logit is larger than
its first; on a tie the prediction is *different*, as with argmax. A ratio whose denominator is 0 is
reported as 0, as is scikit-learn's default. The metrics that training needs too are in scores.py.
"""

import numpy as np

from prunecurve.network.scores import accuracies, confusion, log_loss, predict, ratio


def ranked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each threshold from the highest score down, the pairs above it and the *same* pairs above it.

    There is one threshold below each group of equal scores, so the order within a group does not matter. Both arrays
    have one count per distinct score.
    """
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return last + 1, np.cumsum(labels[order].astype(np.int64))[last]


def auroc(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the area under the ROC curve from the counts of `ranked`.

    It is the share of (same, different) combinations with the higher score for *same*; ties count one half.
    """
    misses = above - hits
    # The different pairs of a group score lower than the same pairs above the group and tie with those in the group.
    couples = np.diff(misses, prepend=0) * (hits + np.append(0, hits[:-1]))
    return ratio(float(couples.sum()) / 2, float(hits[-1]) * float(misses[-1]))


def average_precision(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the average precision from the counts of `ranked`: Σ (increase of recall) × precision over thresholds.

    Not interpolated, as in scikit-learn.
    """
    return ratio(float(np.sum(np.diff(hits, prepend=0) * (hits / above))), float(hits[-1]))


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return all metrics of logits (n, 2) and labels (n,), in float64, in the order of the CSV columns."""
    logits = logits.astype(np.float64)
    predicted = predict(logits)
    counts = confusion(predicted, labels)
    tp, fp, tn, fn = counts.values()
    above, hits = ranked(logits[:, 1] - logits[:, 0], labels)
    return {
        **accuracies(counts),
        "precision_same": ratio(tp, tp + fp),
        "f1_same": ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        "auroc": auroc(above, hits),
        "average_precision": average_precision(above, hits),
        "log_loss": log_loss(logits, labels),
        "predicted_same_rate": ratio(tp + fp, len(labels)),
        **counts,
    }
