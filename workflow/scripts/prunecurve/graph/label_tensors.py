"""Labels in the shape of values: tensors in which most labels are one number for all positions of a map."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def tensors(value: object) -> Iterable[Tensor]:
    """Yield the tensors in a value, a list or a tuple."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


def paired(value: Any, labels: Any, function: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """Return a value with each tensor in it replaced by `function(tensor, labels)`."""
    if isinstance(value, Tensor):
        return function(value, labels)
    if isinstance(value, list | tuple):
        values = [paired(one, own, function) for one, own in zip(value, labels)]
        return type(value)(*values) if hasattr(value, "_fields") else type(value)(values)
    return value


def first_of(labels: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Return labels at the first index of each dimension but `dims`, those that they vary along."""
    dims = varying_dims(labels) if dims is None else dims
    for dim in range(labels.ndim):
        if dim not in dims:
            labels = labels.narrow(dim, 0, 1)
    return labels


def collapsed(labels: Tensor) -> Tensor:
    """Return the same labels in little memory."""
    return first_of(labels).clone().expand(labels.shape)


def varies(labels: Tensor, dim: int) -> bool:
    """Return whether labels differ along a dimension."""
    if labels.ndim == 0 or labels.stride(dim) == 0 or labels.shape[dim] == 1:
        return False
    for other in range(labels.ndim):
        # One number for all positions of a map.
        if labels.stride(other) == 0:
            labels = labels.narrow(other, 0, 1)
    return not torch.equal(labels, labels.narrow(dim, 0, 1).expand(labels.shape))


def varying_dims(labels: Tensor) -> list[int]:
    """Return the dimensions along which labels differ."""
    return [dim for dim in range(labels.ndim) if varies(labels, dim)]


def distinct(labels: Tensor) -> list[int]:
    """Return the sorted labels in a tensor."""
    return first_of(labels).unique().tolist()
