"""The backend for linear layers: `head.py`."""

from collections.abc import Sequence

import numpy as np

from prunecurve.graph.layer_file import LayerFile
from prunecurve.model.model_file import ModelFile
from prunecurve.sweep.head import Head, logits, partial_sums_shape
from prunecurve.sweep.inputs import InputFiles


class Backend:
    """Computes the linear layers behind a layer. Only `layer` is used: it has the weights."""

    def __init__(
        self, layer: LayerFile, model: ModelFile | None = None, threads: int = 1, inputs: InputFiles | None = None
    ) -> None:
        self.head = Head(layer)

    def stored_shape(self, features: np.ndarray) -> tuple[int, int, int]:
        """Return the shape of the `head.partial_sums` of a ranking."""
        return partial_sums_shape(features, self.head)

    def logits(
        self,
        features: np.ndarray,
        order: np.ndarray,
        ks: Sequence[int],
        replacement: np.ndarray,
        stored: np.ndarray | None = None,
        threads: int = 1,
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C), float32; arguments as for `head.logits`."""
        return logits(features, self.head, order, ks, replacement, stored, threads)
