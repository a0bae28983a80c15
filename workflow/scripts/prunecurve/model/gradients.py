"""Gradients of weights on processors without AVX-512, where torch 2.13 crashes for some convolutions.

With AVX2, oneDNN of torch 2.13.0 writes beyond the memory of the gradient of the weights in channels-last layout of 1×1
convolutions with a stride and fewer than 8 input channels. The gradient of their input is right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def safe_gradients(model: nn.Module) -> Iterator[None]:
    """Run these layers of a network with inputs and weights in contiguous layout, which is always safe.

    Forward passes before gradients of weights belong inside. All other layers keep their layout. The weights of these
    layers stay contiguous.
    """
    hooks = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) != layer.stride and layer.in_channels < 8:
            for parameter in layer.parameters():
                parameter.data = _contiguous(parameter.data)
            hooks.append(layer.register_forward_pre_hook(lambda module, inputs: (_contiguous(inputs[0]), *inputs[1:])))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _contiguous(value: Tensor) -> Tensor:
    # Not `contiguous`: with a single channel, or a kernel of one entry, it returns a value in channels-last layout as
    # it is.
    return value.clone(memory_format=torch.contiguous_format)
