"""Does the sweep tell the truth? Its rows against networks on which the removal was really carried out."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from prunecurve.batches import Split, all_logits
from prunecurve.cost import block_of
from prunecurve.errors import StudyError
from prunecurve.files import remedy, read_rows
from prunecurve.metrics import confusion, predict
from prunecurve.network import PairNet
from prunecurve.surgery import operated
from prunecurve.sweep import Evaluator, checked_ks, kept_channels

COUNTS = ("tp", "fp", "tn", "fn")


def compare(
    stored: Mapping[str, str], by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, tolerance: float
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits (N, 2) with those of the operated network.

    They agree if no logit differs by more than `tolerance`, the row's confusion counts are those of
    the sweep's logits, and the operated network's counts are the same. Two float32 computations may
    place a pair whose own two logits are equal but for rounding on either side of the decision: where
    they lie within a tenth of the tolerance, the pair is counted in `rounding_flips` and forgiven.
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
    """A row for each ranking, removal and checked K.

    orders: the rankings (P,) by criterion. rows: the sweep's CSV with its row, by (criterion, removal, K). Networks
    with the same channels removed are the same network: each runs once.
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
    """The row of one K in a file of rows."""
    found = [row for row in read_rows(path) if row.get("k") == str(k)]
    if len(found) != 1:
        raise StudyError(f"{path} has {len(found)} rows for K = {k}, not one; {remedy(path)}")
    return found[0]


def require_agreement(rows: Sequence[Mapping[str, object]], tolerance: float, where: str) -> None:
    """Raise StudyError, saying which K and criterion and by how much, unless all rows agree."""
    wrong = [row for row in rows if not row["agrees"]]
    if wrong:
        told = "; ".join(
            f"K = {row['k']}, {row['criterion']}, {row['removal']}: logits differ by up to "
            f"{row['max_logit_difference']:.3g} (allowed {tolerance:g}), "
            + ", ".join(f"{n} {row[f'{n}_sweep']} against {row[f'{n}_surgery']}" for n in COUNTS)
            for row in wrong
        )
        raise StudyError(f"{where}: the sweep and the operated network disagree in {len(wrong)} cases: {told}")
