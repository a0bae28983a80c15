"""Nodes of a traced graph: their shapes and values, what depends on them, and the part of the network before them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's value for two inputs; () if the value is not a tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def is_tensor(node: fx.Node) -> bool:
    """Return whether a node's value is a tensor, or contains some; sizes and numbers do not."""
    return "tensor_meta" in node.meta


def layer_nodes(traced: fx.GraphModule) -> dict[str, fx.Node]:
    """Return the first call, with one input, of each Conv2d and Linear, by its path in the order of the network."""
    nodes: dict[str, fx.Node] = {}
    for node in traced.graph.nodes:
        called = node.op == "call_module" and len(node.all_input_nodes) == 1
        if called and isinstance(traced.get_submodule(node.target), nn.Conv2d | nn.Linear):
            nodes.setdefault(node.target, node)
    return nodes


def example_of(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """Return one input (1, C, S, S) of zeros on the device of a network."""
    parameter = next(model.parameters(), torch.zeros(0))
    return torch.zeros(1, *input_shape, device=parameter.device)


def random_inputs(model: nn.Module, input_shape: Sequence[int], count: int) -> Tensor:
    """Return inputs (count, C, S, S), always the same normal numbers, on the device of a network."""
    inputs = torch.randn(count, *input_shape, generator=torch.Generator().manual_seed(0))
    return inputs.to(example_of(model, input_shape).device)


@torch.no_grad()
def values_of(traced: fx.GraphModule, input_shape: Sequence[int]) -> dict[fx.Node, Any]:
    """Return the value of each operation of a network for two `random_inputs`."""
    interpreter = fx.Interpreter(traced, garbage_collect_values=False)
    interpreter.run(random_inputs(traced, input_shape, 2))
    return interpreter.env


def depending_on(traced: fx.GraphModule, nodes: Sequence[fx.Node]) -> dict[fx.Node, None]:
    """Return these nodes of a graph and all that depend on them, in the order of the network."""
    dependent = {}
    for node in traced.graph.nodes:
        if node in nodes or any(operand in dependent for operand in node.all_input_nodes):
            dependent[node] = None
    return dependent


def part_before(traced: fx.GraphModule, nodes: Any) -> fx.GraphModule:
    """Return the part of a network that computes the values of nodes.

    nodes: a list of nodes, or a dictionary of such lists. The part returns the values in the same structure.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(traced.graph, copies)
    graph.output(fx.map_arg(nodes, copies.__getitem__))
    return part_of(traced, graph)


def part_of(traced: fx.GraphModule, graph: fx.Graph) -> fx.GraphModule:
    """Return a part of a network as a module, without operations that its output does not need, such as assertions."""
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    return fx.GraphModule(traced, graph)
