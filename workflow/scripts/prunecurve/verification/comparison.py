"""Compare a row of the sweep and its logits with those of a network from which the channels were really removed."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.basic_metrics import predict
from prunecurve.data.batches import Split, all_logits

# The digits that are lost in a CSV file and in a sum in a different order.
EXACT = 1e-9
# The share of surgery's own effect that is accepted as a difference, and the rounding errors of float32 logits,
# relative to the largest one: sums of thousands of products in a different order.
SHARE, ROUNDING = 0.01, 2e-6
# The difference between two float32 results of a network that is accepted, in its measured rounding errors.
TIMES = 4


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
    can change (see `bounds` of the task).
    There is one exception for predictions. If the two largest logits of an input are almost equal, rounding can change
    its prediction. A prediction that changed, in the sweep or in the row, is accepted if the logits of both predictions
    differ by at most a tenth of the allowed difference, or what the error can change, and the input is counted in
    `rounding_flips`.
    """
    task_module, difference = tasks.load(task), float(np.abs(by_sweep - by_surgery).max())
    tolerance, explained = allowed_difference(tolerance, effect, by_surgery, error), accepted_error(error, effect)
    # The row can come from a different processor than the logits of the sweep.
    elsewhere = min(tolerance, max(ROUNDING * float(np.abs(by_surgery).max()), explained))
    exact, allowed = task_module.counts(by_sweep.shape[1]), task_module.bounds(by_sweep, by_surgery, labels, elsewhere)
    names = (*exact, *allowed, *size)
    row = {name: float(stored[name]) if name in allowed else int(stored[name]) for name in names}
    margin = max(tolerance / 10, 2 * explained)
    nearest = _nearest(by_surgery, labels, margin, task_module, {name: row[name] for name in exact})
    cut, as_stored = ({**task_module.measure(logits, labels), **size} for logits in (by_surgery, nearest))
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
    logits: np.ndarray, labels: np.ndarray, margin: float, task: tasks.Task, counts: Mapping[str, float]
) -> np.ndarray:
    """Return logits (N, C) whose counts are as near as possible to those of a row.

    Where the two largest logits of an input differ by at most `margin`, the second one may become the largest.
    """

    def distance(of: np.ndarray) -> float:
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

    0 if it cannot run in float64.
    """
    try:
        precise = copy.deepcopy(model).double()
        precise.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
        exact = all_logits(precise, split)
    # The network's code can raise anything, such as for a constant of float32.
    except Exception:
        return 0.0
    return float(np.abs(exact - logits).max())
