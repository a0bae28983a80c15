"""Verification: compare the rows of the sweep with torch networks from which the channels were really removed."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np
import torch
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.basic_metrics import predict
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError
from prunecurve.files import read_rows, remedy
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.surgery import means_read, operated, size_of

# The digits that a CSV file and a sum in another order lose.
EXACT = 1e-9
# Counts of more classes than this appear in a message only if they differ.
MOST_COUNTS = 8
# The share of surgery's own effect that is accepted as a difference, and the rounding errors of float32 logits,
# relative to the largest one: sums of thousands of products in another order.
SHARE, ROUNDING = 0.01, 2e-6
# The difference between two float32 results of a network that is accepted, in its measured rounding errors.
TIMES = 4
# The difference between means of float32 values that rounding explains, relative to the largest mean.
OF_MEANS = 1e-4


def compare(
    stored: Mapping[str, str],
    by_sweep: np.ndarray,
    by_surgery: np.ndarray,
    labels: np.ndarray,
    tolerance: float,
    size: Mapping[str, int],
    task: str = tasks.DEFAULT,
    effect: float = np.inf,
    error: float = 0.0,
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits with the logits of the pruned torch network, both (N, C).

    size: the parameters and MACs of the pruned torch network, empty if they were not counted. effect, error: see
    `allowed_difference`. They agree if no logit differs by more than that, both networks predict the same, and the row
    is that of the torch network: its sizes are `size`, its counts and all metrics that follow from them are the same,
    and the other metrics differ by no more than the difference between the logits, and rounding on another processor,
    can change (see `within` of the task).
    There is one exception for predictions. If the two largest logits of an input are almost equal, rounding can change
    its prediction. A prediction that changed, in the sweep or in the row, is accepted if the logits of both predictions
    differ by at most a tenth of the allowed difference, or what the error can change, and the input is counted in
    `rounding_flips`.
    """
    of_task, difference = tasks.load(task), float(np.abs(by_sweep - by_surgery).max())
    tolerance, explained = allowed_difference(tolerance, effect, by_surgery, error), accepted_error(error, effect)
    # The row can come from another processor than the logits of the sweep.
    elsewhere = min(tolerance, max(ROUNDING * float(np.abs(by_surgery).max()), explained))
    exact, allowed = of_task.counts(by_sweep.shape[1]), of_task.bounds(by_sweep, by_surgery, labels, elsewhere)
    names = (*exact, *allowed, *size)
    row = {name: float(stored[name]) if name in allowed else int(stored[name]) for name in names}
    margin = max(tolerance / 10, 2 * explained)
    nearest = _nearest(by_surgery, labels, margin, of_task, {name: row[name] for name in exact})
    cut, as_stored = (of_task.measure(logits, labels) | size for logits in (by_surgery, nearest))
    here, there, inputs = predict(by_sweep), predict(by_surgery), np.arange(len(labels))
    changed, rounding = here != there, np.abs(by_surgery[inputs, here] - by_surgery[inputs, there]) <= margin
    return {
        "max_logit_difference": difference,
        "allowed_difference": tolerance,
        "surgery_effect": effect,
        "rounding_flips": int((changed & rounding | (predict(nearest) != there)).sum()),
        **{f"{name}_sweep": row[name] for name in names},
        **{f"{name}_surgery": cut[name] for name in names},
        "agrees": difference <= tolerance
        and all(abs(float(stored[name]) - as_stored[name]) <= EXACT for name in as_stored if name not in allowed)
        and all(low - EXACT <= row[name] <= high + EXACT for name, (low, high) in allowed.items())
        and not (changed & ~rounding).any(),
    }


def _nearest(
    logits: np.ndarray, labels: np.ndarray, margin: float, task: ModuleType, counts: Mapping[str, int]
) -> np.ndarray:
    """Return logits (N, C) whose counts are as near as possible to those of a row.

    Where the two largest logits of an input differ by at most `margin`, the second one may become the largest.
    """

    def distance(of: np.ndarray) -> int:
        measured = task.measure(of, labels)
        return sum(abs(measured[name] - count) for name, count in counts.items())

    first, others = predict(logits)[:, None], logits.copy()
    np.put_along_axis(others, first, -np.inf, axis=1)
    largest, nearest, left = logits.max(axis=1), logits, distance(logits)
    for i in np.flatnonzero(largest - others.max(axis=1) <= margin):
        if not left:
            break
        changed = nearest.copy()
        changed[i, predict(others)[i]] = np.nextafter(largest[i], np.float32(np.inf))
        if (now := distance(changed)) < left:
            nearest, left = changed, now
    return nearest


def allowed_difference(tolerance: float, effect: float, logits: np.ndarray, error: float = 0.0) -> float:
    """Return the largest difference between logits that is accepted: the tolerance, or less if surgery changes less.

    effect: the largest change of a logit by the removals of this ranking that are checked. Where it is small, a wrong
    sweep could pass the tolerance. A hundredth of it is allowed, but not less than float32 can hold for logits (N, C)
    of this size. error: the `rounding_error` of a network that amplifies rounding, see `accepted_error`.
    """
    usual = min(tolerance, max(SHARE * effect, ROUNDING * float(np.abs(logits).max())))
    return max(usual, accepted_error(error, effect))


def accepted_error(error: float, effect: float) -> float:
    """Return the difference between two float32 results that a network's rounding error explains.

    0 if the effect of the removals is not ten times as large: such a comparison could not show a wrong sweep.
    """
    return TIMES * error if np.isfinite(error) and 10 * TIMES * error <= effect else 0.0


@torch.inference_mode()
def rounding_error(model: nn.Module, split: Split, logits: np.ndarray) -> float:
    """Return the largest difference between a network's float32 logits (N, C) and its logits in float64.

    0 if it can't run in float64.
    """
    try:
        precise = copy.deepcopy(model).double()
        precise.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
        exact = all_logits(precise, split)
    # The network's code can raise anything, such as for a constant of float32.
    except Exception:
        return 0.0
    return float(np.abs(exact - logits).max())


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
    the layer, in place of Torch-Pruning. If several rankings remove the same set of channels, the pruned network is
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
        if not difference <= OF_MEANS * largest:
            raise StudyError(
                f"{path} does not hold the means of what the layers behind {layer} read on the validation inputs: one "
                f"differs by {difference:.3g} (allowed {OF_MEANS * largest:.3g}); {remedy(path)}"
            )
    if place != stored.size:
        raise StudyError(f"{path} has {stored.size} means, but the layers behind {layer} read {place}; {remedy(path)}")


def _row_of(k: int, path: str) -> dict[str, str]:
    """Return the row of one K from a CSV file of the sweep; StudyError if there is not exactly one."""
    rows = [row for row in read_rows(path) if row.get("k") == str(k)]
    if len(rows) != 1:
        raise StudyError(f"{path} has {len(rows)} rows for K = {k} instead of one; {remedy(path)}")
    return rows[0]


def require_agreement(rows: Sequence[Mapping[str, object]], where: str) -> None:
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


def unproven(rows: Sequence[Mapping[str, object]]) -> list[str]:
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
