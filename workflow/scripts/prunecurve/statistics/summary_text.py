"""The summary at the end of a run: a text table per removal and repair, and two sentences about it."""

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.naming import shortened
from prunecurve.statistics.comparisons import LEVEL, difference, paired
from prunecurve.statistics.means import VARIANT, by_network, summarise
from prunecurve.statistics.repairs import losses_text
from prunecurve.statistics.text import NOT_COMPARED, REPAIRS, means_over, number, unpruned_text
from prunecurve.text import text_table, wrapped

# A longer name of a criterion is cut, so that the table keeps within a terminal's width.
NAME_WIDTH = 26
AREA = "balanced_accuracy_area"
LARGEST = "largest_k_balanced_accuracy"
# The criterion of the reference experiment.
REFERENCE = "mean_activation"
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
    """Return the summary of a curve.csv. figures: where the study's figures are.

    shared: shared_images.csv, if the study has one. warning: of `histories.warning_of`, the first line.
    """
    summary, comparisons = summarise(curve, task), paired(curve)
    comparisons = comparisons[(comparisons["quantity"] == AREA) & (comparisons["baseline"] == "random")]
    areas = by_network(curve).pivot(index=[*VARIANT, "seed"], columns="criterion", values=AREA)
    first, over, inputs = summary.iloc[0], means_over(int(summary["seeds"].max())), tasks.inputs_of(task).INPUTS
    blocks = [wrapped(warning)] if warning else []
    blocks += [wrapped(f"{first['dataset']}, {first['layer']}, test {inputs}, {_ks(curve)}. {over}")]
    for variant, rows in summary.groupby(VARIANT, sort=False):
        rows = rows.sort_values(f"{AREA}_mean", ascending=False, kind="stable")
        minus_random = comparisons[(comparisons[VARIANT] == list(variant)).all(axis=1)].set_index("criterion")
        sentences = (_best(rows["criterion"].tolist(), areas.loc[variant]), _against_random(rows, minus_random))
        blocks += [f"{_heading(*variant)}\n{_table(rows, minus_random)}", "\n".join(map(wrapped, sentences))]
    parts = losses_text(curve, comparisons)
    blocks += [parts] if parts else []
    blocks += [_notes(comparisons), _controls(summary, tasks.metrics_of(task).CONSTANT_ANSWER[0])]
    blocks += [*([] if shared is None else [wrapped(_shared(shared))]), f"Figures: {figures}"]
    return "\n\n".join(blocks) + "\n"


def _ks(curve: pd.DataFrame) -> str:
    """Return which K were evaluated."""
    ks = sorted(curve["k"].unique())
    every = ks == list(range(ks[-1] + 1))
    return f"K = 0 to {ks[-1]}" if every else f"{len(ks)} values of K from 0 to {ks[-1]}"


def _heading(removal: str, repair: str) -> str:
    """Return the line over a table, with the names of the config."""
    return f"Removal: {removal}" + ("" if repair == "none" else f"; repair: {repair} ({REPAIRS[repair]})")


def _table(rows: pd.DataFrame, minus_random: pd.DataFrame) -> str:
    """Return one line per criterion, in the order of the rows, under HEADER.

    minus_random: the rows of `paired` about AREA and random, by criterion; none if the study has no random.
    """
    lines = list(HEADER)
    for row in rows.to_dict("records"):
        name, minus = row["criterion"], "-"
        if name in minus_random.index:
            comparison = minus_random.loc[name]
            minus = number(comparison, digits=3, sign="+") + (" *" if comparison["p_holm"] < LEVEL else "")
        area, largest = number(row, 3, prefix=f"{AREA}_"), number(row, 1, prefix=f"{LARGEST}_")
        lines.append((shortened(name, NAME_WIDTH), area, minus, largest))
    return text_table(lines, ["left"])


def _best(names: list[str], areas: pd.DataFrame) -> str:
    """Return which criterion has the largest area, and whether it clearly leads. areas: by seed and criterion."""
    if len(names) == 1:
        return f"{names[0]} is the only criterion."
    best, second = names[:2]
    lead = difference(areas[best] - areas[second])
    text = f"Largest area: {best}; its lead over {second} is {number(lead, digits=3, sign='+')}"
    if lead["seeds"] < 2:
        return f"{text}. One network cannot show whether a lead is more than chance."
    clear = ". The interval excludes zero, but is not corrected for picking the two best."
    return f"{text} on the same networks{clear if lead['low'] > 0 else ': not a clear lead.'}"


def _against_random(rows: pd.DataFrame, minus_random: pd.DataFrame) -> str:
    """Return whether the reference experiment's criterion beats random removal, as far as the data can show it."""
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


def _notes(minus_random: pd.DataFrame) -> str:
    """Return what the columns of the tables mean."""
    notes = [
        "area: the curve's mean height over K, at best 1.",
        "largest K: balanced accuracy is within one percentage point at this and every smaller evaluated K. "
        f"{NOT_COMPARED}",
    ]
    if (minus_random["p_holm"] < LEVEL).any():
        family = minus_random["comparisons"].max()
        notes.append(f"*: differs from random, p < {LEVEL} after Holm's correction for {family} comparisons.")
    return "\n".join(map(wrapped, notes))


def _shared(shared: pd.DataFrame) -> str:
    """Return which share of their images two networks have in common, on average over all pairs of networks."""
    means = shared.groupby(["split", "other_split"])["share"].mean()
    train, test, both = (means[key] for key in (("train", "train"), ("test", "test"), ("test", "train")))
    if max(train, test, both) == 0:
        return "Images: no two networks share training or test images."
    return (
        f"Images: two networks share {100 * train:.0f} % of their training images and {100 * test:.0f} % of their test "
        f"images on average; {100 * both:.0f} % of the test images of one are training images of another "
        f"(shared_images.csv)."
    )


def _controls(summary: pd.DataFrame, constant_answer: str) -> str:
    """Return the scores of the unpruned network and of a constant answer, whose balanced accuracy is 1/C."""
    unpruned, lines = summary.groupby(summary["repair"].map(unpruned_text), sort=False).first(), []
    for name, row in unpruned.iterrows():
        accuracy, balanced = (
            number(row, 3, prefix=f"control_{metric}_") for metric in ("accuracy", "balanced_accuracy")
        )
        name = {"unpruned": "unpruned network"}.get(str(name), str(name)).capitalize()
        lines.append((f"{name}:", f"accuracy {accuracy}, balanced accuracy {balanced}"))
    first = summary.iloc[0]
    constant = first["constant_accuracy"], first.get("constant_balanced_accuracy", 0.5)
    text = "accuracy {:.3f}, balanced accuracy {:.3f}".format(*constant)
    return text_table([*lines, (f"{constant_answer.capitalize()}:", text)], ["left"])
