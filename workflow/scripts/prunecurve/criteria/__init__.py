"""Criteria: each module here is one, named as the config names it, and is its formula.

A criterion has `score(layer) -> float array (P,)`: the channel with the lowest score is removed first,
ties in order of channel numbers. To add one, add a module with that function; nothing else changes.
What it looks at beside the weights it says in `READS`, and gets nothing else:

    "statistics"   each channel's statistics over the pairs of `ranking.split`
    "maps"         the single maps of some pairs of `ranking.split`
    "labels"       the validation pairs with their labels, whatever `ranking.split` is

Test labels are read by the evaluation alone. `KNOBS` names the keys under `ranking` that it wants,
`POINT` the one place in the block where it measures, whatever the config says.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.examples import Examples
from prunecurve.naming import REVERSED, criterion_of


@dataclasses.dataclass(frozen=True)
class Layer:
    """What a criterion may look at: the pruned convolution, and what its channels do.

    filters: float32 (P, D, k, k), the convolution's weights. scale: (P,), batch normalisation's γ.
    random: the criterion's own stream of chance. point: where activations are measured (conv, bn, relu, pool).
    statistics: float64 arrays (P,) by the names of channels.csv's columns (`relu_mean`, `conv_std`, …).
    maps: float32 (n, P, M, N), maps at `point` of some pairs. examples: the validation pairs. knobs: numbers from
    the config, by key. What isn't in the criterion's `READS` or `KNOBS` is not there.
    """

    filters: np.ndarray
    scale: np.ndarray
    random: np.random.Generator
    point: str = "relu"
    statistics: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    maps: np.ndarray | None = None
    examples: Examples | None = None
    knobs: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Estimate(NamedTuple):
    """Scores that were estimated by sampling, and their standard errors, both (P,)."""

    scores: np.ndarray
    standard_error: np.ndarray


def names() -> list[str]:
    """The criteria there are, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def allowed() -> list[str]:
    """What the config may name: each criterion, and each backwards."""
    return [*names(), *(f"{REVERSED}{name}" for name in names() if name != "random")]


def _module(name: str):
    return importlib.import_module(f"{__name__}.{criterion_of(name)}")


def reads(name: str) -> tuple[str, ...]:
    """What a criterion looks at beside the weights."""
    return getattr(_module(name.removeprefix(REVERSED)), "READS", ())


def point(name: str, chosen: str) -> str:
    """Where a criterion measures activations: its own `POINT`, or the chosen one; nowhere is "none"."""
    measures = {"statistics", "maps"} & set(reads(name))
    return getattr(_module(name), "POINT", chosen) if measures else "none"


def knobs(name: str) -> tuple[str, ...]:
    """The keys under `ranking` that a criterion wants."""
    return getattr(_module(name), "KNOBS", ())


def scores(name: str, layer: Layer) -> Estimate | np.ndarray:
    """The scores (P,), float64, of a criterion, with their standard errors if it samples.

    StudyError for an unknown name, something that it needs and doesn't get, or a score that is no number.
    """
    if criterion_of(name) not in names():
        raise StudyError(f"ranking.criteria: {name!r} is unknown; allowed: {', '.join(names())}")
    given = {"statistics": layer.statistics, "maps": layer.maps is not None, "labels": layer.examples}
    for needed in reads(name):
        if not given[needed]:
            raise StudyError(f"ranking.criteria: {name} reads {needed}, and the script was given none")
    found = _module(name).score(layer)
    values = np.asarray(found.scores if isinstance(found, Estimate) else found, dtype=np.float64)
    if values.shape != (len(layer.filters),) or np.isnan(values).any():
        raise StudyError(f"ranking.criteria: {name} gave no number for some channel; is the network trained?")
    return Estimate(values, found.standard_error) if isinstance(found, Estimate) else values


def ties(scores: np.ndarray) -> int:
    """How many channels share their score with another."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def ranking(scores: np.ndarray) -> np.ndarray:
    """Channel numbers (P,) in the order of removal: lowest score first, ties by number."""
    return np.argsort(scores, kind="stable")
