"""Balanced accuracy over K: all classes count the same, so a constant answer of two classes has 0.5 and not 0.9."""

import functools

from prunecurve.figures.curve_mean import accuracy_vs_k

draw = functools.partial(accuracy_vs_k.draw, metric="balanced_accuracy")
