"""Verification: compare the rows of the sweep with torch networks from which the channels were really removed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.basic_metrics import predict
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError
from prunecurve.files import read_rows, remedy
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.verification.surgery import operated, size_of

SIZES = ("params", "macs")
# The digits that a CSV file and a sum in another order lose.
EXACT = 1e-9
# Counts of more classes than this appear in a message only if they differ.
MOST_COUNTS = 8


def compare(
    stored: Mapping[str, str],
    by_sweep: np.ndarray,
    by_surgery: np.ndarray,
    labels: np.ndarray,
    tolerance: float,
    size: Mapping[str, int],
    task: str = tasks.DEFAULT,
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits with the logits of the pruned torch network, both (N, C).

    size: the parameters and MACs of the pruned torch network. They agree if no logit differs by more than
    `tolerance`, all columns of the row that are computed from logits are those of the sweep's logits, both networks
    predict the same, the row's sizes are `size`, and its metrics are those of the torch network except for what the
    difference between the logits can change (see `within` of the task). There is one exception for predictions. If the
    two largest logits of an input are almost equal, rounding can change its prediction. A changed prediction is
    accepted if the logits of both predictions differ by at most a tenth of the tolerance, and the input is counted in
    `rounding_flips`.
    """
    of_task, difference = tasks.load(task), float(np.abs(by_sweep - by_surgery).max())
    exact, allowed = of_task.counts(by_sweep.shape[1]), of_task.within(by_sweep, by_surgery, labels)
    names = (*exact, *allowed, *SIZES)
    row = {name: float(stored[name]) if name in allowed else int(stored[name]) for name in names}
    swept, cut = of_task.measure(by_sweep, labels) | size, of_task.measure(by_surgery, labels) | size
    here, there, inputs = predict(by_sweep), predict(by_surgery), np.arange(len(labels))
    margin = np.abs(by_surgery[inputs, here] - by_surgery[inputs, there])
    rounding = (here != there) & (margin <= tolerance / 10)
    return {
        "max_logit_difference": difference,
        "rounding_flips": int(rounding.sum()),
        **{f"{name}_sweep": row[name] for name in names},
        **{f"{name}_surgery": cut[name] for name in names},
        "agrees": difference <= tolerance
        and all(abs(float(stored[name]) - number) <= EXACT for name, number in swept.items())
        and all(low - EXACT <= row[name] <= high + EXACT for name, (low, high) in allowed.items())
        and not ((here != there) & ~rounding).any(),
    }


def verify(
    model: nn.Module,
    split: Split,
    evaluator: Evaluator,
    orders: Mapping[str, np.ndarray],
    rows: Mapping[tuple[str, str, int], str],
    tolerance: float,
    task: str = tasks.DEFAULT,
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
                stored, swept, surgical[key], evaluator.labels, tolerance, sizes[removal, k], task
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
            f"{row['max_logit_difference']:.3g} (allowed {tolerance:g}), " + ", ".join(_compared(row))
            for row in wrong
        )
        raise StudyError(
            f"{where}: the sweep and the pruned torch network disagree "
            f"in {len(wrong)} of {len(rows)} comparisons: {listed}"
        )


def _compared(row: Mapping[str, object]) -> Iterator[str]:
    """Yield both values of each compared quantity; of more than MOST_COUNTS counts, those that differ."""
    names = [name.removesuffix("_sweep") for name in row if name.endswith("_sweep")]
    many = sum(isinstance(row[f"{name}_sweep"], int) for name in names) > MOST_COUNTS
    for name in names:
        swept, cut = row[f"{name}_sweep"], row[f"{name}_surgery"]
        if swept != cut or not many:
            yield f"{name} {swept} against {cut}"
