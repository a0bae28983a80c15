"""Names of rankings: a criterion's own, `random-1`, … for draws of random, `reversed-` before one turned round."""

import re
from collections.abc import Sequence

REVERSED = "reversed-"
# What every criterion is measured against: nothing, and (nearly) all that can be known.
BASELINES = ("random", "greedy")


def orders(criteria: Sequence[str], draws: int) -> list[str]:
    """The rankings of a study's criteria: one each, and `draws` of random."""
    return [
        order
        for name in criteria
        for order in ([f"random-{draw}" for draw in range(1, draws + 1)] if name == "random" else [name])
    ]


def criterion_of(order: str) -> str:
    """The criterion that a ranking belongs to: `random` for `random-3`."""
    return re.sub(r"-\d+$", "", order)
