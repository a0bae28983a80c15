"""Pairs as the network takes them: batches gathered by index from uint8 tensors, with no work a sample."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn


def gather(images: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The stacked pairs (n, 2C, S, S) as float32 in [0, 1], channels last, from uint8 images and two index vectors."""
    stacked = torch.cat([images[first], images[second]], dim=1)
    return as_input(stacked)


def as_input(stacked: Tensor) -> Tensor:
    """uint8 pixels as the network's float32 input in [0, 1]; channels last is the CPU's fastest layout."""
    return stacked.to(memory_format=torch.channels_last).float().div_(255)


@dataclasses.dataclass(frozen=True)
class Split:
    """Images (n, C, S, S) uint8 and pairs (N, 3) of one split, on the device."""

    images: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, images: np.ndarray, pairs: np.ndarray, device: torch.device) -> "Split":
        """Move a split's arrays to the device."""
        # `copy`: torch warns about arrays that are read-only (memory-mapped).
        return cls(torch.from_numpy(images.copy()).to(device), torch.from_numpy(pairs.astype(np.int64)).to(device))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Network inputs (n, 2C, S, S) and labels (n,) in the order of the pairs."""
        for part in self.pairs.split(size):
            yield gather(self.images, part[:, 0], part[:, 1]), part[:, 2]


@torch.inference_mode()
def all_logits(model: nn.Module, split: Split, batch_size: int = 500) -> np.ndarray:
    """Logits (N, 2) of all pairs of a split, in eval mode, end to end from the images."""
    model.eval()
    return torch.cat([model(inputs) for inputs, _ in split.batches(batch_size)]).cpu().numpy()
