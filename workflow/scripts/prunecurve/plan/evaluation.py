"""Networks without channels of all layers at once: a plan, uniform ratios and random orders, run from the images.

Torch-Pruning makes the smaller networks. Their size must be the one that the plan was chosen for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.batches import Split, all_logits
from prunecurve.plan.cost_model import require_counted
from prunecurve.plan.costs import SIZES, Costs
from prunecurve.seeding import stream
from prunecurve.verification.surgery import parameters_and_macs, structural

UNPRUNED, RANDOM = "unpruned", "random"
# The metrics that are predicted from single layers, and whether a loss lowers them.
PREDICTED = {"balanced_accuracy": -1, "log_loss": 1}


class Chosen(NamedTuple):
    """The choice of a method. ks: K of each layer. losses: those that are predicted, by the name of the metric."""

    ks: Mapping[str, int]
    losses: Mapping[str, float]


def chosen_by(rows: Iterable[Mapping[str, str]]) -> dict[str, Chosen]:
    """Return the choice of each method (plan, uniform) from the rows of choose_plan; losses of layers are added."""
    rows_by_method: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        rows_by_method.setdefault(row["method"], []).append(row)
    return {
        method: Chosen(
            {row["layer"]: int(row["k"]) for row in layers},
            {metric: sum(float(row[f"{metric}_cost"]) for row in layers) for metric in PREDICTED},
        )
        for method, layers in rows_by_method.items()
    }


class Planned(NamedTuple):
    """One network. draw: the number of a random order, 0 for others. removed: channel numbers of each layer. losses:
    as in `Chosen`."""

    method: str
    draw: int
    criterion: str
    removed: Mapping[str, np.ndarray]
    losses: Mapping[str, float]


def planned_networks(
    chosen: Mapping[str, Chosen], orders: Mapping[str, np.ndarray], criterion: str, seed: int, draws: int
) -> Iterator[Planned]:
    """Yield the unpruned network, that of each method, and `draws` with random orders and the same K.

    orders: the ranking (P,) of each layer by the criterion. seed: of the random orders, which are the same for all
    methods.
    """
    yield Planned(UNPRUNED, 0, criterion, {}, dict.fromkeys(PREDICTED, 0.0))
    for method, (ks, losses) in chosen.items():
        yield Planned(method, 0, criterion, {layer: orders[layer][:k] for layer, k in ks.items()}, losses)
    for method, (ks, _) in chosen.items():
        for draw in range(1, draws + 1):
            removed = {layer: _random(seed, draw, layer, len(orders[layer]))[:k] for layer, k in ks.items()}
            yield Planned(f"{method}_{RANDOM}", draw, RANDOM, removed, dict.fromkeys(PREDICTED, np.nan))


def _random(seed: int, draw: int, layer: str, channels: int) -> np.ndarray:
    return stream(seed, f"plan/{RANDOM}-{draw}/{layer}").permutation(channels)


def planned_rows(
    model: nn.Module,
    split: Split,
    costs: Costs,
    chosen: Mapping[str, Chosen],
    orders: Mapping[str, np.ndarray],
    criterion: str,
    seed: int,
    draws: int,
    task: str = tasks.DEFAULT,
    batch_size: int = 250,
) -> Iterator[dict[str, object]]:
    """Yield one row per network of `planned_networks`, with its size and the metrics of the task.

    predicted_balanced_accuracy is that of the unpruned network on the same inputs minus the predicted loss, and
    predicted_log_loss the one plus it; NaN for random orders. Raises StudyError if the size of a network is not the
    predicted one.
    """
    example, whole = next(split.batches(1))[0], costs.both()
    unpruned: Mapping[str, float] = {}
    for each in planned_networks(chosen, orders, criterion, seed, draws):
        small = structural(model, {layer: np.sort(channels) for layer, channels in each.removed.items()}, example)
        size = parameters_and_macs(small, example)
        require_counted(costs, {layer: len(channels) for layer, channels in each.removed.items()}, size, each.method)
        metrics = tasks.load(task).measure(all_logits(small, split, batch_size), split.labels.numpy())
        unpruned = unpruned or metrics
        yield {
            "method": each.method,
            "draw": each.draw,
            "criterion": each.criterion,
            **size,
            **{f"{name}_share": size[name] / whole[name] for name in SIZES},
            **{f"predicted_{name}": unpruned[name] + sign * each.losses[name] for name, sign in PREDICTED.items()},
            **metrics,
        }
