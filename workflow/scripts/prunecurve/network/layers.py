"""A layer of any network, by its module path: what its channels pass through, who reads them, what runs after that."""

import copy
import difflib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.errors import StudyError
from prunecurve.network.channels import Channels
from prunecurve.network.operations import described, kind_of, name_of
from prunecurve.network.smaller import smaller
from prunecurve.network.tracing import CLASSES, is_tensor, one_line, shape_of, traced_network

# The points where activations can be measured, in the order of the data flow: the layer's output, after batch
# normalisation, after the activation, and what the layers that read the channels are given.
POINTS = ("conv", "bn", "relu", "pool")


class NotPrunable(StudyError):
    """Why the channels of a layer can't be removed one by one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"layer: {path} can't be pruned: {reason}")
        self.reason = reason


class Analysis(NamedTuple):
    """A network's graph in evaluation mode, the labels of its channels, and the number of its logits."""

    traced: fx.GraphModule
    labels: Channels
    classes: int

    @classmethod
    def of(cls, model: nn.Module, input_shape: Sequence[int], leaf_modules: Sequence[str] = ()) -> "Analysis":
        """Analyse a network that reads inputs of this shape (C, S, S). Raises StudyError if this is not possible."""
        traced, classes = traced_network(model, input_shape, leaf_modules)
        return cls(traced, Channels(traced, example_of(traced, input_shape).repeat(2, 1, 1, 1)), classes)


class PrunableLayer:
    """A Conv2d or Linear of a network in evaluation mode, with its surroundings in the graph.

    path: its module path. module: the layer. channels: P. map_shape: (h, w) of a channel's map as the readers get it;
    (1, 1) behind a linear layer. readers: the modules that read the channels, by path. rest: the network from the
    outputs of the readers (in this order) to the logits. classes: the number of logits.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str,
        input_shape: Sequence[int],
        analysis: Analysis | None = None,
        leaf_modules: Sequence[str] = (),
    ) -> None:
        """Find the layer `path` in a network that reads inputs of this shape (C, S, S).

        path: a module path such as `conv2` or `layer1.0.conv2`; `last` means the last Conv2d. analysis: that of the
        network, if there is one already. leaf_modules: see `traced_network`. Raises
        StudyError if there is no such layer or if it can't be pruned; the message names the operation that prevents it.
        """
        self.input_shape = tuple(input_shape)
        self.traced, labels, self.classes = analysis or Analysis.of(model, input_shape, leaf_modules)
        node = _node_of(self.traced, path)
        self.path, self.module = node.target, self._module(node)
        self.channels = len(self.module.weight)
        if reason := labels.refusal(self.path):
            raise self._refuse(reason)
        self.group = labels.group(self.path)
        if others := [name for name in self.group.makers if name != self.path]:
            raise self._refuse(f"its channels can only be removed together with those of {', '.join(others)}")
        self._run_only_once([node])
        self.chain, self._readers = self._until_readers(node)
        self.readers = {reader.target: self._module(reader) for reader in self._readers}
        self._run_only_once([*self.chain, *self._readers])
        self._points = self._point_nodes()
        for point in {*self._points.values(), self.chain[-1]}:
            self._require_order(labels.numbers(self.path, point))
        self._measured = self._before(self._points)
        self.rest = self._after()
        self.map_shape = self._shape_of_maps()

    def _module(self, node: fx.Node) -> nn.Module:
        return self.traced.get_submodule(node.target)

    def _refuse(self, reason: str) -> NotPrunable:
        return NotPrunable(self.path, reason)

    def _until_readers(self, node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
        """Return the operations on each channel alone from the layer on, and the layers that read their result."""
        chain = [node]
        while True:
            users = [user for user in chain[-1].users if is_tensor(user)]
            reads = [user.op == "call_module" and user.target in self.group.readers for user in users]
            if all(reads) and {user.target for user in users} == set(self.group.readers):
                return chain, users
            if len(users) != 1 or any(reads) or sum(map(is_tensor, users[0].all_input_nodes)) > 1:
                names = ", ".join(user.name for user in users)
                raise self._refuse(f"its channels go to several branches or are combined with others ({names})")
            chain.append(users[0])

    def _require_order(self, numbers: np.ndarray) -> None:
        """Raise StudyError unless the readers get the channels one after the other, each with all its positions.

        numbers: the channel that each element of what they get belongs to.
        """
        expected = np.arange(self.channels).repeat(numbers.size // self.channels)
        if numbers.ndim not in (1, 3) or not np.array_equal(numbers.flatten(), expected):
            raise self._refuse("the layers that read its channels do not get them in the order (n, channels, …)")

    def _shape_of_maps(self) -> tuple[int, int]:
        """Return the height and width of the maps that the readers get, flattened or not."""
        end = self.chain.index(self._points["pool"]) + 1
        positions = math.prod(shape_of(self.chain[end - 1])[1:]) // self.channels
        shapes = [tuple(shape_of(node)[2:]) for node in self.chain[:end] if len(shape_of(node)) == 4]
        return next((shape for shape in reversed(shapes) if math.prod(shape) == positions), (1, positions))

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
        # Before they are flattened: the values are the same maps, but their memory layout is lost.
        pool = self.chain[-1]
        while len(shape_of(pool)) == 2 and kinds.get(pool) in ("unchanged", "shape"):
            pool = self.chain[self.chain.index(pool) - 1]
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

    def runs_again(self) -> list[fx.Node]:
        """Return the operations whose values depend on which channels are removed: the readers, and all after them."""
        again = dict.fromkeys(self._readers)
        for node in self.traced.graph.nodes:
            if any(given in again for given in node.all_input_nodes):
                again[node] = None
        return list(again)

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
                if each not in copies and _is_batch_size(each):
                    copies[each] = graph.call_method("size", (copies[self._readers[0]], 0))
                if each not in copies:
                    raise self._refuse(
                        f"{described(self.traced, node)}, after it, also reads {each.name}, which passes the layer by"
                    )
            copies[node] = graph.node_copy(node, copies.__getitem__)
        if not any(node.op == "output" for node in graph.nodes):
            raise self._refuse("the logits do not depend on its channels")
        return fx.GraphModule(self.traced, graph)

    @torch.no_grad()
    def require_smaller(self) -> None:
        """Raise StudyError unless the smaller network gives the logits of zeros where the channels are read.

        It would not if the network computes with the number of channels: `x / x.size(1)`. To check this once per layer
        is enough: describe_layer does, and all evaluations need its file.
        """
        images = torch.randn(2, *self.input_shape, generator=torch.Generator().manual_seed(0)).to(self.example().device)
        maps = self.maps(images)["pool"]
        for kept in (range(0, self.channels, 2), [self.channels - 1]):
            left = torch.zeros_like(maps)
            left[:, kept] = maps[:, kept]
            value = left if len(shape_of(self.chain[-1])) == 4 else left.reshape(2, *shape_of(self.chain[-1])[1:])
            expected = self.rest(*(reader(value) for reader in self.readers.values()))
            try:
                cut = self.smaller(kept)(images)
            # The network's code can raise anything.
            except Exception as error:
                raise self._refuse(f"without some of its channels the network fails ({one_line(error)})") from error
            if not torch.allclose(cut, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), equal_nan=True):
                raise self._refuse("the network computes with the number of channels, so fewer give other results")

    def as_maps(self, value: Tensor) -> Tensor:
        """Return the channels' maps (n, P, M, N) of a value of the chain, which can be flat: (n, P · M · N)."""
        if value.ndim == 4:
            return value
        maps = value.reshape(len(value), self.channels, -1)
        shape = self.map_shape if maps.shape[2] == math.prod(self.map_shape) else (1, maps.shape[2])
        return maps.reshape(*maps.shape[:2], *shape)

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
        return example_of(self.traced, self.input_shape)

    def smaller(self, kept: Sequence[int]) -> fx.GraphModule:
        """Return a copy of the network that has only these channels of the layer (sorted numbers)."""
        return smaller(self.traced, self.group, np.asarray(kept, np.int64))


def example_of(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """Return one input (1, C, S, S) of zeros on the device of a network."""
    parameter = next(model.parameters(), torch.zeros(0))
    return torch.zeros(1, *input_shape, device=parameter.device)


def _is_batch_size(node: fx.Node) -> bool:
    """Return whether a node is the number of inputs: `x.size(0)` or `x.shape[0]`."""
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,)
    size = node.args[0] if name_of(node) == "getitem" and node.args[1:] == (0,) else None
    return isinstance(size, fx.Node) and not is_tensor(size) and (size.target == "size" or size.args[1:] == ("shape",))


def layer_nodes(traced: fx.GraphModule) -> dict[str, fx.Node]:
    """Return the first call of each Conv2d and Linear, by module path and in the order of the network."""
    nodes: dict[str, fx.Node] = {}
    for node in traced.graph.nodes:
        if _is_layer(traced, node):
            nodes.setdefault(node.target, node)
    return nodes


def _node_of(traced: fx.GraphModule, path: str) -> fx.Node:
    """Return the first call of a layer. Raises StudyError if it is not in the network or no Conv2d or Linear."""
    nodes = layer_nodes(traced)
    layers = list(nodes)
    if path == "last":
        convolutions = [name for name in layers if isinstance(traced.get_submodule(name), nn.Conv2d)]
        if not convolutions:
            raise StudyError(f"layer: last, but the network has no Conv2d; its layers: {', '.join(layers)}")
        return nodes[convolutions[-1]]
    if path in nodes:
        return nodes[path]
    modules = dict(traced.named_modules())
    if path and path in modules:
        own = traced.meta.get(CLASSES, {}).get(path, type(modules[path]))
        is_not = (
            "with a forward method of its own" if issubclass(own, nn.Conv2d | nn.Linear) else "not a Conv2d or Linear"
        )
        raise StudyError(f"layer: {path} is a {own.__name__}, {is_not}; allowed: last, {', '.join(layers)}")
    near = difflib.get_close_matches(path, layers, n=3) or layers
    raise StudyError(f"layer: {path} is not in the network; nearest: {', '.join(near)}")


def _is_layer(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node calls a Conv2d or Linear with one input."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1:
        return False
    return isinstance(traced.get_submodule(node.target), nn.Conv2d | nn.Linear)
