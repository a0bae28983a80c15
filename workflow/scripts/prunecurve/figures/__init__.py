"""Figures: each module in a folder here is one, with the name of its file, drawn from the table that the folder names.

The folder curve_mean means the study's curve_mean.csv, and so on; network means the channels.csv, order of pruning
and mean maps of one network. A figure has `draw(data) -> matplotlib Figure`. To add one, add a module.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prunecurve.data import tasks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAPS_ORDERS = ("channel", "pruning")


@dataclasses.dataclass(frozen=True)
class Data:
    """What a figure is drawn from.

    table: the table of its folder. criteria: the study's, in the config's order. maps: the mean maps (P, M, N) of one
    network; maps_order: arranged by `channel` number or in the order of `pruning`. warning: a text that is written
    across the figure. task: the name of the study's task. recalls: class_recall.csv, if the task has it. layers:
    plan_layers.csv, for the figure of a plan.
    """

    table: "pd.DataFrame"
    criteria: tuple[str, ...]
    maps: np.ndarray | None = None
    maps_order: str = "channel"
    warning: str = ""
    task: str = tasks.DEFAULT
    recalls: "pd.DataFrame | None" = None
    layers: "pd.DataFrame | None" = None

    @property
    def inputs(self) -> str:
        """Return what the task calls its inputs: `pairs`."""
        return tasks.inputs_of(self.task).INPUTS


# The folder of each figure.
FOLDERS = {path.stem: path.parent.name for path in sorted(Path(__path__[0]).glob("*/[!_]*.py"))}


def folder_of(name: str) -> str:
    """Return the folder that a figure's module lies in."""
    return FOLDERS[name]


def of(folder: str) -> list[str]:
    """Return the names of the figures drawn from a folder's data, in alphabetical order."""
    return [name for name in FOLDERS if FOLDERS[name] == folder]


def draw(name: str, data: Data) -> "Figure":
    """Return a figure, drawn."""
    from prunecurve.figures import style

    recalls = None if data.recalls is None else style.with_drawable_names(data.recalls)
    data = dataclasses.replace(data, table=style.with_drawable_names(data.table), recalls=recalls)
    with style.applied():
        figure = importlib.import_module(f"{__name__}.{FOLDERS[name]}.{name}").draw(data)
        if data.warning:
            style.warn(figure, data.warning)
        return figure


def save(figure: "Figure", dpi: int, *paths: str | Path) -> None:
    """Write a figure to files in the formats of their endings; the same figure gives the same bytes."""
    from prunecurve.figures import style
    from prunecurve.files import atomic

    for path in map(Path, paths):
        # Without a date, and with element names that are not random.
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        with style.applied(), atomic(path) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
