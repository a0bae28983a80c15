"""Repairs of the pruned torch network, used to verify the sweep.

The readers (the layers that read the removed channels) are fitted to what hooks take from the unpruned network, and the
biases to the logits of the pruned one. Nothing of the sweep's repair is used here, but for the ridges and the choice of
positions, which define the repair.
"""

import copy
from collections.abc import Mapping
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional

from prunecurve.data.batches import Split, all_logits, batch_for, fitting
from prunecurve.sweep.repair import BIAS_RIDGE, RIDGE, chosen_positions
from prunecurve.verification.perturbation import Entries, Perturbation
from prunecurve.verification.surgery import items_of, operated


class Fit(NamedTuple):
    """A refitted reader with all of its H outputs and D inputs.

    weight: float64 (H, D); those of removed inputs are zero. bias: (H,). outputs, inputs: the numbers of those that are
    left in the smaller network.
    """

    weight: np.ndarray
    bias: np.ndarray
    outputs: np.ndarray
    inputs: np.ndarray


class Repairs:
    """Fits the readers of a layer, and the biases of the logits, to calibration inputs.

    weights: of the calibration inputs, `balanced` (the same total for each class) or `equal`. perturbation: see
    `operated`. single_inputs: with more inputs than this, those of a channel share their coefficients in a reader.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        calibration: Split,
        weights: str,
        perturbation: Perturbation | None = None,
        single_inputs: int = 4096,
    ) -> None:
        self._single_inputs = single_inputs
        self._model, self._layer, self._calibration, self._perturbation = model, layer, calibration, perturbation
        self._labels, self._example = calibration.labels.numpy(), next(calibration.batches(1))[0]
        self._shares = shares_of(self._labels, weights)
        # Several rankings, and the repairs with and without biases, remove the same channels.
        self._fits = cache(self._fitted)

    def repaired(self, removed: np.ndarray, repair: str) -> nn.Module:
        """Return the torch network after structural removal of these channels (K,) and a repair, as `REPAIRS`."""
        small = operated(self._model, self._layer, removed, "structural", self._example, None, self._perturbation)
        if repair in ("refit", "refit_bias"):
            for path, fit in self._fits(tuple(removed)).items():
                _refit(small.get_submodule(path), fit)
        if repair in ("bias", "refit_bias"):
            bias = torch.from_numpy(fitted_bias(all_logits(small, self._calibration), self._labels, self._shares))
            small.register_forward_hook(lambda module, inputs, logits: logits + bias.to(logits))
        return small

    def _read(self, channels: np.ndarray) -> dict[str, list[int]]:
        """Return the numbers of the inputs that readers read of these channels, by module path."""
        items = items_of(self._model, self._layer, channels, self._example, self._perturbation)
        return _by_path(items, reads=True)

    @cached_property
    def _shared(self) -> dict[str, int]:
        """How many inputs of each reader share their coefficients: 1, or those of a channel."""
        channels = len(self._model.get_submodule(self._layer).weight)
        first, shared = self._read(np.arange(1)), {}
        for path, numbers in self._read(np.arange(channels)).items():
            weight, own = self._model.get_submodule(path).weight, first.get(path, [])
            # If the channels lie one after the other, and no other inputs, those of a channel are all of its entries.
            alone = own == list(range(len(own))) and len(own) * channels == len(numbers) == weight.shape[1]
            each = weight[0, 0].numel() * (len(own) if alone else 1)
            shared[path] = each if weight[0].numel() > self._single_inputs else 1
        return shared

    @cached_property
    def _triangles(self) -> dict[str, np.ndarray]:
        return triangles(self._model, self._shared, self._calibration, self._shares)

    def _fitted(self, removed: tuple[int, ...]) -> dict[str, Fit]:
        """Return the readers that read some of these channels, refitted."""
        numbers = np.array(removed, np.int64)
        items = items_of(self._model, self._layer, numbers, self._example, self._perturbation)
        computed, fits = _by_path(items, reads=False), {}
        for path, gone in _by_path(items, reads=True).items():
            weight = self._model.get_submodule(path).weight.detach().double().flatten(1).numpy()
            outputs, inputs = map(np.arange, self._model.get_submodule(path).weight.shape[:2])
            # Of a convolution, an input is all positions of a filter.
            columns = np.arange(weight.shape[1]).reshape(len(inputs), -1)
            outputs, inputs = np.setdiff1d(outputs, computed.get(path, [])), np.setdiff1d(inputs, gone)
            kept, shared = columns[inputs].ravel(), self._shared[path]
            if shared > 1:
                result, mean = refitted_together(self._triangles[path], weight, np.unique(kept // shared), shared)
                before = self._model.get_submodule(path).bias
                bias = (weight - result) @ mean + (0 if before is None else before.detach().double().numpy())
                fits[path] = Fit(result, bias, outputs, inputs)
            else:
                fits[path] = Fit(*refitted(self._triangles[path], weight, kept), outputs, inputs)
        return fits


def _by_path(items: list[Entries], *, reads: bool) -> dict[str, list[int]]:
    """Return the numbers of the inputs that layers read, or of the outputs that they compute, by module path."""
    numbers: dict[str, list[int]] = {}
    for item in items:
        if item.reads == reads:
            numbers.setdefault(item.path, []).extend(item.numbers)
    return numbers


@torch.no_grad()
def _refit(module: nn.Module, fit: Fit) -> None:
    """Give a layer of the smaller network its weights and its bias."""
    weight, bias = torch.from_numpy(fit.weight).reshape(len(fit.bias), -1, *module.weight.shape[2:]), fit.bias
    # Where the channels are overwritten and not removed, the layer has all inputs and outputs.
    if weight.shape != module.weight.shape:
        weight, bias = weight[fit.outputs][:, fit.inputs], bias[fit.outputs]
    module.weight.copy_(weight)
    module.bias = nn.Parameter(torch.from_numpy(bias).to(module.weight))


def shares_of(labels: np.ndarray, weights: str) -> np.ndarray:
    """Return the weights of inputs (N,), with the sum 1: see `Repairs`. labels: the class of each, (N,)."""
    if weights == "equal":
        return np.full(len(labels), 1 / len(labels))
    classes, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / (len(classes) * counts[own])


# ---- readers


@torch.inference_mode()
def triangles(
    model: nn.Module, paths: Mapping[str, int], calibration: Split, shares: np.ndarray
) -> dict[str, np.ndarray]:
    """Return R of the QR factorisation of the rows √w · (1, x, y) for each of these layers, (·, 1 + D + H).

    paths: by module path, how many inputs b share their coefficients. If they are several, see `_together`.

    A row is what the layer reads (D,) and computes (H,) at a position, in a call, for a calibration input, whose weight
    is divided equally among the calls, and then among the positions, to w. As all w have the sum 1, the first row of R
    is ±(1, μ, ȳ), and the others are R of the centred rows: least-squares problems have the same solutions with them.
    """
    copied = copy.deepcopy(model).eval()
    layers = {path: copied.get_submodule(path) for path in paths}
    rows: dict[str, list[Tensor]] = {path: [] for path in paths}
    for path, layer in layers.items():
        layer.register_forward_hook(
            lambda module, inputs, output, path=path: rows[path].append(_rows(path, module, inputs[0], output))
        )
    copied(next(calibration.batches(1))[0])
    # The rows, and the factorisation's copies of them.
    most = fitting(batch_for(copied, calibration), 4 * max(sum(call.nbytes for call in each) for each in rows.values()))
    factors: dict[str, list] = {path: [] for path in paths}
    for (inputs, _), own in zip(calibration.batches(most), torch.from_numpy(shares).split(most)):
        for calls in rows.values():
            calls.clear()
        copied(inputs)
        for path, calls in rows.items():
            calls[:] = [_together(call, layers[path], paths[path]) if paths[path] > 1 else call for call in calls]
            shared = ((own / call.shape[1] / len(calls)).sqrt()[:, None, None] for call in calls)
            weighted = [(call * w).flatten(0, 1).numpy() for call, w in zip(calls, shared)]
            factors[path] = [np.linalg.qr(np.concatenate([*factors[path], *weighted]), mode="r")]
    return {path: factor for path, (factor,) in factors.items()}


def _rows(path: str, module: nn.Module, read: Tensor, computed: Tensor) -> Tensor:
    """Return a one, what a layer reads (D,), and what it computes (H,): float64 (n, positions, 1 + D + H)."""
    if isinstance(module, nn.Conv2d):
        chosen = chosen_positions(path, computed[0, 0].numel())
        x, y = _patches(module, read, chosen, computed.shape[3]), computed.flatten(2).mT[:, chosen]
    else:
        x, y = (each.reshape(len(each), -1, each.shape[-1]) for each in (read, computed))
        chosen = chosen_positions(path, x.shape[1])
        x, y = x[:, chosen], y[:, chosen]
    return torch.cat([torch.ones_like(y[..., :1]), x, y], dim=2).double()


def _together(rows: Tensor, module: nn.Module, shared: int) -> Tensor:
    """Return a row for each of the b inputs of all channels: float64 (n, positions · b, b + U).

    A row has a one in the place of this input, for its mean, and the U channels' values. rows: of `_rows`. shared: b.
    """
    values = rows[..., 1 : 1 + module.weight[0].numel()].unflatten(2, (-1, shared)).movedim(3, 2)
    ones = torch.eye(shared, dtype=values.dtype).expand(*values.shape[:3], shared)
    return torch.cat([ones, values], dim=3).flatten(1, 2)


def _patches(module: nn.Conv2d, read: Tensor, positions: np.ndarray, width: int) -> Tensor:
    """Return what a convolution reads at some positions of its output, (n, positions, D), numbered row by row."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(read, module._reversed_padding_repeated_twice, mode)

    def along(axis: int, position: int) -> slice:
        start, step = int(position) * module.stride[axis], module.dilation[axis]
        return slice(start, start + step * (module.kernel_size[axis] - 1) + 1, step)

    places = (divmod(position, width) for position in positions)
    return torch.stack([padded[:, :, along(0, row), along(1, column)].flatten(1) for row, column in places], dim=1)


def refitted(triangle: np.ndarray, weight: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (H, D) and the bias (H,) of a reader with only these of its inputs (their columns).

    They minimise Σ w ‖(x − μ)_S V − (y − ȳ)‖² + λ ‖V − W_S‖², and the bias is ȳ − μ_S V. triangle: of `triangles`.
    weight: Wᵀ (H, D).
    """
    count = weight.shape[1]
    mean_x, mean_y = np.split(triangle[0, 1:] / triangle[0, 0], [count])
    x, y = np.split(triangle[1:, 1:], [count], axis=1)
    # If all inputs are constant, any ridge keeps the weights.
    ridge = RIDGE * np.square(x).sum() / count or 1.0
    rows = np.vstack([x[:, kept], np.sqrt(ridge) * np.eye(len(kept))])
    targets = np.vstack([y, np.sqrt(ridge) * weight[:, kept].T])
    result = np.zeros_like(weight)
    result[:, kept] = np.linalg.lstsq(rows, targets, rcond=None)[0].T
    return result, mean_y - result @ mean_x


def refitted_together(
    triangle: np.ndarray, weight: np.ndarray, kept: np.ndarray, shared: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (H, D) of a reader with only these of its U channels, and the mean of its inputs (D,).

    Each channel is predicted from those that are left, with the same coefficients A for all of its b inputs: they
    minimise Σ w ‖(x − μ)_S A − (x − μ)‖² + λ ‖A − I_S‖². triangle: of rows of `_together`. weight: (H, D). shared: b.
    """
    means, x = triangle[:shared, shared:] / np.diag(triangle)[:shared, None], triangle[shared:, shared:]
    count = x.shape[1]
    ridge = RIDGE * np.square(x).sum() / count or 1.0
    rows = np.vstack([x[:, kept], np.sqrt(ridge) * np.eye(len(kept))])
    predicted = np.linalg.lstsq(rows, np.vstack([x, np.sqrt(ridge) * np.eye(count)[kept]]), rcond=None)[0]
    result = np.zeros((len(weight), count, shared))
    result[:, kept] = np.einsum("su,hub->hsb", predicted, weight.reshape(result.shape))
    return result.reshape(weight.shape), means.T.ravel()


# ---- biases


def fitted_bias(logits: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the numbers (C,), the first one 0, that minimise the cross-entropy if they are added to the logits.

    logits: (N, C). labels: the class of each input, (N,). shares: the weights of the inputs, (N,).
    """
    logits, inputs = logits.astype(np.float64), np.arange(len(labels))
    totals = np.bincount(labels, shares, logits.shape[1])

    def logarithms(free: np.ndarray) -> np.ndarray:
        return log_softmax(logits + np.append(0, free), axis=1)

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = logarithms(free)
        gradient = (shares @ np.exp(log_p) - totals)[1:] + BIAS_RIDGE * free
        return -shares @ log_p[inputs, labels] + BIAS_RIDGE / 2 * free @ free, gradient

    def curvature(free: np.ndarray) -> np.ndarray:
        p = np.exp(logarithms(free))[:, 1:]
        return np.diag(shares @ p + BIAS_RIDGE) - p.T @ (shares[:, None] * p)

    # BFGS and Newton-CG end at a gradient of 1e-8: not close enough where few inputs are near the decision.
    start, options = np.zeros(logits.shape[1] - 1), {"gtol": 1e-12}
    return np.append(0, minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options).x)
