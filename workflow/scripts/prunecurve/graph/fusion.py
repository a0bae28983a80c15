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
    times = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    # Parameters that are read in a different way, and modules that run without a look into them.
    others = {node.target for node in traced.graph.nodes if node.op == "get_attr"}

    def runs_once(node: fx.Node, kind: type[nn.Module]) -> bool:
        """Return whether a module of a class runs once: if it runs several times, one weight is that of all calls."""
        if node.op != "call_module" or not calls(traced, node, (kind,)) or times[node.target] > 1:
            return False
        inside = any(node.target.startswith(f"{other}.") for other in times)
        return not inside and not any(name.startswith(f"{node.target}.") for name in others)

    for node in list(traced.graph.nodes):
        operand = next(iter(node.all_input_nodes), node)
        if runs_once(node, nn.BatchNorm2d) and runs_once(operand, nn.Conv2d) and len(operand.users) == 1:
            convolution, norm = (traced.get_submodule(each.target) for each in (operand, node))
            # Without running statistics, it normalises by those of the batch.
            if norm.running_mean is not None:
                traced.set_submodule(operand.target, fuse_conv_bn_eval(convolution, norm))
                node.replace_all_uses_with(operand)
                traced.graph.erase_node(node)
        # What a new tensor that nothing else reads holds can be overwritten.
        alone = len(operand.users) == 1 and calls(traced, operand, OVERWRITABLE, ADD)
        if alone and calls(traced, node, (nn.ReLU,), RELU):
            node.op, node.target, node.args, node.kwargs = "call_method", "relu_", (operand,), {}
    traced.recompile()
