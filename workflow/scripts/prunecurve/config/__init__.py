"""The config of a study: its keys (`model.py`), the check of given values, and what follows from them."""

from prunecurve.config.archived import of_archive
from prunecurve.config.check import check
from prunecurve.config.contradictions import misfits, wrong_layer
from prunecurve.config.finished import data_settings, replaced, settings, weights_settings
from prunecurve.config.layers import Layers, pruned_layer
from prunecurve.config.model import KEYS, change_of, keys_of_tables
from prunecurve.config.resolved import k_batches, ks, resolved, sensitivity_layers

__all__ = [
    "KEYS",
    "Layers",
    "change_of",
    "check",
    "data_settings",
    "k_batches",
    "keys_of_tables",
    "ks",
    "misfits",
    "of_archive",
    "pruned_layer",
    "replaced",
    "resolved",
    "sensitivity_layers",
    "settings",
    "weights_settings",
    "wrong_layer",
]
