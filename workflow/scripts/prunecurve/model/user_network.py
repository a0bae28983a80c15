"""A network that a function of the user returns (network.factory): the call of it, and what is required of the module.

The code of the user runs here and nowhere else, in jobs.
"""

import copy
import difflib
import importlib
import importlib.util
import os
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.errors import StudyError
from prunecurve.model.factory import Factory, code_of, parsed_factory, require_as_planned
from prunecurve.model.messages import named, place_of, times

# The package of a user's file, so that `from .blocks import Block` finds the file in the same folder.
PACKAGE = "users_network"
# What scripts with a network often set when they are imported, as functions that read and write it.
STATE = (
    (os.getcwd, os.chdir),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
)


def build(text: str, arguments: Mapping[str, Any], input_shape: Sequence[int], seed: int) -> nn.Module:
    """Return the module that a function returns, on the CPU, without wrappers for several devices or for a compiler.

    It is a copy: a function may return the same module each time. The same seed gives the same weights: the generators
    of torch, numpy and Python are seeded before the import, for a network that a module creates when it is imported,
    and again before the call.

    text, arguments: the config keys network.factory and network.arguments. input_shape: (C, S, S) of one input. Raises
    StudyError with one line that names a key, and the line of the user's code: if there is no such function, if it
    raises an error or returns no module, if its code is not the one that the run started with, or if the module cannot
    read the inputs.
    """
    factory = parsed_factory(text)
    require_as_planned(factory)
    call = f"{factory.function}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    with _unchanged_process(factory.place):
        function = _function(factory, seed)
        with reported(f"network.factory, network.arguments: {call} of {factory.place} fails"):
            module = _seeded(seed, lambda: function(**arguments))
    if not isinstance(module, nn.Module):
        raise StudyError(
            f"network.factory: {call} of {factory.place} must return a torch.nn.Module, but returns a "
            f"{type(module).__name__}"
        )
    module = _unwrapped(module)
    if not any(isinstance(each, nn.Conv2d | nn.Linear) for each in module.modules()):
        raise StudyError(
            "network.factory: the network has no Conv2d and no Linear, so there are no channels to remove; use these "
            "modules instead of functions such as conv2d"
        )
    with reported("network.factory: the network cannot be copied"):
        module = copy.deepcopy(module).cpu()
    return _in_its_layout(module, input_shape)


def seed_all(seed: int) -> None:
    """Seed the generators that a user's code can draw from: those of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Raise StudyError instead of an error of the user's code: one line, `what` and the place of the error."""
    try:
        yield
    except StudyError:
        raise
    # The code of a user can raise anything, and call sys.exit.
    except (Exception, SystemExit) as error:
        raise StudyError(f"{what} ({named(error)}{place_of(error)})") from error


@contextmanager
def _unchanged_process(program: str) -> Iterator[None]:
    """Give a user's code a command line of its own, without options, and undo what it changes in the process.

    program: the first word of the command line.
    """
    before = [(write, read()) for read, write in STATE]
    argv, sys.argv = sys.argv, [program]
    try:
        with torch.backends.cudnn.flags(enabled=True):
            yield
    finally:
        sys.argv = argv
        # Nothing of this package sets a default device.
        torch.set_default_device(None)
        for write, value in before:
            write(value)


def _seeded(seed: int, run: Callable[[], Any]) -> Any:
    def call() -> Any:
        seed_all(seed)
        return run()

    return with_torchvision(call)


def _function(factory: Factory, seed: int) -> Callable[..., Any]:
    """Import the function."""
    run = (lambda: _module_of(factory)) if factory.is_file else (lambda: importlib.import_module(factory.place))
    with reported(f"network.factory: {factory.place} cannot be imported"):
        module = _seeded(seed, run)
    function = getattr(module, factory.function, None)
    if callable(function):
        return function
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = difflib.get_close_matches(factory.function, functions, n=3) or functions[:10]
    has = f"; it has {', '.join(near)}" if near else ""
    raise StudyError(f"network.factory: {factory.place} has no function {factory.function}{has}")


def _module_of(factory: Factory) -> types.ModuleType:
    """Run a file as a module of its own package. Its folder is the first that its imports are looked up in."""
    beside = code_of(factory)[0].beside
    for top in beside.keys() & sys.modules.keys():
        # A package without __init__.py has no file.
        loaded = getattr(sys.modules[top], "__file__", "built in")
        if loaded and os.path.realpath(loaded) != os.path.realpath(beside[top]):
            raise StudyError(
                f"network.factory: {beside[top]} has the name of a module that is imported already ({loaded}); "
                "rename it"
            )
    folder, name = os.path.dirname(os.path.abspath(factory.place)), os.path.basename(factory.place).removesuffix(".py")
    # Bytecode counts as current if time (in seconds) and size agree, so an edit could have no effect.
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    package = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", factory.place)
    # Python knows a loader for each file that ends in .py.
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return a module without the wrappers for several devices and for a compiler, its own and those of its modules."""
    # The class of compiled modules is not named here because its import takes seconds.
    while (inner := module._modules.get("module" if isinstance(module, nn.DataParallel) else "_orig_mod")) is not None:
        module = inner
    for name, each in module.named_children():
        setattr(module, name, _unwrapped(each))
    return module


class _Contiguous(nn.Module):
    """A network whose code needs contiguous values (`x.view(n, -1)`): its inputs become so, and its weights stay so."""

    def forward(self, x: Tensor) -> Tensor:
        # Images of one channel are contiguous in both layouts: `contiguous()` would keep the strides of the other one.
        return super().forward(x.clone(memory_format=torch.contiguous_format))

    def to(self, *arguments: Any, memory_format: torch.memory_format | None = None, **options: Any) -> nn.Module:
        return super().to(*arguments, **options)


def _in_its_layout(module: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Return a network that can read inputs in channels-last layout, as all of them are (the fastest layout on CPUs).

    Only some contiguous inputs have a view with different sizes. Raises StudyError if the network cannot read inputs of
    this shape.
    """
    cls = type(module)
    shape = f"the network cannot read inputs of the shape {times(input_shape)}"
    with reported(f"network.factory: {shape}; check network.arguments, image_size and image_channels"):
        try:
            _outputs(module, input_shape)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            # A class of its own and no wrapper, so that the paths of the modules stay the same.
            module.__class__ = type(cls.__name__, (_Contiguous, cls), {"__module__": cls.__module__})
            _outputs(module, input_shape)
    return module


@torch.no_grad()
def _outputs(module: nn.Module, input_shape: Sequence[int], count: int = 1, *, training: bool = False) -> list[Any]:
    """Return what a copy of a network in channels-last layout gives for two random inputs, `count` times."""
    copied = copy.deepcopy(module).to(memory_format=torch.channels_last).train(training)
    inputs = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0))
    return [copied(inputs.to(memory_format=torch.channels_last, copy=True)) for _ in range(count)]


def require_logits(module: nn.Module, input_shape: Sequence[int], classes: int, *, trained: bool) -> None:
    """Raise StudyError unless a network on the CPU gives finite logits (n, classes), the same ones each time.

    trained: whether it will be trained here, so that the same is required of its output in training mode.
    """
    logits, again = _outputs(module, input_shape, 2)
    _require_shape(logits, classes, "its output")
    if not torch.allclose(logits, again, equal_nan=True):
        raise StudyError(
            "network.factory: in evaluation mode two runs of the network on the same inputs give different results; "
            "it must not use random numbers, dropout that is not a module, or a state that it changes"
        )
    require_finite(logits.numpy(), "network.factory: the network")
    # Rows of probabilities sum to 1 up to rounding.
    if ((logits >= 0) & (logits <= 1)).all() and ((logits.double().sum(1) - 1).abs() < 1e-4).all():
        raise StudyError(
            "network.factory: the network returns probabilities (between 0 and 1, with the sum 1), and logits are "
            "needed; remove the softmax at its end, or replace it by log_softmax"
        )
    if trained:
        with reported("network.factory: the network fails in training mode"):
            _require_shape(_outputs(module, input_shape, training=True)[0], classes, "its output in training mode")


def _require_shape(output: Any, classes: int, name: str) -> None:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
        shape = f" (n, {times(output.shape[1:])})" if isinstance(output, Tensor) else ""
        kind = f"{type(output).__name__}{shape}"
        raise StudyError(f"network.factory: {name} is a {kind}; it must be one tensor of logits (n, classes)")
    if output.shape[1] != classes:
        raise StudyError(
            f"network.arguments: the network has {output.shape[1]} outputs, but the data have {classes} classes; "
            "give the argument that sets their number, such as num_classes"
        )


def require_finite(logits: np.ndarray, subject: str) -> None:
    """Raise StudyError if logits (N, C) are not finite. subject: a key and what gives them, for the message."""
    if wrong := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise StudyError(f"{subject} gives NaN or infinite logits for {wrong} of {len(logits)} inputs")
