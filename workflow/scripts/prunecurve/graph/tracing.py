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
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from prunecurve.errors import StudyError
from prunecurve.graph.in_place import without_overwriting
from prunecurve.graph.nodes import example_of, random_inputs
from prunecurve.graph.operations import ACTIVATION_MODULES, NORMS, UNCHANGED_MODULES, WRITTEN, runs_as
from prunecurve.model.messages import named, one_line, place_of

# The key of a graph's `meta` for the class of each module of the network, by path.
CLASSES = "classes"
LAYERS = (nn.Conv2d, nn.Linear)
# Modules that are not looked into if they run as these do; torch.fx would find functions without a module.
TORCH_MODULES = (*LAYERS, *NORMS, *ACTIVATION_MODULES, *UNCHANGED_MODULES)


class _Path(str):
    """A module path in a graph: torch.fx writes `getattr(self, "a-b")` for parts that are not identifiers.

    A module can also have the name of a keyword (`class`), which Python does not allow for attributes.
    """

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return [_Path(part) for part in super().split(sep, maxsplit)]

    def isidentifier(self) -> bool:
        return super().isidentifier() and not keyword.iskeyword(self)


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
            or (isinstance(m, LAYERS) and not any(isinstance(each, LAYERS) for each in m.modules() if each is not m))
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


def traced_network(model: nn.Module, input_shape: Sequence[int], leaf_modules: Sequence[str] = ()) -> fx.GraphModule:
    """Return a copy of the network as a graph in evaluation mode, with the shape of every value for two inputs.

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
    _require_same_results(copy.deepcopy(model).eval(), traced, input_shape)
    return traced


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
    for node in traced.graph.find_nodes(op="call_function", target=functional.batch_norm):
        call = inspect.signature(functional.batch_norm).bind(*node.args, **node.kwargs).arguments
        names = ("running_mean", "running_var", "weight", "bias")
        read = {name: call[name] for name in names if isinstance(call.get(name), fx.Node)}
        path = str(read["running_mean"].target).rpartition(".")[0] if "running_mean" in read else ""
        if any(each.op != "get_attr" or each.target != f"{path}.{name}" for name, each in read.items()):
            continue
        if isinstance(owner := model.get_submodule(path), NORMS):
            norm = copy.copy(owner)
            norm.__class__, norm.eps = next(each for each in NORMS if isinstance(owner, each)), call.get("eps", 1e-5)
            traced.set_submodule(path, norm)
            node.op, node.target, node.args, node.kwargs = "call_module", _Path(path), (call["input"],), {}
            for each in read.values():
                if not each.users:
                    traced.graph.erase_node(each)
    traced.recompile()


def _without_views(traced: fx.GraphModule) -> None:
    """Let `view` give different sizes to any value, as `reshape` does: it cannot do that in every layout in memory."""
    for node in traced.graph.nodes:
        if node.op == "call_method" and node.target in ("view", "view_as"):
            node.meta[WRITTEN] = node.target
            node.target = node.target.replace("view", "reshape")
    traced.recompile()


@torch.no_grad()
def _require_same_results(model: nn.Module, traced: fx.GraphModule, input_shape: Sequence[int]) -> None:
    """Raise StudyError if the graph, or the network for a single input, gives different results."""
    images = random_inputs(model, input_shape, 2)
    by_network, by_graph = (each(images.clone()).double() for each in (model, traced))
    size = float(by_network.abs().max())
    try:
        together, alone = _precisely(model, images), _precisely(model, images[:1])
    # The network's code can raise anything.
    except Exception as error:
        raise StudyError(
            f"network: it cannot read a single input ({one_line(error)}); the number of inputs must not be fixed, "
            "as in x.view(64, -1)"
        ) from error
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4 * size, equal_nan=True):
        raise StudyError(
            "network: in evaluation mode an input alone gives different logits than together with others, as with "
            "batch normalisation without running statistics"
        )
    if not torch.allclose(by_network, by_graph, rtol=1e-4, atol=1e-5 * size, equal_nan=True):
        raise StudyError(
            "network: its traced graph gives different results; torch.fx does not follow operations in "
            "place (`x += y`) if the value is also used under another name or shape, so write x = x + y"
        )


def _precisely(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in float64, in which the order of sums does not matter; in float32 if the network needs it."""
    try:
        return copy.deepcopy(model).double()(images.double())
    # The network's code can raise anything.
    except Exception:
        return model(images.clone()).double()
