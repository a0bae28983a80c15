"""Verify the sweep of one layer: run the networks without the channels of each ranking, and report disagreements."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError, remedy
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.tables import read_rows
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.comparison import allowed_difference, compare, rounding_error
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.surgery import means_read, operated, size_of

# Counts of more classes than this appear in a message only if they differ.
MOST_COUNTS = 8
# The difference between means of float32 values that rounding explains, relative to the largest mean.
MEANS_ROUNDING = 1e-4


def verify(
    model: nn.Module,
    split: Split,
    evaluator: Evaluator,
    orders: Mapping[str, np.ndarray],
    rows: Mapping[tuple[str, str, int], str],
    tolerance: float,
    task: str = tasks.DEFAULT,
    perturbation: Perturbation | None = None,
) -> Iterator[dict[str, object]]:
    """Yield one row per ranking, removal and checked K.

    orders: the rankings (P,) by name. rows: the path of the sweep's CSV file by (ranking, removal, K). perturbation: of
    the layer, used instead of Torch-Pruning. If several rankings remove the same set of channels, the pruned network is
    evaluated only once.
    """
    layer, example = evaluator.layer.name, next(split.batches(1))[0]

    def cut(removal: str, channels: np.ndarray) -> nn.Module:
        return operated(model, layer, np.sort(channels), removal, example, evaluator.mean_features, perturbation)

    unpruned = all_logits(model, split)
    surgical: dict[tuple[str, bytes], np.ndarray] = {}
    sizes: dict[tuple[str, int], dict[str, int]] = {}
    for criterion, removal in dict.fromkeys((criterion, removal) for criterion, removal, _ in rows):
        order = orders[criterion]
        ks = [k for c, r, k in rows if (c, r) == (criterion, removal)]
        keys = {k: (removal, np.sort(order[:k]).tobytes()) for k in ks}
        for k, key in keys.items():
            if key not in surgical:
                surgical[key] = all_logits(cut(removal, order[:k]), split)
            # A perturbation makes no smaller network that could be counted.
            if (removal, k) not in sizes:
                counts = {} if perturbation else size_of(model, layer, np.sort(order[:k]), removal, example)
                sizes[removal, k] = counts
        effect = max(float(np.abs(surgical[key] - unpruned).max()) for key in keys.values())
        for k, swept in zip(ks, evaluator.logits(order, ks, removal)):
            stored, by_surgery, error = _row_of(k, rows[criterion, removal, k]), surgical[keys[k]], 0.0
            if np.abs(swept - by_surgery).max() > allowed_difference(tolerance, effect, by_surgery):
                error = rounding_error(cut(removal, order[:k]), split, by_surgery)
            method = PERTURBATION if perturbation else SURGERY
            about = {"criterion": criterion, "removal": removal, "k": k, "verified_by": method}
            yield about | compare(
                stored, swept, by_surgery, evaluator.labels, tolerance, sizes[removal, k], task, effect, error
            )


def require_means(
    model: nn.Module,
    layer: str,
    validation: Split,
    stored: np.ndarray,
    path: str,
    perturbation: Perturbation | None = None,
) -> None:
    """Raise StudyError unless the mean maps of mean_replacement are those of the network on the validation inputs.

    stored: the content of the file `path`, which the sweep and the surgery read. It is compared with `means_read`.
    """
    measured, place = means_read(model, layer, validation, perturbation), 0
    for mean in measured:
        own = stored.reshape(-1)[place : place + mean.size]
        place += mean.size
        difference, largest = float(np.abs(own - mean.flatten()).max()), float(np.abs(mean).max())
        if not difference <= MEANS_ROUNDING * largest:
            raise StudyError(
                f"{path} does not hold the means of what the layers behind {layer} read on the validation inputs: one "
                f"differs by {difference:.3g} (allowed {MEANS_ROUNDING * largest:.3g}); {remedy(path)}"
            )
    if place != stored.size:
        raise StudyError(f"{path} has {stored.size} means, but the layers behind {layer} read {place}; {remedy(path)}")


def _row_of(k: int, path: str) -> dict[str, str]:
    """Return the row of one K from a CSV file of the sweep; StudyError if there is not exactly one."""
    rows = [row for row in read_rows(path) if row.get("k") == str(k)]
    if len(rows) != 1:
        raise StudyError(f"{path} has {len(rows)} rows for K = {k} instead of one; {remedy(path)}")
    return rows[0]


def require_all_agree(rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raise StudyError if a row does not agree. The message names its K, criterion, removal and differences."""
    wrong = [row for row in rows if not row["agrees"]]
    if wrong:
        listed = "; ".join(
            f"K = {row['k']}, {row['criterion']}, {row['removal']}: logits differ by up to "
            f"{row['max_logit_difference']:.3g} (allowed {row['allowed_difference']:.3g}), " + ", ".join(_compared(row))
            for row in wrong
        )
        raise StudyError(
            f"{where}: the sweep and the pruned torch network disagree "
            f"in {len(wrong)} of {len(rows)} comparisons: {listed}"
        )


def unproven(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each ranking and removal whose effect on the logits is not clearly larger than what is allowed.

    Its comparisons agree, but could not have shown an error of this size.
    """
    small = [row for row in rows if row["surgery_effect"] < 10 * row["allowed_difference"]]
    return list(
        dict.fromkeys(
            f"{row['criterion']}, {row['removal']}: the removal of channels changes no logit by more than "
            f"{row['surgery_effect']:.2g}, so the comparison says little"
            for row in small
        )
    )


def _compared(row: Mapping[str, object]) -> Iterator[str]:
    """Yield both values of each compared quantity; of more than MOST_COUNTS counts, those that differ."""
    names = [name.removesuffix("_sweep") for name in row if name.endswith("_sweep")]
    many = sum(isinstance(row[f"{name}_sweep"], int) for name in names) > MOST_COUNTS
    for name in names:
        swept, cut = row[f"{name}_sweep"], row[f"{name}_surgery"]
        if swept != cut or not many:
            yield f"{name} {swept} against {cut}"
