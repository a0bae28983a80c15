"""How many channels each convolution can lose: accuracy over the share of its channels removed, a line per layer."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.study.statistics import mean_curves

METRICS = ("accuracy", "balanced_accuracy")


def draw(data: Data) -> Figure:
    """A row of panels per criterion; each line is a mean over networks, its band the interval."""
    table = mean_curves(data.table, data.task)
    table = table.assign(share_removed=table["k"] / (table["k"] + table["channels_left"]))
    looks = style.line_looks(table["layer"].unique())
    criteria = list(table["criterion"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6 * len(criteria) + 0.4))
    grid = figure.subplots(len(criteria), len(METRICS), sharex=True, sharey=True, squeeze=False)
    for row, criterion in zip(grid, criteria):
        for ax, metric in zip(row, METRICS):
            for layer, look in looks.items():
                curve = table[(table["layer"] == layer) & (table["criterion"] == criterion)]
                channels = curve["channels_left"].max()
                label = f"{layer} ({channels} channels)"
                style.line_with_band(ax, curve.set_index("share_removed"), metric, label=label, **look)
            name = style.constant_name("accuracy", data.task)
            style.constant_answer(ax, style.constant_score(table, metric), label=name)
            ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=style.label(metric))
            ax.set_title(f"order of {style.label(criterion)}", loc="left")
    for ax in grid[-1]:
        ax.set_xlabel("share of the layer’s channels removed")
    style.legend(figure, grid[0][0], style.heading(table))
    return figure
