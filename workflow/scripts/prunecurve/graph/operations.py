"""Operations that the graph of a network can be searched for: modules by class, functions by identity.

A function of the user can have the name of one of torch's. What any other operation does with channels is probed
(channels.py).
"""

import operator
from collections.abc import Iterable

import torch
from torch import fx, nn
from torch.nn import functional

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ACTIVATION_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softsign, nn.Threshold),
)
# Of an nn.PReLU, each channel can have a parameter.
ELEMENTWISE_MODULES = tuple(each for each in ACTIVATION_MODULES if each is not nn.PReLU)
UNCHANGED_MODULES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Flatten)

# What a class can define without an effect on what its modules compute.
WITHOUT_EFFECT = {"__init__", "__module__", "__doc__", "__annotations__", "__constants__", "__parameters__"}
WITHOUT_EFFECT |= {"extra_repr", "reset_parameters"}

# The key of a node's `meta` for the name of an operation in the network's code, if the graph has a different one.
WRITTEN = "written as"


def _torch_functions(names: str) -> frozenset[object]:
    """Return the functions of torch with these names, and the names, which methods of tensors have in a graph."""
    homes = (torch, functional, operator)
    functions = {getattr(home, name, None) for name in names.split() for home in homes}
    return frozenset(functions - {None}) | frozenset(names.split())


ACTIVATIONS = _torch_functions(
    "relu relu6 leaky_relu prelu elu celu selu gelu silu mish softplus sigmoid tanh hardtanh hardsigmoid hardswish "
    "logsigmoid softsign threshold"
)
# Each element alone.
ELEMENTWISE = ACTIVATIONS - _torch_functions("prelu") | _torch_functions("clamp neg exp sqrt square abs log log1p")
# They copy values in evaluation mode; `flatten` in a different shape.
UNCHANGED = _torch_functions("dropout dropout1d dropout2d flatten contiguous clone detach")


def calls(traced: fx.GraphModule, node: fx.Node, modules: Iterable[type], functions: Iterable[object] = ()) -> bool:
    """Return whether an operation runs as a module of these classes, or calls one of these functions or methods."""
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        return runs_as(module, tuple(modules))
    return node.op in ("call_function", "call_method") and node.target in functions


def runs_as(module: nn.Module, kinds: tuple[type, ...]) -> bool:
    """Return whether a module computes what one of these classes computes: a subclass can have methods of its own."""
    # An instance can have hooks, or a method of its own.
    if module._forward_pre_hooks or module._forward_hooks or "forward" in vars(module):
        return False
    order = type(module).__mro__
    kind = next((each for each in order if each in kinds), None)
    return kind is not None and all(
        name in WITHOUT_EFFECT or not hasattr(kind, name) for cls in order[: order.index(kind)] for name in vars(cls)
    )


def name_of(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for a module and for other nodes."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def in_words(traced: fx.GraphModule, node: fx.Node) -> str:
    """Return an operation in words, for messages: `act1 (Softmax)` or `cat`."""
    if node.op == "call_module":
        return f"{node.target} ({type(traced.get_submodule(node.target)).__name__})"
    return node.meta.get(WRITTEN) or name_of(node) or node.name
