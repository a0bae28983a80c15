"""How many channels to remove from each layer, so that the network meets a budget at the least predicted loss.

The predicted loss of a plan is the sum of the losses that the removals in single layers cause on the validation inputs.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.plan.costs import Costs

# Losses that agree in this many decimal places are equal: sums of floats differ in the last ones.
DIGITS = 9
# Two sums of losses that differ by less are equal.
EXACT = 1e-12
# The search tries the prices from 10^−DECADES to 10^DECADES times (loss / cost) of the whole network.
DECADES, PER_DECADE = 3, 40
# The descent at one price visits each layer at most this often.
SWEEPS = 20
# The keys of the config for a budget.
BUDGETS = ("macs", "params", "tolerance")
# The metrics that are predicted from single layers, and whether a loss raises or lowers them.
PREDICTED = {"balanced_accuracy": -1, "log_loss": 1}


class Curve(NamedTuple):
    """The predicted loss of one layer. ks: int64 (n,), ascending, the first is 0. losses: float64 (n,), from 0 on."""

    ks: np.ndarray
    losses: np.ndarray

    @classmethod
    def of(cls, ks: Sequence[int], losses: Sequence[float]) -> "Curve":
        """Return the curve of the values of a loss at each K, minus that at K = 0.

        The loss at K is the largest one up to K: noise must not make the removal of channels look free.
        """
        order = np.argsort(ks)
        ascending, values = np.asarray(ks, np.int64)[order], np.asarray(losses, np.float64)[order]
        if len(ascending) == 0 or ascending[0] != 0:
            raise ValueError("a curve begins with the unpruned network, K = 0")
        return cls(ascending, np.maximum.accumulate(values - values[0]))

    def at(self, k: int) -> float:
        """Return the loss at any K, between two evaluated ones on the line; NaN beyond the last one."""
        return float(np.interp(k, self.ks, self.losses, right=np.nan))


def curves_of(rows: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, dict[str, Curve]]:
    """Return the curve of each layer for each metric of PREDICTED, from the rows of its evaluations, one per K."""
    ks = {layer: [int(row["k"]) for row in each] for layer, each in rows.items()}
    return {
        metric: {layer: Curve.of(ks[layer], [sign * float(row[metric]) for row in rows[layer]]) for layer in rows}
        for metric, sign in PREDICTED.items()
    }


def predicted_loss(curves: Mapping[str, Curve], ks: Mapping[str, int]) -> float:
    """Return the sum of the losses of all layers."""
    return sum(curves[layer].at(k) for layer, k in ks.items())


def priced(curves: Mapping[str, Curve], costs: Costs, size: str) -> list[dict[str, int]]:
    """Return different choices of K of all layers, from the largest evaluated K of each layer to none removed.

    For each of several prices λ of a parameter or MAC, K minimises predicted loss + λ · cost in one layer after the
    other, until nothing changes (a Lagrangian relaxation by coordinate descent).
    """
    scale = sum(curve.losses[-1] for curve in curves.values()) / costs.total(size)
    unpruned, last = dict.fromkeys(curves, 0), {layer: int(curve.ks[-1]) for layer, curve in curves.items()}
    choices = {tuple(ks.values()): ks for ks in (unpruned, last)}
    for price in scale * np.logspace(-DECADES, DECADES, 2 * DECADES * PER_DECADE + 1):
        ks = dict(unpruned)
        for _ in range(SWEEPS):
            before = dict(ks)
            for layer, curve in curves.items():
                value = curve.losses + price * costs.change(size, ks, layer, curve.ks)
                ks[layer] = int(curve.ks[value.argmin()])
            if ks == before:
                break
        choices.setdefault(tuple(ks.values()), ks)
    return list(choices.values())


def improved(
    curves: Mapping[str, Curve],
    costs: Costs,
    size: str,
    ks: Mapping[str, int],
    limits: tuple[float, float],
    rank: Callable[[float, int], tuple[float, float]],
) -> dict[str, int]:
    """Return K of each layer after the best change of K in a single layer, repeated until none is an improvement.

    limits: the largest allowed predicted loss and cost. rank: a function of what a change adds to both. The change of
    the lowest rank is the best, and an improvement if its rank is below that of no change.
    """
    ks = dict(ks)
    while True:
        loss_left, cost_left = limits[0] - predicted_loss(curves, ks), limits[1] - costs.total(size, ks)
        changes = [
            (rank(float(loss), int(cost)), layer, int(k))
            for layer, curve in curves.items()
            for k, loss, cost in zip(
                curve.ks, curve.losses - curve.at(ks[layer]), costs.change(size, ks, layer, curve.ks)
            )
            if loss <= loss_left and cost <= cost_left
        ]
        best, layer, k = min(changes, key=itemgetter(0))
        if best >= rank(0, 0):
            return ks
        ks[layer] = k


def for_budget(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer, so that the network has at most this size: the choice with the least predicted loss.

    curves: of all layers of the costs, in the order of the network. size: params or macs; most: their number, which the
    network with the largest evaluated K of each layer must meet. From the choices of `priced`, channels are restored as
    far as the budget leaves room, where this saves the most loss; of equal steps the largest is taken.
    """
    limits = np.inf, most
    meeting = [ks for ks in priced(curves, costs, size) if costs.total(size, ks) <= most]
    choices = [
        improved(curves, costs, size, ks, limits, lambda loss, cost: (round(loss, DIGITS), -cost)) for ks in meeting
    ]
    return min(choices, key=lambda ks: round(predicted_loss(curves, ks), DIGITS))


def for_tolerance(curves: Mapping[str, Curve], costs: Costs, tolerance: float) -> dict[str, int]:
    """Return K of each layer with the fewest MACs whose predicted loss is at most `tolerance`.

    From the choices of `priced`, further channels are removed where this frees the most MACs; of equal steps, where it
    costs the least loss.
    """
    limits = tolerance + EXACT, np.inf
    meeting = [ks for ks in priced(curves, costs, "macs") if predicted_loss(curves, ks) <= limits[0]]
    choices = [improved(curves, costs, "macs", ks, limits, lambda loss, cost: (cost, loss)) for ks in meeting]
    return min(choices, key=lambda ks: costs.total("macs", ks))


def uniform(costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer for the smallest share of removed channels, the same in every layer, that meets a budget.

    K is the largest number of channels within this share; at least one channel stays.
    """

    def at(share: Fraction) -> dict[str, int]:
        return {layer: int(share * channels) for layer, channels in costs.channels.items()}

    shares = sorted({Fraction(k, channels) for channels in costs.channels.values() for k in range(channels)})
    return at(shares[bisect_left(shares, True, hi=len(shares) - 1, key=lambda s: costs.total(size, at(s)) <= most)])


def most_of(costs: Costs, size: str, share: float, largest: Mapping[str, int]) -> int:
    """Return the largest allowed number of params or macs, for a share of those of the unpruned network.

    largest: the largest evaluated K of each layer. Raises StudyError, which names the key and the smallest share that
    can be reached, if the budget cannot be met.
    """
    whole, least = costs.total(size), costs.total(size, largest)
    most = int(share * whole * (1 + EXACT))
    if least > most:
        # Rounded up, so that it can be given.
        reachable = -(-least * 10_000 // whole) / 10_000
        raise StudyError(
            f"plan.{size}: {share} cannot be met: the network without the largest evaluated K of every layer has "
            f"{reachable} of its {size}; allowed: at least {reachable}"
        )
    return most


def choose(
    curves: Mapping[str, Mapping[str, Curve]], costs: Costs, budget: str, value: float
) -> dict[str, dict[str, int]]:
    """Return K of each layer for the methods `plan` and `uniform`.

    curves: of `curves_of`. budget, value: one of BUDGETS, and the value of its key. A budget is met at the least log
    loss. Balanced accuracy would not do: once it is that of a constant answer, it falls no further, and the removal of
    more channels of that layer would seem to cost nothing. A tolerance is one of balanced accuracy; uniform ratios then
    get the MACs of the plan.
    """
    if budget == "tolerance":
        plan = for_tolerance(curves["balanced_accuracy"], costs, value)
        return {"plan": plan, "uniform": uniform(costs, "macs", costs.total("macs", plan))}
    losses = curves["log_loss"]
    most = most_of(costs, budget, value, {layer: int(curve.ks[-1]) for layer, curve in losses.items()})
    return {"plan": for_budget(losses, costs, budget, most), "uniform": uniform(costs, budget, most)}
