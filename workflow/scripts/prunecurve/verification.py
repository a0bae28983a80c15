"""Verification: compare the rows of the sweep with torch networks from which the channels were really removed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from prunecurve.batches import Split, all_logits
from prunecurve.cost import block_of
from prunecurve.errors import StudyError
from prunecurve.files import read_rows, remedy
from prunecurve.network import PairNet
from prunecurve.scores import confusion, predict
from prunecurve.surgery import operated
from prunecurve.sweep import Evaluator, checked_ks, kept_channels

COUNTS = ("tp", "fp", "tn", "fn")


def compare(
    stored: Mapping[str, str], by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, tolerance: float
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits with the logits of the pruned torch network, both (N, 2).

    They agree if no logit differs by more than `tolerance`, the row's confusion counts equal those of the
    sweep's logits, and both networks predict the same. There is one exception. If the two logits of a pair
    are almost equal, rounding can change its prediction. A changed prediction is accepted if the two logits
    differ by at most a tenth of the tolerance, and the pair is counted in `rounding_flips`.
    """
    difference = float(np.abs(by_sweep - by_surgery).max())
    row = {name: int(stored[name]) for name in COUNTS}
    swept, cut = (confusion(predict(logits), labels) for logits in (by_sweep, by_surgery))
    flipped = predict(by_sweep) != predict(by_surgery)
    margin = np.abs(by_surgery[:, 1] - by_surgery[:, 0])
    rounding = flipped & (margin <= tolerance / 10)
    return {
        "max_logit_difference": difference,
        "rounding_flips": int(rounding.sum()),
        **{f"{name}_sweep": row[name] for name in COUNTS},
        **{f"{name}_surgery": cut[name] for name in COUNTS},
        "agrees": difference <= tolerance and row == swept and not (flipped & ~rounding).any(),
    }


def verify(
    model: PairNet,
    split: Split,
    evaluator: Evaluator,
    orders: Mapping[str, np.ndarray],
    removals: Sequence[str],
    rows: Mapping[tuple[str, str, int], str],
    tolerance: float,
) -> Iterator[dict[str, object]]:
    """Yield one row per ranking, removal and checked K.

    orders: the rankings (P,) by name. rows: the path of the sweep's CSV file by (ranking, removal, K). If several
    rankings remove the same set of channels, the pruned network is evaluated only once.
    """
    ks = checked_ks(evaluator.channels)
    surgical: dict[tuple[str, bytes], np.ndarray] = {}
    for criterion, order in orders.items():
        for removal in removals:
            for k, swept in zip(ks, evaluator.logits(order, ks, removal)):
                kept = kept_channels(order, k)
                key = (removal, kept.tobytes())
                if key not in surgical:
                    cut = operated(model, block_of(evaluator.layer), kept, removal, evaluator.mean_features)
                    surgical[key] = all_logits(cut, split)
                yield {"criterion": criterion, "removal": removal, "k": k} | compare(
                    _row_of(k, rows[criterion, removal, k]), swept, surgical[key], evaluator.labels, tolerance
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
            + ", ".join(f"{n} {row[f'{n}_sweep']} against {row[f'{n}_surgery']}" for n in COUNTS)
            for row in wrong
        )
        raise StudyError(
            f"{where}: the sweep and the pruned torch network disagree "
            f"in {len(wrong)} of {len(rows)} comparisons: {listed}"
        )
