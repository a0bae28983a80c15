"""Nodes of a traced graph: their shapes and values, what depends on them, and the parts of the network around them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's value for two inputs; () if the value is not a tensor."""
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def is_tensor(node: fx.Node) -> bool:
    """Return whether a node's value is a tensor, or contains some; sizes and numbers do not."""
    return "tensor_meta" in node.meta


def output_of(graph: fx.Graph) -> fx.Node:
    """Return the node that returns the result of the network."""
    return next(node for node in graph.nodes if node.op == "output")


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


def part_before(traced: fx.GraphModule, values: Mapping[str, fx.Node]) -> fx.GraphModule:
    """Return the part of a network that computes these values, with a dictionary of them as its output."""
    needed, waiting = set(), list(values.values())
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output({name: copies[node] for name, node in values.items()})
    return fx.GraphModule(traced, graph)


class PartAfter(NamedTuple):
    """The part of a network that depends on some calls.

    module: the part, whose arguments are `crossing`, then `sizes`. again: its operations in the network, the calls
    included. crossing: the values that it reads from the part before, tensors. sizes: the numbers that it reads, such
    as the number of inputs. copies: the nodes of the part by those of the network.
    """

    module: fx.GraphModule
    again: Mapping[fx.Node, None]
    crossing: list[fx.Node]
    sizes: list[fx.Node]
    copies: Mapping[fx.Node, fx.Node]


def part_after(traced: fx.GraphModule, calls: Sequence[fx.Node]) -> PartAfter:
    """Return the part of a network that depends on these calls.

    Raises ValueError if the output of the network does not.
    """
    again = depending_on(traced, calls)
    if output_of(traced.graph) not in again:
        raise ValueError("the logits do not depend on its channels")
    from_inputs = depending_on(traced, [node for node in traced.graph.nodes if node.op == "placeholder"])
    operands = dict.fromkeys(operand for node in again for operand in node.all_input_nodes)
    read = [node for node in operands if node in from_inputs and node not in again]
    crossing, sizes = [node for node in read if is_tensor(node)], [node for node in read if not is_tensor(node)]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in [*crossing, *sizes]:
        copies[node] = graph.placeholder(node.name)
    for node in traced.graph.nodes:
        # What depends on no input is a constant, which is computed again.
        if node not in copies and (node in again or node not in from_inputs):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    module = fx.GraphModule(traced, graph)
    # Constants that nothing reads.
    module.graph.eliminate_dead_code()
    return PartAfter(module, again, crossing, sizes, copies)
