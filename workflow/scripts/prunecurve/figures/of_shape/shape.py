"""Why the curve looks as it does at large K: what metrics and kinds of removal make of the same networks.

Above, one network: accuracy, balanced accuracy and AUROC, and where it gives (nearly) one answer to everything.
Below, the share predicted *same* of every network. The caption is made from the numbers.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.shape import CONSTANT, METRICS, answers, constant_runs, table
from prunecurve.statistics import normalised_area

DASHES = dict(zip(METRICS, ("-", (0, (5, 1.5)), (0, (1, 1)))))
NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
SHADES = {"same": "#F7E2B3", "different": "#CCE8F8"}


def draw(data: Data) -> Figure:
    """A column a kind of removal; the first seed's network above, all of them below."""
    rows = data.table
    removals, seeds = list(rows["removal"].unique()), sorted(rows["seed"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 6.6))
    above, below = figure.subplots(2, len(removals), sharex=True, sharey=True, squeeze=False)
    for ax, lower, removal in zip(above, below, removals):
        curves = [rows[(rows["removal"] == removal) & (rows["seed"] == seed)].sort_values("k") for seed in seeds]
        _metrics(ax, curves[0])
        ax.set_title(f"{style.label(removal)}, seed {seeds[0]}", loc="left")
        for i, curve in enumerate(curves):
            look = {"color": "black", "lw": 1.2} if i == 0 else {"color": style.GREY, "lw": 0.6}
            lower.plot(curve["k"], curve["predicted_same_rate"], **look)
        lower.set_title(f"all {len(seeds)} networks" if len(seeds) > 1 else f"seed {seeds[0]}", loc="left")
        lower.axhline(0.5, color=style.GREY, lw=0.5, ls=(0, (1, 2)))
        lower.set_xlabel("K, channels removed")
    above[0].set(xlim=(0, rows["k"].max()), ylim=(-0.02, 1.02), ylabel="metric on the test pairs")
    below[0].set_ylabel("share predicted same")
    share = f"{CONSTANT:.0%}".replace("%", " %")
    patches = [Patch(color=colour, label=f"answers “{name}” to {share} or more") for name, colour in SHADES.items()]
    figure.legend(
        handles=[*above[0].get_lines()[: len(METRICS)], *patches],
        loc="outside upper left",
        ncols=3,
        title=f"{style.where(rows)}, channels in the order of {style.label(rows['criterion'].iloc[0])}",
        alignment="left",
        title_fontsize=7,
    )
    told = "\n".join(textwrap.fill(paragraph, 128) for paragraph in caption(rows))
    figure.supxlabel(told, x=0.01, ha="left", fontsize=7)
    return figure


def _metrics(ax: Axes, curve: pd.DataFrame) -> None:
    for i, metric in enumerate(METRICS):
        ax.plot(curve["k"], curve[metric], color=style.COLOURS[i], linestyle=DASHES[metric], label=NAMES[metric])
    # Half a step to either side: an answer at a single K is one of the curve's points, not a line without width.
    for first, last, what in constant_runs(curve["k"].to_numpy(), answers(curve["predicted_same_rate"])):
        ax.axvspan(first - 0.5, last + 0.5, color=SHADES[what], lw=0, zorder=0)


def caption(rows: pd.DataFrame) -> list[str]:
    """What the curves show, told from their numbers: a paragraph for each kind of removal."""
    found, areas = table(rows), _areas(rows)
    return [
        f"{style.label(removal).capitalize()}: "
        + " ".join([*_told(of_removal, int(rows["k"].max())), *_against_structural(areas, removal)])
        for removal, of_removal in found.groupby("removal", sort=False)
    ]


def _told(found: pd.DataFrame, last: int) -> list[str]:
    n, first = len(found), found.iloc[0]
    ends = []
    for what, group in found.groupby("ends", sort=False):
        if what == "mixed":
            ends.append(f"{len(group)} of {n} give both answers")
        else:
            share = f"{CONSTANT:.0%}".replace("%", " %")
            ends.append(
                f"{len(group)} of {n} answer “{what}” to {share} or more, from K = {_span(group['constant_from'])} on"
            )
    levels = ", ".join(f"{NAMES[metric]} {found[f'last_{metric}'].mean():.2f}" for metric in METRICS)
    sentences = [f"at K = {last}, {'; '.join(ends)} (mean {levels})."]
    lost = [f"{what} in {len(group)} of {n}" for what, group in found.groupby("lost_first", sort=False)]
    sentences.append(f"The class whose recall is the first to fall below one half: {', '.join(lost)}.")
    flipped = found[found["flips"] > 0]
    if len(flipped):
        firsts = flipped["flipped_at"].str.extract(r"^(\d+)", expand=False).astype(int)
        sentences.append(f"The more frequent answer flips in {len(flipped)} of {n}, first at K = {_span(firsts)}.")
    if first["gap_auroc"] > first["gap_balanced_accuracy"]:
        sentences.append(
            f"In the network shown AUROC exceeds balanced accuracy most at K = {first['gap_k']}: "
            + ", ".join(f"{NAMES[metric]} {first[f'gap_{metric}']:.2f}" for metric in reversed(METRICS))
            + "."
        )
    return sentences


def _areas(rows: pd.DataFrame) -> pd.DataFrame:
    """The area under each metric, a row a removal, the mean over networks."""
    curves = rows.sort_values("k").groupby(["removal", "seed"])
    return (
        pd.DataFrame(
            {m: curves.apply(lambda c, m=m: normalised_area(c["k"].to_numpy(), c[m].to_numpy())) for m in METRICS}
        )
        .groupby("removal")
        .mean()
    )


def _against_structural(areas: pd.DataFrame, removal: str) -> list[str]:
    if removal == "structural" or "structural" not in areas.index:
        return []
    more = areas.loc[removal] - areas.loc["structural"]
    told = ", ".join(f"{NAMES[metric]} {more[metric]:+.3f}".replace("-", "−") for metric in METRICS)
    return [f"Mean area under the curve less structural’s: {told}."]


def _span(values: pd.Series) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return f"{low}" if low == high else f"{low} to {high}"
