"""How much each convolution can lose: accuracy over the share of its channels removed, a line a layer."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics import by_criterion, over_seeds


def draw(data: Data) -> Figure:
    """The figure; each line is the mean over seeds."""
    table = by_criterion(data.table)
    layers = tuple(table["layer"].unique())
    criteria = list(table["criterion"].unique())
    looks = style.line_styles(layers)
    metrics = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6 * len(criteria) + 0.4))
    grid = figure.subplots(len(criteria), len(metrics), sharex=True, sharey=True, squeeze=False)
    for line, criterion in zip(grid, criteria):
        for ax, (metric, name) in zip(line, metrics.items()):
            for layer in layers:
                rows = table[(table["layer"] == layer) & (table["criterion"] == criterion)]
                channels = int(rows["channels_left"].max())
                curve = over_seeds(rows, metric, by="share_removed")
                look = looks[layer]
                style.line_with_band(ax, curve, f"{layer} ({channels} channels)", look["color"], look["linestyle"])
            ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=name)
            ax.set_title(style.label(criterion), loc="left")
    for ax in grid[-1]:
        ax.set_xlabel("share of the layer’s channels removed")
    style.legend(figure, grid[0][0], table)
    return figure
