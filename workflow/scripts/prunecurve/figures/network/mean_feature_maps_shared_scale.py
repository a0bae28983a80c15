"""The P mean feature maps on one scale: which channels are strong, and which hardly active."""

import functools

from prunecurve.figures.network import mean_feature_maps

draw = functools.partial(mean_feature_maps.draw, shared_scale=True)
