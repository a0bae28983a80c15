"""Criteria: each module here is one, named as the config names it, and is its formula.

A criterion has `score(layer) -> float array (P,)`: the channel with the lowest score is removed first,
ties in order of channel numbers. To add one, add a module with that function; nothing else changes.
One that looks at single pairs and their labels says `READS_LABELS = True` and finds them in `layer.examples`:
the validation pairs, whatever `ranking.split` is. Test labels are read by the evaluation alone.
"""

import dataclasses
import importlib
import pkgutil

import numpy as np

from prunecurve.errors import StudyError


@dataclasses.dataclass(frozen=True)
class Examples:
    """The validation pairs as the linear layers see them.

    features: float32 (N, P, h, w), pooled maps. labels: (N,), 1 for same. weights: the network's, by the names of
    its state dict. threads: how many a criterion may use.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: dict[str, np.ndarray]
    threads: int = 1


@dataclasses.dataclass(frozen=True)
class Layer:
    """What a criterion may look at: the pruned convolution, and what its channels do on the ranking split.

    filters: float32 (P, D, k, k), the convolution's weights. statistics: float64 arrays (P,) by the names of
    channels.csv's columns (`relu_mean`, `conv_std`, …). random: the criterion's own stream of chance.
    examples: the validation pairs, for criteria that read labels.
    """

    filters: np.ndarray
    statistics: dict[str, np.ndarray]
    random: np.random.Generator
    examples: Examples | None = None


def names() -> list[str]:
    """The criteria there are, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def reads_labels(name: str) -> bool:
    """Whether a criterion needs the validation pairs."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), "READS_LABELS", False)


def scores(name: str, layer: Layer) -> np.ndarray:
    """The scores (P,), float64, of a criterion; StudyError for an unknown name or a score that is no number."""
    if name not in names():
        raise StudyError(f"ranking.criteria: {name!r} is unknown; allowed: {', '.join(names())}")
    if reads_labels(name) and layer.examples is None:
        raise StudyError(f"ranking.criteria: {name} reads labels: give --features and --pairs of the validation pairs")
    found = np.asarray(importlib.import_module(f"{__name__}.{name}").score(layer), dtype=np.float64)
    if found.shape != (len(layer.filters),) or np.isnan(found).any():
        raise StudyError(f"ranking.criteria: {name} gave no number for some channel; is the network trained?")
    return found


def ranking(scores: np.ndarray) -> np.ndarray:
    """Channel numbers (P,) in the order of removal: lowest score first, ties by number."""
    return np.argsort(scores, kind="stable")
