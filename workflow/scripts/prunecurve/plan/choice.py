"""How many channels of each layer a network loses, so that it meets a budget at the least predicted loss.

The prediction for several layers is the sum of what the removals in single layers cost on the validation inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.plan.costs import Costs

# Ratios of losses and costs that agree in this many digits are equal: sums of floats differ in the last ones.
DIGITS = 9
# Two sums of losses that differ by less are equal.
EXACT = 1e-12


# Prices from 10^−PRICES to 10^PRICES times the loss of everything per cost of everything are tried, 10 per decade.
PRICES = 3
# In one price's descent, each layer is visited at most so often.
SWEEPS = 20
# The keys of the config for a budget.
BUDGETS = ("macs", "params", "tolerance")


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
        known, values = np.asarray(ks, np.int64)[order], np.asarray(losses, np.float64)[order]
        if len(known) == 0 or known[0] != 0:
            raise ValueError("a curve begins with the unpruned network, K = 0")
        return cls(known, np.maximum.accumulate(values - values[0]))

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
    for layer, curve in curves.items():
        here = curve.at(ks[layer])
        for k, loss, added in zip(curve.ks, curve.losses, costs.change(size, ks, layer, curve.ks)):
            if k != ks[layer]:
                yield _Step(layer, int(k), float(loss - here), -int(added))


def _cheapest(steps: Iterator[_Step], costs: Costs) -> _Step | None:
    """Return the step that frees the most for its loss; of equal ones that to the smallest share, then the first."""

    def rank(step: _Step) -> tuple[float, float]:
        return float(f"{step.loss / step.freed:.{DIGITS}g}"), step.k / costs.channels[step.layer]

    return min((step for step in steps if step.freed > 0), key=rank, default=None)


def for_budget(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer, so that the network has at most this size: the best by predicted loss of several.

    These are the result of the cheapest steps (`greedy`) and of a price per parameter or MAC (`priced`), each without
    the channels that the budget leaves room for (`refined`). Of equal ones the first counts. curves: of all layers of
    the costs, in the order of the network. size: params or macs; most: their number.
    """
    found = [greedy(curves, costs, size, most), *priced(curves, costs, size, most)]
    best = [refined(curves, costs, size, most, ks) for ks in found]
    return min(best, key=lambda ks: round(predicted_loss(curves, ks), DIGITS))


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


def priced(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> list[dict[str, int]]:
    """Return different K of all layers that meet a budget, one for each of several prices λ of a parameter or MAC.

    For each price, K minimises predicted loss + λ · cost in one layer after the other, until nothing changes (a
    Lagrangian relaxation by coordinate descent).
    """
    scale = sum(curve.losses[-1] for curve in curves.values()) / costs.total(size)
    found: dict[tuple[int, ...], dict[str, int]] = {}
    for price in scale * np.logspace(-PRICES, PRICES, 20 * PRICES + 1):
        ks = dict.fromkeys(curves, 0)
        for _ in range(SWEEPS):
            before = dict(ks)
            for layer, curve in curves.items():
                value = curve.losses + price * costs.change(size, ks, layer, curve.ks)
                ks[layer] = int(curve.ks[value.argmin()])
            if ks == before:
                break
        if costs.total(size, ks) <= most:
            found.setdefault(tuple(ks.values()), ks)
    return list(found.values())


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


class Curves(NamedTuple):
    """The curves of all layers: of the loss of balanced accuracy, and of the increase of the log loss (in nats)."""

    balanced_accuracy: Mapping[str, Curve]
    log_loss: Mapping[str, Curve]

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[Mapping[str, str]]]) -> "Curves":
        """Return the curves, given the rows of the evaluations of each layer, one per K."""
        values = {
            layer: [(int(row["k"]), -float(row["balanced_accuracy"]), float(row["log_loss"])) for row in of_layer]
            for layer, of_layer in rows.items()
        }
        columns = {layer: list(zip(*of_layer)) for layer, of_layer in values.items()}
        return cls(*({layer: Curve.of(each[0], each[i]) for layer, each in columns.items()} for i in (1, 2)))


def choose(curves: Curves, costs: Costs, budget: str, value: float) -> dict[str, dict[str, int]]:
    """Return K of each layer for the methods `plan` and `uniform`.

    budget, value: one of BUDGETS, and the value of its key. A budget is met at the least log loss: balanced accuracy
    ends at that of a constant answer, from where on removing all other channels of a layer would look free. A tolerance
    is one of balanced accuracy; uniform ratios then get the MACs of the plan.
    """
    if budget == "tolerance":
        plan = for_tolerance(curves.balanced_accuracy, costs, value)
        return {"plan": plan, "uniform": uniform(costs, "macs", costs.total("macs", plan))}
    most = most_of(costs, budget, value, {layer: int(curve.ks[-1]) for layer, curve in curves.log_loss.items()})
    return {"plan": for_budget(curves.log_loss, costs, budget, most), "uniform": uniform(costs, budget, most)}
