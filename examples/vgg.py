"""A plain network in the manner of VGG (Simonyan & Zisserman 2015): eight convolutions, one after the other.

network: {factory: "examples/vgg.py:vgg", arguments: {classes: 10}}
"""

from collections import OrderedDict

from torch import nn


def vgg(width: int = 32, channels: int = 3, image_size: int = 32, classes: int = 10, hidden: int = 128) -> nn.Module:
    """Return the network. width: the number of channels of conv1 and conv2; the last convolutions have 4 · width."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = channels
    for i, factor in enumerate((1, 1, 2, 2, 4, 4, 4, 4), 1):
        layers[f"conv{i}"] = nn.Conv2d(inputs, factor * width, 3, padding=1, bias=False)
        layers[f"bn{i}"] = nn.BatchNorm2d(factor * width)
        layers[f"relu{i}"] = nn.ReLU()
        if i % 2 == 0:
            layers[f"pool{i}"] = nn.MaxPool2d(2)
        inputs = factor * width
    layers["flatten"] = nn.Flatten()
    # The four poolings divide height and width by 16.
    layers["linear1"] = nn.Linear(inputs * (image_size // 16) ** 2, hidden)
    layers["relu"] = nn.ReLU()
    layers["dropout"] = nn.Dropout(0.5)
    layers["linear2"] = nn.Linear(hidden, classes)
    return nn.Sequential(layers)
