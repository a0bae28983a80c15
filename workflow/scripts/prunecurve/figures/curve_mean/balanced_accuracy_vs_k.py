"""Balanced accuracy over K: all classes count the same, so a constant answer of two classes has 0.5 and not 0.9."""

from matplotlib.figure import Figure

from prunecurve.figures import Data
from prunecurve.figures.curve_mean import accuracy_vs_k


def draw(data: Data) -> Figure:
    """Return the figure accuracy_vs_k of balanced accuracy."""
    return accuracy_vs_k.draw(data, "balanced_accuracy")
