"""The backend for any network: the layers that read the channels, and the rest of the network, run for each K.

What crosses into the rest of the network does not depend on the removed channels. It is read from features.npy, or, if
it was too large to be stored, computed again from the images, one batch at a time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from prunecurve.data.batches import Normalisation, Split
from prunecurve.errors import StudyError
from prunecurve.graph.layer_file import LayerFile
from prunecurve.graph.layers import PrunableLayer, batch_of
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.sweep.inputs import BATCH, InputFiles


class Backend:
    """The rest of a network behind a layer."""

    def __init__(
        self, layer: LayerFile, model: ModelFile | None, threads: int, inputs: InputFiles | None = None
    ) -> None:
        """Read the network. Raises StudyError if its path is missing.

        inputs: where the inputs of the split are, needed if features.npy has no values.
        """
        if model is None:
            raise StudyError(f"layer: more than linear layers follow {layer.name}; give the network with --model")
        prepare_torch("cpu", threads)
        network, shape, leaf_modules = load_network(model)
        self.network = PrunableLayer(network, layer.name, shape, leaf_modules=leaf_modules)
        # Gradients are computed for maps alone.
        self.network.traced.requires_grad_(False)
        self.inputs, self.batch = inputs, batch_of(self.network, BATCH if inputs is None else inputs.batch)
        self.network.downstream.fuse()
        self._split: Split | None = None

    @torch.inference_mode()
    def logits(
        self,
        features: np.ndarray,
        order: np.ndarray,
        ks: Sequence[int],
        replacement: np.ndarray,
        stored: np.ndarray | None = None,
        threads: int = 1,
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C), float32, of the networks without the first k channels of a ranking.

        features: (N, D), see features.npy; (N, 0) if they are not stored. replacement: (E,), what replaces the removed
        channels where they are read. `stored` and `threads` are not used: there are no stored sums, and __init__ sets
        the number of threads.
        """
        result = np.empty((len(ks), len(features), self.network.classes), np.float32)
        constant = torch.from_numpy(np.array(replacement, np.float32)) if replacement.any() else None
        for rows, values in self.batches(features):
            for place, k in enumerate(ks):
                result[place, rows] = self.network.downstream.logits(values, order[:k], constant).numpy()
        return result

    def batches(
        self, features: np.ndarray, chosen: np.ndarray | None = None, most: int | None = None
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """Yield the places of each batch of inputs and their crossing values.

        features: (N, D) or (N, 0). chosen: the numbers (N,) of these inputs in the split; None for all. most: inputs
        per batch, if fewer than usual are wanted.
        """
        size = most or self.batch
        for start in range(0, len(features), size):
            rows = slice(start, min(start + size, len(features)))
            if features.shape[1]:
                values = self.network.downstream.split(torch.from_numpy(np.array(features[rows])))
            else:
                with torch.no_grad():
                    values = self.network.crossing(self._inputs(rows, chosen))
            yield rows, self.network.downstream.prepared(values)

    def _inputs(self, rows: slice, chosen: np.ndarray | None) -> Tensor:
        """Return inputs (n, C, S, S) of the network."""
        if self.inputs is None:
            raise StudyError(
                f"layer: {self.network.path}: features.npy has no values, so the inputs are needed; give them with "
                "--split IMAGES INPUTS LABELS"
            )
        if self._split is None:
            files = self.inputs.images, self.inputs.inputs, self.inputs.labels
            self._split = Split.read(files, "cpu", Normalisation.model_validate_json(self.inputs.preprocess))
        numbers = np.arange(rows.start, rows.stop) if chosen is None else chosen[rows]
        return self._split.inputs(torch.from_numpy(numbers))
