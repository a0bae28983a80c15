"""How the network behind a layer runs: `numpy` for linear layers only, otherwise `torch`. Each backend is a module.

A module has a class `Backend` with the method `logits`. The modules are imported by name, so that a job imports only
the backend that it uses, and its code digest contains no other.
"""

import importlib

from prunecurve.graph.layer_file import LayerFile
from prunecurve.model.model_file import ModelFile
from prunecurve.sweep.inputs import InputFiles


def backend_of(layer: LayerFile, model: ModelFile | None, threads: int, inputs: InputFiles | None = None):
    """Return the backend of a layer.

    Only `torch` uses the other arguments. model: the file of the network. threads: its number of threads. inputs: the
    files of the split, needed if features.npy has no values.
    """
    module = importlib.import_module(f"{__name__}.{layer.backend}_backend")
    return module.Backend(layer, model, threads, inputs)
