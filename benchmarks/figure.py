"""The benchmark's figure: how many times faster, and how the driver's cost grows with the number of evaluations."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from prunecurve import figures
from prunecurve.figures import style

LINES = {
    "dry_run_seconds": ("dry run", style.COLOURS[0]),
    "run_seconds": ("run, jobs that do nothing", style.COLOURS[1]),
}


def draw(results: Path, scale: Path, output: Path) -> None:
    """Write the figure from results.csv and, where it is there, scale.csv."""
    table = pd.read_csv(results)
    with style.applied():
        figure = Figure(figsize=(style.PAGE_WIDTH, 3.4))
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        _ratios(left, table)
        if scale.exists():
            _growth(right, pd.read_csv(scale))
        else:
            right.set_visible(False)
    figures.save(figure, 200, output)


def _ratios(ax, table: pd.DataFrame) -> None:
    # Where ours is to be the smaller part of another, or memory is compared, a bar of "times faster" would mislead.
    target = table["target"].fillna("")
    faster = table[~target.str.startswith("ours / other") & ~table["name"].str.contains("MB|seconds a job")].iloc[::-1]
    places = range(len(faster))
    colours = [style.GREY if met == "no" else style.COLOURS[0] for met in faster["met"].fillna("")]
    ax.barh(places, faster["ratio"], color=colours, height=0.6)
    for place, (_, row) in zip(places, faster.iterrows()):
        ax.text(row["ratio"] * 1.15, place, f"{row['ratio']:,.3g}×", va="center", fontsize=6.5)
        wanted = str(row["target"]).removeprefix("ratio ≥ ")
        if wanted.isdigit():
            ax.plot([float(wanted)] * 2, [place - 0.42, place + 0.42], color="black", lw=1)
    ax.set_yticks(places, [_short(name) for name in faster["name"]], fontsize=6)
    ax.set_xscale("log")
    ax.set_xlim(0.8, faster["ratio"].max() * 5)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.set_xlabel("times faster than the other way (bar: target)")


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
    ax.annotate("proportional", (ends[1], first["run_seconds"] * ends[1] / ends[0]), (0, 3), fontsize=6, ha="right",
                textcoords="offset points", color=style.GREY)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="evaluations in the study", ylabel="seconds of Snakemake's own")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    ax.legend(fontsize=6)


def _short(name: str) -> str:
    """A row's name in two lines."""
    words = name.replace("sweep in process, ", "sweep, ").split(" ")
    middle = next((i for i in range(len(words)) if len(" ".join(words[: i + 1])) > len(name) / 2), len(words))
    return " ".join(words[: middle + 1]) + "\n" + " ".join(words[middle + 1 :])
