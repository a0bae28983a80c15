"""The pair network: blocks of convolution, batch normalisation, ReLU and pooling, then linear layers."""

import dataclasses
import io
import os
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.errors import StudyError
from prunecurve.files import atomic, check_seal, remedy, save_arrays, seal

# The places in a block where a channel can be measured, in the order data passes them.
POINTS = ("conv", "bn", "relu", "pool")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The numbers that fix the network's shape."""

    in_channels: int = dataclasses.field(metadata={"help": "channels of a stacked pair of images"})
    image_size: int = dataclasses.field(metadata={"help": "height and width of an image in pixels"})
    channels: tuple[int, ...] = dataclasses.field(metadata={"help": "output channels of each conv block"})
    kernel_size: int = dataclasses.field(metadata={"help": "height and width of every filter, odd"})
    hidden: tuple[int, ...] = dataclasses.field(metadata={"help": "outputs of each hidden linear layer"})
    dropout: float = dataclasses.field(metadata={"help": "share dropped after the first hidden layer"})

    @property
    def blocks(self) -> int:
        """How many convolutions there are; block i, from 1, holds conv{i}."""
        return len(self.channels)

    def size_after(self, i: int) -> int:
        """Height and width of block i's maps after pooling, each block halving them, rounded down."""
        return self.image_size >> i


class PairNet(nn.Module):
    """Says whether the two images of a pair are of one class: logits (n, 2), the second for *same*.

    Layers are named conv1, bn1, …, linear1, …; so are their entries in the state dict.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = (architecture.in_channels, *architecture.channels)
        for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            kernel = architecture.kernel_size
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        features = (widths[-1] * architecture.size_after(architecture.blocks) ** 2, *architecture.hidden, 2)
        for i, (inputs, outputs) in enumerate(pairwise(features), start=1):
            self.add_module(f"linear{i}", nn.Linear(inputs, outputs))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(architecture.dropout)

    def conv(self, i: int) -> nn.Conv2d:
        """Block i's convolution."""
        return getattr(self, f"conv{i}")

    def bn(self, i: int) -> nn.BatchNorm2d:
        """Block i's batch normalisation."""
        return getattr(self, f"bn{i}")

    def maps(self, i: int, x: Tensor) -> dict[str, Tensor]:
        """Block i's maps at each of POINTS for images x (n, in_channels, S, S)."""
        for earlier in range(1, i):
            x = self.pooled(earlier, self.conv(earlier)(x))
        conv = self.conv(i)(x)
        bn = self.bn(i)(conv)
        relu = torch.relu(bn)
        return {"conv": conv, "bn": bn, "relu": relu, "pool": self.pool(relu)}

    def pooled(self, i: int, conv: Tensor) -> Tensor:
        """Block i's pooled maps from its convolution's output: those of `maps`, and the same gradients.

        ReLU keeps order, so the largest of a window's values may be taken before it: a quarter of ReLU's work.
        """
        return torch.relu(self.pool(self.bn(i)(conv)))

    def after(self, i: int, pooled: Tensor) -> Tensor:
        """Logits (n, 2) of block i's pooled maps; of images for i = 0."""
        for later in range(i + 1, self.architecture.blocks + 1):
            pooled = self.pooled(later, self.conv(later)(pooled))
        return self.head(pooled)

    def head(self, pooled: Tensor) -> Tensor:
        """Logits (n, 2) of the last block's pooled maps (n, P, h, w), flattened channel by channel."""
        # On channels-last maps `flatten` alone would copy too; the order is channel-major either way.
        x = pooled.flatten(1)
        for i in range(1, len(self.architecture.hidden) + 1):
            x = torch.relu(getattr(self, f"linear{i}")(x))
            if i == 1:
                x = self.dropout(x)
        return getattr(self, f"linear{len(self.architecture.hidden) + 1}")(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 2) of images (n, in_channels, S, S)."""
        return self.after(0, x)


def prepare_torch(device: str, threads: int) -> torch.device:
    """Make torch reproducible with a fixed number of threads, and choose the device (`auto`: a GPU if there is one).

    The thread count comes from the config, never from the scheduler: another one sums in another order.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError("device: cuda was asked for, but torch finds no GPU; use auto or cpu")
    torch.set_num_threads(threads)
    # cuBLAS is reproducible only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Every operation here writes all of its output; filling it first takes a fifth of the training time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # cuDNN would round convolutions to 10 bits of mantissa, more than the proof by surgery lets pass.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu")


def save_model(path: str | Path, model: PairNet) -> None:
    """Write the weights and the numbers that rebuild the network; loads without unpickling objects."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    # Not to the path itself: torch writes the file's name, here a process's own, into the archive, and has no error
    # number for a full disk.
    content = io.BytesIO()
    torch.save({"architecture": dataclasses.asdict(model.architecture), "state": state}, content)
    with atomic(path) as temporary:
        Path(temporary).write_bytes(content.getbuffer())
        seal(temporary)


def load_model(path: str | Path) -> PairNet:
    """Rebuild the network that `save_model` wrote, in eval mode; StudyError, naming the file, if it can't be."""
    # torch doesn't look at the checksums that its archives have, and those don't cover the archive's directory.
    check_seal(path, "model")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        numbers = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in stored["architecture"].items()}
        model = PairNet(Architecture(**numbers))
        model.load_state_dict(stored["state"])
    # torch.load raises a different class for each way in which a file can be broken or hostile.
    except Exception as error:
        # torch's own advice for a refused file is to load it unsafely: the log's traceback has it, the message hasn't.
        refused = isinstance(error, pickle.UnpicklingError)
        reason = "it is damaged, or holds more than weights, which is never loaded" if refused else error
        raise StudyError(f"{path} is not a model of this workflow ({reason}); {remedy(path)}") from error
    return model.to(memory_format=torch.channels_last).eval()


def save_weights(path: str | Path, model: PairNet) -> None:
    """Write the weights once more as plain arrays, for the jobs that don't import torch.

    Holds the state dict under its own names, and `image_size` and `bn_eps` as arrays without axes.
    """
    arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}
    arrays = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    arrays["image_size"] = np.array(model.architecture.image_size)
    arrays["bn_eps"] = np.array(model.bn(1).eps)
    save_arrays(path, arrays)
