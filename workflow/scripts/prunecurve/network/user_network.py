"""A network that a function of the user returns (network.factory): its module, its weights, and what is required of it.

The code of the user runs here and nowhere else, in jobs.
"""

import copy
import difflib
import importlib
import importlib.util
import inspect
import os
import pickle
import random
import re
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
from prunecurve.network.factory import Factory, parsed_factory
from prunecurve.network.factory_source import code_of
from prunecurve.network.tracing import named, one_line, place_of, times

# The package of a user's file, so that `from .blocks import Block` finds the file beside it.
PACKAGE = "users_network"
# Keys under which a checkpoint holds a state dict.
HOLDERS = ("state_dict", "model_state_dict", "model")
# Of each kind of key that does not fit, this many are named.
NAMED = 5


def build(text: str, arguments: Mapping[str, Any], input_shape: Sequence[int], seed: int) -> nn.Module:
    """Return the module that a function returns, on the CPU.

    text, arguments: the config keys network.factory and network.arguments. input_shape: (C, S, S) of one input. seed:
    for the random numbers of torch, numpy and Python, with which the weights are initialised. Raises StudyError with
    one line that names a key, and the line of the user's code: if there is no such function, if it raises an error,
    needs other arguments or returns no module, or if the module can't read the inputs.
    """
    factory = parsed_factory(text)
    function = _function(factory)
    called = f"{factory.function}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    _require_arguments(factory, function, arguments, called)

    def call() -> Any:
        seed_all(seed)
        return function(**arguments)

    with reported(f"network.factory, network.arguments: {called} of {_place(factory)} fails"):
        module = with_torchvision(call)
    if not isinstance(module, nn.Module):
        kind = "None" if module is None else f"a {type(module).__name__}"
        raise StudyError(f"network.factory: {called} of {_place(factory)} returns {kind} and no torch.nn.Module")
    if lazy := [name for name, each in module.named_parameters() if isinstance(each, nn.UninitializedParameter)]:
        raise StudyError(
            f"network.factory: the sizes of {_few(lazy)} are not known before an input is read (lazy modules); "
            "give them"
        )
    return _in_its_layout(module.cpu(), input_shape)


def seed_all(seed: int) -> None:
    """Seed the generators that a user's code can draw from: those of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Raise StudyError in place of an error of the user's code: one line, `what` and the place of the error."""
    try:
        yield
    except StudyError:
        raise
    # The code of a user can raise anything, and call sys.exit.
    except (Exception, SystemExit) as error:
        raise StudyError(f"{what} ({named(error)}{place_of(error)})") from error


def _place(factory: Factory) -> str:
    return factory.file or factory.module or ""


def _function(factory: Factory) -> Callable[..., Any]:
    """Import the function."""
    with reported(f"network.factory: {_place(factory)} can't be imported"):
        module = with_torchvision(lambda: _module_of_file(factory) if factory.file else _module_of_package(factory))
    function = getattr(module, factory.function, None)
    if callable(function):
        return function
    if function is not None:
        raise StudyError(
            f"network.factory: {factory.function} of {_place(factory)} is a {type(function).__name__}, no function"
        )
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = difflib.get_close_matches(factory.function, functions, n=3) or functions[:10]
    has = f"; it has {', '.join(near)}" if near else ""
    raise StudyError(f"network.factory: {_place(factory)} has no function {factory.function}{has}")


def _module_of_file(factory: Factory) -> types.ModuleType:
    """Run a file as a module of its own package. Its folder is the first that its imports are looked up in."""
    beside = code_of(factory).beside
    folder, name = os.path.dirname(os.path.abspath(factory.file)), os.path.basename(factory.file).removesuffix(".py")
    for top, file in beside.items():
        if top in sys.modules and not _lies_in(folder, sys.modules[top]):
            place = getattr(sys.modules[top], "__file__", None) or "built in"
            raise StudyError(
                f"network.factory: {file} has the name of a module that is imported already ({place}); rename it"
            )
    # Bytecode counts as current if time (in seconds) and size agree, so an edit could have no effect.
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    for former in [each for each in sys.modules if each.split(".")[0] == PACKAGE]:
        del sys.modules[former]
    package = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", factory.file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _lies_in(folder: str, module: types.ModuleType) -> bool:
    """Return whether a top-level module was imported from a folder."""
    file = getattr(module, "__file__", None)
    # A package without __init__.py has folders, but no file.
    places = [os.path.dirname(file)] if file else list(getattr(module, "__path__", []))
    return any(
        os.path.realpath(each) in (os.path.realpath(folder), os.path.realpath(f"{folder}/{module.__name__}"))
        for each in places
    )


def _module_of_package(factory: Factory) -> types.ModuleType:
    try:
        return importlib.import_module(factory.module)
    except ModuleNotFoundError as error:
        # Not one that the module itself imports.
        if error.name and f"{factory.module}.".startswith(f"{error.name}."):
            file = f"{factory.module.replace('.', '/')}.py"
            advice = f"did you mean {file}:{factory.function}" if os.path.exists(file) else "is it installed"
            raise StudyError(f"network.factory: there is no module {error.name}; {advice}?") from error
        raise


def _require_arguments(factory: Factory, function: Callable, arguments: Mapping[str, Any], called: str) -> None:
    try:
        signature = inspect.signature(function)
    # Some functions of C have no signature.
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise StudyError(
            f"network.arguments: {called} is not possible ({error}); "
            f"{_place(factory)} defines {factory.function}{_without_types(signature)}"
        ) from error


def _without_types(signature: inspect.Signature) -> str:
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return one_line(str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)))


class _Contiguous(nn.Module):
    """A network whose code needs contiguous values (`x.view(n, -1)`): its inputs become so, and its weights stay so."""

    def forward(self, x: Tensor) -> Tensor:
        # Images of one channel are contiguous in both layouts: `contiguous()` would keep the strides of the other one.
        return super().forward(x.clone(memory_format=torch.contiguous_format))

    def to(self, *arguments: Any, memory_format: torch.memory_format | None = None, **options: Any) -> nn.Module:
        return super().to(*arguments, **options)


def _in_its_layout(module: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Return a network that can read inputs in channels-last layout, as all of them are (the fastest layout on CPUs).

    A view with other sizes exists for some values of contiguous inputs only. Raises StudyError if the network can't
    read inputs of this shape.
    """
    cls = type(module)
    try:
        _outputs(module, input_shape)
    except StudyError:
        raise
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            raise _unreadable(input_shape, error) from error
        # A class of its own and no wrapper, so that the paths of the modules stay the same.
        module.__class__ = type(cls.__name__, (_Contiguous, cls), {"__module__": cls.__module__})
        try:
            _outputs(module, input_shape)
        except Exception as second:
            raise _unreadable(input_shape, second) from second
    except (Exception, SystemExit) as error:
        raise _unreadable(input_shape, error) from error
    return module


def _unreadable(input_shape: Sequence[int], error: BaseException) -> StudyError:
    choice = "check network.arguments and image_size"
    if "is invalid for input of size" in str(error):
        choice += "; a number of inputs must not be written into the network: x.flatten(1) works for any"
    if "forward() missing" in str(error):
        choice = "its forward method must need one argument, the images"
    return StudyError(
        f"network.factory: the network can't read inputs of the shape {times(input_shape)} "
        f"({named(error)}{place_of(error)}); {choice}"
    )


@torch.no_grad()
def _outputs(module: nn.Module, input_shape: Sequence[int], count: int = 1, *, training: bool = False) -> list[Any]:
    """Return what a copy of a network in channels-last layout gives for two random inputs, `count` times."""
    try:
        copied = copy.deepcopy(module).to(memory_format=torch.channels_last).train(training)
    except Exception as error:
        raise StudyError(f"network.factory: the network can't be copied ({named(error)})") from error
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
            "network.factory: in evaluation mode the network gives other results for the same inputs when it runs "
            "again (dropout that is not a module, random numbers, or a state that it changes)"
        )
    require_finite(once.numpy(), "network.factory: the network")
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
            "give the argument that sets their number"
        )


def require_finite(logits: np.ndarray, subject: str) -> None:
    """Raise StudyError if logits (N, C) are not finite. subject: a key and what gives them, for the message."""
    if wrong := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise StudyError(f"{subject} gives NaN or infinite logits for {wrong} of {len(logits)} inputs")


def load_weights(module: nn.Module, path: str) -> None:
    """Load a state dict of exactly this network from a file: only weights, nothing else is unpickled.

    Understood are a state dict, a checkpoint that holds one as one of HOLDERS, and names with a common prefix. Raises
    StudyError with one line that names network.weights and says which keys are missing, unexpected or of another shape.
    """
    state = _without_prefixes(_state_in(_loaded(path), path), set(module.state_dict()))
    own = module.state_dict()
    shapes = [
        f"{name}: {_shape(state[name])} in the file, {_shape(value)} in the network"
        for name, value in own.items()
        if name in state and isinstance(value, Tensor) and getattr(state[name], "shape", None) != value.shape
    ]
    # Files of old versions of torch lack the number of batches, which no evaluation uses.
    missing = [name for name in own if name not in state and not name.endswith(".num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    problems = [("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)]
    told = [f"{_count(len(names))} {kind} ({_few(names)})" for kind, names in problems if names]
    if told:
        raise StudyError(
            f"network.weights: {path} does not fit the network of network.factory: {'; '.join(told)}; "
            "give the weights of this network, or check network.arguments"
        )
    with reported(f"network.weights: {path} can't be loaded into the network of network.factory"):
        module.load_state_dict(state, strict=False)


def _loaded(path: str) -> Any:
    if not os.path.isfile(path):
        raise StudyError(f"network.weights: there is no file {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message suggests to load the file unsafely.
        named = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        raise StudyError(
            f"network.weights: {path} is damaged or holds more than weights"
            f"{f' ({named[1]})' if named else ''}, and nothing else is unpickled; save network.state_dict() alone"
        ) from error
    except OSError as error:
        raise StudyError(f"network.weights: {path} can't be read ({error.strerror or error})") from error
    # torch.load raises many different exceptions for files of other kinds.
    except Exception as error:
        raise StudyError(f"network.weights: {path} is not a file of weights ({one_line(error)})") from error


def _state_in(content: Any, path: str) -> dict[str, Any]:
    """Return the state dict in the content of a file."""
    if isinstance(content, Mapping):
        holder = next((name for name in HOLDERS if isinstance(content.get(name), Mapping)), None)
        state = content[holder] if holder else content
        if (
            state
            and all(isinstance(name, str) for name in state)
            and any(isinstance(v, Tensor) for v in state.values())
        ):
            return dict(state)
        what = f"a mapping with the keys {_few(map(str, content))}" if content else "empty"
    else:
        what = f"a {type(content).__name__}"
    raise StudyError(
        f"network.weights: {path} holds no state dict: it is {what}; "
        f"a state dict, or a mapping with one under {' or '.join(HOLDERS)}, is understood"
    )


def _without_prefixes(state: dict[str, Any], own: set[str]) -> dict[str, Any]:
    """Return a state dict without prefixes that all its names have and the network's own names don't have.

    Wrappers add them, such as `module.` of DataParallel or the name of a network inside a larger module.
    """
    while len(prefixes := {name.partition(".")[0] + "." for name in state}) == 1:
        (prefix,) = prefixes
        if any(name.startswith(prefix) for name in own) or not all("." in name for name in state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _shape(value: Any) -> str:
    return (times(value.shape) or "a number") if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _count(number: int) -> str:
    return f"{number} key is" if number == 1 else f"{number} keys are"


def _few(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
