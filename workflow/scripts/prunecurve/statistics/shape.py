"""Why a curve looks as it does at large K: where a network gives one answer to every input, and how metrics react.

In the task `pairs`, nine of ten pairs are different. A network that answers *different* to every pair has an accuracy
of 0.90, one that answers *same* to every pair 0.10, and neither distinguishes any pairs: balanced accuracy is 0.5 for
both. In the task `classes` with C classes, balanced accuracy is 1/C for every constant answer.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.means import VARIANT, by_network, normalised_area
from prunecurve.statistics.text import as_range, label, networks_text, variant_text
from prunecurve.text import wrapped

# An answer counts as constant if at least this share of the inputs gets it.
CONSTANT, CONSTANT_TEXT = 0.99, "99 %"
# The answer of the majority has at least this share of all answers. Of two answers, the more frequent one has it.
MAJORITY = 0.5
# A class counts as lost where its recall is below.
LOST = 0.5
METRICS = ("accuracy", "balanced_accuracy", "auroc")
NETWORK = ["dataset", "seed", "layer", "criterion", *VARIANT]
# The same within one study.
IN_STUDY = ["seed", "criterion", *VARIANT]
# The removal and repair that others are compared with.
STRUCTURAL = ("structural", "none")
# What a network ends with that does not give a constant answer.
MIXED = "mixed"
NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
# Different answers that a sentence lists.
MOST_LISTED = 3


def with_answers(curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the curve with the columns `answer`, the most frequent answer of each row, and `share`, its share.

    names: of the classes. They are not needed for rows that have the column `answer` already.
    """
    if "answer" in curve:
        return curve.assign(share=curve["most_frequent_share"])
    answer, share = tasks.metrics_of(task).answers(curve, names)
    return curve.assign(answer=answer, share=share)


def constant_runs(curve: pd.DataFrame) -> list[tuple[int, int, str]]:
    """Return the ranges of K, first and last, with a constant answer, and that answer.

    curve: rows of `with_answers` of one network, in ascending order of K.
    """
    curve = curve.reset_index(drop=True)
    rows = pd.DataFrame({"answer": curve["answer"], "constant": curve["share"] >= CONSTANT})
    run = rows.ne(rows.shift()).any(axis=1).cumsum()
    runs = curve[rows["constant"]].groupby(run)
    return list(zip(runs["k"].first(), runs["k"].last(), runs["answer"].first()))


def lost_classes(recalls: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return which class is the first whose recall falls below LOST, for each network, ranking and variant.

    recalls: columns seed, criterion, removal, repair, k, name (of the class) and recall. lost_first is `several` (or
    `both`) where several classes are lost at once, `none` where none is. Classes with recalls in the curve have a
    column each with the first K below LOST; other tasks have this K of the first class, and the number of classes lost
    at some K.
    """
    lost = recalls[recalls["recall"] < LOST].groupby([*IN_STUDY, "name"])["k"].min().unstack("name")
    every = pd.MultiIndex.from_frame(recalls[IN_STUDY].drop_duplicates())
    lost = lost.reindex(index=every, columns=recalls["name"].unique())
    earliest = lost.min(axis=1)
    first = lost.eq(earliest, axis=0)
    count = first.sum(axis=1)
    names = first.idxmax(axis=1).where(count == 1, np.where(count > 1, tasks.metrics_of(task).SEVERAL, "none"))
    if tasks.inputs_of(task).RECALLS:
        return pd.concat([names.rename("lost_first"), lost.add_prefix("lost_").add_suffix("_at")], axis=1)
    return pd.DataFrame({"lost_first": names, "lost_first_at": earliest, "classes_lost": lost.notna().sum(axis=1)})


def _answers(curve: pd.DataFrame) -> dict[str, object]:
    """Return how the answers of one network change; curve: as for `constant_runs`.

    flips: how often the answer of the majority changes; flipped_at: where (`93 same, 110 different`). With more than
    two classes, a K without an answer of the majority is left out. constant_at: the ranges of K with a constant answer
    (`97-99 same`); ends: the answer at the largest K; constant_from: the K from which the answer stays constant up to
    the largest K.
    """
    majority = curve[curve["share"] >= MAJORITY]
    flipped = majority[majority["answer"] != majority["answer"].shift()].iloc[1:]
    runs, last = constant_runs(curve), curve.iloc[-1]
    is_constant = last["share"] >= CONSTANT
    return {
        "flips": len(flipped),
        "flipped_at": ", ".join(f"{k} {answer}" for k, answer in zip(flipped["k"], flipped["answer"])),
        "constant_at": ", ".join(f"{first}-{last} {answer}" for first, last, answer in runs),
        "ends": last["answer"] if is_constant else MIXED,
        "constant_from": runs[-1][0] if is_constant else np.nan,
    }


def _metrics(curve: pd.DataFrame) -> dict[str, object]:
    """Return where AUROC exceeds balanced accuracy most, `gap_k`, with the metrics there and at the largest K.

    There, the scores still order the inputs, but the threshold is off.
    """
    gap = int((curve["auroc"] - curve["balanced_accuracy"]).to_numpy().argmax())
    return {
        "gap_k": int(curve["k"].iloc[gap]),
        **{f"gap_{metric}": curve[metric].iloc[gap] for metric in METRICS},
        **{f"last_{metric}": curve[metric].iloc[-1] for metric in METRICS},
    }


def shape_table(
    curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = (), recalls: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per network, ranking, removal and repair of a curve.csv: answers, class lost first, metrics.

    names: of the classes. recalls: as for `lost_classes`, if the task has recalls that are not in the curve. Without
    them, the columns about lost classes are missing.
    """
    columns = {f"recall_{name}": name for name in tasks.inputs_of(task).RECALLS}
    curve = with_answers(curve, task, names)
    curves = [(dict(zip(NETWORK, key)), one.sort_values("k")) for key, one in curve.groupby(NETWORK, sort=False)]
    table = pd.DataFrame([network | _answers(one) for network, one in curves])
    if columns:
        recalls = curve.rename(columns=columns).melt([*IN_STUDY, "k"], [*columns.values()], "name", "recall")
    if recalls is not None:
        table = table.join(lost_classes(recalls, task), on=IN_STUDY)
    return pd.concat([table, pd.DataFrame([_metrics(one) for _, one in curves])], axis=1)


def short_lines(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> list[str]:
    """Return one line per variant: what the networks of one criterion answer at the largest K, and mean metrics."""
    several = tasks.metrics_of(task).SEVERAL
    return [
        f"{variant_text(*variant).capitalize()}, K = {curve['k'].max()}: {_ends(networks, several)}; "
        f"mean {_means(networks)}."
        for variant, networks in shape_table(curve, task).groupby(VARIANT, sort=False)
    ]


def explanation(curve: pd.DataFrame, task: str = tasks.DEFAULT, recalls: pd.DataFrame | None = None) -> str:
    """Return a text about one criterion's curves: for each removal and repair its sentences; see `shape_table`."""
    first, table = curve.iloc[0], shape_table(curve, task, recalls=recalls)
    areas = by_network(curve, lambda one: {name: normalised_area(one["k"].to_numpy(), one[name]) for name in METRICS})
    areas = areas.groupby(VARIANT)[[*METRICS]].mean()
    title = (
        f"Why the curves look as they do at large K: {first['dataset']}, {first['layer']}, channels in the order of "
        f"{label(first['criterion'])}, {networks_text(curve['seed'].nunique())}."
    )
    blocks = [wrapped(title, indent=""), wrapped(tasks.metrics_of(task).constant_answers(curve), indent="")]
    for variant, networks in table.groupby(VARIANT, sort=False):
        sentences = _sentences(networks, int(curve["k"].max()), task) + _minus_structural(areas, variant)
        blocks.append(
            "\n".join([variant_text(*variant).capitalize(), *(wrapped(f"- {sentence}") for sentence in sentences)])
        )
    return "\n\n".join(blocks) + "\n"


def _sentences(networks: pd.DataFrame, last: int, task: str) -> list[str]:
    """Return the explanation of one variant from its rows of `shape_table`; last: the largest K."""
    n, first = len(networks), networks.iloc[0]
    several, inputs = tasks.metrics_of(task).SEVERAL, tasks.inputs_of(task).INPUTS
    constant, flipped = networks[networks["constant_from"].notna()], networks[networks["flips"] > 0]
    sentences = [f"At K = {last}, {_ends(networks, several)}; mean {_means(networks)}."]
    if len(constant):
        since = as_range(constant["constant_from"])
        depending = ", depending on the network," if " to " in since else ""
        sentences.append(f"From K = {since} on{depending} this answer goes to {CONSTANT_TEXT} or more of the {inputs}.")
    lost = _listed([f"{what} in {count} of {n}" for what, count in _frequencies(networks["lost_first"])])
    sentences.append(f"The first class whose recall falls below one half: {lost}.")
    if "classes_lost" in networks:
        sentences.append(f"Classes whose recall falls below one half at some K: {as_range(networks['classes_lost'])}.")
    if len(flipped):
        at = flipped["flipped_at"].str.extract(r"^(\d+)", expand=False).astype(int)
        frequent = "more frequent" if several == "both" else "majority"
        sentences.append(f"The {frequent} answer changes in {len(flipped)} of {n}, first at K = {as_range(at)}.")
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


def _minus_structural(areas: pd.DataFrame, variant: tuple[str, str]) -> list[str]:
    """Return a sentence about a variant's areas, minus those of structural removal without repair, if both are."""
    if variant == STRUCTURAL or STRUCTURAL not in areas.index:
        return []
    more = areas.loc[variant] - areas.loc[STRUCTURAL]
    metrics = ", ".join(f"{NAMES[metric]} {more[metric]:+.3f}".replace("-", "−") for metric in METRICS)
    return [f"Mean area under the curve, minus that of structural removal: {metrics}."]
