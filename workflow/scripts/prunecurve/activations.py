"""What the last convolution's channels do on a split: features for the head, mean maps, statistics. One pass."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prunecurve.batches import Split
from prunecurve.files import save_array, streamed_array, write_rows
from prunecurve.network import POINTS, PairNet


class ChannelStatistics:
    """Running statistics of each channel at one measurement point, over pairs and positions, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | int = 0
        self.lowest: Tensor | None = None
        self.highest: Tensor | None = None

    def add(self, maps: Tensor) -> None:
        """Take in a batch of maps (n, P, H, W)."""
        over = (0, 2, 3)
        wide = maps.double()
        self.count += maps.numel() // maps.shape[1]
        self.sums = self.sums + torch.stack([wide.sum(over), wide.square().sum(over), (maps == 0).sum(over).double()])
        low, high = maps.amin(over), maps.amax(over)
        self.lowest = low if self.lowest is None else torch.minimum(self.lowest, low)
        self.highest = high if self.highest is None else torch.maximum(self.highest, high)

    def columns(self) -> dict[str, np.ndarray]:
        """float64 arrays (P,): mean, standard deviation, extremes, and the share of exact zeros."""
        mean, square, zeros = (self.sums / self.count).cpu().numpy()
        return {
            "mean": mean,
            "std": np.sqrt(np.maximum(square - mean**2, 0)),
            "min": self.lowest.cpu().numpy().astype(np.float64),
            "max": self.highest.cpu().numpy().astype(np.float64),
            "zero_share": zeros,
        }


@torch.inference_mode()
def collect(model: PairNet, split: Split, batch_size: int, folder: str | Path) -> None:
    """Run the network over a split's pairs once and write what its last block does into `folder`.

    features.npy: float32 (N, P, h, w), the pooled maps that the head sees, streamed to disk.
    mean_features.npy: float32 (P, h, w), their mean. mean_maps.npy: float32 (P, M, N), the mean map
    after ReLU, before pooling. channels.csv: a row a channel, `{point}_{statistic}` columns.
    """
    folder, model = Path(folder), model.eval()
    count = len(split.pairs)
    architecture = model.architecture
    statistics = {point: ChannelStatistics() for point in POINTS}
    relu_sum: Tensor | int = 0
    pool_sum: Tensor | int = 0
    shape = (count, architecture.channels[-1], architecture.map_size, architecture.map_size)
    with streamed_array(folder / "features.npy", shape) as features:
        done = 0
        for inputs, _ in split.batches(batch_size):
            maps = model.last_block(inputs)
            for point in POINTS:
                statistics[point].add(maps[point])
            relu_sum = relu_sum + maps["relu"].double().sum(0)
            pool_sum = pool_sum + maps["pool"].double().sum(0)
            features[done : done + len(inputs)] = maps["pool"].cpu().numpy()
            done += len(inputs)
    save_array(folder / "mean_features.npy", (pool_sum / count).cpu().numpy().astype(np.float32))
    save_array(folder / "mean_maps.npy", (relu_sum / count).cpu().numpy().astype(np.float32))
    columns = {f"{point}_{name}": values for point in POINTS for name, values in statistics[point].columns().items()}
    write_rows(
        folder / "channels.csv",
        [{"channel": c} | {name: values[c] for name, values in columns.items()} for c in range(shape[1])],
    )
