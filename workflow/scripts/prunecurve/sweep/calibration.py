"""What the readers of a layer's channels get from the calibration inputs: the statistics that refits start from."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecurve.activations.collection import stored_features, stored_shape
from prunecurve.arrays import streamed_rows
from prunecurve.data.batches import Split
from prunecurve.errors import StudyError
from prunecurve.graph.layers import PrunableLayer, batch_of
from prunecurve.graph.operations import runs_as
from prunecurve.sweep.repair import Reader, chosen_positions, save_readers


class Moments:
    """The weighted mean and covariance of what one reader gets, summed in float64."""

    def __init__(self, layer: PrunableLayer, path: str) -> None:
        """Prepare for a reader. Raises StudyError if its weights cannot be refitted."""
        self.path, self.module = path, layer.traced.get_submodule(path)
        _require_own_weights(layer, self.path, self.module)
        self.calls = [reading for reading in layer.downstream.readings if reading.path == path]
        if any(not np.array_equal(call.axis.numbers, self.calls[0].axis.numbers) for call in self.calls):
            raise StudyError(
                f"sweep.repairs: {path} runs several times and reads different channels each time, so no weights fit "
                "all of its calls; use none or bias for this layer"
            )
        self.groups = getattr(self.module, "groups", 1)
        self.sums: list = [0.0] * self.groups
        self.products: list = [0.0] * self.groups

    def add(self, values: Sequence[Tensor], shares: Tensor) -> None:
        """Add what all calls get from a batch of inputs. values: one tensor (n, …) per call. shares: float64 (n,)."""
        for value in values:
            rows = list(rows_of(self.path, self.module, value))
            for row in rows:
                for group, part in enumerate(row.double().chunk(self.groups, 1)):
                    weighted = part * (shares / len(rows) / len(values))[:, None]
                    self.sums[group] = self.sums[group] + weighted.sum(0)
                    self.products[group] = self.products[group] + part.T @ weighted

    def readers(self) -> list[Reader]:
        """Return a reader for each group of a grouped convolution, one for any other layer."""
        weight = self.module.weight.detach().double().cpu().flatten(1).numpy()
        positions = self.module.weight[0, 0].numel() if self.module.weight.ndim == 4 else 1
        channels = np.split(self.calls[0].axis.numbers.repeat(positions), self.groups)
        outputs, result = len(weight) // self.groups, []
        for group, own in enumerate(channels):
            mean, product = self.sums[group].cpu().numpy(), self.products[group].cpu().numpy()
            rows = weight[group * outputs : (group + 1) * outputs].T
            covariance = product - np.outer(mean, mean)
            result.append(Reader(self.path, rows, mean, (covariance + covariance.T) / 2, own, group * outputs))
        return result


def rows_of(path: str, module: nn.Module, value: Tensor) -> Iterator[Tensor]:
    """Yield what a reader gets at each of `chosen_positions`: (n, D), the columns in the order of its weights.

    value: (n, D, M, N) for a convolution, whose padding is part of what it gets; (n, …, D) for a linear layer.
    """
    if isinstance(module, nn.Linear):
        flat = value.flatten(1, -2) if value.ndim > 2 else value[:, None]
        yield from (flat[:, i] for i in chosen_positions(path, flat.shape[1]).tolist())
        return
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(value, module._reversed_padding_repeated_twice, mode=mode)
    spans = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size)]
    sizes = [(n - span) // step + 1 for n, span, step in zip(padded.shape[2:], spans, module.stride)]
    (down, right), (tall, wide) = module.stride, spans
    for position in chosen_positions(path, sizes[0] * sizes[1]).tolist():
        top, left = position // sizes[1] * down, position % sizes[1] * right
        window = padded[:, :, top : top + tall : module.dilation[0], left : left + wide : module.dilation[1]]
        yield window.flatten(1)


def _require_own_weights(layer: PrunableLayer, path: str, module: nn.Module) -> None:
    """Raise StudyError if a reader does not run as torch's layers do, or shares its weights with a different layer."""
    why = "" if runs_as(module, (nn.Conv2d, nn.Linear)) else f"is a {type(module).__name__} with methods of its own"
    for other, each in layer.traced.named_modules():
        if each is not module and getattr(each, "weight", None) is module.weight:
            why = f"shares its weights with {other}"
    if why:
        raise StudyError(
            f"sweep.repairs: the layer {path} reads the channels and {why}, so its weights cannot be refitted; use "
            "none or bias for this layer"
        )


@torch.inference_mode()
def calibrate(
    layer: PrunableLayer, split: Split, shares: np.ndarray, batch_size: int, folder: str | Path, most: float = np.inf
) -> None:
    """Run the network once over the calibration inputs, and write moments.npy and features.npy into `folder`.

    shares: (N,), the weights of the inputs. moments.npy: the readers, see `Reader`. features.npy, batch_size, most: as
    for `collection.collect`.
    """
    paths = dict.fromkeys(reading.path for reading in layer.downstream.readings)
    moments, weights = {path: Moments(layer, path) for path in paths}, torch.from_numpy(shares)
    shape = stored_shape(layer, len(split), most)
    with streamed_rows(Path(folder) / "features.npy", (len(split), *shape)) as add:
        for (inputs, _), share in zip(split.batches(size := batch_of(layer, batch_size)), weights.split(size)):
            values = layer.all_before(inputs)
            add(stored_features(layer, shape, values).cpu().numpy())
            for path, each in moments.items():
                read = [value for value, r in zip(values["read"], layer.downstream.readings) if r.path == path]
                each.add(read, share.to(inputs.device))
    save_readers(Path(folder) / "moments.npy", list(itertools.chain(*(each.readers() for each in moments.values()))))
