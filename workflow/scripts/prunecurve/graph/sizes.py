"""The sizes that the network behind a layer reads: numbers of inputs, of channels that are left, and the like."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import fx

from prunecurve.graph.groups import Group
from prunecurve.graph.nodes import example_of, part_before
from prunecurve.graph.pruning import run_part

# Replaces the number of inputs in a pattern.
COUNT = object()


def sizes_by_count(
    traced: fx.GraphModule, group: Group, nodes: Sequence[fx.Node], input_shape: Sequence[int]
) -> Callable[[int, int], list[object]]:
    """Return a function of the number of inputs and of the channels left, which returns the values of these nodes.

    The network runs with two and three inputs (C, S, S), once for each number of channels left. Raises ValueError if a
    value depends on the number of inputs and is not this number.
    """
    part = part_before(traced, {str(place): node for place, node in enumerate(nodes)})

    @torch.no_grad()
    def run(count: int, left: int) -> list[object]:
        inputs = example_of(traced, input_shape).expand(count, *input_shape)
        return list(run_part(part, traced, group, np.arange(left), inputs).values())

    @functools.cache
    def patterns(left: int) -> list[object]:
        return list(map(_pattern, run(2, left), run(3, left)))

    # Networks whose sizes have no pattern are refused at once.
    patterns(group.channels)
    return lambda count, left: [_filled(pattern, count) for pattern in patterns(left)]


def _pattern(two: object, three: object) -> object:
    """Return a size that is the same for two and three inputs; COUNT, for the number of inputs, if it is 2 and 3."""
    if isinstance(two, tuple) and isinstance(three, tuple):
        return tuple(map(_pattern, two, three))
    if two == three:
        return two
    if (two, three) == (2, 3):
        return COUNT
    raise ValueError("the network computes with the number of inputs")


def _filled(pattern: object, count: int) -> object:
    if isinstance(pattern, tuple):
        return tuple(_filled(each, count) for each in pattern)
    return count if pattern is COUNT else pattern
