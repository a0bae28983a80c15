"""Smaller torch networks, repaired: the readers are refitted one after the other, in the order of the network.

A reader is a convolution or a linear layer that reads channels. It gets what the readers before it, already refitted,
give it, and its target is what it computed in the unpruned network. With channels of a single layer removed, this is
the refit of the sweep (sweep/repair.py), unless one of the layer's readers lies behind another.
"""

import copy
import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor, nn

from prunecurve.data.batches import Split, all_logits, batch_for
from prunecurve.graph.operations import runs_as
from prunecurve.sweep.calibration import rows_of
from prunecurve.sweep.repair import RIDGE, chosen_positions, fitted_bias
from prunecurve.verification.surgery import structural

# Rows whose products are summed at once, in float64.
CHUNK = 8192


class Repairs:
    """Makes smaller networks of one trained network, repaired with the same calibration inputs.

    model: the unpruned network. calibration, shares: the inputs, and their weights (N,), which have the sum 1.
    """

    def __init__(self, model: nn.Module, calibration: Split, shares: np.ndarray) -> None:
        self._model, self._calibration, self._shares = copy.deepcopy(model).eval(), calibration, shares
        self._example = next(calibration.batches(1))[0]
        self._batch = batch_for(self._model, calibration)

    def smaller(self, removed: Mapping[str, np.ndarray], repair: str, *, all_behind: bool = True) -> nn.Module:
        """Return the network without these channels of some layers, as of `structural`, repaired.

        repair: one of REPAIRS. all_behind: whether all readers behind the first removed channel are refitted, because
        what they get has changed; otherwise those alone that read removed channels. Raises StudyError if the biases
        cannot be fitted, see `fitted_bias`.
        """
        small = structural(self._model, removed, self._example)
        if repair in ("refit", "refit_bias"):
            self._refit(small, removed, all_behind)
        if repair in ("bias", "refit_bias"):
            labels = self._calibration.labels.cpu().numpy()
            bias = fitted_bias(all_logits(small, self._calibration), labels, self._shares)
            small = with_bias(small, torch.from_numpy(bias).float(), self._example)
        return small

    @functools.cached_property
    def _targets(self) -> dict[str, "Target"]:
        """The target of each reader by its path, in the order in which the network runs them."""
        self._folder, targets, done = tempfile.TemporaryDirectory(), dict[str, Target](), 0
        readers = _readers(self._model)
        for (inputs, _), shares in zip(
            self._calibration.batches(self._batch), torch.from_numpy(self._shares).split(self._batch)
        ):

            def add(path: str, x: Tensor, y: Tensor, shares: Tensor = shares) -> None:
                # Several rows of a batch can belong to one input, if a network joins images there.
                if len(y) == len(shares):
                    targets.setdefault(path, Target()).add(path, readers[path], x, y, shares)

            with _called(self._model, list(readers), add):
                self._model(inputs)
            for number, target in enumerate(targets.values()):
                target.write(f"{self._folder.name}/{number}", len(self._calibration), done)
            done += len(inputs)
        return targets

    @torch.no_grad()
    def _refit(self, small: nn.Module, removed: Mapping[str, np.ndarray], all_behind: bool) -> None:
        """Refit the readers of a smaller network in place."""
        kept, begun = kept_outputs(self._model, removed, self._example), False
        for path, target in self._targets.items():
            reader, whole = small.get_submodule(path), self._model.get_submodule(path)
            reads = reader.weight.shape[1] < whole.weight.shape[1]
            begun |= reads
            if reads or (begun and all_behind):
                count = target.outputs.shape[1]
                x, y = self._rows(small, path, count), target.outputs[..., kept[path]].reshape(-1, len(kept[path]))
                shares = np.repeat(self._shares / count, count)
                before = reader.weight.flatten(1).T.double().cpu().numpy()
                weight, bias = fit(x, y, shares, before, target.ridge)
                reader.weight.copy_(torch.from_numpy(weight.T).reshape(reader.weight.shape))
                reader.bias = nn.Parameter(torch.from_numpy(bias).to(reader.weight))

    def _rows(self, small: nn.Module, path: str, count: int) -> np.ndarray:
        """Return what a reader of the smaller network gets: float32 (N · count, D). count: rows of an input."""
        reader, rows = small.get_submodule(path), []
        for inputs, _ in self._calibration.batches(self._batch):
            batch: list[Tensor] = []

            def read(path: str, x: Tensor, y: Tensor, batch: list[Tensor] = batch) -> None:
                batch.extend(rows_of(path, reader, x))
                # The layers behind the reader need not run.
                if len(batch) == count:
                    raise _Reached

            with _called(small, [path], read), suppress(_Reached):
                small(inputs)
            rows.append(torch.stack(batch, 1).flatten(0, 1).cpu())
        return torch.cat(rows).numpy()


class Target:
    """What a reader computes in the unpruned network, and how much its inputs vary there.

    outputs: float32 (N, rows of an input, H), where `rows_of` measures. They lie in a file, because those of a large
    network do not fit into memory.
    """

    def __init__(self) -> None:
        self.outputs = np.empty((0, 0, 0), np.float32)
        self._of_batch: list[Tensor] = []
        self._weight, self._mean, self._squares = 0.0, torch.zeros(()), torch.zeros(())
        # Differences to the first input: the variance of constant inputs is 0, and not a rounding error.
        self._first: Tensor | None = None

    def add(self, path: str, reader: nn.Module, x: Tensor, y: Tensor, shares: Tensor) -> None:
        """Add what a call reads and computes for a batch of inputs with the weights (n,).

        Values are copied within the call: an activation that works in place would change them.
        """
        self._of_batch.append(_computed(path, reader, y).cpu())
        for row in rows_of(path, reader, x):
            values = row.double().cpu()
            self._first = values[0].clone() if self._first is None else self._first
            values = values - self._first
            self._weight += float(shares.sum())
            self._mean = self._mean + shares @ values
            self._squares = self._squares + shares @ values.square()

    def write(self, path: str, count: int, done: int) -> None:
        """Write the outputs of a batch into the file. count: N; done: the inputs before this batch."""
        rows = torch.cat(self._of_batch, 1)
        self._of_batch.clear()
        if not done:
            self.outputs = np.lib.format.open_memmap(path, "w+", np.float32, (count, *rows.shape[1:]))
        self.outputs[done : done + len(rows)] = rows

    @property
    def ridge(self) -> float:
        """The ridge of a fit: RIDGE times the mean variance of the reader's inputs in the unpruned network."""
        mean, squares = self._mean / self._weight, self._squares / self._weight
        # If all inputs are constant, any ridge keeps the weights.
        return RIDGE * float((squares - mean.square()).mean()) or 1.0


class _Reached(Exception):
    """Ends a forward pass at the reader whose inputs are measured."""


def _readers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the readers whose weights can be refitted, by path: without groups, and with no methods of their own.

    Modules that share their weights with others keep them.
    """
    users = Counter(id(module.weight) for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return {
        path: module
        for path, module in model.named_modules()
        if runs_as(module, (nn.Conv2d, nn.Linear))
        and getattr(module, "groups", 1) == 1
        and users[id(module.weight)] < 2
    }


@contextmanager
def _called(model: nn.Module, paths: list[str], action: Callable[[str, Tensor, Tensor], object]) -> Iterator[None]:
    """Call a function with the path, the input and the output of some modules whenever the network runs them."""

    def hook(path: str, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        action(path, inputs[0], output)

    handles = [model.get_submodule(path).register_forward_hook(partial(hook, path)) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _computed(path: str, module: nn.Module, output: Tensor) -> Tensor:
    """Return what a reader computes where `rows_of` measures its inputs: (n, rows of an input, H)."""
    rows = output.flatten(2).mT if isinstance(module, nn.Conv2d) else output.reshape(len(output), -1, output.shape[-1])
    return rows[:, chosen_positions(path, rows.shape[1])]


def kept_outputs(model: nn.Module, removed: Mapping[str, np.ndarray], example: Tensor) -> dict[str, np.ndarray]:
    """Return the numbers of the outputs that each convolution and linear layer keeps, by its path.

    In a copy of the network, all weights of an output are its number; Torch-Pruning removes some of them.
    """
    numbered = copy.deepcopy(model)
    layers = [(path, m) for path, m in numbered.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for _, layer in layers:
            numbers = torch.arange(len(layer.weight)).reshape(-1, *(1,) * (layer.weight.ndim - 1))
            layer.weight.copy_(numbers.expand_as(layer.weight))
    small = structural(numbered, removed, example)
    return {path: small.get_submodule(path).weight.flatten(1)[:, 0].long().cpu().numpy() for path, _ in layers}


def fit(
    x: np.ndarray, y: np.ndarray, shares: np.ndarray, weight: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (D, H) and the bias (H,) that predict y from x best by least squares.

    They minimise Σ s ‖(x − μ) V − (y − ȳ)‖² + ridge · ‖V − W‖², and the bias is ȳ − μ V. x: (R, D). y: (R, H). shares:
    (R,), with the sum 1. weight: W (D, H), the weights before the fit.
    """
    # As in `Target`, differences to the first row. No copy of all rows in float64.
    first, parts = x[0], [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    mean_x = sum(shares[part] @ (x[part] - first) for part in parts)
    mean_y = sum(shares[part] @ y[part] for part in parts)

    def weighted(part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return √s (x − μ), and √s times what the weights before the fit leave of y."""
        roots = np.sqrt(shares[part])[:, None]
        centred = roots * (x[part] - first - mean_x)
        return centred, roots * (y[part] - mean_y) - centred @ weight

    if x.shape[1] <= len(x):
        products, projected = np.diag(np.full(x.shape[1], ridge)), np.zeros(weight.shape)
        for centred, left in map(weighted, parts):
            products += centred.T @ centred
            projected += centred.T @ left
        change = cho_solve(cho_factor(products, overwrite_a=True), projected)
    else:
        # With more columns than rows, the same from the products of rows.
        centred, left = weighted(slice(None))
        products = centred @ centred.T + np.diag(np.full(len(x), ridge))
        change = centred.T @ cho_solve(cho_factor(products, overwrite_a=True), left)
    fitted = weight + change
    return fitted, mean_y - (first + mean_x) @ fitted


class Biased(nn.Module):
    """A network with numbers (C,) that are added to its logits."""

    def __init__(self, network: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.network, self.bias = network, nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (n, C)."""
        return self.network(inputs) + self.bias


@torch.no_grad()
def with_bias(model: nn.Module, bias: Tensor, example: Tensor) -> nn.Module:
    """Return the network with numbers (C,) added to its logits: by its last linear layer, if it computes only these."""
    last: list[tuple[str, Tensor]] = []
    linear = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and runs_as(module, (nn.Linear,))
    ]
    with _called(model, linear, lambda path, x, y: last.append((path, y))):
        logits = model(example)
    if not last or last[-1][1] is not logits or [path for path, _ in last].count(last[-1][0]) > 1:
        return Biased(model, bias.to(logits))
    layer, bias = model.get_submodule(last[-1][0]), bias.to(logits)
    layer.bias = nn.Parameter(bias if layer.bias is None else layer.bias + bias)
    return model
