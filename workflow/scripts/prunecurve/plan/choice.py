"""How many channels to remove from each layer, so that the network meets a budget at the least predicted loss.

The predicted loss of a plan is the sum of the losses that the removals in single layers cause on the validation inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
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


class _Step(NamedTuple):
    """Another K of a layer. loss: what it adds to the predicted loss. freed: parameters or MACs that it removes."""

    layer: str
    k: int
    loss: float
    freed: int


def _steps(curves: Mapping[str, Curve], costs: Costs, size: str, ks: Mapping[str, int]) -> Iterator[_Step]:
    """Yield all changes of the K of one layer to a different evaluated one, in the order of the network."""
    for layer, curve in curves.items():
        here = curve.at(ks[layer])
        for k, loss, added in zip(curve.ks, curve.losses, costs.change(size, ks, layer, curve.ks)):
            if k != ks[layer]:
                yield _Step(layer, int(k), float(loss - here), -int(added))


def restored(curves: Mapping[str, Curve], costs: Costs, size: str, most: int, ks: Mapping[str, int]) -> dict[str, int]:
    """Return K of each layer with as many channels restored as the budget leaves room for.

    Repeat the step back that saves the most predicted loss; of equal ones take the largest.
    """
    ks = dict(ks)
    while True:
        room = most - costs.total(size, ks)
        back = [s for s in _steps(curves, costs, size, ks) if s.k < ks[s.layer] and -s.freed <= room]
        if not back:
            return ks
        step = min(back, key=lambda s: (round(s.loss, DIGITS), s.freed))
        ks[step.layer] = step.k


def removed_further(
    curves: Mapping[str, Curve], costs: Costs, tolerance: float, ks: Mapping[str, int]
) -> dict[str, int]:
    """Return K of each layer with as many further channels removed as the predicted loss leaves room for.

    Repeat the step that frees the most MACs; of equal ones take that with the least loss.
    """
    ks = dict(ks)
    while True:
        room = tolerance - predicted_loss(curves, ks) + EXACT
        further = [s for s in _steps(curves, costs, "macs", ks) if s.k > ks[s.layer] and s.loss <= room]
        if not further:
            return ks
        step = min(further, key=lambda s: (-s.freed, s.loss))
        ks[step.layer] = step.k


def for_budget(curves: Mapping[str, Curve], costs: Costs, size: str, most: int) -> dict[str, int]:
    """Return K of each layer, so that the network has at most this size: the choice with the least predicted loss.

    curves: of all layers of the costs, in the order of the network. size: params or macs; most: their number, which the
    network with the largest evaluated K of each layer must meet. Of equal choices the first counts; see `priced`.
    """
    meeting = [ks for ks in priced(curves, costs, size) if costs.total(size, ks) <= most]
    choices = [restored(curves, costs, size, most, ks) for ks in meeting]
    return min(choices, key=lambda ks: round(predicted_loss(curves, ks), DIGITS))


def for_tolerance(curves: Mapping[str, Curve], costs: Costs, tolerance: float) -> dict[str, int]:
    """Return K of each layer with the fewest MACs whose predicted loss is at most `tolerance`; see `priced`."""
    meeting = [ks for ks in priced(curves, costs, "macs") if predicted_loss(curves, ks) <= tolerance + EXACT]
    choices = [removed_further(curves, costs, tolerance, ks) for ks in meeting]
    return min(choices, key=lambda ks: costs.total("macs", ks))


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
