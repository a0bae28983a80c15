"""Orders of removal that need evaluations of networks: greedy searches, and Shapley values from random orders."""

import importlib
import logging
from typing import Any

import numpy as np

from prunecurve.ranking.validation_set import ValidationSet

log = logging.getLogger("prunecurve")

# Random orders per round of sampling (their reverses are added), and the fewest rounds that give a standard error.
ROUND, FEWEST = 4, 8


def losses_of(validation: ValidationSet) -> Any:
    """Return the losses of the pruned layer: by sums over channels (numpy_losses), else by passes (torch_losses).

    Both have the methods of `numpy_losses.Losses`. The module is imported by name, so that the code digest of a ranking
    contains only the one that it uses.
    """
    module = importlib.import_module(f"prunecurve.ranking.{validation.layer.backend}_losses")
    return module.Losses(validation)


def backward(losses: Any) -> list[int]:
    """Return all channels in the order of greedy removal.

    Each step removes the channel whose removal gives the lowest loss; ties are resolved by channel number. Needs
    P (P + 1) / 2 − 1 evaluations.
    """
    order = []
    while len(losses.left) > 1:
        order.append(losses.left[int(np.argmin(losses.changed(losses.left)))])
        losses.change(order[-1])
    return [*order, *losses.left]


def forward(losses: Any, channels: list[int]) -> list[int]:
    """Return these channels, which must all be removed, in the order of greedy addition.

    Each step restores the channel that gives the lowest loss.
    """
    waiting, order = sorted(channels), []
    while waiting:
        order.append(waiting.pop(int(np.argmin(losses.changed(waiting)))))
        losses.change(order[-1])
    return order


def backward_forward(validation: ValidationSet) -> np.ndarray:
    """Return the greedy order (P,) with its last channels, which are removed last, reordered by greedy addition.

    Greedy removal chooses the last channels while many others are still present. Candidates are the greedy order and
    those with its last half, quarter, eighth or sixteenth reordered. The function returns the candidate with the lowest
    mean loss over all K, so its mean loss is never higher than that of the greedy order.
    """
    losses = losses_of(validation)
    removed = backward(losses)
    candidates = [removed]
    losses.change(removed[-1])
    for part in (2, 4, 8, 16):
        first, last = removed[: -len(removed) // part], removed[-len(removed) // part :]
        candidates.append(first + forward(losses, last)[::-1])
        for channel in last:
            losses.change(channel)
    means = losses.along(np.array(candidates))[:, :-1].mean(axis=1)
    best = int(np.argmin(means))
    listed = ", ".join(f"{mean:.6g}" for mean in means)
    log.info("mean loss over K of the candidates: %s; candidate %d is used", listed, best + 1)
    return np.array(candidates[best])


def shapley(
    validation: ValidationSet, rng: np.random.Generator, permutations: int, pairs: int, relative_error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate each channel's Shapley value: the mean increase of the loss when it is removed, over random orders.

    Returns the values (P,) in nats and their standard errors (P,). Each round draws ROUND orders, uses each with its
    reverse (which lowers the variance), and evaluates them on `pairs` newly drawn inputs. The standard error is
    computed over rounds, which are independent. Sampling stops when the standard error, averaged over channels, is at
    most `relative_error` times the standard deviation of the values, but not before FEWEST rounds, or after at most
    `permutations` orders.
    """
    rounds: list[np.ndarray] = []
    while True:
        drawn = [rng.permutation(validation.layer.channels) for _ in range(ROUND)]
        orders = np.array([each for order in drawn for each in (order, order[::-1])])
        rises = np.empty(orders.shape)
        losses = losses_of(validation.drawn(pairs, rng)).along(orders)
        np.put_along_axis(rises, orders, np.diff(losses, axis=1), axis=1)
        rounds.append(rises.mean(axis=0))
        if len(rounds) < FEWEST:
            continue
        values, count = np.mean(rounds, axis=0), len(rounds) * len(orders)
        error = np.std(rounds, axis=0, ddof=1) / np.sqrt(len(rounds))
        reached = float(error.mean() / (values.std() or 1.0))
        if reached <= relative_error or count + len(orders) > permutations:
            break
    outcome = "reached" if reached <= relative_error else "not reached (raise ranking.shapley_permutations)"
    text = "%d orders: mean standard error / standard deviation of the values = %.3f; the goal %g is %s"
    log.info(text, count, reached, relative_error, outcome)
    return values, error
