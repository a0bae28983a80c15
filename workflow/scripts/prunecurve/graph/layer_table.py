"""The table of a network's layers: what belongs to the channels of each, and what the evaluation of every K costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from torch import fx, nn

from prunecurve.graph.channels import Channels
from prunecurve.graph.checks import require_exact_pruning, zero_filter_varies
from prunecurve.graph.description import linear_layers, macs_of
from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.nodes import example_of, layer_nodes, values_of
from prunecurve.graph.pruning import Group, per_channel
from prunecurve.model.messages import times
from prunecurve.text import WIDTH, text_table, wrapped

COLUMNS = ("group", "together_with", "params", "params_share", "macs", "macs_share", "backend", "passes", "signed")
COLUMNS += ("zero_weights", "verified_by")
ZERO_VARIES = "what a filter of zeros leaves depends on the input"

# The table as text.
HEADER = ("layer", "kind", "channels", "group", "parameters", "", "MACs", "", "backend", "passes")
ALIGN = ("left", "left", *["right"] * 6, "left", "right")
NOTES = """\
group: layers of one group have the same channels, which can only be removed together.
parameters, MACs: of the weights that compute or read the channels, with their share of the network.
passes: the cost of evaluating all K of one ranking, in forward passes of the whole network.
"""
# Columns of the table that the text has notes about, with their usual values.
SPECIAL = {
    "signed": (("",), "no activation before they are read (use l1_norm, taylor_gate or ranking.measure_at: bn)"),
    "verified_by": (("", "surgery"), "verified by perturbation, because Torch-Pruning cannot follow the network"),
}
# Of the layers in a note, this many are named.
NAMED = 8


def layer_table(
    model: nn.Module,
    input_shape: Sequence[int],
    leaf_modules: Sequence[str] = (),
    verified_by: Callable[[PrunableLayer], str] = lambda layer: "",
) -> list[dict[str, object]]:
    """Return one row per Conv2d and Linear of a network that reads inputs (C, S, S), in the order of the network.

    layer: the module path. kind: Conv2d or Linear. channels: P. group: the number of the group; layers with the same
    number compute the same channels. together_with: the other layers of the group, separated by spaces. params, macs:
    those of the weights that compute or read the channels, for one input; params_share, macs_share: of the whole
    network. backend: see `LayerFile`. passes: the cost of evaluating every K of one ranking, in forward passes of the
    whole network. signed: see `Points.signed`. zero_weights: why this removal is not possible, empty if it is.
    verified_by: how removals are verified. refused: why the layer cannot be pruned; the columns between are then empty.

    leaf_modules: see `traced_network`. verified_by: a function that returns it, or raises NotPrunable. Raises
    StudyError if the network cannot be analysed.
    """
    analysis = Channels(model, input_shape, leaf_modules)
    macs = macs_of(analysis.module, example_of(analysis.module, input_shape))
    values = values_of(analysis.module, input_shape)
    rows = []
    groups: dict[tuple[str, ...], int] = {}
    verified: dict[tuple[str, ...], str] = {}
    for path, module in _layers(model, analysis.module).items():
        kind = "Conv2d" if isinstance(module, nn.Conv2d) else "Linear"
        row: dict[str, object] = {"layer": path, "kind": kind, "channels": len(module.weight)}
        try:
            layer = PrunableLayer(model, path, input_shape, analysis)
            makers = tuple(layer.group.makers)
            # The layers of a group are removed together.
            if makers not in groups:
                require_exact_pruning(layer, values)
                verified[makers] = verified_by(layer)
        except NotPrunable as refusal:
            rows.append(row | dict.fromkeys(COLUMNS, "") | {"refused": refusal.reason})
        else:
            group = groups.setdefault(makers, len(groups) + 1)
            others = " ".join(name for name in makers if name != path)
            about = {"group": group, "together_with": others} | _costs(layer, macs)
            rows.append(row | about | {"verified_by": verified[makers], "refused": ""})
    return rows


def _layers(model: nn.Module, traced: fx.GraphModule) -> dict[str, nn.Module]:
    """Return each Conv2d and Linear by its path: those that run in the order of the network, then the others."""
    run = {path: traced.get_submodule(path) for path in layer_nodes(traced)}
    others = {path: each for path, each in model.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    return run | {path: each for path, each in others.items() if path not in run}


def _costs(layer: PrunableLayer, macs: Mapping[fx.Node, int]) -> dict[str, object]:
    """Return the columns of a layer that can be pruned. macs: of each operation of the network."""
    total, size = sum(macs.values()), sum(parameter.numel() for parameter in layer.traced.parameters())
    params, products = belonging(layer.traced, layer.group, macs)
    backend = "torch" if linear_layers(layer) is None else "numpy"
    return {
        "params": params,
        "params_share": params / size,
        "macs": products,
        "macs_share": products / total,
        "backend": backend,
        "passes": float(_all_ks(layer, backend, macs)) / total,
        "signed": layer.points.signed,
        "zero_weights": ZERO_VARIES if zero_filter_varies(layer) else "",
    }


def _all_ks(layer: PrunableLayer, backend: str, macs: Mapping[fx.Node, int]) -> Fraction:
    """Return the MACs of what runs again for K = 1 … P−1, for one input. macs: of each operation of the network."""
    ks, total = range(1, layer.channels), Fraction(0)
    for node in layer.downstream.again:
        if node.op != "call_module" or node.target not in layer.group.modules():
            total += macs[node] * len(ks)
        elif backend == "numpy":
            # One channel after the other is added.
            total += macs[node]
        else:
            total += macs[node] * sum(_left(layer.group, node.target, k) for k in ks)
    return total


def _left(group: Group, path: str, k: int) -> Fraction:
    """Return the share of the weights of a module whose output and input both belong to none of k channels."""
    parts = [part[path] for part in (group.makers, group.followers, group.readers) if path in part]
    shares = (Fraction(k * int((numbers >= 0).sum()), group.channels * numbers.size) for numbers in parts)
    return math.prod((1 - share for share in shares), start=Fraction(1))


def belonging(traced: fx.GraphModule, group: Group, macs: Mapping[fx.Node, int]) -> tuple[int, int]:
    """Return the parameters and MACs of the weights that compute or read the channels of a group."""
    params = products = Fraction(0)
    for path in group.modules():
        module, share = traced.get_submodule(path), 1 - _left(group, path, group.channels)
        products += share * sum(macs[node] for node in macs if node.op == "call_module" and node.target == path)
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter):
            params += share * weight.numel()
        outputs = group.makers.get(path, group.followers.get(path, np.array([])))
        for _, _, tensor in per_channel(module, outputs.size):
            if isinstance(tensor, nn.Parameter) and tensor is not weight:
                params += Fraction(int((outputs >= 0).sum()), outputs.size) * tensor.numel()
    params += sum(int((numbers >= 0).sum()) for numbers in group.parameters.values())
    return int(params), int(products)


# ---- as text


def layer_text(rows: Sequence[Mapping[str, Any]], input_shape: Sequence[int]) -> str:
    """Return the rows of `layer_table` as text, as wide as its rows or WIDTH characters, with its explanation."""
    header, *lines = text_table([HEADER, *map(_cells, rows)], ALIGN).splitlines()
    # Only reasons are wrapped, and not the numbers of layers with long names.
    width = max(WIDTH, len(header), *(len(line) for line, row in zip(lines, rows) if not row["refused"]))
    # The reason why a layer cannot be pruned replaces the columns for its costs.
    table = [
        wrapped(f"{line.rstrip()}  not prunable: {row['refused']}", width=width) if row["refused"] else line
        for line, row in zip(lines, rows)
    ]
    notes = [*NOTES.splitlines(), *_special(rows)]
    paragraphs = [
        [f"Layers of the network, for inputs of {times(input_shape)}"],
        [header, *table],
        [wrapped(note, width=width) for note in notes],
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words of one line, one per column; empty for the costs of a layer that cannot be pruned."""
    start = (row["layer"], row["kind"], str(row["channels"]))
    if row["refused"]:
        return *start, *[""] * (len(HEADER) - len(start))
    sizes = [word for name in ("params", "macs") for word in (f"{row[name]:,}", f"{row[f'{name}_share']:.1%}")]
    # Two digits.
    passes = f"{row['passes']:,.0f}" if row["passes"] >= 10 else f"{row['passes']:.2g}"
    return *start, str(row["group"]), *sizes, row["backend"], passes if row["passes"] >= 0.01 else "< 0.01"


def _special(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a note for each column of SPECIAL that names the layers with an unusual value."""
    notes = []
    for column, (usual, about) in SPECIAL.items():
        if names := [row["layer"] for row in rows if row[column] not in usual]:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            notes.append(f"{about}: {', '.join(names[:NAMED])}{more}")
    return notes
