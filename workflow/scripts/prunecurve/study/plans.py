"""How many channels of each layer a network loses, so that it meets a budget at the least predicted loss.

The prediction for several layers is the sum of what the removals in single layers cost on the validation inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.network.costs import Costs

# Ratios of losses and costs that agree in this many digits are equal: sums of floats differ in the last ones.
DIGITS = 9
# Two sums of losses that differ by less are equal.
EXACT = 1e-12


# The keys of the config for a budget.
BUDGETS = ("macs", "params", "tolerance")


class Curve(NamedTuple):
    """The predicted loss of one layer. ks: int64 (n,), ascending, the first is 0. losses: float64 (n,), from 0 on."""

    ks: np.ndarray
    losses: np.ndarray

    @classmethod
    def of(cls, ks: Sequence[int], values: Sequence[float]) -> "Curve":
        """Return the curve of a metric that is high for a good network, given its value at each K.

        The loss at K is the largest one up to K: noise must not make the removal of channels look free.
        """
        order = np.argsort(ks)
        sorted_ks, sorted_values = np.asarray(ks, np.int64)[order], np.asarray(values, np.float64)[order]
        if len(ks) == 0 or sorted_ks[0] != 0:
            raise ValueError("a curve begins with the unpruned network, K = 0")
        return cls(sorted_ks, np.maximum.accumulate(sorted_values[0] - sorted_values))

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, str]], metric: str = "balanced_accuracy") -> "Curve":
        """Return the curve of the rows of an evaluation, one per K."""
        return cls.of([int(row["k"]) for row in rows], [float(row[metric]) for row in rows])

    def at(self, k: int) -> float:
        """Return the loss at any K, between two evaluated ones on the line; NaN beyond the last one."""
        return float(np.interp(k, self.ks, self.losses, right=np.nan))


def predicted_loss(curves: Mapping[str, Curve], ks: Mapping[str, int]) -> float:
    """Return the sum of the losses of all layers."""
    return sum(curves[layer].at(k) for layer, k in ks.items())


class _Step(NamedTuple):
    """Another K of a layer. loss: what it adds to the predicted loss. freed: parameters or MACs that it removes."""

    layer: str
    k: int
    loss: float
    freed: int


def _steps(curves: Mapping[str, Curve], costs: Costs, size: str, ks: Mapping[str, int]) -> Iterator[_Step]:
    """Yield all changes of the K of one layer to another evaluated one, in the order of the network."""
    total = costs.total(size, ks)
    for layer, curve in curves.items():
        here = curve.at(ks[layer])
        for k, loss, cost in zip(curve.ks, curve.losses, costs.along(size, ks, layer, curve.ks)):
            if k != ks[layer]:
                yield _Step(layer, int(k), float(loss - here), int(total - cost))


def _cheapest(steps: Iterator[_Step], costs: Costs) -> _Step | None:
    """Return the step that frees the most for its loss; of equal ones that to the smallest share, then the first."""

    def rank(step: _Step) -> tuple[float, float]:
        return float(f"{step.loss / step.freed:.{DIGITS}g}"), step.k / costs.channels[step.layer]

    return min((step for step in steps if step.freed > 0), key=rank, default=None)


def for_budget(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer, so that the network has at most this size, by `greedy` and `refined`.

    curves: of all layers of the costs, in the order of the network. size: params or macs; most: their number.
    """
    return refined(curves, costs, size, most, greedy(curves, costs, size, most))


def greedy(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer by the cheapest steps, until the network has at most this size; see `for_budget`.

    Each step goes to any larger evaluated K of one layer, so that it can pass a stair of the curve.
    """
    ks = dict.fromkeys(curves, 0)
    while costs.total(size, ks) > most:
        step = _cheapest((s for s in _steps(curves, costs, size, ks) if s.k > ks[s.layer]), costs)
        if step is None:
            raise ValueError("the budget can't be met")
        ks[step.layer] = step.k
    return ks


def refined(curves: Mapping[str, Curve], costs: Costs, size: str, most: int, ks: Mapping[str, int]) -> dict[str, int]:
    """Return K of each layer that is better than the given one: channels that the budget leaves room for come back.

    One after the other, the step back that saves the most predicted loss is taken; of equal ones the largest.
    """
    ks = dict(ks)
    while True:
        room = most - costs.total(size, ks)
        back = [s for s in _steps(curves, costs, size, ks) if s.k < ks[s.layer] and -s.freed <= room]
        if not back:
            return ks
        step = min(back, key=lambda s: (round(s.loss, DIGITS), s.freed))
        ks[step.layer] = step.k


def for_tolerance(curves: Mapping[str, Curve], costs: Costs, tolerance: float) -> dict[str, int]:
    """Return K of each layer by the cheapest steps per MAC, as long as the predicted loss is at most `tolerance`."""
    ks = dict.fromkeys(curves, 0)
    while True:
        room = tolerance - predicted_loss(curves, ks) + EXACT
        steps = (s for s in _steps(curves, costs, "macs", ks) if s.k > ks[s.layer] and s.loss <= room)
        step = _cheapest(steps, costs)
        if step is None:
            return ks
        ks[step.layer] = step.k


def uniform(costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer for the smallest share of removed channels, the same in every layer, that meets a budget.

    K is the largest number of channels within this share; at least one channel stays.
    """
    shares = sorted({Fraction(k, channels) for channels in costs.channels.values() for k in range(channels)})
    low, high = 0, len(shares) - 1
    while low < high:
        middle = (low + high) // 2
        met = costs.total(size, _at_share(costs, shares[middle])) <= most
        low, high = (low, middle) if met else (middle + 1, high)
    return _at_share(costs, shares[low])


def _at_share(costs: Costs, share: Fraction) -> dict[str, int]:
    return {layer: min(int(share * channels), channels - 1) for layer, channels in costs.channels.items()}


def most_of(costs: Costs, size: str, share: float, largest: Mapping[str, int]) -> int:
    """Return the largest allowed number of params or macs, for a share of those of the unpruned network.

    largest: the largest evaluated K of each layer. Raises StudyError, which names the key and the smallest share that
    can be reached, if the budget can't be met.
    """
    whole, least = costs.total(size), costs.total(size, largest)
    most = int(share * whole * (1 + EXACT))
    if least > most:
        # Rounded up, so that it can be given.
        reachable = -(-least * 10_000 // whole) / 10_000
        raise StudyError(
            f"plan.{size}: {share} can't be met: the network without the largest evaluated K of every layer has "
            f"{reachable} of its {size}; allowed: at least {reachable}"
        )
    return most


def choose(curves: Mapping[str, Curve], costs: Costs, budget: str, value: float) -> dict[str, dict[str, int]]:
    """Return K of each layer for the methods `plan` and `uniform`.

    budget, value: one of BUDGETS, and the value of its key. With a tolerance, uniform ratios get the MACs of the plan.
    """
    if budget == "tolerance":
        plan = for_tolerance(curves, costs, value)
        return {"plan": plan, "uniform": uniform(costs, "macs", costs.total("macs", plan))}
    most = most_of(costs, budget, value, {layer: int(curve.ks[-1]) for layer, curve in curves.items()})
    return {"plan": for_budget(curves, costs, budget, most), "uniform": uniform(costs, budget, most)}
