"""Networks without channels of all layers at once: a plan, uniform ratios and random orders, run from the images.

Torch-Pruning makes the smaller networks, and their layers are refitted. Their size must be the one that the plan was
chosen for.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from prunecurve.data import tasks
from prunecurve.data.batches import Split, all_logits
from prunecurve.plan.choice import PREDICTED
from prunecurve.plan.cost_model import require_counted
from prunecurve.plan.costs import SIZES, Costs
from prunecurve.repair.networks import Repairs
from prunecurve.seeding import stream
from prunecurve.verification.surgery import parameters_and_macs


def planned_rows(
    repairs: Repairs,
    split: Split,
    costs: Costs,
    choice: Sequence[Mapping[str, str]],
    orders: Mapping[str, np.ndarray],
    *,
    repair: str,
    criterion: str,
    seed: int,
    draws: int,
    task: str = tasks.DEFAULT,
    batch_size: int = 250,
) -> Iterator[dict[str, object]]:
    """Yield one row per network and repair, with its size and the metrics of the task.

    The networks are the unpruned one, that of each method of `choice`, the rows of choose_plan, and `draws` with random
    orders and the same K; each as it is, and with the repair. orders: the ranking (P,) of each layer by the criterion.
    seed: of the random orders, which are the same for all methods.

    predicted_balanced_accuracy is that of the unpruned network with the repair, on the same inputs, minus the predicted
    loss, and predicted_log_loss the one plus it; NaN for random orders, and as it is if there is a repair. The size is
    without the biases that a refit adds to layers that have none. Raises StudyError if it is not the predicted one.
    """
    example, whole = next(split.batches(1))[0], costs.both()
    methods = list(dict.fromkeys(row["method"] for row in choice))
    networks = [("unpruned", 0), *((method, 0) for method in methods)]
    networks += [(method, draw) for method in methods for draw in range(1, draws + 1)]
    unpruned: Mapping[str, float] = {}
    for method, draw in networks:
        layers = [row for row in choice if row["method"] == method]
        ks = {row["layer"]: int(row["k"]) for row in layers}
        removed = {layer: np.sort(_order(orders, layer, seed, draw)[:k]) for layer, k in ks.items()}
        smaller = {each: repairs.smaller(removed, each) for each in dict.fromkeys(["none", repair])}
        size = parameters_and_macs(smaller["none"], example)
        name = f"{method}_random" if draw else method
        require_counted(costs, ks, size, name)
        # The losses of layers are added.
        losses = {each: sum(float(row[f"{each}_cost"]) for row in layers) for each in PREDICTED}
        for each, network in smaller.items():
            metrics = tasks.metrics_of(task).measure(all_logits(network, split, batch_size), split.labels.numpy())
            unpruned = metrics if method == "unpruned" else unpruned
            has_prediction = each == repair and not draw
            yield {
                "method": name,
                "repair": each,
                "draw": draw,
                "criterion": "random" if draw else criterion,
                **size,
                **{f"{kind}_share": size[kind] / whole[kind] for kind in SIZES},
                **{
                    f"predicted_{metric}": unpruned[metric] + sign * losses[metric] if has_prediction else np.nan
                    for metric, sign in PREDICTED.items()
                },
                **metrics,
            }


def _order(orders: Mapping[str, np.ndarray], layer: str, seed: int, draw: int) -> np.ndarray:
    """Return the order in which the channels of a layer are removed: at random in the draws 1, 2, …"""
    return stream(seed, f"plan/random-{draw}/{layer}").permutation(len(orders[layer])) if draw else orders[layer]
