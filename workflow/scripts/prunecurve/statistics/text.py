"""What the texts of a study have in common: wrapped sentences, tables, numbers with their intervals."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import tabulate

# Characters per line, for a terminal.
WIDTH = 100
# Wherever the largest K is shown.
NOT_COMPARED = (
    "Do not compare it between layers of different numbers of channels or with a different sweep.ks: the more K are "
    "evaluated, the earlier one of them is outside by chance."
)


def wrapped(text: str, indent: str = "  ") -> str:
    """Return a text in lines of at most WIDTH characters. indent: of the lines after the first."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def text_table(rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    """Return rows of cells, the header's first, in aligned columns.

    align: `left` or `right` for the first columns; the columns after them are aligned as the last of these.
    """
    align = [*align, *[align[-1]] * (len(rows[0]) - len(align))]
    return tabulate.tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=align)


def number(row: Mapping[str, float], digits: int, sign: str = "") -> str:
    """Return `mean [low, high]` with a real minus sign; without the interval, which one network does not have.

    sign: `+` to show the sign of positive numbers too.
    """
    mean, low, high = (f"{row[part]:{sign}.{digits}f}".replace("-", "−") for part in ("mean", "low", "high"))
    return mean if math.isnan(row["low"]) else f"{mean} [{low}, {high}]"


def means_over(seeds: int) -> str:
    """Return the sentence that says what the numbers of a text are means over."""
    return f"Means over {seeds} networks (seeds) [95 % Student t interval]." if seeds > 1 else "One network (seed)."
