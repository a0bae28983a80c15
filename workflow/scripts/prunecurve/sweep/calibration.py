"""What the readers of a layer's channels get from the calibration inputs: the statistics that refits start from."""

import logging
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
from prunecurve.seeding import stream
from prunecurve.sweep.parameters import Repair
from prunecurve.sweep.repair import Reader, chosen_positions, drawn, save_readers, shares

log = logging.getLogger("prunecurve")


def calibration_inputs(split: Split, repair: Repair, seed: int) -> tuple[Split, np.ndarray]:
    """Return the calibration inputs of a network, and their weights (N,).

    split: the training split. repair: the config section. seed: of the network.
    """
    labels = split.labels.cpu().numpy()
    chosen = drawn(labels, repair.inputs, repair.weights, stream(seed, "calibration"))
    return split.subset(chosen), shares(labels[chosen], repair.weights)


class Moments:
    """The weighted mean and covariance of what one reader gets, summed in float64."""

    def __init__(self, layer: PrunableLayer, path: str, most: int) -> None:
        """Prepare for a reader. Raises StudyError if its weights cannot be refitted.

        most: with more inputs than this, those of a channel share their coefficients.
        """
        self.path, self.module, self.rows = path, layer.traced.get_submodule(path), 0
        first, *others = (reading.axis for reading in layer.downstream.readings if reading.path == path)
        if not runs_as(self.module, (nn.Conv2d, nn.Linear)):
            raise _not_refitted(path, f"is a {type(self.module).__name__} with methods of its own")
        if any(not np.array_equal(axis.numbers, first.numbers) for axis in others):
            raise _not_refitted(path, "runs several times, with different channels")
        positions = self.module.weight[0, 0].numel()
        # Of a flattened map, the positions of a channel are one unit, if they lie one after the other.
        flat = len(first.numbers) // layer.channels if first.in_order(layer.channels) else 1
        many = len(first.numbers) * positions > most
        self.channels = first.numbers[::flat] if many else first.numbers.repeat(positions)
        # The statistics are those of the difference to the first input: constant inputs have no variance by rounding.
        self.first: Tensor | None = None
        self.mean = torch.zeros(len(self.channels), flat * positions if many else 1, dtype=torch.float64)
        self.products = torch.zeros(len(self.channels), len(self.channels), dtype=torch.float64)

    def add(self, values: Sequence[Tensor], shares: Tensor) -> None:
        """Add what all calls get from a batch of inputs. values: one tensor (n, …) per call. shares: float64 (n,)."""
        for value in values:
            rows = list(rows_of(self.path, self.module, value))
            self.rows += len(rows) * len(value) * self.mean.shape[1]
            for row in rows:
                units = row.double().cpu().unflatten(1, self.mean.shape)
                self.first = units[0].clone() if self.first is None else self.first
                units = units - self.first
                weighted = units * (shares / len(rows) / len(values))[:, None, None]
                self.mean += weighted.sum(0)
                self.products += torch.einsum("nub,nvb->uv", units, weighted)

    def reader(self) -> Reader:
        """Return the reader with its statistics."""
        weight = self.module.weight.detach().double().cpu().flatten(1).T.reshape(len(self.channels), -1)
        covariance = self.products - self.mean @ self.mean.T
        mean, symmetric = self.mean + self.first, (covariance + covariance.T) / 2
        return Reader(self.path, weight.numpy(), mean.numpy(), symmetric.numpy(), self.channels)


def _not_refitted(path: str, why: str) -> StudyError:
    """Return the error for a reader whose weights cannot be refitted."""
    return StudyError(
        f"the weights of {path}, which reads the channels, cannot be refitted: it {why}; for this layer, use the "
        "repairs none or bias (sweep.repairs, sensitivity.repairs, plan.repair), and no criterion obs or thinet"
    )


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


@torch.inference_mode()
def calibrate(
    layer: PrunableLayer,
    split: Split,
    shares: np.ndarray,
    batch_size: int,
    folder: str | Path,
    most: float = np.inf,
    most_inputs: int = 4096,
) -> None:
    """Run the network once over the calibration inputs, and write moments.npy and features.npy into `folder`.

    shares: (N,), the weights of the inputs. moments.npy: the readers, see `Reader`, or why they cannot be refitted;
    most_inputs: the number of inputs of a reader above which those of a channel share their coefficients. features.npy,
    batch_size, most: as for `collection.collect`.
    """
    paths = dict.fromkeys(reading.path for reading in layer.downstream.readings)
    moments, refused, weights = dict[str, Moments](), "", torch.from_numpy(shares)
    try:
        moments = {path: Moments(layer, path, most_inputs) for path in paths}
    except StudyError as error:
        # Biases can be fitted for any network.
        refused = str(error)
    shape = stored_shape(layer, len(split), most)
    with streamed_rows(Path(folder) / "features.npy", (len(split), *shape)) as add:
        for (inputs, _), share in zip(split.batches(size := batch_of(layer, batch_size)), weights.split(size)):
            values = layer.all_before(inputs)
            add(stored_features(layer, shape, values).cpu().numpy())
            for path, each in moments.items():
                read = [value for value, r in zip(values["read"], layer.downstream.readings) if r.path == path]
                if any(len(value) != len(share) for value in read):
                    refused = str(_not_refitted(path, "runs on several rows of a batch for each input"))
                    break
                each.add(read, share)
            if refused:
                moments = {}
    save_readers(Path(folder) / "moments.npy", [each.reader() for each in moments.values()], refused)
    for path, each in moments.items():
        if each.rows < (fitted := len(each.channels)):
            log.warning(
                f"repair.inputs: {each.rows} measurements for {fitted} weights of each output of {path}; a larger "
                "number gives a better fit (as far as images.train allows)"
            )
