"""Criteria. Each module in this package defines one criterion, with the name that the config uses.

A criterion has a function `score(layer)` that returns a float array (P,). The channel with the lowest
score is removed first; ties are resolved by channel number. To add a criterion, add a module with this
function; no other file changes. A criterion always gets the filters. Other inputs are listed in `READS`:

    "statistics"   the statistics of each channel over the pairs of `ranking.split`
    "maps"         the single maps of some pairs of `ranking.split`
    "labels"       the validation pairs with their labels, whatever `ranking.split` is
    "scale"        the scale of batch normalisation; such a criterion cannot rank a layer without it

Only the evaluation reads test labels. `PARAMETERS` lists the keys under `ranking` that a criterion needs as
parameters. `POINT` is set if a criterion always measures at one point and ignores `ranking.measure_at`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from prunecurve.errors import StudyError, required
from prunecurve.naming import REVERSED, criterion_of
from prunecurve.ranking.validation_set import ValidationSet


class Layer:
    """The inputs of a criterion: the weights of the pruned layer and the activations of its channels.

    filters: float32 (P, D, k, k), the weights; (P, D, 1, 1) of a linear layer. random: the criterion's random
    generator. signed: why nothing can be measured behind an activation, empty if it can. point: where activations are
    measured (conv, bn, relu, pool). statistics: float64 arrays (P,), with the column names of channels.csv
    (`relu_mean`, `conv_std`, …). parameters: the criterion's parameters from the config, by key. Statistics and
    parameters that are not in `READS` or `PARAMETERS` are empty; scale, maps and validation then raise StudyError.
    """

    def __init__(
        self,
        filters: np.ndarray,
        scale: np.ndarray | None,
        random: np.random.Generator,
        signed: str = "",
        point: str = "relu",
        statistics: Mapping[str, np.ndarray] = MappingProxyType({}),
        maps: np.ndarray | None = None,
        validation: ValidationSet | None = None,
        parameters: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Take None for a layer without batch normalisation, and for inputs that are not in `READS`."""
        self.filters, self.random, self.signed, self.point = filters, random, signed, point
        self.statistics, self.parameters = statistics, parameters
        self._scale, self._maps, self._validation = scale, maps, validation

    @property
    def scale(self) -> np.ndarray:
        """γ of batch normalisation (P,)."""
        return required(self._scale, MISSING.format("scale"))

    @property
    def maps(self) -> np.ndarray:
        """The maps of some pairs at `point`, float32 (n, P, M, N)."""
        return required(self._maps, MISSING.format("maps"))

    @property
    def validation(self) -> ValidationSet:
        """The validation pairs with their labels."""
        return required(self._validation, MISSING.format("labels"))

    def has(self, name: str) -> bool:
        """Return whether an input that `READS` can list was given."""
        inputs = {"scale": self._scale, "maps": self._maps, "labels": self._validation}
        return bool(self.statistics) if name == "statistics" else inputs[name] is not None


# The message for an input that a criterion reads without saying so.
MISSING = "ranking.criteria: a criterion that reads {0} must list {0} in READS"
# The points that are behind an activation.
AFTER_ACTIVATION = ("relu", "pool")


def needs_activation(name: str, reason: str) -> str:
    """Return the error for a criterion of values behind an activation, where there are none."""
    return (
        f"{name} measures behind an activation, but {reason}; "
        "choose different criteria, a different layer, or ranking.measure_at: bn or conv"
    )


class Estimate(NamedTuple):
    """Scores that were estimated by sampling and their standard errors, both (P,)."""

    scores: np.ndarray
    standard_error: np.ndarray


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

    Raises StudyError if the name is unknown, if an input in `READS` is missing, if the scores are not numbers of the
    shape (P,), or if a score is NaN. The maps of a linear layer have one position each (M = N = 1).
    """
    if criterion_of(name) not in names():
        raise StudyError(f"ranking.criteria: {name!r} is unknown; allowed: {', '.join(names())}")
    for needed in reads(name):
        if needed == "scale" and not layer.has("scale"):
            raise StudyError(f"ranking.criteria: {name} needs batch normalisation, and the layer has none")
        if needed in ("statistics", "maps") and layer.signed and layer.point in AFTER_ACTIVATION:
            raise StudyError(f"ranking.criteria: {needs_activation(name, layer.signed)}")
        if not layer.has(needed):
            raise StudyError(f"ranking.criteria: {name} reads {needed}; give the script the options for them")
    result = _module(name).score(layer)
    sampled = isinstance(result, Estimate)
    values = _numbers(name, "scores", result.scores if sampled else result, len(layer.filters))
    if np.isnan(values).any():
        raise StudyError(
            f"ranking.criteria: {name} gave NaN for {np.isnan(values).sum()} of {len(values)} channels; "
            "check the network's training"
        )
    if not sampled:
        return values
    return Estimate(values, _numbers(name, "standard errors", result.standard_error, len(values)))


def _numbers(name: str, what: str, result: object, channels: int) -> np.ndarray:
    """Return what a criterion returned as float64 (P,). Raises StudyError if it is not P numbers."""
    try:
        values = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise StudyError(
            f"ranking.criteria: {name} returned {what} that are not numbers ({type(result).__name__}); "
            f"score must return an array of the shape ({channels},), one number per channel"
        ) from None
    if values.shape != (channels,):
        raise StudyError(
            f"ranking.criteria: {name} returned {what} of the shape {values.shape}; "
            f"score must return an array of the shape ({channels},), one number per channel"
        )
    return values


def ties(scores: np.ndarray) -> int:
    """Return the number of channels that have the same score as another channel."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def ranking(scores: np.ndarray) -> np.ndarray:
    """Return the channel numbers (P,) in the order of removal: lowest score first, ties by channel number."""
    return np.argsort(scores, kind="stable")
