"""The table of a network's layers: what belongs to the channels of each, and what the evaluation of every K costs."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from prunecurve.graph.channels import Group
from prunecurve.graph.cutting import per_channel
from prunecurve.graph.description import linear_layers
from prunecurve.graph.layers import Analysis, NotPrunable, PrunableLayer, example_of, layer_nodes, values_of
from prunecurve.model.messages import times

COLUMNS = ("group", "together_with", "params", "params_share", "macs", "macs_share", "backend", "passes", "signed")
COLUMNS += ("zero_weights", "verified_by")
WIDTH = 100
HEADER = ("layer", "kind", "channels", "group", "parameters", "", "MACs", "", "backend", "passes")
NOTES = """\
group: layers of one group have the same channels, which can only be removed together.
parameters, MACs: of the weights that compute or read the channels, with their share of the network.
passes: the cost of evaluating all K of one ranking, in forward passes of the whole network.
"""


ZERO_VARIES = "what a filter of zeros leaves depends on the input"
# Columns of the table that the text has notes about, with their usual values.
SPECIAL = {
    "signed": (
        ("",),
        "no activation before they are read (use l1_norm, taylor_gate or ranking.measure_at: bn)",
    ),
    "verified_by": (("", "surgery"), "verified by perturbation, because Torch-Pruning can't follow the network"),
}
# Of the layers in a note, this many are named.
NAMED = 8


class _Macs(fx.Interpreter):
    """The MACs of each operation for one input, as PyTorch counts them."""

    def __init__(self, traced: fx.GraphModule, example: Tensor) -> None:
        super().__init__(traced)
        self.of: dict[fx.Node, int] = {}
        with torch.no_grad():
            self.run(example)

    def run_node(self, node: fx.Node) -> object:
        with FlopCounterMode(display=False) as counter:
            value = super().run_node(node)
        # A MAC is two floating point operations.
        self.of[node] = counter.get_total_flops() // 2
        return value


def macs_of(traced: fx.GraphModule, example: Tensor) -> dict[fx.Node, int]:
    """Return the MACs of each operation of a network for one input, as PyTorch counts them. example: (1, C, S, S)."""
    return _Macs(traced, example).of


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
    whole network. signed: see `PrunableLayer.signed`. zero_weights: why this removal is not possible, empty if it is.
    verified_by: how removals are verified. refused: why the layer can't be pruned; the columns between are then empty.

    leaf_modules: see `traced_network`. verified_by: a function that returns it, or raises NotPrunable. Raises
    StudyError if the network can't be analysed.
    """
    analysis = Analysis.of(model, input_shape, leaf_modules)
    macs = macs_of(analysis.traced, example_of(analysis.traced, input_shape))
    values = values_of(analysis.traced, input_shape)
    rows, groups, verified = [], {}, {}
    for path, module in _layers(model, analysis.traced).items():
        row = {"layer": path, "kind": "Conv2d" if isinstance(module, nn.Conv2d) else "Linear"}
        row["channels"] = len(module.weight)
        try:
            layer = PrunableLayer(model, path, input_shape, analysis)
            makers = tuple(layer.group.makers)
            # The layers of a group are removed together.
            if makers not in groups:
                layer.require_smaller(values)
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
        "signed": layer.signed,
        "zero_weights": ZERO_VARIES if layer.zero_filter_varies() else "",
    }


def _all_ks(layer: PrunableLayer, backend: str, macs: Mapping[fx.Node, int]) -> Fraction:
    """Return the MACs of what runs again for K = 1 … P−1, for one input. macs: of each operation of the network."""
    ks, total = range(1, layer.channels), Fraction(0)
    for node in layer.rest.again:
        if node.op != "call_module" or node.target not in layer.group.modules():
            total += macs[node] * len(ks)
        elif backend == "numpy":
            # One channel after the other is added.
            total += macs[node]
        else:
            parts = [part[node.target] for part in layer.group[1:] if node.target in part]
            shares = [Fraction(int((numbers >= 0).sum()), numbers.size) for numbers in parts]
            left = (math.prod(1 - share * k / layer.channels for share in shares) for k in map(Fraction, ks))
            total += macs[node] * sum(left)
    return total


def belonging(traced: fx.GraphModule, group: Group, macs: Mapping[fx.Node, int]) -> tuple[int, int]:
    """Return the parameters and MACs of the weights that compute or read the channels of a group."""
    params = products = Fraction(0)
    for path in group.modules():
        module = traced.get_submodule(path)
        parts = [part[path] for part in (group.makers, group.followers, group.readers) if path in part]
        # The share of the weights whose output and input both belong to no channel of the group.
        left = math.prod(Fraction(int((numbers < 0).sum()), numbers.size) for numbers in parts)
        products += (1 - left) * sum(macs[node] for node in macs if node.op == "call_module" and node.target == path)
        outputs = group.makers.get(path, group.followers.get(path, np.array([])))
        for _, _, tensor in per_channel(module, outputs.size):
            if isinstance(tensor, nn.Parameter) and tensor is not getattr(module, "weight", None):
                params += Fraction(int((outputs >= 0).sum()), outputs.size) * tensor.numel()
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter):
            params += (1 - left) * weight.numel()
    params += sum(int((numbers >= 0).sum()) for numbers in group.parameters.values())
    return int(params), int(products)


def layer_text(rows: Sequence[Mapping[str, object]], input_shape: Sequence[int]) -> str:
    """Return the rows of `layer_table` as text, as wide as its rows or WIDTH characters, with its explanation."""
    lines = [HEADER, *map(_cells, rows)]
    # The reason of a layer that can't be pruned stands in place of the last columns.
    widths = [max(len(line[i]) for line in lines if i < 3 or len(line) == len(HEADER)) for i in range(len(HEADER))]
    table = [_aligned(line, widths) for line in lines]
    title = f"Layers of the network, for inputs of {times(input_shape)}"
    notes = "".join(
        f"{about}: {_few([row['layer'] for row in rows if row[column] not in usual])}\n"
        for column, (usual, about) in SPECIAL.items()
        if any(row[column] not in usual for row in rows)
    )
    paragraphs = [title, "\n".join(table), NOTES + notes]
    # Only reasons are wrapped, and not the numbers of layers with long names.
    width = max(WIDTH, *(len(line) for line, row in zip(table[1:], rows) if not row["refused"]), len(table[0]))
    wrapped = ("\n".join(_wrapped(line, width) for line in text.splitlines()) for text in paragraphs)
    return "\n\n".join(wrapped) + "\n"


def _cells(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return the words of one line: one per column of HEADER, or three and the reason."""
    start = (row["layer"], row["kind"], str(row["channels"]))
    if row["refused"]:
        return *start, f"can't be pruned: {row['refused']}"
    sizes = [word for name in ("params", "macs") for word in (f"{row[name]:,}", f"{row[f'{name}_share']:.1%}")]
    return *start, str(row["group"]), *sizes, row["backend"], _rounded(row["passes"])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _rounded(passes: float) -> str:
    """Return a cost with two digits."""
    if passes < 0.01:
        return "< 0.01"
    return f"{passes:,.0f}" if passes >= 10 else f"{passes:.2g}"


def _aligned(words: Sequence[str], widths: Sequence[int]) -> str:
    """Return words in columns: names to the left, numbers to the right."""
    left = ("layer", "kind", "backend")
    padded = [f"{w:<{n}}" if name in left else f"{w:>{n}}" for w, n, name in zip(words, widths, HEADER)]
    return "  ".join(padded).rstrip()


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False) if len(line) > width else line
