"""Networks that lose channels of all layers at once: a plan, uniform ratios and random orders, run from the images.

Torch-Pruning makes the smaller networks. Their size must be the one that the plan was chosen for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch import nn

from prunecurve.data import tasks
from prunecurve.data.batches import Split, all_logits
from prunecurve.network.cost_model import require_counted
from prunecurve.network.costs import SIZES, Costs
from prunecurve.seeding import stream
from prunecurve.verification.surgery import counted, structural_all

UNPRUNED, RANDOM = "unpruned", "random"


class Chosen(NamedTuple):
    """What a plan's file has about each method (plan, uniform).

    ks: K of each layer. losses: the predicted loss of balanced accuracy of all layers together.
    """

    ks: Mapping[str, Mapping[str, int]]
    losses: Mapping[str, float]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> "Chosen":
        """Return the content of the rows of choose_plan."""
        ks: dict[str, dict[str, int]] = {}
        losses: dict[str, float] = {}
        for row in rows:
            ks.setdefault(row["method"], {})[row["layer"]] = int(row["k"])
            losses[row["method"]] = losses.get(row["method"], 0.0) + float(row["predicted_loss"])
        return cls(ks, losses)


class Planned(NamedTuple):
    """One network. draw: the number of a random order, 0 for others. removed: channel numbers of each layer."""

    method: str
    draw: int
    criterion: str
    removed: Mapping[str, np.ndarray]
    loss: float


def networks(
    chosen: Chosen, orders: Mapping[str, np.ndarray], criterion: str, seed: int, draws: int
) -> Iterator[Planned]:
    """Yield the unpruned network, that of each method, and `draws` with random orders and the same K.

    orders: the ranking (P,) of each layer by the criterion. seed: of the random orders, which are the same for all
    methods.
    """
    yield Planned(UNPRUNED, 0, criterion, {}, 0.0)
    for method, ks in chosen.ks.items():
        removed = {layer: orders[layer][:k] for layer, k in ks.items()}
        yield Planned(method, 0, criterion, removed, chosen.losses[method])
    for method, ks in chosen.ks.items():
        for draw in range(1, draws + 1):
            removed = {layer: _random(seed, draw, layer, len(orders[layer]))[:k] for layer, k in ks.items()}
            yield Planned(f"{method}_{RANDOM}", draw, RANDOM, removed, np.nan)


def _random(seed: int, draw: int, layer: str, channels: int) -> np.ndarray:
    return stream(seed, f"plan/{RANDOM}-{draw}/{layer}").permutation(channels)


def planned_rows(
    model: nn.Module,
    split: Split,
    costs: Costs,
    chosen: Chosen,
    orders: Mapping[str, np.ndarray],
    criterion: str,
    seed: int,
    draws: int,
    task: str = tasks.DEFAULT,
    batch_size: int = 250,
) -> Iterator[dict[str, object]]:
    """Yield one row per network of `networks`, with its size and the metrics of the task.

    predicted_balanced_accuracy is that of the unpruned network on the same inputs minus the predicted loss; NaN for
    random orders. Raises StudyError if a network has not the predicted size.
    """
    example, whole, unpruned = next(split.batches(1))[0], costs.both(), None
    for each in networks(chosen, orders, criterion, seed, draws):
        small = structural_all(model, {layer: np.sort(channels) for layer, channels in each.removed.items()}, example)
        size = counted(small, example)
        require_counted(costs, {layer: len(channels) for layer, channels in each.removed.items()}, size, each.method)
        metrics = tasks.load(task).measure(all_logits(small, split, batch_size), split.labels.numpy())
        unpruned = metrics["balanced_accuracy"] if unpruned is None else unpruned
        yield {
            "method": each.method,
            "draw": each.draw,
            "criterion": each.criterion,
            **size,
            **{f"{name}_share": size[name] / whole[name] for name in SIZES},
            "predicted_balanced_accuracy": max(unpruned - each.loss, 0.0) if each.loss == each.loss else np.nan,
            **metrics,
        }
