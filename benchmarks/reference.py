"""What ours is measured against: the reference experiment's way, written as plainly as one would.

And the same with what we know: channels-last layers, ReLU after pooling, inputs gathered once.
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


@torch.no_grad()
def plain_counts(model: nn.Module, loader: torch.utils.data.DataLoader, labels: np.ndarray) -> dict[str, int]:
    """The same by the plain loop."""
    return confusion(torch.cat([model(inputs).argmax(1) for inputs, _ in loader]).numpy(), labels)


def last_conv(model: nn.Module) -> nn.Conv2d:
    """The convolution whose channels are pruned."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1]


def zero_the_weights(model: nn.Module, removed: np.ndarray) -> nn.Module:
    """The reference experiment: a copy of the network with the filters of the removed channels set to 0."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        last_conv(copied).weight[removed] = 0
    return copied


def prune_physically(model: nn.Module, removed: np.ndarray, example: Tensor) -> nn.Module:
    """The same with Torch-Pruning, which finds what depends on the channels and takes them out."""
    copied = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(copied, example_inputs=example)
    prune = torch_pruning.prune_conv_out_channels
    graph.get_pruning_group(last_conv(copied), prune, idxs=removed.tolist()).prune()
    return copied


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
    inputs *= architecture.size_after(architecture.blocks) ** 2
    for i, outputs in enumerate(architecture.hidden):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()] + ([nn.Dropout(architecture.dropout)] if i == 0 else [])
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 2))


def plain_copy(model: PairNet) -> nn.Sequential:
    """A trained network in that form."""
    plain = plain_network(model.architecture)
    layers = [layer for layer in plain if list(layer.parameters())]
    names = [f"{kind}{i}" for i in range(1, len(model.architecture.channels) + 1) for kind in ("conv", "bn")]
    names += [f"linear{i}" for i in range(1, len(model.architecture.hidden) + 2)]
    for layer, name in zip(layers, names, strict=True):
        layer.load_state_dict(getattr(model, name).state_dict())
    return plain.eval()


def plain_epoch(model: nn.Module, images: np.ndarray, pairs: np.ndarray, batch_size: int, device: str) -> None:
    """One epoch of `Dataset`, `DataLoader` and Adam."""
    loader = torch.utils.data.DataLoader(Pairs(images, pairs), batch_size, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for inputs, labels in loader:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
        optimiser.step()
