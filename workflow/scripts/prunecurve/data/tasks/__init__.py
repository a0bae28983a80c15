"""Tasks: what an input of the network is, its label, and what counts as right.

To add a task, add a folder to this one with the name that the config uses; no other file of the code changes. It has a
module `inputs`, see `Inputs`, and a module `metrics`, see `Metrics`: networks are trained again after an edit of the
first, and after an edit of the second only evaluated again. `metrics` imports only numpy, because the evaluation jobs
import it, and not numpy.random: numpy imports this part when its name is used, also in a type hint without quotation
marks.
"""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

DEFAULT = "pairs"


@runtime_checkable
class Inputs(Protocol):
    """What the module `inputs` of a task has. `parameters` are the keys of the config sections in KEYS."""

    INPUTS: str
    """What inputs are called in texts: `pairs`."""

    KEYS: tuple[str, ...]
    """Config sections that only this task uses and that its inputs depend on."""

    RECALLS: dict[str, int]
    """Names of classes whose validation recall is a column of training.csv, with their labels."""

    SYMMETRIC: bool
    """Whether the two images of an input can be exchanged without a change of its label, see `training.swap`."""

    def require(self, split: str, classes: np.ndarray, names: Sequence[str], *_: Any, **parameters: Any) -> None:
        """Raise StudyError if a split lacks images.

        classes: (n,), the class of each image of the split. names: the names of the C classes.
        """

    def inputs(
        self, classes: np.ndarray, rng: "np.random.Generator", *_: Any, **parameters: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs of a split, int32 (N, m), the indices of m images each, and their labels, int64 (N,).

        classes: (n,), the class of each image.
        """

    def class_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the labels, from those of the data set's classes."""


@runtime_checkable
class Metrics(Protocol):
    """What the module `metrics` of a task has. `curve` is a row of curve.csv or the whole table."""

    METRICS: dict[str, tuple[float, float]]
    """The metrics that are averaged over networks, in the order of curve.csv: their bounds by name."""

    CLASS_COUNTS: bool
    """Whether `measure` returns `correct_{c}` and `predicted_{c}` for every class c, for class_recall.csv."""

    CONSTANT_ANSWER: tuple[str, str]
    """The constant answer with the highest accuracy: in a sentence, and in the legend of a figure."""

    SEVERAL: str
    """How many answers a network gives that does not give a constant answer: `both`, `several`."""

    def measure(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return the columns of curve.csv, in their order, from logits (N, C) and labels (N,)."""

    def counts(self, classes: int) -> tuple[str, ...]:
        """Return the columns that are exact counts, from which all metrics of answers follow."""

    def bounds(
        self, by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, rounding: float = 0.0
    ) -> dict[str, tuple[float, float]]:
        """Return the smallest and largest value of each metric of the order and the size of the logits.

        These are the values that the sweep can have, given the logits of the smaller torch network (N, C). rounding:
        how much each logit of the sweep can differ on another processor. Shares no code with `measure`, which it
        verifies.
        """

    def constants(self, curve: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns `constant_accuracy` and, if it is not 0.5, `constant_balanced_accuracy`."""

    def answers(self, curve: Mapping[str, Any], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the most frequent answer in each row of a curve.csv, as text, and its share of all answers."""

    def constant_answers(self, curve: Mapping[str, Any]) -> str:
        """Return a sentence: what accuracy and balanced accuracy give to a constant answer."""


def names() -> list[str]:
    """Return the names of all tasks; the default is the first."""
    # Imported here, because evaluation jobs import this module.
    import pkgutil

    return sorted((module.name for module in pkgutil.iter_modules(__path__)), key=lambda name: (name != DEFAULT, name))


def add_task(cli: argparse.ArgumentParser) -> None:
    """Add the option for the task of the study."""
    cli.add_argument("--task", choices=names(), default=DEFAULT, help="the task: inputs, labels and metrics")


def inputs_of(task: str = DEFAULT) -> Inputs:
    """Return the module `inputs` of a task."""
    return cast(Inputs, importlib.import_module(f"{__name__}.{task}.inputs"))


def metrics_of(task: str = DEFAULT) -> Metrics:
    """Return the module `metrics` of a task."""
    return cast(Metrics, importlib.import_module(f"{__name__}.{task}.metrics"))
