"""Orders of removal found by evaluating networks: of greedy searches, and values by many random orders."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from prunecurve.examples import Examples

if TYPE_CHECKING:
    from prunecurve.losses import Losses
    from prunecurve.tail import TailLosses

log = logging.getLogger("prunecurve")

# Orders, beside their reverses, in a round of sampling, and how many rounds tell something of the standard error.
ROUND, FEWEST = 4, 8


def losses_of(examples: Examples) -> "Losses | TailLosses":
    """The losses of networks without some channels: by sums where linear layers follow, else in torch."""
    if examples.in_last:
        from prunecurve.losses import Losses

        return Losses(examples)
    from prunecurve.tail import TailLosses

    return TailLosses(examples)


def backward(losses: "Losses | TailLosses") -> list[int]:
    """All channels in the order of greedy removal: always the one without which the loss is lowest.

    Ties go by channel number. P (P + 1) / 2 − 1 evaluations.
    """
    order = []
    while len(losses.left) > 1:
        order.append(losses.left[int(np.argmin(losses.without_each()))])
        losses.remove(order[-1])
    return [*order, *losses.left]


def forward(losses: "Losses | TailLosses", channels: list[int]) -> list[int]:
    """These channels, all of them removed before, in the order of greedy addition: always the one that helps most."""
    waiting, order = sorted(channels), []
    while waiting:
        order.append(waiting[int(np.argmin(losses.with_each(waiting)))])
        waiting.remove(order[-1])
        losses.restore(order[-1])
    return order


def backward_forward(examples: Examples) -> np.ndarray:
    """Greedy's order (P,) with its last channels, those that stay longest, ordered anew by greedy addition.

    Greedy removal chooses the last few by what many others made of them. How many are ordered anew, from none to
    half of all, is what gives the lowest mean loss over all K: never a higher one than greedy's.
    """
    with losses_of(examples) as losses:
        removed = backward(losses)
        candidates = [removed]
        losses.remove(removed[-1])
        for part in (2, 4, 8, 16):
            first, last = removed[: -len(removed) // part], removed[-len(removed) // part :]
            candidates.append(first + forward(losses, last)[::-1])
            for channel in last:
                losses.remove(channel)
        means = losses.along(np.array(candidates))[:, :-1].mean(axis=1)
    best = int(np.argmin(means))
    log.info("mean loss over K: %s; taken is number %d", ", ".join(f"{mean:.6g}" for mean in means), best + 1)
    return np.array(candidates[best])


def shapley(
    examples: Examples, rng: np.random.Generator, permutations: int, pairs: int, relative_error: float
) -> tuple[np.ndarray, np.ndarray]:
    """How much the loss rises when a channel is removed, in the mean over random orders, and its standard error (P,).

    A round takes ROUND orders, each with its reverse (which lowers the variance), and some of the pairs, drawn anew.
    The standard error is over rounds, which are independent. Stops when its mean over channels is at most
    `relative_error` of the standard deviation of the values, but not before FEWEST rounds, or at `permutations` orders.
    """
    rounds: list[np.ndarray] = []
    channels = examples.features.shape[1]
    while True:
        drawn = [rng.permutation(channels) for _ in range(ROUND)]
        orders = np.array([each for order in drawn for each in (order, order[::-1])])
        rises = np.empty(orders.shape)
        with losses_of(examples.drawn(pairs, rng)) as losses:
            np.put_along_axis(rises, orders, np.diff(losses.along(orders), axis=1), axis=1)
        rounds.append(rises.mean(axis=0))
        count = len(rounds) * len(orders)
        if len(rounds) < FEWEST:
            continue
        values = np.mean(rounds, axis=0)
        error = np.std(rounds, axis=0, ddof=1) / np.sqrt(len(rounds))
        reached = float(error.mean() / (values.std() or 1.0))
        if reached <= relative_error or count + len(orders) > permutations:
            told = "is reached" if reached <= relative_error else "is not (ranking.shapley_permutations)"
            log.info("%d orders, standard error %.3f of the spread; %g %s", count, reached, relative_error, told)
            return values, error
