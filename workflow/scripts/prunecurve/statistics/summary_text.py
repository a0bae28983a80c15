"""The summary at the end of a run: a text table per removal, and two sentences about it."""

import textwrap

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.comparisons import LEVEL, difference, paired
from prunecurve.statistics.means import networks, summarise

WIDTH = 100
# A longer name of a criterion is cut, so that the table keeps within WIDTH.
NAME_WIDTH = 26
AREA = "balanced_accuracy_area"
LARGEST = "largest_k_balanced_accuracy"
# The criterion of the reference experiment.
REFERENCE = "mean_activation"
# Wherever the largest K is shown.
NOT_COMPARED = (
    "Do not compare it between layers of different numbers of channels or with other sweep.ks: the more K are "
    "evaluated, the earlier one of them is outside by chance."
)
HEADER = (
    ("criterion", "area under", "area minus random,", "largest K within"),
    ("", "balanced accuracy", "on the same networks", "one percentage point"),
)


def summary_text(
    curve: pd.DataFrame,
    figures: str,
    shared: pd.DataFrame | None = None,
    warning: str = "",
    task: str = tasks.DEFAULT,
) -> str:
    """The summary of a curve.csv, at most WIDTH characters wide. figures: where the study's figures are.

    shared: shared_images.csv, if the study has one. warning: of `histories.warning_about`, the first line.
    """
    summary, differences, of_task = summarise(curve, task), paired(curve), tasks.load(task)
    areas = networks(curve).pivot(index=["removal", "seed"], columns="criterion", values=AREA)
    first, seeds = summary.iloc[0], int(summary["seeds"].max())
    over = f"Means over {seeds} networks (seeds) [95 % Student t interval]." if seeds > 1 else "One network (seed)."
    blocks = [wrapped(warning)] if warning else []
    blocks += [wrapped(f"{first['dataset']}, {first['layer']}, test {of_task.INPUTS}, {_ks(curve)}. {over}")]
    for removal, rows in summary.groupby("removal", sort=False):
        rows = rows.sort_values(f"{AREA}_mean", ascending=False, kind="stable")
        minus_random = _minus_random(differences, removal)
        sentences = (_best(rows["criterion"].tolist(), areas.loc[removal]), _against_random(rows, minus_random))
        blocks += [f"Removal: {removal}\n{_table(rows, minus_random)}", "\n".join(map(wrapped, sentences))]
    blocks += [_notes(differences), _unpruned(first, of_task.CONSTANT_ANSWER[0])]
    blocks += [] if shared is None else [wrapped(_shared(shared))]
    blocks += [f"Figures: {figures}"]
    return "\n\n".join(blocks) + "\n"


def _ks(curve: pd.DataFrame) -> str:
    """Which K were evaluated."""
    ks = sorted(curve["k"].unique())
    every = ks == list(range(ks[-1] + 1))
    return f"K = 0 to {ks[-1]}" if every else f"{len(ks)} values of K from 0 to {ks[-1]}"


def _minus_random(differences: pd.DataFrame, removal: str) -> pd.DataFrame:
    """The rows of `paired` about AREA and random, by criterion; empty where the study has no random."""
    if differences.empty:
        return pd.DataFrame()
    chosen = (differences["quantity"] == AREA) & (differences["baseline"] == "random")
    return differences[chosen & (differences["removal"] == removal)].set_index("criterion")


def _table(rows: pd.DataFrame, minus_random: pd.DataFrame) -> str:
    """One line per criterion, in the order of the rows, under HEADER, in aligned columns."""
    lines = list(HEADER)
    for _, row in rows.iterrows():
        name, against = row["criterion"], "-"
        if name in minus_random.index:
            other = minus_random.loc[name]
            against = number(other, digits=3, sign="+") + (" *" if other["p_holm"] < LEVEL else "")
        lines.append((_cut(name), _mean(row, AREA, 3), against, _mean(row, LARGEST, 1)))
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines)


def _best(names: list[str], areas: pd.DataFrame) -> str:
    """Which criterion has the largest area, and whether it clearly leads; areas: one row per seed, by criterion."""
    if len(names) == 1:
        return f"{names[0]} is the only criterion."
    best, second = names[:2]
    lead = difference(areas[best] - areas[second])
    text = f"Largest area: {best}; its lead over {second} is {number(lead, digits=3, sign='+')}"
    if lead["seeds"] < 2:
        return f"{text}. One network cannot show whether a lead is more than chance."
    if lead["low"] > 0:
        return (
            f"{text} on the same networks. The interval excludes zero, but is not corrected for picking the two best."
        )
    return f"{text} on the same networks: not a clear lead."


def _against_random(rows: pd.DataFrame, minus_random: pd.DataFrame) -> str:
    """Whether the criterion of the reference experiment beats random removal, as far as the data can show it."""
    question = f"Whether {REFERENCE}, the reference experiment's criterion, beats random cannot be said"
    missing = [name for name in (REFERENCE, "random") if name not in set(rows["criterion"])]
    if missing:
        return f"{question}: the study lacks {' and '.join(missing)}."
    row = minus_random.loc[REFERENCE]
    if row["seeds"] < 2:
        return f"{question} from one network (difference {number(row, digits=3, sign='+')})."
    area = f"area {number(row, digits=3, sign='+')} on the same networks"
    if np.isnan(row["p_holm"]):
        return f"{question}: {area}, equal on all of them, so p is not defined."
    holm = f"Holm's correction (p = {row['p_holm']:.2g}, {row['comparisons']} comparisons)"
    subject = f"{REFERENCE}, the reference experiment's criterion,"
    if row["p_holm"] < LEVEL:
        verb = "beats" if row["mean"] > 0 else "is worse than"
        return f"{subject} {verb} random: {area}. This holds after {holm}."
    if row["low"] <= 0 <= row["high"]:
        return f"{subject} does not clearly differ from random: {area}, {holm}."
    side = "above" if row["mean"] > 0 else "below"
    return f"{subject} is {side} random on average: {area}. This does not hold after {holm}."


def _notes(differences: pd.DataFrame) -> str:
    notes = [
        "area: the curve's mean height over K, at best 1.",
        "largest K: balanced accuracy is within one percentage point at this and every smaller evaluated K. "
        f"{NOT_COMPARED}",
    ]
    areas = differences[differences["quantity"] == AREA] if not differences.empty else differences
    if not areas.empty and (areas.loc[areas["baseline"] == "random", "p_holm"] < LEVEL).any():
        family = areas["comparisons"].max()
        notes.append(f"*: differs from random, p < {LEVEL} after Holm's correction for {family} comparisons.")
    return "\n".join(map(wrapped, notes))


def _shared(shared: pd.DataFrame) -> str:
    """Which share of their images two networks have in common, on average over all pairs of networks."""
    means = shared.groupby(["split", "other_split"])["share"].mean()
    train, test, both = (means[key] for key in (("train", "train"), ("test", "test"), ("test", "train")))
    if max(train, test, both) == 0:
        return "Images: no two networks share training or test images."
    return (
        f"Images: two networks share {100 * train:.0f} % of their training images and {100 * test:.0f} % of their test "
        f"images on average; {100 * both:.0f} % of the test images of one are training images of another "
        f"(shared_images.csv)."
    )


def _unpruned(row: pd.Series, constant_answer: str) -> str:
    """The two controls. Balanced accuracy counts all classes alike, so a constant answer of C classes has 1/C."""
    accuracy, balanced = (_mean(row, f"control_{name}", 3) for name in ("accuracy", "balanced_accuracy"))
    name, constant = f"{constant_answer.capitalize()}:", row.get("constant_balanced_accuracy", 0.5)
    width = len(name) + 2
    return (
        f"{'Unpruned network:':{width}}accuracy {accuracy}, balanced accuracy {balanced}\n"
        f"{name:{width}}accuracy {row['constant_accuracy']:.3f}, balanced accuracy {constant:.3f}"
    )


def _mean(row: pd.Series, quantity: str, digits: int) -> str:
    """A quantity of summary.csv with its interval."""
    return number({part: row[f"{quantity}_{part}"] for part in ("mean", "low", "high")}, digits)


def number(row: dict[str, float] | pd.Series, digits: int, sign: str = "") -> str:
    """`mean [low, high]`; without the interval of one network."""
    mean, low, high = (f"{row[part]:{sign}.{digits}f}".replace("-", "−") for part in ("mean", "low", "high"))
    return mean if np.isnan(row["low"]) else f"{mean} [{low}, {high}]"


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 3]}..."


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
