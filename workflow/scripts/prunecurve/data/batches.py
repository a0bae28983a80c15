"""Batches of pairs as network inputs, gathered by index from uint8 tensors without Python code per pair."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn


def gather(images: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Stack the images of each pair: float32 (n, 2C, S, S) in [0, 1], channels last.

    images: uint8 (·, C, S, S). first, second: the indices (n,) of the two images of each pair.
    """
    stacked = torch.cat([images[first], images[second]], dim=1)
    return as_input(stacked)


def as_input(stacked: Tensor) -> Tensor:
    """Convert uint8 pixels to the network's input: float32 in [0, 1], channels last (the fastest layout on CPUs)."""
    return stacked.to(memory_format=torch.channels_last).float().div_(255)


@dataclasses.dataclass(frozen=True)
class Split:
    """The images, uint8 (n, C, S, S), and the pairs (N, 3) of one split, on the device.

    A pair is the index of its first image, the index of its second image, and the label (1 for same).
    """

    images: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, images: np.ndarray, pairs: np.ndarray, device: torch.device) -> "Split":
        """Copy the arrays of a split to the device."""
        # `copy`: torch warns about read-only arrays, for example memory-mapped ones.
        return cls(torch.from_numpy(images.copy()).to(device), torch.from_numpy(pairs.astype(np.int64)).to(device))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield network inputs (n, 2C, S, S) and labels (n,) in the order of the pairs."""
        for part in self.pairs.split(size):
            yield gather(self.images, part[:, 0], part[:, 1]), part[:, 2]


@torch.inference_mode()
def all_logits(model: nn.Module, split: Split, batch_size: int = 500) -> np.ndarray:
    """Run the network in eval mode from the images on; return the logits (N, 2) of all pairs of a split."""
    model.eval()
    return torch.cat([model(inputs) for inputs, _ in split.batches(batch_size)]).cpu().numpy()
