"""Which parts of a network cost what, and which channels of several layers they belong to."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import fx, nn

from prunecurve.errors import StudyError
from prunecurve.graph.channels import Channels
from prunecurve.graph.description import macs_of
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.nodes import example_of
from prunecurve.graph.pruning import Group, per_channel
from prunecurve.plan.costs import SIZES, Costs, Operation, Side
from prunecurve.seeding import stream
from prunecurve.verification.surgery import parameters_and_macs

# The cost model is compared with this many smaller networks, with a random number of channels in each layer.
CHECKED = 4


def cost_model(
    model: nn.Module,
    input_shape: Sequence[int],
    layers: Sequence[str],
    leaf_modules: Sequence[str] = (),
) -> tuple[Costs, dict[str, str]]:
    """Return the costs of a network that reads inputs (C, S, S), and why a plan must leave some layers whole.

    layers: one layer per group, in the order of the network. leaf_modules: see `traced_network`. Raises StudyError if a
    layer cannot be pruned.
    """
    analysis = Channels(model, input_shape, leaf_modules)
    groups: dict[str, Group] = {}
    whole: dict[str, str] = {}
    for layer in layers:
        group = PrunableLayer(model, layer, input_shape, analysis).group
        if reason := _reason(group, groups):
            whole[layer] = reason
        else:
            groups[layer] = group
    example = example_of(analysis.module, input_shape)
    operations = _operations(analysis.module, groups, macs_of(analysis.module, example))
    channels = {layer: group.channels for layer, group in groups.items()}
    grouped, all_parts = Costs(channels, operations).both(), parameters_and_macs(model, example)
    params, macs = (all_parts[size] - grouped[size] for size in SIZES)
    others = Operation("rest of the network", params, macs)
    return Costs(channels, [*operations, others]), whole


def _reason(group: Group, others: Mapping[str, Group]) -> str | None:
    """Return why a plan cannot prune a group together with the others; None if it can."""
    for layer, other in others.items():
        for own, theirs in zip(group[1:], other[1:]):
            if any(((own[path] >= 0) & (theirs[path] >= 0)).any() for path in own.keys() & theirs.keys()):
                return f"some of its channels can only be removed together with some of {layer}"
    for part in group[1:]:
        for path, numbers in part.items():
            counts = np.bincount(numbers[numbers >= 0], minlength=group.channels)
            if len(set(counts)) > 1:
                return f"its channels have different numbers of entries in {path}"
    return None


def _operations(traced: fx.GraphModule, groups: Mapping[str, Group], macs: Mapping[fx.Node, int]) -> list[Operation]:
    """Return one operation per weight and per other parameter of each module that belongs to a group."""
    operations = []
    for path in {name: None for group in groups.values() for name in group.modules()}:
        module = traced.get_submodule(path)
        products = sum(macs[node] for node in macs if node.op == "call_module" and node.target == path)
        followed = any(path in group.followers for group in groups.values())
        weighs = isinstance(module, nn.Conv2d | nn.Linear)
        outputs = _side(groups, "followers" if followed else "makers", path, len(module.weight) if weighs else None)
        sides = (outputs,)
        if not followed:
            sides += (_side(groups, "readers", path, module.weight.shape[1]),)
        if weighs:
            operations.append(_operation(f"{path}.weight", module.weight.numel(), products, sides))
        others = [tensor for _, _, tensor in per_channel(module, outputs.size) if isinstance(tensor, nn.Parameter)]
        if each := sum(tensor.numel() for tensor in others if not (weighs and tensor is module.weight)):
            operations.append(_operation(f"{path}.others", each, 0, (outputs,)))
    parameters = {path for path, _ in traced.named_parameters()}
    for path in {name: None for group in groups.values() for name in group.parameters if name in parameters}:
        side = _side(groups, "parameters", path, None)
        operations.append(_operation(path, side.size, 0, (side,)))
    return operations


def _side(groups: Mapping[str, Group], part: str, path: str, size: int | None) -> Side:
    """Return the outputs (part: makers or followers) or inputs (readers) of a module, or the entries of a parameter."""
    numbers = {layer: getattr(group, part)[path] for layer, group in groups.items() if path in getattr(group, part)}
    entries = {layer: int((each >= 0).sum()) // groups[layer].channels for layer, each in numbers.items()}
    return Side(size if size is not None else next(iter(numbers.values())).size, entries)


def _operation(name: str, params: int, macs: int, sides: tuple[Side, ...]) -> Operation:
    combinations = int(np.prod([side.size for side in sides], dtype=np.int64))
    if params % combinations or macs % combinations:
        raise StudyError(f"plan: the cost of {name} is not a multiple of its outputs and inputs ({combinations})")
    return Operation(name, params // combinations, macs // combinations, sides)


def random_removals(costs: Costs) -> list[dict[str, np.ndarray]]:
    """Return sorted channel numbers to remove from each layer, at random, for CHECKED networks."""
    return [
        {
            layer: np.sort(random.permutation(channels)[: random.integers(channels)])
            for layer, channels in costs.channels.items()
        }
        for random in (stream(0, f"plan/costs/{number}") for number in range(CHECKED))
    ]


def require_counted(costs: Costs, ks: Mapping[str, int], sizes: Mapping[str, int], where: str) -> None:
    """Raise StudyError unless a smaller network has the parameters and MACs that the cost model predicts."""
    expected = costs.both(ks)
    if wrong := [size for size in SIZES if expected[size] != sizes[size]]:
        differences = "; ".join(f"{size}: {expected[size]:,} predicted, {sizes[size]:,} counted" for size in wrong)
        raise StudyError(f"plan: {where}: the cost model does not agree with the smaller network ({differences})")
