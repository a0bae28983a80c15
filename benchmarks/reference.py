"""What ours is measured against: the reference experiment's way, written as plainly as one would.

Where a choice could flatter us, the faster one is made for it: the pairs are gathered once, layers are
channels-last, no gradients are kept.
"""

import copy

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from prunecurve.batches import Split
from prunecurve.metrics import confusion, predict
from prunecurve.network import Architecture, PairNet


def gathered(split: Split, size: int = 500) -> list[Tensor]:
    """All inputs of a split in memory, batch by batch, as the network takes them."""
    return [inputs for inputs, _ in split.batches(size)]


@torch.inference_mode()
def counts(model: nn.Module, batches: list[Tensor], labels: np.ndarray) -> dict[str, int]:
    """Confusion counts of one forward pass over all pairs."""
    return confusion(predict(torch.cat([model(inputs) for inputs in batches]).numpy()), labels)


def zero_the_weights(model: PairNet, removed: np.ndarray) -> nn.Module:
    """The reference experiment: a copy of the network with the filters of the removed channels set to 0."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied.last_conv.weight[removed] = 0
    return copied


def prune_physically(model: PairNet, removed: np.ndarray, example: Tensor) -> nn.Module:
    """The same with Torch-Pruning, which finds what depends on the channels and takes them out."""
    copied = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(copied, example_inputs=example)
    graph.get_pruning_group(copied.last_conv, torch_pruning.prune_conv_out_channels, idxs=removed.tolist()).prune()
    return copied.to(memory_format=torch.channels_last)


class Pairs(torch.utils.data.Dataset):
    """A pair a call, stacked and scaled."""

    def __init__(self, images: np.ndarray, pairs: np.ndarray) -> None:
        self.images, self.pairs = torch.from_numpy(images).float() / 255, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        first, second, same = self.pairs[i]
        return torch.cat([self.images[first], self.images[second]]), int(same)


def plain_network(architecture: Architecture) -> nn.Sequential:
    """The same layers in the order of the textbook."""
    layers: list[nn.Module] = []
    inputs = architecture.in_channels
    for outputs in architecture.channels:
        layers += [
            nn.Conv2d(inputs, outputs, architecture.kernel_size, padding=architecture.kernel_size // 2),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        inputs = outputs
    layers.append(nn.Flatten())
    inputs *= architecture.map_size**2
    for i, outputs in enumerate(architecture.hidden):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()] + ([nn.Dropout(architecture.dropout)] if i == 0 else [])
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 2))


def plain_epoch(model: nn.Module, images: np.ndarray, pairs: np.ndarray, batch_size: int, device: str) -> None:
    """One epoch of `Dataset`, `DataLoader` and Adam."""
    loader = torch.utils.data.DataLoader(Pairs(images, pairs), batch_size, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for inputs, labels in loader:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
        optimiser.step()
