"""A residual network for small images, as a user writes a network: plain PyTorch, and a function that returns it.

    network: {factory: "examples/my_network.py:resnet", arguments: {depth: 20, classes: 10}}

It is the network for CIFAR-10 of He et al. (2016), with a convolution on the shortcuts where the shape changes.
"""

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions, and a shortcut around them that is added to their result."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (n, outputs, S / stride, S / stride) of maps (n, inputs, S, S)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return blocks in a row. The first one changes the number of channels and divides height and width by stride."""
    later = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(inputs, outputs, stride), *later)


class ResNet(nn.Module):
    """One convolution, three stages of residual blocks, the mean over all positions, and one linear layer."""

    def __init__(self, blocks: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.stage1 = stage(blocks, width, width, 1)
        self.stage2 = stage(blocks, width, 2 * width, 2)
        self.stage3 = stage(blocks, 2 * width, 4 * width, 2)
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of inputs (n, channels, S, S)."""
        x = self.relu(self.bn(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.linear(x.mean((2, 3)))


def resnet(depth: int = 20, width: int = 16, channels: int = 3, classes: int = 10) -> nn.Module:
    """Return the network. depth: 6 n + 2 layers, for n blocks per stage: 8, 14, 20, …"""
    return ResNet((depth - 2) // 6, width, channels, classes)
