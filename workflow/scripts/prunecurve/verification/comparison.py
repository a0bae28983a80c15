"""Verify the sweep of a layer: its rows and logits are those of networks from which channels were really removed."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.basic_metrics import predict
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError, remedy
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.removal import parts_of
from prunecurve.sweep.removal import variant as variant_of
from prunecurve.tables import read_rows
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.repairs import Repairs
from prunecurve.verification.surgery import means_read, operated, size_of

# The digits that are lost in a CSV file and in a sum in a different order.
EXACT = 1e-9
# The share of surgery's own effect that is accepted as a difference, and the rounding errors of float32 logits,
# relative to the largest one: sums of thousands of products in a different order.
SHARE, ROUNDING = 0.01, 2e-6
# The difference between two float32 results of a network that its measured rounding error explains, relative to that.
TIMES = 4
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
    calibration: Split | None = None,
    weights: str = "balanced",
    single_inputs: int = 4096,
) -> Iterator[dict[str, object]]:
    """Yield one row per ranking, variant and checked K.

    orders: the rankings (P,) by name. rows: the path of the sweep's CSV file by (ranking, variant, K). perturbation: of
    the network, used instead of Torch-Pruning. calibration, weights, single_inputs: of `Repairs`. If several rankings
    remove the same set of channels, the pruned network is evaluated only once.
    """
    layer, example = evaluator.layer.name, next(split.batches(1))[0]
    repairs = None if calibration is None else Repairs(model, layer, calibration, weights, perturbation, single_inputs)

    def cut(variant: str, channels: np.ndarray) -> nn.Module:
        removal, repair = parts_of(variant)
        if repairs is not None and repair != "none":
            return repairs.repaired(channels, repair)
        return operated(model, layer, channels, removal, example, evaluator.mean_features, perturbation)

    @cache
    def surgical(variant: str, channels: tuple[int, ...]) -> np.ndarray:
        return all_logits(cut(variant, np.array(channels, np.int64)), split)

    unpruned, sizes = all_logits(model, split), dict[tuple[str, int], dict[str, int]]()
    for criterion, variant in dict.fromkeys((criterion, variant) for criterion, variant, _ in rows):
        order, (removal, repair) = orders[criterion], parts_of(variant)
        removed = {k: np.sort(order[:k]) for c, v, k in rows if (c, v) == (criterion, variant)}
        by_k = {k: surgical(variant, tuple(channels)) for k, channels in removed.items()}
        effect = max(float(np.abs(logits - unpruned).max()) for logits in by_k.values())
        for (k, by_surgery), swept in zip(by_k.items(), evaluator.logits(order, list(by_k), variant)):
            path, explained = rows[criterion, variant, k], 0.0
            stored = [row for row in read_rows(path) if row.get("k") == str(k)]
            if len(stored) != 1:
                raise StudyError(f"{path} has {len(stored)} rows for K = {k} instead of one; {remedy(path)}")
            # A perturbation makes no smaller network that has a size.
            if (removal, k) not in sizes:
                sizes[removal, k] = {} if perturbation else size_of(model, layer, removed[k], removal, example)
            if np.abs(swept - by_surgery).max() > allowed_difference(tolerance, effect, by_surgery):
                explained = rounding_error(cut(variant, removed[k]), split, by_surgery, effect)
            method = PERTURBATION if perturbation else SURGERY
            names = {"criterion": criterion, "removal": removal, "repair": repair, "k": k, "verified_by": method}
            yield names | compare(
                stored[0], swept, by_surgery, evaluator.labels, tolerance, sizes[removal, k], task, effect, explained
            )


def compare(
    stored: Mapping[str, str],
    by_sweep: np.ndarray,
    by_surgery: np.ndarray,
    labels: np.ndarray,
    tolerance: float,
    size: Mapping[str, int],
    task: str = tasks.DEFAULT,
    effect: float = np.inf,
    explained: float = 0.0,
) -> dict[str, object]:
    """Compare a stored row and the sweep's logits with the logits of the pruned torch network, both (N, C).

    size: the parameters and MACs of the pruned torch network, empty if it has none. effect, explained: see
    `allowed_difference`. They agree if no logit differs by more than that, both networks predict the same, and the row
    is that of the torch network: its sizes are `size`, its counts and all metrics that follow from them are the same,
    and the other metrics differ by no more than the difference between the logits, and rounding on another processor,
    can change (see `bounds` of the task). There is one exception: if the largest logits of an input differ by at most a
    tenth of the allowed difference, or by what rounding explains, its prediction in the sweep or in the row may be
    another one of them. `rounding_flips` is the number of such inputs.
    """
    metrics, difference = tasks.metrics_of(task), float(np.abs(by_sweep - by_surgery).max())
    tolerance = allowed_difference(tolerance, effect, by_surgery, explained)
    # The row can come from a different processor than the logits of the sweep.
    elsewhere = min(tolerance, max(ROUNDING * float(np.abs(by_surgery).max()), explained))
    exact, allowed = metrics.counts(by_sweep.shape[1]), metrics.bounds(by_sweep, by_surgery, labels, elsewhere)
    names = (*exact, *allowed, *size)
    row = {name: float(stored[name]) if name in allowed else int(stored[name]) for name in names}
    margin = max(tolerance / 10, 2 * explained)
    nearest = _nearest(by_surgery, by_sweep, labels, margin, metrics, {name: row[name] for name in exact})
    cut, as_stored = ({**metrics.measure(logits, labels), **size} for logits in (by_surgery, nearest))
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
    logits: np.ndarray,
    by_sweep: np.ndarray,
    labels: np.ndarray,
    margin: float,
    task: tasks.Metrics,
    counts: Mapping[str, float],
) -> np.ndarray:
    """Return logits (N, C) whose counts are as near as possible to those of a row.

    Those that differ from the largest one of an input by at most `margin` may become the largest. The first try are the
    predictions of the sweep: where a network gives one answer for all inputs, biases are fitted until all logits tie.
    """

    def distance(of: np.ndarray) -> float:
        measured = task.measure(of, labels)
        return sum(abs(measured[name] - count) for name, count in counts.items())

    def predicting(before: np.ndarray, inputs: np.ndarray | int, classes: np.ndarray | int) -> np.ndarray:
        changed = before.copy()
        changed[inputs] = logits[inputs]
        changed[inputs, classes] = np.nextafter(largest[inputs], np.float32(np.inf))
        return changed

    largest, swept = logits.max(axis=1), predict(by_sweep)
    possible = logits >= largest[:, None] - margin
    others = np.flatnonzero((swept != predict(logits)) & possible[np.arange(len(swept)), swept])
    nearest = min(logits, predicting(logits, others, swept[others]), key=distance)
    for i, each in np.argwhere(possible & (possible.sum(axis=1) > 1)[:, None]).tolist():
        if not distance(nearest):
            break
        nearest = min(nearest, predicting(nearest, i, each), key=distance)
    return nearest


def allowed_difference(tolerance: float, effect: float, logits: np.ndarray, explained: float = 0.0) -> float:
    """Return the largest difference between logits that is accepted: the tolerance, or less if surgery changes less.

    effect: the largest change of a logit by the removals of this ranking that are checked. Where it is small, a wrong
    sweep could pass the tolerance. A hundredth of it is allowed, but not less than float32 can hold for logits (N, C)
    of this size. explained: the `rounding_error` of a network that amplifies rounding.
    """
    return max(explained, min(tolerance, max(SHARE * effect, ROUNDING * float(np.abs(logits).max()))))


@torch.inference_mode()
def rounding_error(model: nn.Module, split: Split, logits: np.ndarray, effect: float) -> float:
    """Return the difference between two float32 results that a network's rounding explains.

    It is TIMES the largest difference between its float32 logits (N, C) and its logits in float64. 0 if it cannot run
    in float64, or if the effect of the removals is not ten times as large: the comparison could not show a wrong sweep.
    """
    try:
        precise = copy.deepcopy(model).double()
        precise.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
        exact = all_logits(precise, split)
    # The network's code can raise anything, such as for a constant of float32.
    except Exception:
        return 0.0
    explained = TIMES * float(np.abs(exact - logits).max())
    return explained if np.isfinite(explained) and 10 * explained <= effect else 0.0


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
    measured = means_read(model, layer, validation, perturbation)
    ends = np.cumsum([mean.size for mean in measured])
    for own, mean in zip(np.split(stored.ravel(), ends[:-1]), measured):
        difference, largest = float(np.abs(own - mean.ravel()).max()), float(np.abs(mean).max())
        if not difference <= MEANS_ROUNDING * largest:
            raise StudyError(
                f"{path} does not hold the means of what the layers behind {layer} read on the validation inputs: one "
                f"differs by {difference:.3g} (allowed {MEANS_ROUNDING * largest:.3g}); {remedy(path)}"
            )


def require_all_agree(rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raise StudyError if a row does not agree. The message names its K, criterion, variant and all that differs."""
    listed = []
    for row in (row for row in rows if not row["agrees"]):
        names = [name.removesuffix("_sweep") for name in row if name.endswith("_sweep")]
        values = ((name, row[f"{name}_sweep"], row[f"{name}_surgery"]) for name in names)
        listed.append(
            f"K = {row['k']}, {row['criterion']}, {variant_of(row['removal'], row['repair'])}: logits differ by up to "
            f"{row['max_logit_difference']:.3g} (allowed {row['allowed_difference']:.3g})"
            + "".join(f", {name} {swept} against {cut}" for name, swept, cut in values if swept != cut)
        )
    if listed:
        raise StudyError(
            f"{where}: the sweep and the pruned torch network disagree "
            f"in {len(listed)} of {len(rows)} comparisons: {'; '.join(listed)}"
        )


def unproven(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each ranking and variant whose effect on the logits is not clearly larger than what is allowed.

    Its comparisons agree, but could not have shown an error of this size.
    """
    lines = (
        f"{row['criterion']}, {variant_of(row['removal'], row['repair'])}: the removal of channels changes no logit by "
        f"more than {row['surgery_effect']:.2g}, so the comparison says little"
        for row in rows
        if row["surgery_effect"] < 10 * row["allowed_difference"]
    )
    return list(dict.fromkeys(lines))
