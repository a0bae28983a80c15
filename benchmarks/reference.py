"""The methods that ours is compared with: the reference experiment's method, in a straightforward implementation.

`counts` is a faster variant with our network: channels-last layout, and inputs gathered only once.
"""

import copy

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from prunecurve.data.basic_metrics import predict
from prunecurve.data.batches import Split
from prunecurve.data.tasks.pairs.metrics import confusion
from prunecurve.model.conv_net import Architecture, ConvNet


def gathered(split: Split, size: int = 500) -> list[Tensor]:
    """Return all network inputs of a split, as a list of batches."""
    return [inputs for inputs, _ in split.batches(size)]


@torch.inference_mode()
def counts(model: nn.Module, batches: list[Tensor], labels: np.ndarray) -> dict[str, int]:
    """Return the confusion counts of one forward pass over all pairs."""
    return confusion(predict(torch.cat([model(inputs) for inputs in batches]).numpy()), labels)


@torch.no_grad()
def plain_counts(model: nn.Module, loader: torch.utils.data.DataLoader, labels: np.ndarray) -> dict[str, int]:
    """Return the same counts, computed with a plain loop over a DataLoader."""
    return confusion(torch.cat([model(inputs).argmax(1) for inputs, _ in loader]).numpy(), labels)


def last_conv(model: nn.Module) -> nn.Conv2d:
    """Return the last convolution, whose channels are pruned."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1]


def zero_the_weights(model: nn.Module, removed: np.ndarray) -> nn.Module:
    """Return a copy of the network with the removed channels' filters set to 0, as in the reference experiment."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        last_conv(copied).weight[removed] = 0
    return copied


def prune_physically(model: nn.Module, removed: np.ndarray, example: Tensor) -> nn.Module:
    """Return a smaller copy of the network: Torch-Pruning removes the channels and all weights that depend on them."""
    copied = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(copied, example_inputs=example)
    prune = torch_pruning.prune_conv_out_channels
    graph.get_pruning_group(last_conv(copied), prune, idxs=removed.tolist()).prune()
    return copied


class Pairs(torch.utils.data.Dataset):
    """A data set that returns one pair per call: the stacked, scaled images and the label."""

    def __init__(self, images: np.ndarray, pairs: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.pairs, self.labels = torch.from_numpy(images).float() / 255, pairs, labels

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        first, second = self.pairs[i]
        return torch.cat([self.images[first], self.images[second]]), int(self.labels[i])


def plain_network(architecture: Architecture) -> nn.Sequential:
    """Return a network with the same layers in the usual order, with ReLU before pooling."""
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
    inputs *= (architecture.image_size >> len(architecture.channels)) ** 2
    for i, outputs in enumerate(architecture.hidden):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()] + ([nn.Dropout(architecture.dropout)] if i == 0 else [])
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, architecture.classes))


def plain_copy(model: ConvNet) -> nn.Sequential:
    """Return a `plain_network` with the weights of a trained network."""
    plain = plain_network(model.architecture)
    layers = [layer for layer in plain if list(layer.parameters())]
    names = [f"{kind}{i}" for i in range(1, len(model.architecture.channels) + 1) for kind in ("conv", "bn")]
    names += [f"linear{i}" for i in range(1, len(model.architecture.hidden) + 2)]
    for layer, name in zip(layers, names, strict=True):
        layer.load_state_dict(getattr(model, name).state_dict())
    return plain.eval()


def plain_epoch(model: nn.Module, pairs: Pairs, batch_size: int, device: str) -> None:
    """Train for one epoch with `Dataset`, `DataLoader` and Adam."""
    loader = torch.utils.data.DataLoader(pairs, batch_size, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for inputs, labels in loader:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
        optimiser.step()
