"""Tasks. Each module in this package defines one task, with the name that the config uses: what an input of the network
is, its label, and what counts as right.

To add a task, add a module that has all of the following; no other file of the code changes. It imports only numpy,
because the evaluation jobs import the task in use, and not numpy.random: numpy imports this part when its name is used,
also in a type hint without quotation marks.

    INPUTS               what inputs are called in texts: `pairs`
    KEYS                 config keys or sections that only this task uses and that its inputs depend on
    RECALLS              names of classes whose validation recall is a column of training.csv, with their labels
    METRICS              the metrics that are averaged over networks, in the order of curve.csv: their bounds by name
    CLASS_COUNTS         whether `measure` returns `correct_{c}` and `predicted_{c}` for every class c; they become the
                         table class_recall.csv
    CONSTANT_ANSWER      the constant answer with the highest accuracy: in a sentence, and in the legend of a figure
    SEVERAL              how many answers a network gives that does not give a constant answer: `both`, `several`

    contradictions(config, sizes)                   config errors that concern this task, one line each; sizes of splits
    require(classes, splits, drawn, names=, **parameters)
                                                    raise StudyError if the splits lack images
    inputs(classes, rng, **parameters)              the inputs and labels of a split from the classes of its images
    class_names(names)                              the names of the labels, from those of the data set's classes
    measure(logits, labels)                         the columns of curve.csv, from logits (N, C)
    counts(classes)                                 the columns that are exact counts, from which all metrics of
                                                    answers follow
    within(by_sweep, by_surgery, labels, rounding)  bounds of the metrics that rounding can change
    constants(curve)                                columns of the constant answer: `constant_accuracy`, and
                                                    `constant_balanced_accuracy` if it is not 0.5
    answers(curve, names)                           the most frequent answer in each row, and its share of the answers
    constant_answers(curve)                         a sentence: what metrics give to a constant answer

`parameters` are the keys of the sections in KEYS.
"""

import importlib
from types import ModuleType

DEFAULT = "pairs"


def names() -> list[str]:
    """Return the names of all tasks; the default is the first."""
    # Imported here, because evaluation jobs import this module.
    import pkgutil

    every = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return sorted(every, key=lambda name: name != DEFAULT)


def load(name: str = DEFAULT) -> ModuleType:
    """Return the module of a task."""
    return importlib.import_module(f"{__name__}.{name}")
