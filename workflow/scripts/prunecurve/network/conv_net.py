"""The built-in network: blocks of convolution, batch normalisation, ReLU and pooling, then linear layers."""

import io
import os
import pickle
from itertools import pairwise
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prunecurve.errors import StudyError
from prunecurve.files import atomic, check_seal, remedy, seal
from prunecurve.network.parameters import Network


class Architecture(Network):
    """The numbers that define the network's shape: the config section `network`, and the size of the inputs."""

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


def prepare_torch(device: str, threads: int) -> torch.device:
    """Make torch deterministic with a fixed number of threads; return the device (`auto`: a GPU if available).

    The thread count comes from the config and not from the scheduler, because torch sums in a different order with
    a different number of threads. Raises StudyError if `device` is cuda and there is no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError("device: cuda is not available, torch finds no GPU; use auto or cpu")
    torch.set_num_threads(threads)
    # cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as use_deterministic_algorithms(True), which would first import torch's compiler, two and a half seconds.
    torch.set_deterministic_debug_mode("error")
    # Every operation here writes its complete output; filling it first would take a fifth of the training time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # With TF32, cuDNN rounds to 10 bits of mantissa: an error larger than the tolerance of the verification.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")


def _numbers(architecture: Architecture) -> dict[str, object]:
    values = {
        name: getattr(architecture, name) for name in ("in_channels", "image_size", *Network.model_fields, "classes")
    }
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def save_model(path: str | Path, model: ConvNet) -> None:
    """Write the weights and the numbers that define the network, so that `load_model` needs to unpickle no objects."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    # torch.save writes to memory: given a path, it stores the file's name (here temporary, with the process number) in
    # the archive, and it reports a full disk without an errno.
    content = io.BytesIO()
    torch.save({"architecture": _numbers(model.architecture), "state": state}, content)
    with atomic(path) as temporary:
        Path(temporary).write_bytes(content.getbuffer())
        seal(temporary)


def load_model(path: str | Path) -> ConvNet:
    """Load the network that `save_model` wrote, in eval mode.

    Raises StudyError, which names the file, if the file is damaged or not a model.
    """
    # torch ignores the checksums in its archives, and they do not cover the archive's directory.
    check_seal(path, "model")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        numbers = {k: list(v) if isinstance(v, tuple) else v for k, v in stored["architecture"].items()}
        model = ConvNet(Architecture(**numbers))
        model.load_state_dict(stored["state"])
    # torch.load raises many different exceptions for damaged or malicious files.
    except Exception as error:
        # torch's message for a refused file suggests to load it unsafely, so it appears only in the log's traceback.
        refused = isinstance(error, (pickle.UnpicklingError, ValidationError))
        reason = "it is damaged, or contains objects other than weights, which are not loaded" if refused else error
        raise StudyError(f"{path} is not a model of this workflow ({reason}); {remedy(path)}") from error
    return model.to(memory_format=torch.channels_last).eval()
