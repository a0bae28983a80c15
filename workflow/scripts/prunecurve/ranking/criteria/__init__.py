"""Criteria. Each module in this package defines one criterion, with the name that the config uses.

A criterion has a function `score(layer)` that returns a float array (P,). The channel with the lowest
score is removed first; ties are resolved by channel number. To add a criterion, add a module with this
function; no other file changes. A criterion always gets the filters. Other inputs are listed in `READS`:

    "statistics"     the statistics of each channel over the pairs of `ranking.split`
    "maps"           the single maps of some pairs of `ranking.split`
    "labels"         the validation pairs with their labels, whatever `ranking.split` is
    "mean_features"  the mean of what the next layers read, over the validation pairs
    "readers"        the layers that read the channels, and the moments of their inputs over the calibration inputs
    "scale"          the scale of batch normalisation; such a criterion cannot rank a layer without it

Only the evaluation reads test labels. `PARAMETERS` lists the keys under `ranking` that a criterion needs as
parameters. `POINT` is set if a criterion always measures at one point and ignores `ranking.measure_at`.
"""

import importlib
import pkgutil
from typing import Any, NamedTuple

import numpy as np

from prunecurve.errors import StudyError
from prunecurve.naming import REVERSED, criterion_of

# The points that are behind an activation.
AFTER_ACTIVATION = ("relu", "pool")


class Layer(NamedTuple):
    """The inputs of a criterion. What it does not list in `READS` or `PARAMETERS` is None.

    filters: float32 (P, D, k, k), the weights; (P, D, 1, 1) of a linear layer. scale: γ of batch normalisation (P,).
    random: the criterion's random generator. signed: why nothing can be measured behind an activation, empty if it can.
    point: where activations are measured (conv, bn, relu, pool). statistics: float64 arrays (P,), with the column names
    of channels.csv (`relu_mean`, `conv_std`, …). maps: the maps of some pairs at `point`, float32 (n, P, M, N).
    validation: the `ValidationSet`, with labels. mean_features: float32, in the shape of `LayerFile.zero_filter`.
    readers: list of `Reader` (sweep/repair.py). parameters: the criterion's parameters from the config, by key.
    """

    filters: np.ndarray
    scale: Any
    random: np.random.Generator
    signed: str = ""
    point: str = "relu"
    statistics: Any = None
    maps: Any = None
    validation: Any = None
    mean_features: Any = None
    readers: Any = None
    parameters: Any = None


class Estimate(NamedTuple):
    """Scores that were estimated by sampling and their standard errors, both (P,)."""

    scores: np.ndarray
    standard_error: np.ndarray


def needs_activation(name: str, reason: str) -> str:
    """Return the error for a criterion of values behind an activation, where there are none."""
    return (
        f"{name} measures behind an activation, but {reason}; "
        "choose different criteria, a different layer, or ranking.measure_at: bn or conv"
    )


def names() -> list[str]:
    """Return the names of all criteria, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def allowed() -> list[str]:
    """Return the names that the config may contain: each criterion and, except for random, each reversed criterion."""
    return [*names(), *(f"{REVERSED}{name}" for name in names() if name != "random")]


def _module(name: str):
    return importlib.import_module(f"{__name__}.{criterion_of(name)}")


def reads(name: str) -> tuple[str, ...]:
    """Return what a criterion reads besides the weights."""
    return getattr(_module(name.removeprefix(REVERSED)), "READS", ())


def point(name: str, chosen: str) -> str:
    """Return where a criterion measures activations: its `POINT`, else `chosen`; "none" if it reads no activations."""
    measures = {"statistics", "maps"} & set(reads(name))
    return getattr(_module(name), "POINT", chosen) if measures else "none"


def parameters(name: str) -> tuple[str, ...]:
    """Return the keys under `ranking` that a criterion needs as parameters."""
    return getattr(_module(name), "PARAMETERS", ())


def scores(name: str, layer: Layer) -> Estimate | np.ndarray:
    """Return the scores of a criterion, float64 (P,); an `Estimate` with standard errors if the criterion samples.

    Raises StudyError if an input in `READS` is missing, if the scores are not of the shape (P,), or if one is NaN. The
    maps of a linear layer have one position each (M = N = 1).
    """
    for needed in reads(name):
        if needed == "scale" and layer.scale is None:
            raise StudyError(f"ranking.criteria: {name} needs batch normalisation, and the layer has none")
        if needed in ("statistics", "maps") and layer.signed and layer.point in AFTER_ACTIVATION:
            raise StudyError(f"ranking.criteria: {needs_activation(name, layer.signed)}")
        if getattr(layer, "validation" if needed == "labels" else needed) is None:
            raise StudyError(f"ranking.criteria: {name} reads {needed}; give the script the options for them")
    result, channels = _module(name).score(layer), len(layer.filters)
    columns = [np.asarray(each, np.float64) for each in (result if isinstance(result, Estimate) else [result])]
    for values in columns:
        if values.shape != (channels,):
            raise StudyError(
                f"ranking.criteria: {name} returned an array of the shape {values.shape}; "
                f"score must return one number per channel, ({channels},)"
            )
        if np.isnan(values).any():
            raise StudyError(
                f"ranking.criteria: {name} gave NaN for {np.isnan(values).sum()} of {channels} channels; "
                "check the network's training"
            )
    return Estimate(*columns) if len(columns) > 1 else columns[0]


def ranking(scores: np.ndarray) -> np.ndarray:
    """Return the channel numbers (P,) in the order of removal: lowest score first, ties by channel number."""
    return np.argsort(scores, kind="stable")
