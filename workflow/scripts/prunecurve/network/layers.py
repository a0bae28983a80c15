"""A layer of any network, by its module path: what its channels pass through, who reads them, what runs after that.

The network is traced with torch.fx. A layer can be pruned if each of its channels passes only through operations that
work on each channel alone, up to the layers that read the channels.
"""

import copy
import difflib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from prunecurve.errors import StudyError

# The points where activations can be measured, in the order of the data flow: the layer's output, after batch
# normalisation, after the activation, and what the layers that read the channels are given.
POINTS = ("conv", "bn", "relu", "pool")

# Operations that work on each channel alone. Those of the kind `unchanged` only copy values in evaluation mode.
MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
    "activation": (
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
        *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
    ),
    "pool": (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    "unchanged": (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten),
}
# The same as functions of torch and methods of tensors, by their names.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "activation": (
        *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus"),
        *("sigmoid", "tanh", "hardtanh", "hardsigmoid", "hardswish"),
    ),
    "pool": ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    "unchanged": ("dropout", "dropout2d", "flatten", "contiguous"),
}


class PrunableLayer:
    """A Conv2d or Linear of a network in evaluation mode, with its surroundings in the graph.

    path: its module path. module: the layer. channels: P. map_shape: (h, w) of a channel's map as the readers get it;
    (1, 1) behind a linear layer. readers: the modules that read the channels, by path. rest: the network from the
    outputs of the readers (in this order) to the logits. classes: the number of logits.
    """

    def __init__(self, model: nn.Module, path: str, input_shape: Sequence[int]) -> None:
        """Find the layer `path` in a network that reads inputs of this shape (C, S, S).

        path: a module path such as `conv2` or `layer1.0.conv2`; `last` means the last Conv2d. Raises StudyError if
        there is no such layer or if it can't be pruned; the message names the operation that prevents it.
        """
        self.input_shape = tuple(input_shape)
        self.traced = _traced(model, self.input_shape)
        self.classes = _classes(self.traced)
        node = _node_of(self.traced, path)
        self.path, self.module = node.target, self._module(node)
        self.channels = _shape(node)[1]
        self.chain, self._readers = self._until_readers(node)
        self.readers = {reader.target: self._module(reader) for reader in self._readers}
        self._run_only_once([node, *self.chain, *self._readers])
        for member in self.chain:
            _out_of_place(member, self.traced)
        self._points = self._point_nodes()
        self._measured = self._before(self._points)
        self.rest = self._after()
        widest = [shape for shape in map(_shape, self.chain) if len(shape) == 4]
        self.map_shape = tuple(widest[-1][2:]) if widest else (1, 1)

    def _module(self, node: fx.Node) -> nn.Module:
        return self.traced.get_submodule(node.target)

    def _refuse(self, reason: str) -> StudyError:
        return StudyError(f"layer: {self.path} can't be pruned: {reason}")

    def _until_readers(self, node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
        """Return the operations on each channel alone from the layer on, and the layers that read their result."""
        if getattr(self.module, "groups", 1) > 1:
            raise self._refuse("it is a grouped convolution")
        chain = [node]
        while True:
            users = list(chain[-1].users)
            if users and all(_is_layer(self.traced, user) for user in users):
                for user in users:
                    self._check_reader(user, chain[-1])
                return chain, users
            if len(users) != 1:
                names = ", ".join(user.name for user in users) or "nothing"
                raise self._refuse(f"its channels go to several branches ({names})")
            if users[0].op == "output":
                raise self._refuse("it is the output layer, whose channels are the classes")
            self._check_member(users[0], chain[-1])
            chain.append(users[0])

    def _check_member(self, node: fx.Node, before: fx.Node) -> None:
        """Raise StudyError unless an operation works on each channel alone."""
        given, shape = _shape(before), _shape(node)
        same_channels = (len(shape) == 4 and shape[1] == given[1]) or shape == (given[0], math.prod(given[1:]))
        if kind_of(self.traced, node) is None or len(node.all_input_nodes) > 1 or not same_channels:
            raise self._refuse(f"{described(self.traced, node)} mixes channels, or is not known not to")

    def _check_reader(self, node: fx.Node, before: fx.Node) -> None:
        """Raise StudyError if a layer does not read each channel on its own."""
        module, what = self._module(node), described(self.traced, node)
        if getattr(module, "groups", 1) > 1:
            raise self._refuse(f"{what}, which reads its channels, is a grouped convolution")
        if isinstance(module, nn.Linear) and len(_shape(before)) != 2:
            raise self._refuse(f"{what} reads the positions of the maps and not its channels; flatten them first")

    def _run_only_once(self, nodes: Sequence[fx.Node]) -> None:
        """Raise StudyError if a module with parameters, of these nodes, runs more than once."""
        called = [node.target for node in self.traced.graph.nodes if node.op == "call_module"]
        for node in nodes:
            several = node.op == "call_module" and called.count(node.target) > 1
            if several and list(self._module(node).parameters()):
                raise self._refuse(f"{described(self.traced, node)} runs several times in the network")

    def _point_nodes(self) -> dict[str, fx.Node]:
        """Return the value at each of POINTS; if the network has no such operation, it is the value before it."""
        kinds = {node: kind_of(self.traced, node) for node in self.chain[1:]}
        bn = next((node for node, kind in kinds.items() if kind == "norm"), self.chain[0])
        relu = next((node for node, kind in kinds.items() if kind == "activation"), bn)
        # Flattened values are the same maps, but their memory layout is lost.
        pool = next((node for node in reversed(self.chain) if kinds.get(node) != "unchanged"), self.chain[0])
        return {"conv": self.chain[0], "bn": bn, "relu": relu, "pool": pool}

    def _before(self, values: dict[str, fx.Node]) -> fx.GraphModule:
        """Return the part of the network that computes these values, with a dictionary of them as its output."""
        needed, waiting = set(), list(values.values())
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting.extend(node.all_input_nodes)
        graph, copies = fx.Graph(), {}
        for node in self.traced.graph.nodes:
            if node in needed or node.op == "placeholder":
                copies[node] = graph.node_copy(node, copies.__getitem__)
        graph.output({name: copies[node] for name, node in values.items()})
        return fx.GraphModule(self.traced, graph)

    def _after(self) -> fx.GraphModule:
        """Return the rest of the network, a function of the outputs of the readers."""
        graph, copies = fx.Graph(), {}
        for reader in self._readers:
            copies[reader] = graph.placeholder(reader.name)
        for node in self.traced.graph.nodes:
            inputs = node.all_input_nodes
            if node in copies or not any(each in copies for each in inputs):
                continue
            for each in inputs:
                if each.op == "get_attr" and each not in copies:
                    copies[each] = graph.node_copy(each)
                if each not in copies:
                    raise self._refuse(
                        f"{described(self.traced, node)}, after it, also reads {each.name}, which passes the layer by"
                    )
            copies[node] = graph.node_copy(node, copies.__getitem__)
        return fx.GraphModule(self.traced, graph)

    def as_maps(self, value: Tensor) -> Tensor:
        """Return the channels' maps (n, P, M, N) of a value of the chain, which can be flat: (n, P · M · N)."""
        if value.ndim == 4:
            return value
        height, width = self.map_shape
        return value.reshape(len(value), self.channels, height, width)

    def maps(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the maps (n, P, M, N) at each of POINTS for inputs (n, C, S, S)."""
        return {point: self.as_maps(value) for point, value in self._measured(inputs).items()}

    @torch.no_grad()
    def map_size(self) -> tuple[int, int]:
        """Return the height and width of a channel's map after the activation."""
        return tuple(self.maps(self.example())["relu"].shape[2:])

    @torch.no_grad()
    def zero_filter(self) -> Tensor:
        """Return what the readers get, (P, h, w), if the weights of all filters are zero: the same for any input."""
        zeroed = copy.deepcopy(self._measured)
        zeroed.get_submodule(self.path).weight.zero_()
        return self.as_maps(zeroed(self.example())["pool"])[0]

    def norms(self) -> list[nn.Module]:
        """Return the batch normalisations of the channels."""
        return [self._module(node) for node in self.chain[1:] if kind_of(self.traced, node) == "norm"]

    def example(self) -> Tensor:
        """Return one input (1, C, S, S) of zeros."""
        return torch.zeros(1, *self.input_shape, device=next(self.traced.parameters()).device)

    @torch.no_grad()
    def smaller(self, kept: Sequence[int]) -> fx.GraphModule:
        """Return a copy of the network that has only these channels of the layer (sorted numbers)."""
        small = copy.deepcopy(self.traced)
        kept = torch.as_tensor(kept, dtype=torch.int64)
        for node in self.chain:
            if node.op == "call_module":
                _keep_rows(small.get_submodule(node.target), kept, self.channels)
        for reader in self.readers:
            module = small.get_submodule(reader)
            columns = _entries(kept, self.channels, module.weight.shape[1])
            module.weight = nn.Parameter(module.weight[:, columns])
        return small


def _traced(model: nn.Module, input_shape: tuple[int, ...]) -> fx.GraphModule:
    """Return a copy of the network as a graph in evaluation mode, with the shape of every value.

    Raises StudyError if torch.fx can't trace it, or if it can't read inputs of this shape.
    """
    try:
        traced = fx.symbolic_trace(copy.deepcopy(model).eval())
    # Tracing runs the code of the network, which can raise anything.
    except Exception as error:
        raise StudyError(f"network: torch.fx can't trace it ({_line(error)})") from error
    parameter = next(traced.parameters(), torch.zeros(0))
    try:
        with torch.no_grad():
            # Two inputs: an operation on the first dimension is then not one on each channel.
            ShapeProp(traced).propagate(torch.zeros(2, *input_shape, device=parameter.device))
    except Exception as error:
        cause = error.__cause__ or error
        raise StudyError(
            f"network: it can't read inputs of the shape {_times(input_shape)} ({_line(cause)}); the number of "
            "channels and image_size must be those that it was built for"
        ) from error
    return traced


def _classes(traced: fx.GraphModule) -> int:
    """Return the number of logits. Raises StudyError unless the output is one tensor (n, classes)."""
    output = next(node for node in traced.graph.nodes if node.op == "output").args[0]
    shape = _shape(output) if isinstance(output, fx.Node) else ()
    if len(shape) != 2 or shape[0] != 2:
        is_ = f"a tensor (n, {_times(shape[1:])})" if len(shape) > 1 else f"a {type(output).__name__}"
        raise StudyError(f"network: its output is {is_}; it must be one tensor of logits (n, classes)")
    return shape[1]


def _node_of(traced: fx.GraphModule, path: str) -> fx.Node:
    """Return the first call of a layer. Raises StudyError if it is not in the network or no Conv2d or Linear."""
    nodes = {node.target: node for node in reversed(traced.graph.nodes) if _is_layer(traced, node)}
    layers = list(reversed(nodes))
    if path == "last":
        convolutions = [name for name in layers if isinstance(traced.get_submodule(name), nn.Conv2d)]
        if not convolutions:
            raise StudyError(f"layer: last, but the network has no Conv2d; its layers: {', '.join(layers)}")
        return nodes[convolutions[-1]]
    if path in nodes:
        return nodes[path]
    modules = dict(traced.named_modules())
    if path and path in modules:
        raise StudyError(
            f"layer: {path} is a {type(modules[path]).__name__}, not a Conv2d or Linear; "
            f"allowed: last, {', '.join(layers)}"
        )
    near = difflib.get_close_matches(path, layers, n=3) or layers
    raise StudyError(f"layer: {path} is not in the network; nearest: {', '.join(near)}")


def _is_layer(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node calls a Conv2d or Linear with one input."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1:
        return False
    return isinstance(traced.get_submodule(node.target), nn.Conv2d | nn.Linear)


def kind_of(traced: fx.GraphModule, node: fx.Node) -> str | None:
    """Return the kind of an operation on each channel alone (a key of MODULES); None for all other operations."""
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        return next((kind for kind, types in MODULES.items() if isinstance(module, types)), None)
    return next((kind for kind, names in FUNCTIONS.items() if name_of(node) in names), None)


def name_of(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for a module and for other nodes."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def described(traced: fx.GraphModule, node: fx.Node) -> str:
    """Return an operation in words, for messages: `act1 (Softmax)` or `cat`."""
    if node.op == "call_module":
        return f"{node.target} ({type(traced.get_submodule(node.target)).__name__})"
    return name_of(node) or node.name


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's value for two inputs; () if the value is not a tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _out_of_place(node: fx.Node, traced: fx.GraphModule) -> None:
    """Let an operation return a new tensor: in place it would overwrite the value before it, which is measured too."""
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        if getattr(module, "inplace", False):
            module.inplace = False
    elif kind_of(traced, node) in ("activation", "unchanged"):
        # The Boolean arguments of activations and dropout are `inplace` and `training`; both are false here.
        node.args = tuple(False if each is True and name_of(node) != "flatten" else each for each in node.args)
        node.kwargs = {name: False if each is True else each for name, each in node.kwargs.items()}


def _entries(kept: Tensor, channels: int, count: int) -> Tensor:
    """Return the entries that belong to kept channels, of `count` entries in the order of the channels."""
    each = count // channels
    return (kept[:, None] * each + torch.arange(each)).flatten()


def _keep_rows(module: nn.Module, kept: Tensor, channels: int) -> None:
    """Keep the parameters and running statistics of some channels of a module; one number for all stays as it is."""
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if tensor.ndim == 0 or len(tensor) < channels:
            continue
        rows = tensor[_entries(kept, channels, len(tensor))]
        setattr(module, name, nn.Parameter(rows) if isinstance(tensor, nn.Parameter) else rows)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
