"""The graph of a network, traced with torch.fx, in which no operation overwrites a value."""

import contextlib
import copy
import difflib
import fnmatch
import inspect
import io
import keyword
import math
import sys
from collections.abc import Callable, Sequence
from typing import SupportsIndex

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from prunecurve.errors import StudyError
from prunecurve.graph.in_place import without_overwriting
from prunecurve.graph.nodes import example_of, shape_of
from prunecurve.graph.operations import ACTIVATION_MODULES, NORMS, UNCHANGED_MODULES, WRITTEN, runs_as
from prunecurve.graph.same_results import require_same_results
from prunecurve.model.messages import named, one_line, place_of

# The key of a graph's `meta` for the class of each module of the network, by path.
CLASSES = "classes"
# Modules that are not looked into if they run as these do; torch.fx would find functions without a module.
TORCH_MODULES = (nn.Conv2d, nn.Linear, *NORMS, *ACTIVATION_MODULES, *UNCHANGED_MODULES)


class _Name(str):
    """The name of a module. Python has no attributes with the name of a keyword, but modules can have one (`class`)."""

    def isidentifier(self) -> bool:
        return super().isidentifier() and not keyword.iskeyword(self)


class _Path(str):
    """A module path in a graph: torch.fx writes `getattr(self, "class")` for parts that are not identifiers."""

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return [_Name(part) for part in super().split(sep, maxsplit)]


class _Tracer(fx.Tracer):
    """Traces a network without looking into some of its modules, and knows the module in which it failed."""

    def __init__(self, leaf_modules: Sequence[str], *, buffers: bool) -> None:
        """Prepare to trace a network without looking into these modules.

        buffers: whether they are values in the graph, of which the network can call methods with sizes, but which
        cannot decide what it runs.
        """
        # The functions of einops reshape values in a way that cannot be traced; each is one operation.
        super().__init__(autowrap_modules=(math, *filter(None, [sys.modules.get("einops")])))
        self.leaf_modules, self.proxy_buffer_attributes, self.failed_in = leaf_modules, buffers, ""

    def create_args_for_root(self, root_fn: Callable, is_module: bool, concrete_args: object = None) -> tuple:
        """Trace the forward method with its first argument, the images; the others have their defaults."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            any(is_named(m, module_qualified_name, name) for name in self.leaf_modules)
            or (isinstance(m, nn.Conv2d | nn.Linear) and not _layers_in(m))
            or type(m).__module__.startswith("einops.")
            or runs_as(m, TORCH_MODULES)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def create_node(self, kind: str, target: object, *arguments: object, **options: object) -> fx.Node:
        named = kind in ("call_module", "get_attr")
        return super().create_node(kind, _Path(target) if named else target, *arguments, **options)

    def call_module(self, m: nn.Module, *arguments: object, **options: object) -> object:
        try:
            return super().call_module(m, *arguments, **options)
        except Exception:
            # The innermost module is the first to fail.
            self.failed_in = self.failed_in or self.path_of_module(m)
            raise


def is_named(module: nn.Module, path: str, name: str) -> bool:
    """Return whether an entry of network.leaf_modules names a module: its path, a pattern of paths, or its class."""
    return fnmatch.fnmatchcase(path, name) or type(module).__name__ == name


def _layers_in(module: nn.Module) -> bool:
    """Return whether a module contains layers."""
    return any(isinstance(each, nn.Conv2d | nn.Linear) for each in module.modules() if each is not module)


def traced_network(
    model: nn.Module, input_shape: Sequence[int], leaf_modules: Sequence[str] = ()
) -> tuple[fx.GraphModule, int]:
    """Return a copy of the network as a graph in evaluation mode, and the number of its logits.

    The graph has the shape of every value for two inputs.

    model: a network that reads inputs (C, S, S) of this shape and gives logits (n, classes), as `user_network` checks.
    leaf_modules: paths of modules that torch.fx does not look into. Raises StudyError if torch.fx cannot trace the
    network, or if the graph fails or gives different results.
    """
    copied = copy.deepcopy(model).eval()
    _require_modules(copied, leaf_modules)
    traced = _graph_of(copied, leaf_modules)
    _with_norms(traced, copied)
    # The graph has a bare module instead of one that was looked into.
    traced.meta[CLASSES] = {path: type(module) for path, module in copied.named_modules()}
    _without_views(traced)
    try:
        # Two inputs: an operation on the first dimension is then not one on each channel.
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):  # ShapeProp prints the traceback
            ShapeProp(traced).propagate(example_of(traced, input_shape).repeat(2, 1, 1, 1))
    # The network's code can raise anything.
    except Exception as error:
        why = f"({named(error.__cause__ or error)}); leave the module that causes this out with network.leaf_modules"
        raise StudyError(f"network: its traced graph fails, although the network itself runs {why}") from error
    without_overwriting(traced)
    require_same_results(copy.deepcopy(model).eval(), traced, input_shape)
    return traced, shape_of(traced.graph.output_node().args[0])[1]


def _graph_of(model: nn.Module, leaf_modules: Sequence[str]) -> fx.GraphModule:
    """Trace a network. Raises StudyError with the line and the module that stop torch.fx."""
    for buffers in (True, False):
        tracer = _Tracer(leaf_modules, buffers=buffers)
        try:
            graph = tracer.trace(model)
            return fx.GraphModule(tracer.root, graph, type(model).__name__)
        # Tracing runs the code of the network, which can raise anything.
        except Exception as raised:
            error = raised
    where = "the forward method of the network itself"
    choice = "change it, or move it into a module of its own that network.leaf_modules names"
    if tracer.failed_in:
        where = f"module {tracer.failed_in}"
        choice = f"change it, or leave the module out with network.leaf_modules: [{tracer.failed_in}]"
    raise StudyError(
        f"network: torch.fx cannot trace it ({one_line(error)}{place_of(error)}), in {where}; {choice}"
    ) from error


def _require_modules(model: nn.Module, names: Sequence[str]) -> None:
    modules = {name: module for name, module in model.named_modules() if name}
    for name in names:
        if not any(is_named(module, path, name) for path, module in modules.items()):
            near = difflib.get_close_matches(name, modules, n=3) or list(modules)[:10]
            raise StudyError(
                f"network.leaf_modules: {name} is not a path, pattern of paths or class of a module in the network; "
                f"nearest: {', '.join(near)}"
            )


def _with_norms(traced: fx.GraphModule, model: nn.Module) -> None:
    """Let the batch normalisation inside a module of a class of the user be a module of torch again.

    A class that normalises, and then activates, for example, calls the function with its own parameters.
    """
    for node in traced.graph.nodes:
        if node.op != "call_function" or node.target is not functional.batch_norm:
            continue
        call = inspect.signature(functional.batch_norm).bind(*node.args, **node.kwargs).arguments
        names = ("running_mean", "running_var", "weight", "bias")
        read = [call[name] for name in names if isinstance(call.get(name), fx.Node)]
        owners = {str(each.target).rpartition(".")[0] for each in read if each.op == "get_attr"}
        owner = model.get_submodule(next(iter(owners))) if len(owners) == 1 else None
        if isinstance(owner, NORMS) and [each.target.rpartition(".")[2] for each in read] == list(names[: len(read)]):
            kind = next(each for each in NORMS if isinstance(owner, each))
            norm = copy.copy(owner)
            norm.__class__ = kind
            path, (norm.eps, norm.momentum) = next(iter(owners)), (call.get("eps", 1e-5), owner.momentum)
            traced.set_submodule(path, norm)
            node.op, node.target, node.args, node.kwargs = "call_module", _Path(path), (call["input"],), {}
            for each in read:
                if not each.users:
                    traced.graph.erase_node(each)
    traced.recompile()


def _without_views(traced: fx.GraphModule) -> None:
    """Let `view` give different sizes to any value, as `reshape` does: it cannot do that in every layout in memory."""
    for node in traced.graph.nodes:
        changes_type = any(isinstance(each, torch.dtype) for each in (*node.args, *node.kwargs.values()))
        if node.op == "call_method" and node.target in ("view", "view_as") and not changes_type:
            node.meta[WRITTEN] = node.target
            node.target = node.target.replace("view", "reshape")
    traced.recompile()
