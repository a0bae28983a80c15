"""Batches of network inputs, gathered by index from uint8 tensors without Python code per input."""

import argparse
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prunecurve.arrays import load_array
from prunecurve.commandline import add_section, add_split
from prunecurve.data.parameters import Preprocess


class Normalisation(Preprocess):
    """The config section `preprocess`: pixels in [0, 1] become (pixel − mean) / std, for each channel of an image."""

    def __call__(self, stacked: Tensor, images: int) -> Tensor:
        """Normalise pixels in [0, 1] (n, images · C, S, S), in place; return the same tensor."""
        for numbers, apply, unchanged in ((self.mean, stacked.sub_, [0]), (self.std, stacked.div_, [1])):
            # The default changes nothing and costs nothing.
            if numbers != unchanged:
                repeated = numbers * images if len(numbers) > 1 else numbers
                apply(torch.tensor(repeated, dtype=torch.float32, device=stacked.device)[:, None, None])
        return stacked


def add_splits(cli: argparse.ArgumentParser, **splits: str) -> None:
    """Add an option for the files of each split, described by its value, and one for their normalisation."""
    for option, split in splits.items():
        add_split(cli, f"--{option}", split)
    add_section(cli, "--preprocess", Normalisation, "the config section preprocess")


# The default of the config: no normalisation.
UNCHANGED = Normalisation()


def as_input(images: list[Tensor], normalisation: Normalisation) -> Tensor:
    """Stack uint8 images, each (n, C, S, S), to network inputs: float32 (n, len(images) · C, S, S), channels last."""
    stacked = torch.cat(images, dim=1) if len(images) > 1 else images[0]
    # Channels last is the fastest layout on CPUs.
    scaled = stacked.to(memory_format=torch.channels_last).float().div_(255)
    return normalisation(scaled, len(images))


@dataclasses.dataclass(frozen=True)
class Split:
    """The inputs of one split, on the device.

    images: uint8 (n, C, S, S). index: int64 (N, m), the m images of each input: two for a pair. labels: int64 (N,),
    the class of each input, from 0.
    """

    images: Tensor
    index: Tensor
    labels: Tensor
    normalisation: Normalisation = UNCHANGED

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        index: np.ndarray,
        labels: np.ndarray,
        device: torch.device | str,
        normalisation: Normalisation = UNCHANGED,
    ) -> "Split":
        """Copy the arrays of a split to the device. Raises StudyError if the normalisation does not fit the images."""
        normalisation.require(images.shape[1])
        # Torch warns about read-only arrays, for example memory-mapped ones; they alone are copied.
        writable = np.require(images, requirements="W"), index.astype(np.int64), labels.astype(np.int64)
        pixels, numbers, classes = (torch.from_numpy(array).to(device) for array in writable)
        return cls(pixels, numbers, classes, normalisation)

    @classmethod
    def read(
        cls, files: Iterable[str], device: torch.device | str, normalisation: Normalisation = UNCHANGED
    ) -> "Split":
        """Read a split from its files: the images, the images of each input, the labels."""
        images, index, labels = map(load_array, files)
        return cls.of(images, index, labels, device, normalisation)

    def __len__(self) -> int:
        """Return N, the number of inputs."""
        return len(self.labels)

    @property
    def numbers(self) -> dict[str, int]:
        """What a network must be built for: in_channels, image_size, and classes if the split has all classes."""
        channels, classes = self.index.shape[1] * self.images.shape[1], int(self.labels.max()) + 1
        return {"in_channels": channels, "image_size": self.images.shape[-1], "classes": classes}

    def subset(self, chosen: np.ndarray) -> "Split":
        """Return the split with only these inputs (n,)."""
        index = torch.from_numpy(chosen).to(self.labels.device)
        return dataclasses.replace(self, index=self.index[index], labels=self.labels[index])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield network inputs (n, m · C, S, S) and labels (n,) in the order of the split."""
        for chosen in torch.arange(len(self), device=self.labels.device).split(size):
            yield self.inputs(chosen), self.labels[chosen]

    def inputs(self, chosen: Tensor) -> Tensor:
        """Return the network inputs (n, m · C, S, S) with the numbers `chosen` (n,), in this order."""
        return as_input([self.images[each] for each in self.index[chosen].unbind(1)], self.normalisation)


# Bytes of a batch's values. The rules that run networks ask for 2,000 MB; PyTorch, the images and what the layers need
# while they run take the rest.
MOST_BYTES = 600_000_000


class Values(TorchDispatchMode):
    """Counts the bytes of what operations compute in a `with` block: the largest value, and all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for value in tree_leaves(results):
            if isinstance(value, Tensor):
                self.largest = max(self.largest, value.nbytes)
                self.total += value.nbytes
        return results


def fitting(most: int, each: float) -> int:
    """Return how many inputs a batch has: `most`, or fewer if their values, `each` bytes per input, need too much."""
    return min(most, max(1, int(MOST_BYTES / max(each, 1))))


@torch.inference_mode()
def batch_for(model: nn.Module, split: Split, most: int = 500) -> int:
    """Return the inputs per forward pass of a network: `most`, or fewer if their values would need too much memory."""
    few, _ = next(split.batches(2))
    with Values() as values:
        model(few)
    # What a layer reads and computes, what it needs for that, and one value that waits for a sum.
    return fitting(most, 4 * values.largest / len(few))


@torch.inference_mode()
def all_logits(model: nn.Module, split: Split, batch_size: int = 500) -> np.ndarray:
    """Run the network in eval mode from the images on; return the logits (N, classes) of all inputs of a split.

    batch_size: see `batch_for`.
    """
    size = batch_for(model.eval(), split, batch_size)
    return torch.cat([model(inputs) for inputs, _ in split.batches(size)]).cpu().numpy()
