"""Operations in place become ones that return a new tensor.

Otherwise a value that is stored or measured would change when the rest of the network runs.
"""

import functools
import inspect
import operator

import torch
from torch import Tensor, fx
from torch.nn import functional

from prunecurve.errors import StudyError
from prunecurve.graph.nodes import shape_of
from prunecurve.graph.operations import name_of


def without_overwriting(traced: fx.GraphModule) -> None:
    """Let each operation in place return a new tensor, which replaces the overwritten one in all later operations.

    The graph needs shapes.
    """
    # A module can run several times.
    in_place = {path for path, module in traced.named_modules() if getattr(module, "inplace", False)}
    for node in traced.graph.nodes:
        if shape_of(node) and _was_in_place(node, in_place):
            node.args[0].replace_all_uses_with(node, functools.partial(operator.lt, node))
    for path in in_place:
        traced.get_submodule(path).inplace = False
    traced.recompile()


def _was_in_place(node: fx.Node, in_place: set[str]) -> bool:
    """Return whether an operation is in place, and change it into one that returns a new tensor.

    in_place: the paths of modules that are. Raises StudyError for an operation that exists only in place.
    """
    if node.op == "call_module":
        return node.target in in_place
    name = name_of(node)
    if name.endswith("_") and not name.endswith("__"):
        homes = (Tensor,) if node.op == "call_method" else (torch, functional)
        same = next((getattr(home, name[:-1]) for home in homes if hasattr(home, name[:-1])), None)
        if same is None:
            raise StudyError(f"network: {name} works in place and has no out-of-place version; rewrite this line")
        node.target = name[:-1] if node.op == "call_method" else same
        return True
    try:
        call = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    # A method, or a function of C: it has no signature, and no option `inplace`.
    except (TypeError, ValueError):
        return False
    if not call.arguments.get("inplace"):
        return False
    call.arguments["inplace"] = False
    node.args, node.kwargs = call.args, call.kwargs
    return True
