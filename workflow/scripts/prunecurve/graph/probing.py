"""What an operation does with channels: it runs on random values, which are changed at one index at a time.

Then it runs without some channels: they can be removed only if nothing else changes.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx

from prunecurve.graph.cutting import copied, keep_followed, with_random_constants
from prunecurve.graph.label_tensors import collapsed, distinct, first_of, paired, tensors, varies, varying_dims


class Mixed(Exception):
    """Why the channels that an operation reads cannot be removed one by one."""


class Probe:
    """An operation of a network, run on random values instead of those that depend on the network's input.

    operands: those that have labels. channels: those of them that are not parameters. followed: labels (C,) of the
    module's own channels, if it has parameters for each of them.
    """

    def __init__(
        self,
        node: fx.Node,
        what: str,
        operands: Sequence[fx.Node],
        interpreter: fx.Interpreter,
        labels: Mapping[fx.Node, Any],
        root: Callable[[int], int],
        dependent: Container[fx.Node],
    ) -> None:
        """Run the operation once. Raises Mixed if it fails.

        what: the operation in words. interpreter: it has the values of all operands. labels: of all values so far.
        root: a function that returns the same number for labels that are united. dependent: the nodes that depend on
        the network's input.
        """
        self.node, self.what, self.operands = node, what, operands
        self.channels = [each for each in operands if each in dependent] or operands
        self.followed: Tensor | None = None
        self._interpreter, self._labels, self._root = interpreter, labels, root
        if node.op == "call_module":
            self._module = with_random_constants(interpreter.module.get_submodule(node.target))
        # Operands of which only the size counts.
        self._sizes_of: list[fx.Node] = []
        self._drawn = {each: self._random(each, seed) for seed, each in enumerate(operands)}
        self.result = self._run(self._drawn)

    def _random(self, node: fx.Node, seed: int) -> Any:
        """Return random values instead of an operand."""
        generator = torch.Generator().manual_seed(seed)

        def drawn(value: object) -> object:
            if not isinstance(value, Tensor) or not (value.is_floating_point() or value.dtype == torch.bool):
                return value
            numbers = torch.randn(value.shape, generator=generator).to(value.device)
            if node.op == "get_attr":
                # Variances must be positive.
                numbers = numbers.abs() + 0.5
            return numbers > 0 if value.dtype == torch.bool else numbers.to(value.dtype)

        return fx.node.map_aggregate(self._interpreter.env[node], drawn)

    # ---- running it

    def _run(
        self,
        values: Mapping[fx.Node, object],
        gone: frozenset[int] = frozenset(),
        sizes: Mapping[int, int] = MappingProxyType({}),
    ) -> object:
        """Return the result for these values of the operands, without the entries whose labels are gone.

        sizes: what the sizes of other values become.
        """
        try:
            return self._call(self.node, values, gone, sizes)
        except Mixed:
            raise
        # The operation can be the user's.
        except Exception as error:
            raise Mixed(f"{self.what} fails for other values ({type(error).__name__})") from error

    def _call(
        self,
        node: fx.Node,
        values: Mapping[fx.Node, object],
        gone: frozenset[int],
        sizes: Mapping[int, int] = MappingProxyType({}),
    ) -> object:
        def value_of(each: fx.Node) -> object:
            value = values[each] if each in values else self._interpreter.env[each]
            if each in self._sizes_of:
                return fx.node.map_aggregate(value, lambda one: _resized(one, sizes))
            if self._labels[each] is not None:
                return paired(value, self._labels[each], lambda one, labels: self._without(one, labels, gone))
            # Sizes, and what is computed from them, can depend on the number of channels.
            if gone and each.op in ("call_function", "call_method"):
                value = self._call(each, values, gone)
            return fx.node.map_aggregate(value, lambda one: sizes.get(one, one) if isinstance(one, int) else one)

        args, kwargs = fx.node.map_arg(node.args, value_of), fx.node.map_arg(node.kwargs, value_of)
        if node.op == "call_function":
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        module = self._module
        if gone and self.followed is not None:
            module = copied(module)
            keep_followed(module, (~self._among(self.followed, gone)).nonzero()[:, 0], len(self.followed))
        return module(*args, **kwargs)

    def _among(self, labels: Tensor, gone: frozenset[int]) -> Tensor:
        """Return which labels are united with one that is gone."""
        own, places = labels.unique(return_inverse=True)
        return torch.tensor([self._root(label) in gone for label in own.tolist()])[places]

    def _without(self, value: Tensor, labels: Tensor, gone: frozenset[int]) -> Tensor:
        """Return a value without the entries whose labels are gone, which must be all entries at some indices."""
        if not gone:
            return value
        mask = self._among(first_of(labels), gone)
        dims = [dim for dim in range(mask.ndim) if mask.shape[dim] > 1 and varies(mask, dim)]
        if not dims and not mask.any():
            return value
        if len(dims) != 1:
            raise Mixed(f"{self.what} divides its channels")
        kept = (~first_of(mask, dims)).flatten().nonzero()[:, 0]
        return value.index_select(dims[0], kept.to(value.device))

    # ---- what it does

    def moved(self) -> object:
        """Return the labels of the result if the operation moves elements and computes nothing; None otherwise."""
        numbers, labels, count = {}, [], 0
        for each in self.operands:
            size = sum(value.numel() for value in tensors(self._drawn[each]))
            numbers[each] = _numbered(self._drawn[each], count)
            labels += [own.flatten() for own in tensors(self._labels[each])]
            count += size
        try:
            places = self._run(numbers)
            # Also for other values: what it does could depend on them.
            other = {each: _negated(value) for each, value in self._drawn.items()}
            results = [(self._drawn, self.result), (other, self._run(other))]
        except Mixed:
            return None
        if not all(_moves(places, [values[each] for each in self.operands], result) for values, result in results):
            return None
        label = torch.cat(labels)
        result = fx.node.map_aggregate(
            places, lambda each: collapsed(label[each.long().cpu()]) if isinstance(each, Tensor) else None
        )
        left = {each for one in tensors(result) for each in distinct(one)}
        self._sizes_of = [
            each
            for each in self.operands
            if left.isdisjoint(number for one in tensors(self._labels[each]) for number in distinct(one))
        ]
        return result

    def aligned(self, node: fx.Node) -> list[Tensor | None]:
        """Return the labels of an operand for each tensor of the result, with the dimensions of the result.

        They have size 1 along dimensions that the labels do not vary along. None for a tensor that does not depend on
        the operand. Raises Mixed if an index of the operand changes more than the same index of one dimension.
        """
        labels = self._labels[node]
        if not isinstance(labels, Tensor):
            raise Mixed(f"{self.what} reads several values at once")
        dims = varying_dims(labels)
        small = first_of(labels, dims)
        places = [self._places(node, dim) for dim in dims]
        if not dims:
            return [small.reshape([1] * result.ndim) for result in tensors(self.result)]
        aligned: list[Tensor | None] = []
        for i, result in enumerate(tensors(self.result)):
            where = [place[i] for place in places if place[i] is not None]
            if len(where) < len(dims):
                aligned.append(None)
                continue
            if len(set(where)) < len(where):
                raise Mixed(f"{self.what} mixes channels")
            order = [place for _, place in sorted(zip(where, range(len(dims))))]
            sizes = [labels.shape[dims[where.index(d)]] if d in where else 1 for d in range(result.ndim)]
            aligned.append(small.flatten().reshape([labels.shape[d] for d in dims]).permute(order).reshape(sizes))
        if all(each is None for each in aligned):
            raise Mixed(
                f"{self.what} is an unknown operation: its result does not change with the values that it reads"
            )
        return aligned

    def follows(self, node: fx.Node, dim: int) -> bool:
        """Return whether an index of a dimension of an operand changes one index of the result alone."""
        try:
            self._places(node, dim)
        except Mixed:
            return False
        return True

    def _places(self, node: fx.Node, dim: int) -> list[int | None]:
        """Return, for each tensor of the result, the dimension along which it follows a dimension of an operand."""
        value = self._drawn[node]
        # A cumulative sum, for example, depends on all indices before.
        size = value.shape[dim]
        indices = sorted({0, size // 2, size - 1})
        places: list[int | None] = []
        for result, *changed in zip(tensors(self.result), *(self._changed(node, value, dim, i) for i in indices)):
            if not any(each.any() for each in changed):
                places.append(None)
                continue
            follows = [
                d
                for d in range(result.ndim)
                if result.shape[d] == size and all(_only(each, d, i) for each, i in zip(changed, indices))
            ]
            if not follows:
                raise Mixed(f"{self.what} mixes channels")
            places.append(follows[0])
        return places

    def _changed(self, node: fx.Node, value: Tensor, dim: int, index: int) -> list[Tensor]:
        """Return which elements of each tensor of the result change with one index of an operand."""
        changed = [torch.zeros_like(result, dtype=torch.bool) for result in tensors(self.result)]
        # Bounded functions pass on changes in one direction. Parameters can be variances, which are positive.
        for sign in (1, -1) if node in self.channels else (1,):
            other = value.clone()
            part = other.select(dim, index)
            random = torch.rand(part.shape, generator=torch.Generator().manual_seed(1)).to(value.device)
            part.copy_(~part if value.dtype == torch.bool else sign * 10 * (part.abs() + random.to(value.dtype) + 1))
            results = tensors(self._run({**self._drawn, node: other}))
            for own, before, after in zip(changed, tensors(self.result), results, strict=True):
                own |= (before != after) & ~(before.isnan() & after.isnan())
        return changed

    def require_without(self, labels: object, problem: str) -> None:
        """Raise Mixed unless the operation gives the same without one channel, and with a single one.

        labels: of the result. problem: what is wrong otherwise, in words behind the operation.
        """
        read = [one for each in self.channels for one in tensors(self._labels[each])]
        roots = [sorted({self._root(label) for label in distinct(one)}) for one in (*read, *tensors(labels))]
        # At least one channel stays in each value.
        some = sorted({own[0] for own in roots if len(own) > 1} - {own[0] for own in roots if len(own) == 1})
        kept = {own[-1] for own in roots}
        for gone in (some[:1], [root for own in roots for root in own if root not in kept]):
            if gone and not self._same_without(labels, frozenset(gone)):
                raise Mixed(f"{self.what} {problem}")

    def _same_without(self, labels: object, gone: frozenset[int]) -> bool:
        # The number of channels can also be read from a different value that has the same channels, as in a gate.
        for sizes in ({}, self._new_sizes(gone)):
            try:
                expected = paired(self.result, labels, lambda one, own: self._without(one, own, gone))
                results = self._run(self._drawn, gone, sizes)
            except Mixed:
                continue
            pairs = zip(tensors(expected), tensors(results), strict=True)
            if all(one.shape == other.shape and _close(one, other) for one, other in pairs):
                return True
        return False

    def _new_sizes(self, gone: frozenset[int]) -> dict[int, int]:
        """Return what the sizes of the operands become."""
        sizes: dict[int, int] = {}
        for labels in (one for each in self.operands for one in tensors(self._labels[each])):
            try:
                small = self._without(labels, labels, gone)
            except Mixed:
                continue
            sizes |= {old: new for old, new in zip(labels.shape, small.shape) if old != new}
        return sizes


def _numbered(value: object, first: int) -> object:
    """Return a value with consecutive numbers, from `first` on, in its tensors."""

    def numbered(tensor: object) -> object:
        nonlocal first
        if not isinstance(tensor, Tensor):
            return tensor
        first += tensor.numel()
        numbers = torch.arange(first - tensor.numel(), first, dtype=torch.float64, device=tensor.device)
        return numbers.reshape(tensor.shape)

    return fx.node.map_aggregate(value, numbered)


def _negated(value: object) -> object:
    return fx.node.map_aggregate(
        value, lambda one: -one if isinstance(one, Tensor) and one.is_floating_point() else one
    )


def _moves(places: object, operands: Sequence[object], result: object) -> bool:
    """Return whether a result has the elements of the operands, one after the other, that lie at these places."""
    value = torch.cat([one.flatten() for one in tensors(list(operands))])
    pairs = list(zip(tensors(places), tensors(result)))
    return len(list(tensors(places))) == len(list(tensors(result))) and all(
        place.shape == one.shape
        and _are_places(place, len(value))
        and torch.equal(value[place.long()].to(one.dtype), one)
        for place, one in pairs
    )


def _resized(value: object, sizes: Mapping[int, int]) -> object:
    """Return a tensor with fewer entries along the dimensions of these sizes."""
    if not isinstance(value, Tensor):
        return value
    return value[tuple(slice(sizes.get(size, size)) for size in value.shape)]


def _are_places(numbers: Tensor, count: int) -> bool:
    """Return whether all numbers are places in an array."""
    # The first ones show it for nearly all operations.
    return numbers.is_floating_point() and all(
        bool(((part >= 0) & (part < count) & (part == part.round())).all()) for part in (numbers.flatten()[:9], numbers)
    )


def _only(changed: Tensor, dim: int, index: int) -> bool:
    """Return whether something changed at this index of a dimension, and nothing at others."""
    indices = changed.movedim(dim, 0).reshape(changed.shape[dim], -1).any(1).nonzero()[:, 0]
    return indices.tolist() == [index]


def _close(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are the same but for rounding."""
    if torch.equal(one, other) or not one.is_floating_point():
        return torch.equal(one, other)
    size = float(one[one.isfinite()].abs().max()) if one.isfinite().any() else 0.0
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * size, equal_nan=True)
