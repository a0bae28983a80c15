"""The config of a study: its keys (`model.py`), the check of given values, and what follows from them."""

from prunecurve.config.archived import of_archive
from prunecurve.config.check import check, keys
from prunecurve.config.finished import data_settings, replaced, settings, weights_settings
from prunecurve.config.original import original_text
from prunecurve.config.resolved import backend, convolutions, k_batches, ks, layers, pruned_layer

__all__ = [
    "backend",
    "check",
    "convolutions",
    "data_settings",
    "k_batches",
    "keys",
    "ks",
    "layers",
    "of_archive",
    "original_text",
    "pruned_layer",
    "replaced",
    "settings",
    "weights_settings",
]
