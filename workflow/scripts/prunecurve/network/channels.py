"""Which channels of a network can only be removed together, and which layers read them.

An input runs through the graph of the network, and every element of every value carries a label: the channel that it
belongs to. Conv2d and Linear read the labels of their inputs and give their outputs new ones. Operations on each
channel alone pass labels on. Sums and products unite the labels of their operands. Concatenation, flatten and the like
act on labels as they act on values. Channels whose labels are united can only be removed together.

Labels that reach the output of the network, or an operation that mixes channels, are frozen: these channels can't be
removed, and the operation is the reason.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from prunecurve.network.operations import described, kind_of, name_of

INPUT = "its channels can only be removed together with those of the network's input"
OUTPUT = "its channels reach the output of the network"
TOGETHER = "several of its channels can only be removed together"


class Group(NamedTuple):
    """The channels of a layer, and the entries of all modules that can only be removed with them.

    Each dictionary has an int64 array per module, by module path and in the order of the network: for each entry the
    number of the layer's channel that it belongs to, −1 for none. makers: the output channels of each Conv2d and Linear
    that computes the channels, the layer included. followers: the channels of each module with parameters per channel
    (batch normalisation, depthwise convolution). readers: the inputs of each Conv2d and Linear that reads the channels:
    input channels of a convolution, input features of a linear layer.
    """

    channels: int
    makers: Mapping[str, np.ndarray]
    followers: Mapping[str, np.ndarray]
    readers: Mapping[str, np.ndarray]

    def modules(self) -> list[str]:
        """Return the paths of all modules that have entries of the channels."""
        return list({name: None for part in (self.makers, self.followers, self.readers) for name in part})


class Carried(NamedTuple):
    """The dimension of a value along which the channels of a group lie; the first dimension is that of the inputs.

    numbers: int64, for each index along this dimension the number of the channel, −1 for none.
    """

    dim: int
    numbers: np.ndarray

    def in_order(self, channels: int) -> bool:
        """Return whether the channels lie one after the other, each with the same number of entries, and no others."""
        return np.array_equal(self.numbers, np.arange(channels).repeat(len(self.numbers) // channels))

    def entries(self, chosen: np.ndarray) -> np.ndarray:
        """Return the indices that belong to the chosen channels."""
        return np.flatnonzero(np.isin(self.numbers, chosen))

    def without(self, removed: np.ndarray) -> np.ndarray:
        """Return the indices that do not belong to the removed channels."""
        return np.flatnonzero(~np.isin(self.numbers, removed))


class Channels(fx.Interpreter):
    """The labels of all channels of a network in evaluation mode."""

    def __init__(self, traced: fx.GraphModule, example: Tensor) -> None:
        """Find the labels, given the network's graph and two inputs (2, C, S, S).

        With two, labels that differ between them would show an operation that mixes inputs.
        """
        super().__init__(traced)
        self._makers: dict[str, Tensor] = {}
        self._followers: dict[str, Tensor] = {}
        self._readers: dict[str, Tensor] = {}
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._ties: dict[int, str] = {}
        # Why modules have no channels that can be removed.
        self._refused: dict[str, str] = {}
        self._on_constants: set[str] = set()
        self._labels: dict[fx.Node, object] = {}
        with torch.no_grad():
            self.run(example)
        self._freeze_shared()
        self._roots = np.array([self._root(label) for label in range(len(self._parents))], np.int64)
        # The first reason counts.
        self._frozen = {self._roots[label]: reason for label, reason in reversed(self._reasons.items())}
        self._tied = {self._roots[label]: reason for label, reason in reversed(self._ties.items())}

    # ---- what is asked of the result

    def refusal(self, path: str) -> str | None:
        """Return why the channels of a Conv2d or Linear can't be removed one by one; None if they can."""
        if path not in self._makers:
            if path in self._followers and (makers := self._computed_by(path)):
                return f"it is depthwise; its channels are those of {', '.join(makers)} and are pruned with them"
            return self._refused.get(path, "the graph of the network does not run it as a layer")
        roots = self._roots[self._makers[path].numpy()]
        reasons = [self._frozen[root] for root in roots if root in self._frozen]
        if reasons:
            return reasons[0]
        if len(set(roots)) < len(roots):
            return next((self._tied[root] for root in roots if root in self._tied), TOGETHER)
        return None if self.group(path).readers else "no Conv2d or Linear reads its channels"

    def _computed_by(self, path: str) -> list[str]:
        """Return the layers that compute the channels of a module with parameters per channel."""
        own = set(self._roots[self._followers[path].numpy()])
        return [name for name, labels in self._makers.items() if own & set(self._roots[labels.numpy()])]

    def group(self, path: str) -> Group:
        """Return the group of a layer that is not refused."""
        number = self._number(path)

        def of(modules: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
            numbers = {name: number[self._roots[labels.numpy()]] for name, labels in modules.items()}
            return {name: each for name, each in numbers.items() if (each >= 0).any()}

        return Group(len(self._makers[path]), of(self._makers), of(self._followers), of(self._readers))

    def numbers(self, path: str, node: fx.Node) -> np.ndarray:
        """Return the number of the layer's channel that each element of a value belongs to, −1 for none.

        The array has the shape of the value for one input.
        """
        return self._number(path)[self._roots[self._labels[node][0].numpy()]]

    def carried(self, path: str, node: fx.Node) -> Carried | None:
        """Return where the channels of a layer lie in a value; None if there are none in it.

        Raises ValueError if they lie along several dimensions.
        """
        if not isinstance(self._labels[node], Tensor):
            return None
        numbers = self.numbers(path, node)
        if (numbers < 0).all():
            return None
        dims = [dim for dim in range(numbers.ndim) if (numbers != np.take(numbers, [0], dim)).any()]
        if len(dims) > 1:
            raise ValueError(f"its channels lie along several dimensions of {node.name}")
        dim = dims[0] if dims else 0
        others = tuple(0 if other != dim else slice(None) for other in range(numbers.ndim))
        return Carried(dim + 1, numbers[others])

    def _number(self, path: str) -> np.ndarray:
        """Return, for each root of labels, the number of the layer's channel; −1 for none."""
        number = np.full(len(self._parents), -1)
        number[self._roots[self._makers[path].numpy()]] = np.arange(len(self._makers[path]))
        return number

    # ---- labels

    def _new(self, count: int, reason: str | None = None) -> Tensor:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        labels = torch.arange(first, first + count)
        if reason:
            self._freeze(labels, reason)
        return labels

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label

    def _unite(self, one: Tensor, other: Tensor) -> None:
        """Unite the labels of two tensors of the same shape, element by element."""
        for dim in range(one.ndim):
            # Most labels are one number for all positions of a map.
            if one.stride(dim) == other.stride(dim) == 0:
                one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
        count = len(self._parents)
        for pair in (one * count + other).unique().tolist():
            self._parents[self._root(pair // count)] = self._root(pair % count)

    def _freeze(self, labels: object, reason: str) -> None:
        for tensor in _tensors(labels):
            for label in _distinct(tensor):
                self._reasons.setdefault(label, reason)

    def _freeze_shared(self) -> None:
        """Freeze the channels of modules whose parameters are read in another way too, or that run on a constant."""
        used = {node.target: self.fetch_attr(node.target) for node in self.module.graph.nodes if node.op == "get_attr"}
        for path in {*self._makers, *self._followers, *self._readers}:
            module = self.module.get_submodule(path)
            own = {id(each) for each in (*module.parameters(recurse=False), *module.buffers(recurse=False))}
            reason = f"{path} also runs on a constant" if path in self._on_constants else None
            reason = next((f"the network also reads {name} directly" for name in used if id(used[name]) in own), reason)
            for labels in (self._makers, self._followers, self._readers) if reason else ():
                self._freeze(labels.get(path), reason)

    def _along(self, node: fx.Node, labels: Tensor, dim: int) -> Tensor:
        """Unite all labels at each index of the dimension that an operation works on; return one label per index."""
        first = labels
        for other in range(labels.ndim):
            if other != dim % labels.ndim:
                first = first.narrow(other, 0, 1)
        if not torch.equal(labels, first.expand(labels.shape)):
            self._unite(labels, first.expand(labels.shape))
            what = f"{described(self.module, node)} works on positions of the maps and not on channels"
            self._ties.setdefault(int(first.flatten()[0]), what)
        return first.flatten()

    # ---- one operation

    def run_node(self, node: fx.Node) -> object:
        """Run an operation and find the labels of its result."""
        value = super().run_node(node)
        self._labels[node] = self._labelled(node, value)
        return value

    def _labelled(self, node: fx.Node, value: object) -> object:
        """Return labels in the shape of a value: a tensor, or a tuple of them. None for numbers and constants."""
        if node.op == "placeholder":
            return _spread(self._new(value.shape[1], INPUT), value.shape) if isinstance(value, Tensor) else None
        labels = list(_tensors([self._labels[given] for given in node.all_input_nodes]))
        if node.op == "output":
            return self._freeze(labels, OUTPUT)
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        if not labels:
            if module is not None:
                self._on_constants.add(node.target)
            return None
        if not any(True for _ in _tensors(value)):
            return None
        kind = kind_of(self.module, node)
        found = None
        if module is not None and (reason := _changed(module)):
            self._refused[node.target] = reason
        elif isinstance(module, nn.Conv2d | nn.Linear):
            found = self._layer(node, module, labels[0], value)
        elif kind and (isinstance(value, Tensor) or kind in ("shape", "item")):
            found = getattr(self, f"_{kind}")(node, labels, value)
        return self._frozen_result(node, kind, labels, value) if found is None else found

    def _frozen_result(self, node: fx.Node, kind: str | None, labels: list[Tensor], value: object) -> object:
        """Freeze what an operation reads and what it gives, because it mixes channels or is not known not to."""
        what = described(self.module, node)
        reason = f"{what} mixes channels, or is not known not to"
        if node.op == "call_module" and node.target in self._refused:
            reason = f"{what}: {self._refused[node.target]}"
        elif kind in ("shape", "item"):
            reason = f"{what} divides its channels or fixes their number; flatten(1) does not"
        self._freeze(labels, reason)
        label = self._new(1, reason)[0]
        return fx.node.map_aggregate(value, lambda each: label.expand(each.shape) if isinstance(each, Tensor) else None)

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear, labels: Tensor, value: Tensor) -> Tensor | None:
        if getattr(module, "groups", 1) > 1:
            self._refused[node.target] = "it is a grouped convolution"
            # Depthwise: one filter per channel. Other groups mix some channels and not others.
            depthwise = module.groups == module.in_channels == module.out_channels
            return self._norm(node, [labels], value) if depthwise else None
        dim = -1 if isinstance(module, nn.Linear) else 1
        read = self._along(node, labels, dim)
        self._unite(read, self._readers.setdefault(node.target, read))
        made = self._makers.get(node.target)
        if made is None:
            made = self._makers[node.target] = self._new(len(module.weight))
        return made.expand(value.shape) if dim == -1 else _spread(made, value.shape)

    def _norm(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor:
        """A module with parameters per channel."""
        channels = self._along(node, labels[0], 1)
        self._unite(channels, self._followers.setdefault(node.target, channels))
        return _spread(channels, value.shape)

    def _activation(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor | None:
        """An operation on each element."""
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.PReLU) and module.num_parameters > 1:
            return self._norm(node, labels, value)
        alone = len(labels) == 1 and labels[0].shape == value.shape and not self._constants(node)
        return labels[0] if alone else None

    def _unchanged(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> object:
        rule = self._activation if labels[0].shape == value.shape else self._shape
        return rule(node, labels, value)

    def _pool(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor | None:
        """An operation on the map of each channel."""
        if name_of(node) == "pad" and len(self._argument(node, 1, "pad")) > 4:
            return None
        if labels[0].ndim != 4 or value.ndim != 4 or value.shape[1] != labels[0].shape[1]:
            return None
        return _spread(self._along(node, labels[0], 1), value.shape)

    def _reduction(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor | None:
        """A mean or the like over some dimensions."""
        labels, dims = labels[0], self._argument(node, 1, "dim", "axis")
        if dims is None or not labels.ndim:
            return None
        dims = [dim % labels.ndim for dim in (dims if isinstance(dims, Iterable) else [dims])]
        if any(_varies(labels, dim) for dim in dims):
            return None
        return labels.amax(dims, keepdim=value.ndim == labels.ndim)

    def _softmax(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor | None:
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        dim = module.dim if module is not None else self._argument(node, 1, "dim")
        return None if dim is None or _varies(labels[0], dim) else labels[0]

    def _pairwise(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor | None:
        """An operation on two values, element by element."""
        if self._constants(node):
            return None
        first, *others = [each.expand(value.shape) for each in labels]
        for other in others:
            self._unite(first, other)
        return first

    def _constants(self, node: fx.Node) -> bool:
        """Return whether an operand is a parameter of several numbers: those of removed channels would remain."""
        constants = [self.env[given] for given in node.all_input_nodes if self._labels[given] is None]
        return any(constant.numel() > 1 for constant in _tensors(constants))

    def _concatenation(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> Tensor:
        return self._moved(node)

    def _shape(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> object:
        """An operation that moves whole elements, and that does the same with fewer channels."""
        given, name = labels[0], name_of(node)
        if name in ("chunk", "split") and _varies(given, self._argument(node, 2, "dim") or 0):
            return None
        if name == "squeeze" and ((dim := self._argument(node, 1, "dim")) is None or _varies(given, dim)):
            # One remaining channel would lose its dimension.
            return None
        moved = self._moved(node)
        if not isinstance(moved, Tensor):
            return moved
        if name in ("expand", "expand_as") and moved.ndim != given.ndim:
            return None
        if name == "expand_as" and any(_varies(given, dim) for dim in range(given.ndim)):
            self._unite(moved, labels[-1])
        # The first dimension stays that of the inputs.
        if _distinct(moved) != _distinct(given) or _varies(moved, 0):
            return None
        sizes = _sizes(node)
        if sizes is None:
            return moved
        # A reshape with a fixed number of channels, or one that divides the channels among two dimensions.
        carrying = [dim for dim in range(moved.ndim) if _varies(moved, dim)]
        free = [dim for dim, size in enumerate(sizes) if isinstance(size, fx.Node) or size == -1]
        return moved if len(carrying) <= 1 and set(carrying) <= set(free) else None

    def _item(self, node: fx.Node, labels: list[Tensor], value: Tensor) -> object:
        given = self._labels[node.args[0]]
        if isinstance(given, Tensor):
            return self._shape(node, labels, value) if _whole_channels(given, node.args[1]) else None
        return given[node.args[1]]

    def _argument(self, node: fx.Node, place: int, *names: str) -> object:
        """Return the value of an argument of a function or method, by its place or names; None without it."""
        given = node.args[place] if len(node.args) > place else next(filter(None, map(node.kwargs.get, names)), None)
        return fx.node.map_arg(given, self.env.__getitem__)

    def _moved(self, node: fx.Node) -> object:
        """Return the result of an operation on labels in place of values."""

        def given(argument: fx.Node) -> object:
            labels, value = self._labels[argument], self.env[argument]
            if labels is None:
                # A constant that is joined with the channels is no channel of a layer.
                return self._new(1).expand(value.shape) if isinstance(value, Tensor) else value
            return labels

        args, kwargs = fx.node.map_arg(node.args, given), fx.node.map_arg(node.kwargs, given)
        # Labels are often one number for many elements, which `view` does not accept.
        args = tuple(each.contiguous() if isinstance(each, Tensor) else each for each in args)
        if node.op == "call_module":
            return self.module.get_submodule(node.target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)


def _tensors(value: object) -> Iterable[Tensor]:
    """Yield the tensors in a value, a list or a tuple."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def _distinct(labels: Tensor) -> list[int]:
    """Return the sorted labels in a tensor."""
    for dim in range(labels.ndim):
        if labels.stride(dim) == 0:
            labels = labels.narrow(dim, 0, 1)
    return labels.unique().tolist()


def _spread(channels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return labels (C,) in the shape (n, C, …) of a value."""
    return channels.reshape(1, -1, *[1] * (len(shape) - 2)).expand(shape)


def _varies(labels: Tensor, dim: int) -> bool:
    """Return whether labels differ along a dimension."""
    return labels.ndim > 0 and not torch.equal(labels, labels.narrow(dim, 0, 1).expand(labels.shape))


def _changed(module: nn.Module) -> str | None:
    """Return why a module does not compute what its parameters say; None if it does."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has hooks (old weight_norm or torch.nn.utils.prune, for example), which the graph does not show"
    if parametrize.is_parametrized(module):
        return "it has parametrizations; remove them first (remove_parametrizations)"
    return None


def _whole_channels(labels: Tensor, index: object) -> bool:
    """Return whether an index takes all entries of each dimension along which labels differ."""
    indices = list(index) if isinstance(index, tuple) else [index]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in indices):
        return False
    real = [each for each in indices if each is not None]
    if Ellipsis in real:
        place = real.index(Ellipsis)
        real[place : place + 1] = [slice(None)] * (labels.ndim - len(real) + 1)
    return not any(_varies(labels, dim) for dim, each in enumerate(real) if each != slice(None))


def _sizes(node: fx.Node) -> list[object] | None:
    """Return the sizes in a call of `view`, `reshape` or `expand`; None for other operations."""
    if node.target not in ("view", "reshape", "expand") and node.target is not torch.reshape:
        return None
    sizes = node.args[1:] if len(node.args) > 1 else [node.kwargs.get("shape", node.kwargs.get("size"))]
    return list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else list(sizes)
