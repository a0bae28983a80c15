"""The P mean feature maps on one scale: which channels are strong, and which hardly active."""

from matplotlib.figure import Figure

from prunecurve.figures import Data
from prunecurve.figures.network import mean_feature_maps


def draw(data: Data) -> Figure:
    """Return the figure mean_feature_maps with one scale, from 0 to the highest value of any map."""
    return mean_feature_maps.draw(data, shared_scale=True)
