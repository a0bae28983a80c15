"""Balanced accuracy over K: what accuracy is when both classes count the same, and no constant answer is worth 0.9."""

from matplotlib.figure import Figure

from prunecurve.figures import Data
from prunecurve.figures.of_curve import accuracy_vs_k


def draw(data: Data) -> Figure:
    """As accuracy_vs_k; always answering *different* has 0.5."""
    return accuracy_vs_k.draw(data, "balanced_accuracy")
