"""A network that a function of the user returns (network.factory): its module, its weights, and what is required of it.

The code of the user runs here and nowhere else, in jobs.
"""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.errors import StudyError
from prunecurve.model.factory import MODULE_PATH, parsed_factory
from prunecurve.model.factory_import import call_of, place, reported, returned
from prunecurve.model.messages import named, place_of, times

# Wrappers that run a network on several devices; they hold it as `module`.
PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
# Rows of probabilities sum to 1 up to rounding.
ROUNDING = 1e-4
# Of several names, a message has this many.
NAMED = 5


def build(text: str, arguments: Mapping[str, Any], input_shape: Sequence[int], seed: int) -> nn.Module:
    """Return the module that a function returns, on the CPU, without wrappers for several devices or for a compiler.

    It is a copy: a function may return the same module each time. The same seed gives the same weights.

    text, arguments: the config keys network.factory and network.arguments. input_shape: (C, S, S) of one input. seed:
    for the random numbers of torch, numpy and Python, with which the weights are initialised. Raises StudyError with
    one line that names a key, and the line of the user's code: if there is no such function, if it raises an error,
    needs other arguments or returns no module, if its code is not the one that the run started with, or if the
    module cannot read the inputs.
    """
    factory = parsed_factory(text)
    module = returned(factory, arguments, seed)
    if not isinstance(module, nn.Module):
        kind = "None" if module is None else f"a {type(module).__name__}"
        called = f"{call_of(factory, arguments)} of {place(factory)}"
        raise StudyError(f"network.factory: {called} must return a torch.nn.Module, but returns {kind}")
    module = _unwrapped(module)
    _require_values(module)
    _require_layers(module)
    try:
        module = copy.deepcopy(module)
    except Exception as error:
        raise StudyError(f"network.factory: the network cannot be copied ({named(error)})") from error
    return _in_its_layout(module.cpu(), input_shape)


def _require_values(module: nn.Module) -> None:
    """Raise StudyError if weights have no sizes or no values yet, or are not where torch expects them."""
    if lazy := [name for name, each in module.named_parameters() if isinstance(each, nn.UninitializedParameter)]:
        raise StudyError(
            f"network.factory: the sizes of {few(lazy)} are not known before an input is read (lazy modules); give them"
        )
    values = [*module.named_parameters(), *module.named_buffers()]
    if meta := [name for name, each in values if each.is_meta]:
        raise StudyError(
            f"network.factory: {few(meta)} are on torch's meta device and have no values; create them on the CPU"
        )
    if hooked := [path for path, each in module.named_modules() if _has_computed_weights(each)]:
        raise StudyError(
            f"network.factory: hooks compute the weights of {few(hooked)} (old weight_norm or torch.nn.utils.prune); "
            "call remove_weight_norm or prune.remove before the network is returned"
        )


def _has_computed_weights(module: nn.Module) -> bool:
    """Return whether hooks of a module compute attributes from its weights. torch cannot copy such a module."""
    computed = any(isinstance(value, Tensor) and not value.is_leaf for value in vars(module).values())
    return bool(module._forward_pre_hooks) and computed


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return a module without the wrappers for several devices and for a compiler, its own and those of its modules."""
    # The class of compiled modules is not named here because its import takes seconds.
    while isinstance(module, PARALLEL) or "_orig_mod" in module._modules:
        module = module.module if isinstance(module, PARALLEL) else module._orig_mod
    for name, each in module._modules.items():
        if each is not None and (own := _unwrapped(each)) is not each:
            setattr(module, name, own)
    return module


def _require_layers(module: nn.Module) -> None:
    """Raise StudyError if a network has no layers, or layers with names that file names cannot have."""
    if not any(isinstance(each, nn.Conv2d | nn.Linear) for each in module.modules()):
        raise StudyError(
            "network.factory: the network has no Conv2d and no Linear, so there are no channels to remove; use these "
            "modules instead of functions such as conv2d"
        )
    for path, each in module.named_modules():
        if isinstance(each, nn.Conv2d | nn.Linear) and path and not re.fullmatch(MODULE_PATH, path):
            raise StudyError(
                f"network.factory: the name of the layer {path} cannot be used in file names; rename it with "
                "letters, digits, _ and, between them, spaces, + or -"
            )


class _Contiguous(nn.Module):
    """A network whose code needs contiguous values (`x.view(n, -1)`): its inputs become so, and its weights stay so."""

    def forward(self, x: Tensor) -> Tensor:
        # Images of one channel are contiguous in both layouts: `contiguous()` would keep the strides of the other one.
        return super().forward(x.clone(memory_format=torch.contiguous_format))

    def to(self, *arguments: Any, memory_format: torch.memory_format | None = None, **options: Any) -> nn.Module:
        return super().to(*arguments, **options)


def _in_its_layout(module: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Return a network that can read inputs in channels-last layout, as all of them are (the fastest layout on CPUs).

    Only some contiguous inputs have a view with different sizes. Raises StudyError if the network cannot
    read inputs of this shape.
    """
    cls = type(module)
    try:
        _outputs(module, input_shape)
    except StudyError:
        raise
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            raise _unreadable(module, input_shape, error) from error
        # A class of its own and no wrapper, so that the paths of the modules stay the same.
        module.__class__ = type(cls.__name__, (_Contiguous, cls), {"__module__": cls.__module__})
        try:
            _outputs(module, input_shape)
        except Exception as second:
            raise _unreadable(module, input_shape, second) from second
    except (Exception, SystemExit) as error:
        raise _unreadable(module, input_shape, error) from error
    return module


def _unreadable(module: nn.Module, input_shape: Sequence[int], error: BaseException) -> StudyError:
    choice = "check network.arguments, image_size and image_channels"
    if others := {str(each.dtype) for each in module.parameters() if each.is_floating_point()} - {"torch.float32"}:
        choice = f"its weights are {few(sorted(others))} and the inputs torch.float32: return network.float()"
    if "is invalid for input of size" in str(error):
        choice += "; a number of inputs must not be written into the network: x.flatten(1) works for any"
    if "forward() missing" in str(error):
        choice = "its forward method must need one argument, the images"
    return StudyError(
        f"network.factory: the network cannot read inputs of the shape {times(input_shape)} "
        f"({named(error)}{place_of(error)}); {choice}"
    )


@torch.no_grad()
def _outputs(module: nn.Module, input_shape: Sequence[int], count: int = 1, *, training: bool = False) -> list[Any]:
    """Return what a copy of a network in channels-last layout gives for two random inputs, `count` times."""
    try:
        copied = copy.deepcopy(module).to(memory_format=torch.channels_last).train(training)
    except Exception as error:
        raise StudyError(f"network.factory: the network cannot be copied ({named(error)})") from error
    inputs = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0))
    return [copied(inputs.to(memory_format=torch.channels_last, copy=True)) for _ in range(count)]


def require_logits(module: nn.Module, input_shape: Sequence[int], classes: int, *, trained: bool) -> None:
    """Raise StudyError unless a network on the CPU gives finite logits (n, classes), the same ones each time.

    trained: whether it will be trained here, so that the same is required of its output in training mode.
    """
    once, again = _outputs(module, input_shape, 2)
    _require_shape(once, classes, "its output")
    if not torch.allclose(once.double(), again.double(), equal_nan=True):
        raise StudyError(
            "network.factory: in evaluation mode two runs of the network on the same inputs give different results; "
            "it must not use random numbers, dropout that is not a module, or a state that it changes"
        )
    require_finite(once.numpy(), "network.factory: the network")
    if ((once >= 0) & (once <= 1)).all() and ((once.double().sum(1) - 1).abs() < ROUNDING).all():
        raise StudyError(
            "network.factory: the network returns probabilities (between 0 and 1, with the sum 1), and logits are "
            "needed; remove the softmax at its end, or replace it by log_softmax"
        )
    if trained:
        if not any(each.requires_grad for each in module.parameters()):
            raise StudyError("network.factory: the network has no weights that can be trained")
        with reported("network.factory: the network fails in training mode"):
            _require_shape(_outputs(module, input_shape, training=True)[0], classes, "its output in training mode")


def _require_shape(output: Any, classes: int, name: str) -> None:
    if not isinstance(output, Tensor):
        raise StudyError(
            f"network.factory: {name} is a {type(output).__name__}; it must be one tensor of logits (n, classes)"
        )
    if output.ndim != 2 or len(output) != 2:
        raise StudyError(
            f"network.factory: {name} is a tensor (n, {times(output.shape[1:])}); it must be one of logits (n, classes)"
        )
    if output.shape[1] != classes:
        raise StudyError(
            f"network.arguments: the network has {output.shape[1]} outputs, but the data have {classes} classes; "
            "give the argument that sets their number, such as num_classes"
        )


def require_finite(logits: np.ndarray, subject: str) -> None:
    """Raise StudyError if logits (N, C) are not finite. subject: a key and what gives them, for the message."""
    if wrong := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise StudyError(f"{subject} gives NaN or infinite logits for {wrong} of {len(logits)} inputs")


def few(names: Iterable[str]) -> str:
    """Return the first of some names as text, with dots if there are more."""
    names = list(names)
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
