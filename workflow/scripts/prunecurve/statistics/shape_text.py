"""Sentences that explain the shape of the curves at large K, generated from their numbers."""

from collections.abc import Sequence

import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.means import normalised_area
from prunecurve.statistics.shape import CONSTANT, METRICS, shape_table
from prunecurve.text import wrapped

CONSTANT_TEXT = f"{100 * CONSTANT:.0f} %"
NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
# Different answers that a sentence lists.
MOST_LISTED = 3


def short_lines(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> list[str]:
    """Return one line per removal: what the networks of one criterion answer at the largest K, and mean metrics."""
    several = tasks.load(task).SEVERAL
    return [
        f"{_words(removal).capitalize()}, K = {curve['k'].max()}: {_ends(networks, several)}; mean {_means(networks)}."
        for removal, networks in shape_table(curve, task).groupby("removal", sort=False)
    ]


def explanation(
    curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = (), recalls: pd.DataFrame | None = None
) -> str:
    """Return a text about one criterion's curves: for each removal its sentences as a list.

    The arguments are those of `shape_table`.
    """
    first, table, areas = curve.iloc[0], shape_table(curve, task, names, recalls), _areas(curve)
    seeds = curve["seed"].nunique()
    over = f"{seeds} networks (seeds)" if seeds > 1 else "one network (seed)"
    title = (
        f"Why the curves look as they do at large K: {first['dataset']}, {first['layer']}, channels in the order of "
        f"{_words(first['criterion'])}, {over}."
    )
    blocks = [wrapped(title, indent=""), wrapped(tasks.load(task).constant_answers(curve), indent="")]
    for removal, networks in table.groupby("removal", sort=False):
        sentences = _sentences(networks, int(curve["k"].max()), task) + _minus_structural(areas, removal)
        blocks.append("\n".join([_words(removal).capitalize(), *(wrapped(f"- {sentence}") for sentence in sentences)]))
    return "\n\n".join(blocks) + "\n"


def _sentences(networks: pd.DataFrame, last: int, task: str) -> list[str]:
    """Return the explanation of one removal from its rows of `shape_table`; last: the largest K."""
    n, first, several, inputs = len(networks), networks.iloc[0], tasks.load(task).SEVERAL, tasks.load(task).INPUTS
    constant, flipped = networks[networks["constant_from"].notna()], networks[networks["flips"] > 0]
    sentences = [f"At K = {last}, {_ends(networks, several)}; mean {_means(networks)}."]
    if len(constant):
        since = _range(constant["constant_from"])
        depending = ", depending on the network," if " to " in since else ""
        sentences.append(f"From K = {since} on{depending} this answer goes to {CONSTANT_TEXT} or more of the {inputs}.")
    lost = _listed([f"{what} in {count} of {n}" for what, count in _frequencies(networks["lost_first"])])
    sentences.append(f"The first class whose recall falls below one half: {lost}.")
    if "classes_lost" in networks:
        sentences.append(f"Classes whose recall falls below one half at some K: {_range(networks['classes_lost'])}.")
    if len(flipped):
        at = flipped["flipped_at"].str.extract(r"^(\d+)", expand=False).astype(int)
        frequent = "more frequent" if several == "both" else "majority"
        sentences.append(f"The {frequent} answer changes in {len(flipped)} of {n}, first at K = {_range(at)}.")
    if first["gap_auroc"] > first["gap_balanced_accuracy"]:
        metrics = ", ".join(f"{NAMES[metric]} {first[f'gap_{metric}']:.2f}" for metric in reversed(METRICS))
        sentences.append(
            f"In the network of seed {first['seed']}, AUROC exceeds balanced accuracy most at K = {first['gap_k']} "
            f"({metrics}): the scores order the {inputs} better than the answers do."
        )
    return sentences


def _frequencies(values: pd.Series) -> list[tuple[str, int]]:
    """Return the different values with their counts, by first row; more than MOST_LISTED by count."""
    counts = values.value_counts(sort=False)
    if len(counts) > MOST_LISTED:
        counts = counts.sort_values(ascending=False, kind="stable")
    return list(counts.items())


def _listed(texts: list[str]) -> str:
    """Return the first MOST_LISTED texts, and how many there are more."""
    more = [f"{len(texts) - MOST_LISTED} others"] if len(texts) > MOST_LISTED else []
    return ", ".join([*texts[:MOST_LISTED], *more])


def _ends(networks: pd.DataFrame, several: str) -> str:
    """Return how many networks give which answer at the largest K: `3 of 5 networks answer “same”, 2 of 5 both`.

    several: what a network answers that gives no constant answer.
    """
    n, quoted = len(networks), networks["ends"].map(lambda name: f"“{name}”")
    (answer, count), *others = _frequencies(quoted.where(networks["constant_from"].notna(), several))
    if n == 1:
        return f"the network gives {several} answers" if answer == several else f"the network answers {answer}"
    verb = f"give {several} answers" if answer == several else f"answer {answer}"
    return _listed([f"{count} of {n} networks {verb}", *(f"{c} of {n} {a}" for a, c in others)])


def _means(networks: pd.DataFrame) -> str:
    return ", ".join(f"{NAMES[metric]} {networks[f'last_{metric}'].mean():.2f}" for metric in METRICS)


def _areas(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the area under each metric, one row per removal, the mean over networks."""
    curves = curve.sort_values("k").groupby(["removal", "seed"])[["k", *METRICS]]
    areas = curves.apply(lambda one: one[[*METRICS]].apply(lambda values: normalised_area(one["k"].to_numpy(), values)))
    return areas.groupby("removal").mean()


def _minus_structural(areas: pd.DataFrame, removal: str) -> list[str]:
    """Return a sentence about the difference between a removal's areas and those of structural removal, if both are."""
    if removal == "structural" or "structural" not in areas.index:
        return []
    more = areas.loc[removal] - areas.loc["structural"]
    metrics = ", ".join(f"{NAMES[metric]} {more[metric]:+.3f}".replace("-", "−") for metric in METRICS)
    return [f"Mean area under the curve, minus that of structural removal: {metrics}."]


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _words(name: str) -> str:
    return name.replace("_", " ")
