"""Networks, built-in ones and those of users: new ones, their files, and the state of torch in which all jobs run."""

import argparse
import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from prunecurve.commandline import add_section, add_split
from prunecurve.data.batches import Split
from prunecurve.errors import StudyError, remedy
from prunecurve.files import atomic
from prunecurve.model.conv_net import Architecture, ConvNet
from prunecurve.model.messages import not_loaded
from prunecurve.model.model_file import ModelFile
from prunecurve.model.parameters import BuiltIn, Network
from prunecurve.model.user_network import build, require_logits
from prunecurve.provenance import check_seal, seal


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


def built(network: Network, numbers: Mapping[str, int], seed: int, *, trained: bool = False) -> nn.Module:
    """Return a new network with random weights, on the CPU.

    network: the config section. numbers: in_channels, image_size and classes of the data. seed: of the random numbers
    of the initial weights. trained: see `require_logits`. Raises StudyError if a user's function returns no network for
    these data.
    """
    if network.factory:
        shape = input_shape_of(numbers)
        model = build(network.factory, network.arguments, shape, seed)
        require_logits(model, shape, numbers["classes"], trained=trained)
        return model
    torch.manual_seed(seed)
    return ConvNet(Architecture(**network.model_dump(include=set(BuiltIn.model_fields)), **numbers))


def input_shape_of(numbers: Mapping[str, int]) -> tuple[int, int, int]:
    """Return the shape (C, S, S) of one input."""
    return numbers["in_channels"], numbers["image_size"], numbers["image_size"]


def add_untrained(cli: argparse.ArgumentParser) -> None:
    """Add the options for a network before it is trained, for jobs that need only its shapes."""
    add_split(cli, "--split", "training")
    add_section(cli, "--network", Network, "the config section network")


def untrained(arguments: argparse.Namespace) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the network of the options of `add_untrained`, and the shape (C, S, S) of one input."""
    numbers = Split.read(arguments.split, "cpu").numbers
    return built(arguments.network, numbers, 0), input_shape_of(numbers)


def save_model(
    path: str | Path, model: nn.Module, numbers: Mapping[str, int] = MappingProxyType({}), seed: int | None = None
) -> None:
    """Write the weights of a network and what `load_network` needs besides its code. Nothing needs to be unpickled.

    numbers: in_channels, image_size and classes of the data; seed: that the network was built with. The built-in
    network knows its numbers and needs neither.
    """
    # A state dict can also hold the extra state of a module.
    state = {
        name: value.cpu().contiguous() if isinstance(value, Tensor) else value
        for name, value in model.state_dict().items()
    }
    about: dict[str, object] = {"numbers": dict(numbers), "seed": seed}
    if isinstance(model, ConvNet):
        about = {"architecture": model.architecture.model_dump()}
    # torch.save writes to memory: given a path, it stores the file's name (here temporary, with the process number) in
    # the archive, and it reports a full disk without an errno.
    content = io.BytesIO()
    torch.save({**about, "state": state}, content)
    with atomic(path) as temporary:
        Path(temporary).write_bytes(content.getbuffer())
        seal(temporary)


def load_network(model: ModelFile) -> tuple[nn.Module, tuple[int, int, int], tuple[str, ...]]:
    """Load the network that `save_model` wrote, in evaluation mode.

    Returns it, the shape (C, S, S) of one input, and the modules that are not traced (see `traced_network`). The file
    does not choose which code runs: the function that builds a user's network comes from `model`. Raises StudyError,
    which names the file, if the file is damaged, not a model, or of a different kind of network.
    """
    path = model.path
    # torch ignores the checksums in its archives, and they do not cover the archive's directory.
    check_seal(path, "model")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if model.factory:
            shape = input_shape_of(stored["numbers"])
            module = build(model.factory, model.arguments, shape, stored["seed"])
        else:
            module = ConvNet(Architecture(**stored["architecture"]))
            shape = module.input_shape
        module.load_state_dict(stored["state"])
    except StudyError:
        raise
    # torch.load raises many different exceptions for damaged or malicious files.
    except Exception as error:
        raise StudyError(f"{path} is not a model of this workflow ({not_loaded(error)}); {remedy(path)}") from error
    return module.to(memory_format=torch.channels_last).eval(), shape, model.leaf_modules


def load_model(path: str | Path) -> nn.Module:
    """Load the built-in network that `save_model` wrote; see `load_network`."""
    return load_network(ModelFile(str(path)))[0]
