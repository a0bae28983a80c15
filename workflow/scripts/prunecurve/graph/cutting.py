"""Modules without some of their channels."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

SIZES = ("in_channels", "out_channels", "groups", "num_features", "num_parameters")


def copied(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose tensors can be replaced; until then it shares them with the module."""
    if any(module.children()):
        return copy.deepcopy(module)
    same = copy.copy(module)
    same._parameters, same._buffers = dict(module._parameters), dict(module._buffers)
    return same


@torch.no_grad()
def with_random_constants(module: nn.Module, every: bool = False) -> nn.Module:
    """Return a copy of a module with random positive numbers instead of parameters and buffers that are constant.

    Zeros and ones, a usual start, would hide what an operation does. every: instead of all parameters and buffers.
    """
    random, other = torch.Generator().manual_seed(0), copy.deepcopy(module)
    for tensor in (*other.parameters(), *other.buffers()):
        if tensor.is_floating_point() and tensor.numel() and (every or (tensor == tensor.flatten()[0]).all()):
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
    return other


def per_channel(module: nn.Module, channels: int) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield the parameters and buffers of a module that have an entry for each of its channels: owner, name, tensor."""
    for owner in module.modules():
        for name, tensor in [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]:
            # One number for all channels stays as it is.
            if tensor.ndim and len(tensor) == channels > 1:
                yield owner, name, tensor


def keep_followed(module: nn.Module, kept: Tensor, channels: int) -> None:
    """Keep these of the channels of a module with parameters per channel."""
    for owner, name, tensor in list(per_channel(module, channels)):
        replace(owner, name, tensor[kept.to(tensor.device)])
    for owner in module.modules():
        for name in SIZES:
            if getattr(owner, name, None) == channels:
                setattr(owner, name, len(kept))


def keep_weights(module: nn.Conv2d | nn.Linear, rows: Tensor | None, columns: Tensor | None) -> None:
    """Keep these outputs and inputs of a layer; None keeps all."""
    inputs, outputs = ("in_features", "out_features")
    if isinstance(module, nn.Conv2d):
        inputs, outputs = ("in_channels", "out_channels")
    if columns is not None:
        replace(module, "weight", module.weight[:, columns.to(module.weight.device)])
        setattr(module, inputs, len(columns))
    if rows is not None:
        # A class of the user can have further parameters, such as a gain.
        for owner, name, tensor in list(per_channel(module, len(module.weight))):
            replace(owner, name, tensor[rows.to(tensor.device)])
        setattr(module, outputs, len(rows))


@torch.no_grad()
def cuttable(module: nn.Conv2d | nn.Linear, shape: Sequence[int]) -> tuple[bool, bool]:
    """Return whether the inputs, and whether the outputs, of a layer can be cut with its weights.

    A class of the user can compute with all of them at once, such as a convolution that standardises its filters. It
    must be linear in its inputs, but for what it adds. shape: of what it reads.
    """
    dim = 1 if isinstance(module, nn.Conv2d) else -1
    layer, value = with_random_constants(module).cpu(), torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    inputs, outputs = torch.arange(1, shape[dim]), torch.arange(1, len(module.weight))

    def same(expected: Tensor, rows: Tensor | None, columns: Tensor | None, read: Tensor) -> bool:
        small = copied(layer)
        try:
            keep_weights(small, rows, columns)
            result = small(read)
        # The class can compute anything.
        except Exception:
            return False
        return result.shape == expected.shape and torch.allclose(result, expected, rtol=1e-4, atol=1e-5)

    zeroed = layer(value.index_fill(dim, torch.zeros(1, dtype=torch.int64), 0.0))
    fewer = layer(value).index_select(dim, outputs)
    steps = [layer(size * value) for size in (0, 1, 2)]
    linear = torch.allclose(steps[2] - steps[1], steps[1] - steps[0], rtol=1e-4, atol=1e-4)
    return (
        linear and (not len(inputs) or same(zeroed, None, inputs, value.index_select(dim, inputs))),
        not len(outputs) or same(fewer, outputs, None, value),
    )


def replace(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Set a parameter or buffer of a module."""
    setattr(module, name, nn.Parameter(tensor) if name in module._parameters else tensor)
