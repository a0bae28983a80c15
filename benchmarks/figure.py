"""The figure of the benchmark: speed-ups, and Snakemake's own time as a function of the number of evaluations."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from measuring import unit
from prunecurve import figures
from prunecurve.figures import style

LINES = {
    "dry_run_seconds": ("dry run", style.COLOURS[0]),
    "run_seconds": ("run of jobs that only touch", style.COLOURS[1]),
}
COLOUR_OF = {"yes": style.COLOURS[2], "no": style.COLOURS[1], "": style.GREY}


def draw(results: Path, scale: Path, output: Path) -> None:
    """Draw the figure from results.csv and, if it exists, scale.csv; write it to `output`."""
    table = pd.read_csv(results, keep_default_na=False)
    with style.applied():
        figure = Figure(figsize=(style.PAGE_WIDTH, max(4.2, 0.24 * len(table))))
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        _ratios(left, table)
        if scale.exists():
            _growth(right, pd.read_csv(scale))
        else:
            right.set_visible(False)
    figures.save(figure, 200, output)


def _ratios(ax, table: pd.DataFrame) -> None:
    timed = table[[unit(name) == "s" for name in table["name"]]].iloc[::-1].reset_index()
    ax.barh(timed.index, timed["ratio"] - 1, left=1, color=[COLOUR_OF[met] for met in timed["met"]], height=0.6)
    for place, row in timed.iterrows():
        side = 1.15 if row["ratio"] >= 1 else 1 / 1.15
        ax.text(row["ratio"] * side, place, f"{row['ratio']:,.3g}", va="center", ha="left" if side > 1 else "right",
                fontsize=6.5)  # fmt: skip
    ax.set_yticks(timed.index, ["\n".join(textwrap.wrap(name, 52)) for name in timed["name"]], fontsize=5.5)
    ax.axvline(1, color="black", lw=0.6)
    ax.set_xscale("log")
    if len(timed):
        ax.set_xlim(min(0.15, timed["ratio"].min() / 4), max(10, timed["ratio"].max() * 5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    ax.set_xlabel("other / ours (green: target met, orange: missed)")


def _growth(ax, table: pd.DataFrame) -> None:
    for packed, lines in table.groupby("ks_per_job"):
        for column, (name, colour) in LINES.items():
            ax.plot(
                lines["evaluations"], lines[column], marker="o", ms=3, color=colour,
                linestyle="-" if packed == 1 else (0, (2, 1.5)), label=f"{name}, {packed} K a job",
            )  # fmt: skip
    first = table[table["ks_per_job"] == 1].iloc[0]
    ends = table["evaluations"].min(), table["evaluations"].max()
    ax.plot(ends, [first["run_seconds"] * e / first["evaluations"] for e in ends], color=style.GREY, lw=0.7, ls=":")
    middle = (ends[0] * ends[1]) ** 0.5
    ax.annotate("proportional", (middle, first["run_seconds"] * middle / ends[0]), (-4, 4), fontsize=6, ha="right",
                textcoords="offset points", color=style.GREY)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="evaluations in the study", ylabel="wall seconds")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    bottom, top = ax.get_ylim()
    # Leave space for the legend above the lines.
    ax.set_ylim(bottom, top * 8)
    ax.legend(loc="upper left", fontsize=6)
