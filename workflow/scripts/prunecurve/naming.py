"""Names of rankings: the criterion's name, `random-1`, … for the draws of random, and `reversed-NAME`."""

import re
from collections.abc import Sequence

REVERSED = "reversed-"
# Every criterion is compared with these two: no information, and a search by exact evaluations (a heuristic order).
BASELINES = ("random", "greedy")


def orders(criteria: Sequence[str], draws: int) -> list[str]:
    """Return the names of a study's rankings: one per criterion, and `draws` rankings for random."""
    return [
        order
        for name in criteria
        for order in ([f"random-{draw}" for draw in range(1, draws + 1)] if name == "random" else [name])
    ]


def criterion_of(order: str) -> str:
    """Return the criterion of a ranking: `random` for `random-3`."""
    return re.sub(r"-\d+$", "", order)


def shortened(name: str, width: int) -> str:
    """Return a name with at most `width` characters, the last one an ellipsis if it is cut."""
    return name if len(name) <= width else f"{name[: width - 1]}…"
