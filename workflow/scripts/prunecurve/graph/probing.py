"""What an operation does with channels: it runs on random values, which are changed at one index at a time.

Then it runs without some channels: they can be removed only if nothing else changes.

Labels say which channel each element of a value belongs to: an int64 tensor that broadcasts to the value, of size 1
along dimensions along which all labels are the same. Lists and tuples of tensors have lists and tuples of labels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from prunecurve.graph.pruning import copied, keep_followed, with_random_constants

if TYPE_CHECKING:
    from prunecurve.graph.channels import Channels


class Mixed(Exception):
    """Why the channels that an operation reads cannot be removed one by one."""


def tensors(value: object) -> list[Tensor]:
    """Return the tensors in a value, a list or a tuple."""
    if isinstance(value, Tensor):
        return [value]
    return [each for part in value for each in tensors(part)] if isinstance(value, list | tuple) else []


def distinct(labels: object) -> set[int]:
    """Return all labels in a value's labels."""
    return {label for one in tensors(labels) for label in one.unique().tolist()}


def mapped(function: Callable[..., Any], value: Any, labels: Any = None) -> Any:
    """Return a value with each tensor in it replaced by `function(tensor)`, or by `function(tensor, labels)`."""
    own = iter(tensors(labels))

    def replaced(each: object) -> object:
        if not isinstance(each, Tensor):
            return each
        return function(each) if labels is None else function(each, next(own))

    return fx.node.map_aggregate(value, replaced)


def collapsed(labels: Tensor) -> Tensor:
    """Return labels of each element with size 1 along the dimensions along which they are the same."""
    for dim in range(labels.ndim):
        if not varies(labels, dim):
            labels = labels.narrow(dim, 0, 1)
    return labels.clone()


def varies(values: Tensor, dim: int) -> bool:
    """Return whether values differ along a dimension."""
    return not torch.equal(values, values.narrow(dim, 0, 1).expand(values.shape))


def varying_dims(labels: Tensor) -> list[int]:
    """Return the dimensions along which labels differ."""
    return [dim for dim, size in enumerate(labels.shape) if size > 1]


class Probe:
    """An operation of a network, run on random values instead of those that depend on the network's input.

    operands: those that have labels. channels: those of them that are not parameters. followed: labels (C,) of the
    module's own channels, if it has parameters for each of them. result: of the operation.
    """

    def __init__(self, node: fx.Node, what: str, operands: Sequence[fx.Node], network: "Channels") -> None:
        """Run the operation once. Raises Mixed if it fails.

        what: the operation in words. network: it has the values and labels of all operands.
        """
        self.node, self.what, self.operands, self._network = node, what, operands, network
        self.channels = [each for each in operands if each in network.dependent] or operands
        self.followed: Tensor | None = None
        if node.op == "call_module":
            self._module = with_random_constants(network.module.get_submodule(node.target))
        # Operands of which only the size counts.
        self._sizes_of: list[fx.Node] = []
        self._drawn = {each: self._random(each, seed) for seed, each in enumerate(operands)}
        self.result = self._run(self._drawn)

    def _random(self, node: fx.Node, seed: int) -> Any:
        """Return random values instead of an operand."""
        generator = torch.Generator().manual_seed(seed)

        def drawn(value: Tensor) -> Tensor:
            if not (value.is_floating_point() or value.dtype == torch.bool):
                return value
            numbers = torch.randn(value.shape, generator=generator).to(value.device)
            if node.op == "get_attr":
                # Variances must be positive.
                numbers = numbers.abs() + 0.5
            return numbers > 0 if value.dtype == torch.bool else numbers.to(value.dtype)

        return mapped(drawn, self._network.env[node])

    # ---- running it

    def _run(
        self,
        values: Mapping[fx.Node, object],
        gone: frozenset[int] = frozenset(),
        sizes: Mapping[int, int] | None = None,
    ) -> object:
        """Return the result for these values of the operands, without the entries whose labels are gone.

        sizes: what the sizes of other values become.
        """
        try:
            return self._call(self.node, values, gone, sizes or {})
        except Mixed:
            raise
        # The operation can be the user's.
        except Exception as error:
            raise Mixed(f"{self.what} fails for other values ({type(error).__name__})") from error

    def _call(
        self, node: fx.Node, values: Mapping[fx.Node, object], gone: frozenset[int], sizes: Mapping[int, int]
    ) -> object:
        def value_of(each: fx.Node) -> object:
            value, labels = values.get(each, self._network.env[each]), self._network.labels[each]
            if each in self._sizes_of:
                return mapped(lambda one: one[tuple(slice(sizes.get(size, size)) for size in one.shape)], value)
            if labels is not None:
                return mapped(lambda one, own: self._without(one, own, gone), value, labels)
            # Sizes, and what is computed from them, can depend on the number of channels.
            if gone and each.op in ("call_function", "call_method"):
                value = self._call(each, values, gone, {})
            return fx.node.map_aggregate(value, lambda one: sizes.get(one, one) if isinstance(one, int) else one)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), value_of)
        if node.op != "call_module":
            return getattr(self._network, node.op)(node.target, args, kwargs)
        module = self._module
        if gone and self.followed is not None:
            module = copied(module)
            keep_followed(module, (~self._among(self.followed, gone)).nonzero()[:, 0], len(self.followed))
        return module(*args, **kwargs)

    def _among(self, labels: Tensor, gone: frozenset[int]) -> Tensor:
        """Return which labels are united with one that is gone."""
        own, places = labels.unique(return_inverse=True)
        return torch.tensor([self._network.root(label) in gone for label in own.tolist()])[places]

    def _without(self, value: Tensor, labels: Tensor, gone: frozenset[int]) -> Tensor:
        """Return a value without the entries whose labels are gone, which must be all entries at some indices."""
        if not gone:
            return value
        mask = self._among(labels, gone)
        dims = [dim for dim in varying_dims(mask) if varies(mask, dim)]
        if not dims and not mask.any():
            return value
        if len(dims) != 1:
            raise Mixed(f"{self.what} divides its channels")
        kept = ~mask.movedim(dims[0], 0).reshape(mask.shape[dims[0]], -1)[:, 0]
        return value.index_select(dims[0], kept.nonzero()[:, 0].to(value.device))

    # ---- what it does

    def moved(self) -> object:
        """Return the labels of the result if the operation moves elements and computes nothing; None otherwise."""
        count = 0

        def numbered(value: Tensor) -> Tensor:
            nonlocal count
            count += value.numel()
            numbers = torch.arange(count - value.numel(), count, dtype=torch.float64, device=value.device)
            return numbers.reshape(value.shape)

        # What it does can depend on the values, so they are also tried with the opposite sign.
        drawn = self._drawn
        negated = {each: mapped(lambda one: -one if one.is_floating_point() else one, drawn[each]) for each in drawn}
        try:
            places = self._run({each: mapped(numbered, drawn[each]) for each in self.operands})
            tried = [(drawn, self.result), (negated, self._run(negated))]
        except Mixed:
            return None
        for values, moved in tried:
            value = torch.cat([one.flatten() for each in self.operands for one in tensors(values[each])])
            if not all(_moves(place, value, one) for place, one in zip(tensors(places), tensors(moved))):
                return None
        labels = [
            own.expand(one.shape).flatten()
            for each in self.operands
            for one, own in zip(tensors(drawn[each]), tensors(self._network.labels[each]))
        ]
        label = torch.cat(labels)
        result = mapped(lambda place: collapsed(label[place.long().cpu()]), places)
        left = distinct(result)
        self._sizes_of = [each for each in self.operands if left.isdisjoint(distinct(self._network.labels[each]))]
        return result

    def aligned(self, node: fx.Node) -> list[Tensor | None]:
        """Return the labels of an operand for each tensor of the result, with the dimensions of the result.

        None for a tensor that does not depend on the operand. Raises Mixed if an index of the operand changes more than
        the same index of one dimension.
        """
        labels = self._network.labels[node]
        if not isinstance(labels, Tensor):
            raise Mixed(f"{self.what} reads several values at once")
        dims = varying_dims(labels)
        places = [self._places(node, dim) for dim in dims]
        aligned: list[Tensor | None] = []
        for i, result in enumerate(tensors(self.result)):
            where = [place[i] for place in places]
            if None in where:
                aligned.append(None)
                continue
            if len(set(where)) < len(where):
                raise Mixed(f"{self.what} mixes channels")
            own = labels.reshape([labels.shape[dim] for dim in dims] + [1] * (result.ndim - len(dims)))
            aligned.append(own.movedim(list(range(len(dims))), where))
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
        # A cumulative sum, for example, depends on all indices before.
        size = self._drawn[node].shape[dim]
        indices = sorted({0, size // 2, size - 1})
        places: list[int | None] = []
        for changed in zip(*(self._changed(node, dim, i) for i in indices)):
            follows = [
                d
                for d, length in enumerate(changed[0].shape)
                if length == size and all(_only(each, d, i) for each, i in zip(changed, indices))
            ]
            unchanged = not any(each.any() for each in changed)
            if not follows and not unchanged:
                raise Mixed(f"{self.what} mixes channels")
            places.append(None if unchanged else follows[0])
        return places

    def _changed(self, node: fx.Node, dim: int, index: int) -> list[Tensor]:
        """Return which elements of each tensor of the result change with one index of an operand."""
        changed = [torch.zeros_like(result, dtype=torch.bool) for result in tensors(self.result)]
        # Bounded functions pass on changes in one direction. Parameters can be variances, which are positive.
        for sign in (1, -1) if node in self.channels else (1,):
            other = self._drawn[node].clone()
            part = other.select(dim, index)
            random = torch.rand(part.shape, generator=torch.Generator().manual_seed(1)).to(part.device)
            part.copy_(~part if part.dtype == torch.bool else sign * 10 * (part.abs() + random.to(part.dtype) + 1))
            results = tensors(self._run({**self._drawn, node: other}))
            for own, before, after in zip(changed, tensors(self.result), results, strict=True):
                own |= (before != after) & ~(before.isnan() & after.isnan())
        return changed

    def require_without(self, labels: object, problem: str) -> None:
        """Raise Mixed unless the operation gives the same without one channel, and with a single one.

        labels: of the result. problem: what is wrong otherwise, in words behind the operation.
        """
        read = [one for each in self.channels for one in tensors(self._network.labels[each])]
        roots = [sorted({*map(self._network.root, distinct(one))}) for one in (*read, *tensors(labels))]
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
                expected = mapped(lambda one, own: self._without(one, own, gone), self.result, labels)
                results = self._run(self._drawn, gone, sizes)
            except Mixed:
                continue
            if all(_close(*pair) for pair in zip(tensors(expected), tensors(results), strict=True)):
                return True
        return False

    def _new_sizes(self, gone: frozenset[int]) -> dict[int, int]:
        """Return what the sizes of the operands become."""
        sizes: dict[int, int] = {}
        for labels in (one for each in self.operands for one in tensors(self._network.labels[each])):
            try:
                small = self._without(labels, labels, gone)
            except Mixed:
                continue
            sizes |= {old: new for old, new in zip(labels.shape, small.shape) if old != new}
        return sizes


def _moves(places: Tensor, value: Tensor, result: Tensor) -> bool:
    """Return whether a result has the elements of a flat value that lie at these places."""
    if places.shape != result.shape or not places.is_floating_point():
        return False
    indices = places.round().clamp(0, len(value) - 1)
    return torch.equal(places, indices) and torch.equal(value[indices.long()].to(result.dtype), result)


def _only(changed: Tensor, dim: int, index: int) -> bool:
    """Return whether something changed at this index of a dimension, and nothing at others."""
    indices = changed.movedim(dim, 0).reshape(changed.shape[dim], -1).any(1).nonzero()[:, 0]
    return indices.tolist() == [index]


def _close(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are the same but for rounding."""
    if one.shape != other.shape or not one.is_floating_point() or torch.equal(one, other):
        return torch.equal(one, other)
    size = float(one[one.isfinite()].abs().max()) if one.isfinite().any() else 0.0
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * size, equal_nan=True)
