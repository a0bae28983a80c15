"""The built-in network: blocks of convolution, batch normalisation, ReLU and pooling, then linear layers."""

from itertools import pairwise

from torch import Tensor, nn

from prunecurve.model.parameters import BuiltIn


class Architecture(BuiltIn):
    """The numbers that define the network's shape: keys of the config section `network`, and the size of the inputs."""

    in_channels: int
    """Channels of an input, such as a stacked pair of images."""

    image_size: int
    """Height and width of an image in pixels."""

    classes: int = 2
    """Number of classes, the outputs of the last layer."""


class ConvNet(nn.Module):
    """Classify inputs (n, in_channels, S, S), for example stacked pairs of images: logits (n, classes).

    Layers, and their entries in the state dict, are named conv1, bn1, …, linear1, … This module alone uses the names:
    everything else finds the layers of a network in its graph (layers.py).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = (architecture.in_channels, *architecture.channels)
        for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            kernel = architecture.kernel_size
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        # Each block halves the maps, rounded down.
        area = (architecture.image_size >> len(architecture.channels)) ** 2
        features = (widths[-1] * area, *architecture.hidden, architecture.classes)
        for i, (inputs, outputs) in enumerate(pairwise(features), start=1):
            self.add_module(f"linear{i}", nn.Linear(inputs, outputs))
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.dropout = nn.Dropout(architecture.dropout)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (in_channels, S, S) of one input."""
        return self.architecture.in_channels, self.architecture.image_size, self.architecture.image_size

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of inputs (n, in_channels, S, S)."""
        for i in range(1, len(self.architecture.channels) + 1):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            # ReLU is monotonic, so max pooling can come first: the same values and gradients, and ReLU runs on a
            # quarter of them. Only in training: evaluations measure the maps after ReLU and before pooling.
            x = self.relu(self.pool(x)) if self.training else self.pool(self.relu(x))
        # `flatten` orders the values by channel, whatever the memory layout of the maps.
        x = x.flatten(1)
        for i in range(1, len(self.architecture.hidden) + 1):
            x = self.relu(getattr(self, f"linear{i}")(x))
            if i == 1:
                x = self.dropout(x)
        return getattr(self, f"linear{len(self.architecture.hidden) + 1}")(x)
