"""Activations of a layer's channels on a split: what the next layers read, mean maps, statistics and single maps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prunecurve.arrays import save_array, streamed_rows
from prunecurve.data.batches import Split
from prunecurve.graph.description import features_shape, linear_layers
from prunecurve.graph.layers import PrunableLayer, batch_of
from prunecurve.graph.points import POINTS
from prunecurve.tables import write_rows

# Bytes of a float64 copy of maps.
BLOCK = 200_000_000


def _by_channels(values: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a function of values (n, P, …) in float64, whose result has one row per channel, in blocks of channels.

    The float64 copy of a block needs at most BLOCK bytes.
    """
    blocks = values.split(max(1, BLOCK // (8 * values[:, 0].numel())), 1)
    return torch.cat([function(block.double()) for block in blocks])


class ChannelStatistics:
    """Running statistics of each channel at one measurement point, over all inputs and positions, in float64."""

    def __init__(self) -> None:
        self.count, self.sums = 0, torch.zeros(())
        self.lowest, self.highest = torch.tensor(np.inf), torch.tensor(-np.inf)

    def add(self, maps: Tensor) -> None:
        """Add a batch of maps (n, P, M, N)."""
        over = (0, 2, 3)

        def sums(wide: Tensor) -> Tensor:
            values = wide.sum(over), (wide <= 0).sum(over).double(), wide.square_().sum(over)
            return torch.stack(values, 1)

        self.count += maps.numel() // maps.shape[1]
        self.sums = self.sums + _by_channels(maps, sums)
        self.lowest = torch.minimum(self.lowest, maps.amin(over).cpu())
        self.highest = torch.maximum(self.highest, maps.amax(over).cpu())

    def columns(self) -> dict[str, np.ndarray]:
        """Return float64 arrays (P,): mean, standard deviation, minimum, maximum and the share of values ≤ 0."""
        mean, inactive, square = (self.sums / self.count).T.cpu().numpy()
        return {
            "mean": mean,
            "std": np.sqrt(np.maximum(square - mean**2, 0)),
            "min": self.lowest.numpy().astype(np.float64),
            "max": self.highest.numpy().astype(np.float64),
            "inactive_share": inactive,
        }


def stored_shape(layer: PrunableLayer, count: int, most: float) -> tuple[int, ...]:
    """Return the shape of one input in features.npy; (0,) if `count` inputs would be larger than `most` bytes.

    What a linear layer reads (P, h, w) is always stored.
    """
    shape = features_shape(layer, linear_layers(layer))
    return (0,) if len(shape) == 1 and 4 * count * shape[0] > most else shape


def stored_features(layer: PrunableLayer, shape: Sequence[int], values: Mapping[str, list[Tensor]]) -> Tensor:
    """Return the rows of features.npy for a batch. shape: of `stored_shape`. values: of `PrunableLayer.all_before`."""
    if len(shape) > 1:
        return layer.points.maps(values)["pool"]
    crossing = [value.flatten(1) for value in values["crossing"]]
    return torch.cat(crossing, 1) if shape[0] else crossing[0][:, :0]


@torch.inference_mode()
def collect(layer: PrunableLayer, split: Split, batch_size: int, folder: str | Path, most: float = np.inf) -> None:
    """Run the network once over a split's inputs and write the activations of a layer into `folder`.

    batch_size: inputs per forward pass; fewer are used if they would need too much memory.

    features.npy: float32, see `LayerFile.features`, streamed to disk; (N, 0) if it would be larger than `most` bytes.
    mean_features.npy: float32, what the layers that read the channels get, the mean over inputs, in the shape of
    `LayerFile.zero_filter`. mean_maps.npy: float32 (P, M, N), the mean map after the activation. channels.csv: one row
    per channel, with columns `{point}_{statistic}`.
    """
    folder, count = Path(folder), len(split)
    statistics = {point: ChannelStatistics() for point in POINTS}
    relu_sum, relu_count, read_sum = torch.zeros(()), 0, torch.zeros(())
    shape = stored_shape(layer, count, most)
    with streamed_rows(folder / "features.npy", (count, *shape)) as add:
        for inputs, _ in split.batches(batch_of(layer, batch_size)):
            values = layer.all_before(inputs)
            maps, stored = layer.points.maps(values), stored_features(layer, shape, values)
            read = stored if len(shape) > 1 else torch.cat([value.flatten(1) for value in values["read"]], 1)
            for point in POINTS:
                statistics[point].add(maps[point])
            # Behind several branches, there are several maps for each input.
            relu_count += len(maps["relu"])
            relu_sum = relu_sum + _by_channels(maps["relu"], lambda wide: wide.sum(0))
            read_sum = read_sum + _by_channels(read, lambda wide: wide.sum(0))
            add(stored.cpu().numpy())
    save_array(folder / "mean_features.npy", (read_sum / count).cpu().numpy().astype(np.float32))
    save_array(folder / "mean_maps.npy", (relu_sum / relu_count).cpu().numpy().astype(np.float32))
    columns = {f"{point}_{name}": values for point in POINTS for name, values in statistics[point].columns().items()}
    rows = ({"channel": c} | {name: values[c] for name, values in columns.items()} for c in range(layer.channels))
    write_rows(folder / "channels.csv", list(rows))


@torch.inference_mode()
def single_maps(layer: PrunableLayer, point: str, split: Split, batch_size: int, path: str | Path) -> None:
    """Write the maps of each input of a split at one of POINTS: float32 (n, P, M, N). batch_size: see `collect`."""
    # Behind several branches, there are several maps for each input.
    branches, *shape = layer.maps(layer.example())[point].shape
    with streamed_rows(path, (branches * len(split), *shape)) as add:
        for inputs, _ in split.batches(batch_of(layer, batch_size)):
            add(layer.maps(inputs)[point].cpu().numpy())
