"""The built-in network, as a user writes a network: plain PyTorch, and a function that returns it.

    network: {factory: "examples/reference_network.py:network", arguments: {in_channels: 2, classes: 2}}

The layers have the names of the built-in network and are created in the same order, so the weights and the results are
the same to the last bit.
"""

import torch
from torch import nn


class Reference(nn.Module):
    """Three blocks of convolution, batch normalisation, ReLU and pooling, then three linear layers."""

    def __init__(self, in_channels: int, image_size: int, classes: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        # Each block halves the height and width of the maps.
        self.linear1 = nn.Linear(4 * width * (image_size // 8) ** 2, 8 * width)
        self.linear2 = nn.Linear(8 * width, 2 * width)
        self.linear3 = nn.Linear(2 * width, classes)
        self.relu, self.pool, self.dropout = nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, classes) of inputs (n, in_channels, image_size, image_size)."""
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        x = self.pool(self.relu(self.bn3(self.conv3(x))))
        x = self.dropout(self.relu(self.linear1(x.flatten(1))))
        return self.linear3(self.relu(self.linear2(x)))


def network(in_channels: int = 2, image_size: int = 28, classes: int = 2, width: int = 16) -> nn.Module:
    """Return the network. width: the number of channels of the first block; 16 in config.yaml, 32 on MNIST."""
    return Reference(in_channels, image_size, classes, width)
