"""The table of a network's layers as text, with the notes that explain it."""

from collections.abc import Mapping, Sequence
from typing import Any

from prunecurve.model.messages import times
from prunecurve.text import WIDTH, text_table, wrapped

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
