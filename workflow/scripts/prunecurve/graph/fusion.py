"""A graph with fewer operations and the same results but for rounding, for evaluations.

`torch.fx.experimental.optimization.fuse` gives wrong results if a convolution runs twice or if a function reads its
weights too, and it does not know which modules run as torch's do.
"""

import operator
from collections import Counter

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from prunecurve.graph.operations import calls

# Modules that return a new tensor and whose derivatives do not need it: what follows can overwrite it.
OVERWRITABLE = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
RELU, ADD = {"relu", torch.relu, functional.relu}, {"add", operator.add, torch.add}


def fuse(traced: fx.GraphModule) -> None:
    """Join each batch normalisation with the convolution before it, and let ReLU overwrite what it reads.

    On CPUs, both mostly move memory. Replaces modules of `traced`, which must not be in training mode, and nodes of
    batch normalisation; all other nodes stay the same objects.
    """
    _join_batch_normalisation(traced)
    _overwrite(traced)
    traced.recompile()


def _join_batch_normalisation(traced: fx.GraphModule) -> None:
    """Replace a convolution and a batch normalisation of its outputs by one convolution."""
    times = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    # Parameters that are read in a different way, and modules that run without a look into them.
    others = {node.target for node in traced.graph.nodes if node.op == "get_attr"}

    def alone(path: str) -> bool:
        inside = any(path.startswith(f"{other}.") for other in times)
        return times[path] == 1 and not inside and not any(name.startswith(f"{path}.") for name in others)

    for node in list(traced.graph.nodes):
        norm = _module(traced, node, nn.BatchNorm2d)
        if norm is None or norm.running_mean is None or len(node.all_input_nodes) != 1:
            continue
        (operand,) = node.all_input_nodes
        convolution = _module(traced, operand, nn.Conv2d)
        # A module that runs several times has one weight for all calls.
        if convolution is not None and alone(node.target) and alone(operand.target) and len(operand.users) == 1:
            traced.set_submodule(operand.target, fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(operand)
            traced.graph.erase_node(node)


def _overwrite(traced: fx.GraphModule) -> None:
    """Let ReLU overwrite a new tensor that nothing else reads."""
    for node in traced.graph.nodes:
        if calls(traced, node, (nn.ReLU,), RELU):
            operand = node.all_input_nodes[0]
            if len(operand.users) == 1 and calls(traced, operand, OVERWRITABLE, ADD):
                node.op, node.target, node.args, node.kwargs = "call_method", "relu_", (operand,), {}


def _module(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> nn.Module | None:
    """Return the module that a node calls, if it runs as this class does."""
    return traced.get_submodule(node.target) if node.op == "call_module" and calls(traced, node, (kind,)) else None
