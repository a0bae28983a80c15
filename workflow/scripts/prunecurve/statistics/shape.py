"""Why a curve looks as it does at large K: where a network gives one answer to every input, and how metrics react.

In the task `pairs`, nine of ten pairs are different. A network that answers *different* to every pair has an accuracy
of 0.90, one that answers *same* to every pair 0.10, and neither distinguishes any pairs: balanced accuracy is 0.5 for
both. In the task `classes` with C classes, balanced accuracy is 1/C for every constant answer.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.means import normalised_area

# An answer counts as constant if at least this share of the inputs gets it.
CONSTANT = 0.99
CONSTANT_TEXT = f"{CONSTANT:.0%}".replace("%", " %")
# Of two answers, the more frequent one has at least this share of all answers.
MAJORITY = 0.5
# A class counts as lost where its recall is below.
LOST = 0.5
NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
METRICS = tuple(NAMES)
NETWORK = ["dataset", "seed", "layer", "criterion", "removal"]
# The same within one study.
IN_STUDY = ["seed", "criterion", "removal"]
# What a network ends with that does not give a constant answer.
MIXED = "mixed"
# Different answers that a sentence lists.
MOST_LISTED = 3


def with_answers(curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = ()) -> pd.DataFrame:
    """The curve with the columns `answer`, the most frequent answer of each row, and `share`, its share of all answers.

    names: of the classes. They are not needed for rows that have the column `answer` already.
    """
    if "share" in curve:
        return curve
    if "answer" in curve:
        return curve.assign(share=curve["most_frequent_share"])
    answer, share = tasks.load(task).answers(curve, names)
    return curve.assign(answer=answer, share=share)


def constant(curve: pd.DataFrame) -> np.ndarray:
    """Whether a network gives a constant answer (CONSTANT), for each row of `with_answers`."""
    return curve["share"].to_numpy() >= CONSTANT


def flips(k: np.ndarray, answer: np.ndarray) -> list[tuple[int, str]]:
    """The K at which the answer changes, and the new answer."""
    return [(int(k[i]), str(answer[i])) for i in np.flatnonzero(answer[1:] != answer[:-1]) + 1]


def constant_runs(k: np.ndarray, answer: np.ndarray, constant: np.ndarray) -> list[tuple[int, int, str]]:
    """The ranges of K, first and last, with a constant answer, and that answer."""
    changes = (answer[1:] != answer[:-1]) | (constant[1:] != constant[:-1])
    starts = np.flatnonzero(np.append(True, changes))
    ends = np.append(starts[1:], len(answer)) - 1
    return [(int(k[i]), int(k[j]), str(answer[i])) for i, j in zip(starts, ends) if constant[i]]


def lost_at(recalls: pd.DataFrame) -> pd.DataFrame:
    """The first K at which the recall of each class is below LOST: one row per network, ranking and removal.

    recalls: columns seed, criterion, removal, k, name (of the class) and recall. The result has a column per class, NaN
    where its recall is never below.
    """
    keys, order = [*IN_STUDY, "name"], recalls["name"].unique()
    below = recalls[recalls["recall"] < LOST].groupby(keys, sort=False)["k"].min().unstack("name")
    every = pd.MultiIndex.from_frame(recalls[IN_STUDY].drop_duplicates())
    return below.reindex(index=every, columns=order)


def first_lost(lost: Mapping[str, float], several: str) -> str:
    """The class with the smallest K; `several` if there are more than one, `none` if all are NaN."""
    first = min((at for at in lost.values() if not np.isnan(at)), default=np.inf)
    names = [name for name, at in lost.items() if at == first]
    return names[0] if len(names) == 1 else several if names else "none"


def facts(curve: pd.DataFrame) -> dict[str, object]:
    """What happens along one network's curve, which has one row of `with_answers` per K in rising order.

    flips: how often the answer of the majority changes; flipped_at: where (`93 same, 110 different`). With more than
    two classes, a K without an answer of the majority is left out. constant_at: the ranges of K with a constant answer
    (`97-99 same`); ends: the answer at the largest K; constant_from: the K from which the answer stays constant up to
    the largest K. gap_k: where AUROC exceeds balanced accuracy most (the scores
    still order the inputs, the threshold is off), with the metrics there and at the largest K.
    """
    k, answer, is_constant = curve["k"].to_numpy(), curve["answer"].to_numpy(), constant(curve)
    majority = curve["share"].to_numpy() >= MAJORITY
    changed, runs = flips(k[majority], answer[majority]), constant_runs(k, answer, is_constant)
    gap = int((curve["auroc"] - curve["balanced_accuracy"]).to_numpy().argmax())
    return {
        "flips": len(changed),
        "flipped_at": ", ".join(f"{at} {to}" for at, to in changed),
        "constant_at": ", ".join(f"{first}-{last} {what}" for first, last, what in runs),
        "ends": answer[-1] if is_constant[-1] else MIXED,
        "constant_from": runs[-1][0] if is_constant[-1] else np.nan,
        "gap_k": int(k[gap]),
        **{f"gap_{metric}": curve[metric].iloc[gap] for metric in METRICS},
        **{f"last_{metric}": curve[metric].iloc[-1] for metric in METRICS},
    }


def _losses(lost: Mapping[str, float], named: bool, several: str) -> dict[str, object]:
    """The class whose recall is the first to fall below LOST, and the K of each class or, if not `named`, of the first.

    classes_lost: the number of classes whose recall falls below LOST at some K.
    """
    first = {"lost_first": first_lost(lost, several)}
    if named:
        return first | {f"lost_{name}_at": at for name, at in lost.items()}
    known = [at for at in lost.values() if not np.isnan(at)]
    return first | {"lost_first_at": min(known, default=np.nan), "classes_lost": len(known)}


def named_recalls(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> pd.DataFrame | None:
    """The recalls of the classes that have columns in curve.csv, as for `lost_at`; None if no class has one."""
    named = tasks.load(task).RECALLS
    parts = [curve[[*IN_STUDY, "k"]].assign(name=name, recall=curve[f"recall_{name}"]) for name in named]
    return pd.concat(parts) if parts else None


def table(
    curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = (), recalls: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per network, ranking and removal of a curve.csv: `facts`, and which class is lost first.

    names: of the classes. recalls: as for `lost_at`, if the task has recalls that are not in the curve. Without them,
    the columns about lost classes are missing.
    """
    curve, of_task = with_answers(curve, task, names), tasks.load(task)
    of_classes = named_recalls(curve, task) if recalls is None else recalls
    lost = None if of_classes is None else lost_at(of_classes)
    rows = []
    for network, one in curve.groupby(NETWORK, sort=False):
        row = dict(zip(NETWORK, network)) | facts(one.sort_values("k"))
        if lost is not None:
            row |= _losses(
                lost.loc[tuple(row[key] for key in IN_STUDY)].to_dict(), bool(of_task.RECALLS), of_task.SEVERAL
            )
        rows.append(row)
    return _before_gap(pd.DataFrame(rows))


def _before_gap(shape: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns about lost classes before those about the gap."""
    lost = [name for name in shape if name.startswith("lost_") or name == "classes_lost"]
    others = [name for name in shape if name not in lost]
    place = others.index("gap_k")
    return shape[[*others[:place], *lost, *others[place:]]]


def short_lines(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> list[str]:
    """One line per removal: what the networks of one criterion answer at the largest K, and their mean metrics."""
    several = tasks.load(task).SEVERAL
    return [
        f"{_words(removal).capitalize()}, K = {curve['k'].max()}: {_ends(networks, several)}; mean {_means(networks)}."
        for removal, networks in table(curve, task).groupby("removal", sort=False)
    ]


def explanation(
    curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = (), recalls: pd.DataFrame | None = None
) -> str:
    """A text about one criterion's curves, generated from their numbers: for each removal its sentences as a list.

    The arguments are those of `table`.
    """
    first, networks, areas = curve.iloc[0], table(curve, task, names, recalls), _areas(curve)
    text = [
        _wrapped(
            f"Why the curves look as they do at large K: {first['dataset']}, {first['layer']}, channels in the order "
            f"of {_words(first['criterion'])}, {_networks(curve['seed'].nunique())}."
        ),
        _wrapped(tasks.load(task).constant_answers(curve)),
    ]
    for removal, of_removal in networks.groupby("removal", sort=False):
        sentences = _sentences(of_removal, int(curve["k"].max()), task) + _minus_structural(areas, removal)
        text.append("\n".join([_words(removal).capitalize(), *(_wrapped(f"- {sentence}") for sentence in sentences)]))
    return "\n\n".join(text) + "\n"


def _sentences(networks: pd.DataFrame, last: int, task: str) -> list[str]:
    """The explanation of one removal from its rows of `table`; last: the largest K."""
    n, shown, of_task = len(networks), networks.iloc[0], tasks.load(task)
    constant, flipped = networks[networks["constant_from"].notna()], networks[networks["flips"] > 0]
    sentences = [f"At K = {last}, {_ends(networks, of_task.SEVERAL)}; mean {_means(networks)}."]
    if len(constant):
        since = _span(constant["constant_from"])
        depending = ", depending on the network," if " to " in since else ""
        sentences.append(
            f"From K = {since} on{depending} this answer goes to {CONSTANT_TEXT} or more of the {of_task.INPUTS}."
        )
    lost = _listed([f"{what} in {count} of {n}" for what, count in _counted(networks["lost_first"])])
    sentences.append(f"The first class whose recall falls below one half: {lost}.")
    if "classes_lost" in networks:
        sentences.append(f"Classes whose recall falls below one half at some K: {_span(networks['classes_lost'])}.")
    if len(flipped):
        firsts = flipped["flipped_at"].str.extract(r"^(\d+)", expand=False).astype(int)
        frequent = "more frequent" if of_task.SEVERAL == "both" else "majority"
        sentences.append(f"The {frequent} answer changes in {len(flipped)} of {n}, first at K = {_span(firsts)}.")
    if shown["gap_auroc"] > shown["gap_balanced_accuracy"]:
        metrics = ", ".join(f"{NAMES[metric]} {shown[f'gap_{metric}']:.2f}" for metric in reversed(METRICS))
        sentences.append(
            f"In the network of seed {shown['seed']}, AUROC exceeds balanced accuracy most at K = {shown['gap_k']} "
            f"({metrics}): the scores order the {of_task.INPUTS} better than the answers do."
        )
    return sentences


def _counted(values: pd.Series) -> list[tuple[str, int]]:
    """The different values with their counts, in the order of their first row; more than MOST_LISTED by count."""
    counts = [(value, int(count)) for value, count in values.value_counts(sort=False).items()]
    return counts if len(counts) <= MOST_LISTED else sorted(counts, key=lambda item: -item[1])


def _listed(texts: list[str]) -> str:
    """The first MOST_LISTED texts, and how many there are more."""
    more = [f"{len(texts) - MOST_LISTED} others"] if len(texts) > MOST_LISTED else []
    return ", ".join([*texts[:MOST_LISTED], *more])


def _ends(networks: pd.DataFrame, several: str) -> str:
    """How many networks give which answer at the largest K: `3 of 5 networks answer “same”, 2 of 5 both`.

    several: what a network answers that gives no constant answer.
    """
    n, quoted = len(networks), networks["ends"].map(lambda name: f"“{name}”")
    counts = _counted(quoted.where(networks["constant_from"].notna(), several))
    if n == 1:
        answer = counts[0][0]
        return f"the network gives {several} answers" if answer == several else f"the network answers {answer}"
    (answer, count), *others = counts
    verb = f"give {several} answers" if answer == several else f"answer {answer}"
    return _listed([f"{count} of {n} networks {verb}", *(f"{c} of {n} {a}" for a, c in others)])


def _networks(count: int) -> str:
    return f"{count} networks (seeds)" if count > 1 else "one network (seed)"


def _means(networks: pd.DataFrame) -> str:
    return ", ".join(f"{NAMES[metric]} {networks[f'last_{metric}'].mean():.2f}" for metric in METRICS)


def _areas(curve: pd.DataFrame) -> pd.DataFrame:
    """The area under each metric, one row per removal, the mean over networks."""
    curves = curve.sort_values("k").groupby(["removal", "seed"])
    return (
        pd.DataFrame(
            {m: curves.apply(lambda c, m=m: normalised_area(c["k"].to_numpy(), c[m].to_numpy())) for m in METRICS}
        )
        .groupby("removal")
        .mean()
    )


def _minus_structural(areas: pd.DataFrame, removal: str) -> list[str]:
    if removal == "structural" or "structural" not in areas.index:
        return []
    more = areas.loc[removal] - areas.loc["structural"]
    metrics = ", ".join(f"{NAMES[metric]} {more[metric]:+.3f}".replace("-", "−") for metric in METRICS)
    return [f"Mean area under the curve, minus that of structural removal: {metrics}."]


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="  " if text.startswith("- ") else "")


def _words(name: str) -> str:
    return name.replace("_", " ")
