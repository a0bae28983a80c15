"""Import the function of network.factory and call it. The code of the user runs in jobs and nowhere else."""

import difflib
import importlib
import importlib.util
import inspect
import os
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.errors import StudyError
from prunecurve.model.factory import Factory
from prunecurve.model.factory_source import code_of, require_as_planned
from prunecurve.model.messages import named, one_line, place_of

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
CUDNN_FLAGS = ("benchmark", "allow_tf32")


def returned(factory: Factory, arguments: Mapping[str, Any], seed: int) -> Any:
    """Return what the function returns, called with these arguments. `seed`: see `seed_all`.

    The generators are seeded before the import and again before the call, so that a network that a module creates when
    it is imported has initial weights of this seed too. The code sees a command line without options, and the state of
    the process is afterwards as before. Raises StudyError as `user_network.build`.
    """
    require_as_planned(factory)
    with unchanged_process(place(factory)):
        function = _function(factory, seed)
        called = call_of(factory, arguments)
        _require_arguments(factory, function, arguments, called)

        def call() -> Any:
            seed_all(seed)
            return function(**arguments)

        with reported(f"network.factory, network.arguments: {called} of {place(factory)} fails"):
            return with_torchvision(call)


def call_of(factory: Factory, arguments: Mapping[str, Any]) -> str:
    """Return the call of the function as text, for messages: `make(width=4)`."""
    return f"{factory.function}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def place(factory: Factory) -> str:
    """Return the file or the module of the function, for messages."""
    return factory.file or factory.module


@contextmanager
def unchanged_process(program: str) -> Iterator[None]:
    """Give a user's code a command line of its own, without options, and undo what it changes in the process.

    program: the first word of the command line.
    """
    before = [(write, read()) for read, write in STATE]
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in CUDNN_FLAGS}
    argv, sys.argv = sys.argv, [program]
    try:
        with np.errstate():
            yield
    finally:
        sys.argv = argv
        # Nothing of this package sets a default device.
        torch.set_default_device(None)
        for write, value in before:
            write(value)
        for name, value in cudnn.items():
            setattr(torch.backends.cudnn, name, value)


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


def _function(factory: Factory, seed: int) -> Callable[..., Any]:
    """Import the function, with its files anew."""

    def imported() -> types.ModuleType:
        _forget(factory)
        seed_all(seed)
        return _module_of_file(factory) if factory.file else _module_of_package(factory)

    with reported(f"network.factory: {place(factory)} cannot be imported"):
        module = with_torchvision(imported)
    function = getattr(module, factory.function, None)
    if callable(function):
        return function
    if function is not None:
        raise StudyError(
            f"network.factory: {factory.function} of {place(factory)} is a {type(function).__name__}, not a function"
        )
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = difflib.get_close_matches(factory.function, functions, n=3) or functions[:10]
    has = f"; it has {', '.join(near)}" if near else ""
    raise StudyError(f"network.factory: {place(factory)} has no function {factory.function}{has}")


def _forget(factory: Factory) -> None:
    """Let Python import the files of the function again, so that what they create depends on the seed alone."""
    files = {os.path.realpath(file) for file in code_of(factory).files}
    names = {os.path.basename(file) for file in files}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        own = os.path.basename(file) in names and os.path.realpath(file) in files
        if name.split(".")[0] == PACKAGE or (own and name.split(".")[0] != "prunecurve"):
            del sys.modules[name]


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
    package = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", factory.file)
    # Python knows a loader for each file that ends in .py.
    assert spec is not None and spec.loader is not None
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
            f"{place(factory)} defines {factory.function}{_without_types(signature)}"
        ) from error


def _without_types(signature: inspect.Signature) -> str:
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return one_line(str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)))
