"""Verification: compare the rows of the sweep with torch networks from which the channels were really removed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError
from prunecurve.files import read_rows, remedy
from prunecurve.network.scores import predict
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.metrics import measure
from prunecurve.verification.surgery import operated, size_of

COUNTS = ("tp", "fp", "tn", "fn")
# Metrics of the order and the size of the logits, which the counts do not show.
METRICS = ("auroc", "average_precision", "log_loss")
SIZES = ("params", "macs")
# The digits that a CSV file and a sum in another order lose.
EXACT = 1e-9


def compare(
    stored: Mapping[str, str],
    by_sweep: np.ndarray,
    by_surgery: np.ndarray,
    labels: np.ndarray,
    tolerance: float,
    size: Mapping[str, int],
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits with the logits of the pruned torch network, both (N, 2).

    size: the parameters and MACs of the pruned torch network. They agree if no logit differs by more than
    `tolerance`, the row's counts and metrics are those of the sweep's logits, both networks predict the same, the
    row's sizes are `size`, and its metrics are those of the torch network except for what the difference between the
    logits can change (see `within`). There is one exception for predictions. If the two logits of a pair are almost
    equal, rounding can change its prediction. A changed prediction is accepted if the two logits differ by at most a
    tenth of the tolerance, and the pair is counted in `rounding_flips`.
    """
    difference = float(np.abs(by_sweep - by_surgery).max())
    row = {name: int(stored[name]) for name in COUNTS + SIZES} | {name: float(stored[name]) for name in METRICS}
    swept, cut = measure(by_sweep, labels) | size, measure(by_surgery, labels) | size
    flipped = predict(by_sweep) != predict(by_surgery)
    margin = np.abs(by_surgery[:, 1] - by_surgery[:, 0])
    rounding = flipped & (margin <= tolerance / 10)
    allowed = within(by_sweep, by_surgery, labels)
    names = COUNTS + METRICS + SIZES
    return {
        "max_logit_difference": difference,
        "rounding_flips": int(rounding.sum()),
        **{f"{name}_sweep": row[name] for name in names},
        **{f"{name}_surgery": cut[name] for name in names},
        "agrees": difference <= tolerance
        and all(abs(row[name] - swept[name]) <= EXACT for name in names)
        and all(low - EXACT <= row[name] <= high + EXACT for name, (low, high) in allowed.items())
        and not (flipped & ~rounding).any(),
    }


def within(by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each of METRICS that the sweep can have, given the torch network.

    Computed from the logits of the torch network (N, 2), without the functions that computed the row. Let m be the
    largest difference between the scores (second minus first logit) of the two networks. Each score can be m lower or
    higher, so the order of a same and a different pair is certain only if their scores differ by more than 2 m.
    """
    swept, cut = (logits.astype(np.float64) @ (-1.0, 1.0) for logits in (by_sweep, by_surgery))
    m = float(np.abs(swept - cut).max())
    same, different = np.sort(cut[labels == 1])[::-1], np.sort(cut[labels == 0])
    losses = np.logaddexp(0.0, np.where(labels == 1, -cut, cut))
    loss = float(losses.mean())
    if not (len(same) and len(different)):
        return {"auroc": (0.0, 0.0), "average_precision": (0.0, 1.0), "log_loss": (loss - m, loss + m)}
    # Of each same pair: the different pairs that can be, and that must be, at or above it.
    most = len(different) - np.searchsorted(different, same - 2 * m, side="left")
    least = len(different) - np.searchsorted(different, same + 2 * m, side="right")
    # In the order of the scores: the same pairs up to this one, and those that rounding can put beside it too.
    place = np.arange(1, len(same) + 1)
    beside = len(same) - np.searchsorted(same[::-1], same - 2 * m, side="left")
    return {
        "auroc": (1 - most.mean() / len(different), 1 - least.mean() / len(different)),
        "average_precision": (float((place / (place + most)).mean()), float((beside / (beside + least)).mean())),
        "log_loss": (loss - m, loss + m),
    }


def verify(
    model: nn.Module,
    split: Split,
    evaluator: Evaluator,
    orders: Mapping[str, np.ndarray],
    rows: Mapping[tuple[str, str, int], str],
    tolerance: float,
) -> Iterator[dict[str, object]]:
    """Yield one row per ranking, removal and checked K.

    orders: the rankings (P,) by name. rows: the path of the sweep's CSV file by (ranking, removal, K). If several
    rankings remove the same set of channels, the pruned network is evaluated only once.
    """
    layer = evaluator.layer.name
    example = next(split.batches(1))[0]
    surgical: dict[tuple[str, bytes], np.ndarray] = {}
    sizes: dict[tuple[str, int], dict[str, int]] = {}
    for criterion, removal in dict.fromkeys((criterion, removal) for criterion, removal, _ in rows):
        order = orders[criterion]
        ks = [k for c, r, k in rows if (c, r) == (criterion, removal)]
        for k, swept in zip(ks, evaluator.logits(order, ks, removal)):
            removed = np.sort(order[:k])
            key = (removal, removed.tobytes())
            if key not in surgical:
                cut = operated(model, layer, removed, removal, example, evaluator.mean_features)
                surgical[key] = all_logits(cut, split)
            if (removal, k) not in sizes:
                sizes[removal, k] = size_of(model, layer, removed, removal, example)
            stored = _row_of(k, rows[criterion, removal, k])
            yield {"criterion": criterion, "removal": removal, "k": k} | compare(
                stored, swept, surgical[key], evaluator.labels, tolerance, sizes[removal, k]
            )


def _row_of(k: int, path: str) -> dict[str, str]:
    """Return the row of one K from a CSV file of the sweep; StudyError if there is not exactly one."""
    rows = [row for row in read_rows(path) if row.get("k") == str(k)]
    if len(rows) != 1:
        raise StudyError(f"{path} has {len(rows)} rows for K = {k} instead of one; {remedy(path)}")
    return rows[0]


def require_agreement(rows: Sequence[Mapping[str, object]], tolerance: float, where: str) -> None:
    """Raise StudyError if a row does not agree. The message names its K, criterion, removal and differences."""
    wrong = [row for row in rows if not row["agrees"]]
    if wrong:
        listed = "; ".join(
            f"K = {row['k']}, {row['criterion']}, {row['removal']}: logits differ by up to "
            f"{row['max_logit_difference']:.3g} (allowed {tolerance:g}), "
            + ", ".join(f"{n} {row[f'{n}_sweep']} against {row[f'{n}_surgery']}" for n in COUNTS + METRICS + SIZES)
            for row in wrong
        )
        raise StudyError(
            f"{where}: the sweep and the pruned torch network disagree "
            f"in {len(wrong)} of {len(rows)} comparisons: {listed}"
        )
