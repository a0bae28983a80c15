"""Text for a terminal: wrapped sentences and aligned tables."""

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

# Characters per line.
WIDTH = 100


def wrapped(text: str, indent: str = "  ", width: int = WIDTH) -> str:
    """Return a text in lines of `width` characters; longer words stay whole. indent: of the lines after the first."""
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def text_table(rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    """Return rows of cells, the header's first, in aligned columns.

    align: `left` or `right` for the first columns; the columns after them are aligned as the last of these.
    """
    align = [*align, *[align[-1]] * (len(rows[0]) - len(align))]
    # As a row and not as `headers`, which would make the columns wider.
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=align)
