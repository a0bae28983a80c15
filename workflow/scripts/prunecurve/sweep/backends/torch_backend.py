"""The backend for any network: the layers that read the channels, and the rest of the network, run for each K.

What crosses into the rest of the network does not depend on the removed channels. It is read from features.npy, or, if
it was too large to be stored, computed again from the images, one batch at a time.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.data.batches import MOST_BYTES, Normalisation, Split
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

        threads: the number of torch's threads. inputs: the files of the split, needed if features.npy has no values.
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

    @functools.cached_property
    def split(self) -> Split:
        """The inputs of the split. Raises StudyError without their files."""
        if self.inputs is None:
            raise StudyError(
                f"layer: {self.network.path}: features.npy has no values, so the inputs are needed; give them with "
                "--split IMAGES INPUTS LABELS"
            )
        return Split.read(self.inputs[:3], "cpu", Normalisation.model_validate_json(self.inputs.preprocess))

    @torch.inference_mode()
    def logits(
        self,
        features: np.ndarray,
        order: np.ndarray,
        ks: Sequence[int],
        replacement: np.ndarray,
        *unused: object,
        refits: Sequence[Any] = (),
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C), float32, of the networks without the first k channels of a ranking.

        features: (N, D), see features.npy; (N, 0) if they are not stored. replacement: (E,), what replaces the removed
        channels where they are read. refits: the `Refit` of each layer that reads them, if its weights are refitted for
        each k > 0. The other arguments of a backend are not used: there are no stored sums, and __init__ sets the
        number of threads.
        """
        result = np.empty((len(ks), len(features), self.network.classes), np.float32)
        constant = torch.from_numpy(np.array(replacement, np.float32)) if replacement.any() else None
        fitted = self._fitted(refits)
        # All K of a batch, which is expensive to compute, as far as the refitted weights of all of them fit in memory.
        at_once = max(1, MOST_BYTES // (1 + 4 * sum(refit.reader.weight.size for refit in refits)))
        for start in range(0, len(ks), at_once):
            weights = [fitted(k) if k else {} for k in ks[start : start + at_once]]
            for rows, values in self.batches(features):
                for place, own in enumerate(weights, start):
                    with self._with_weights(own):
                        logits = self.network.downstream.logits(values, order[: ks[place]], constant)
                    result[place, rows] = logits.numpy()
        return result

    def _fitted(self, refits: Sequence[Any]) -> Callable[[int], dict[str, tuple[Tensor, Tensor]]]:
        """Return a function of K: the refitted weights and bias of each layer that reads the channels, by its path.

        They are fitted to the weights that the layer has here: batch normalisation may be part of them (`fuse`).
        """
        modules = [self.network.downstream.module.get_submodule(refit.reader.path) for refit in refits]
        before = [module.weight.flatten(1).T.double().numpy() for module in modules]
        coefficients = [refit.coefficients(weight) for refit, weight in zip(refits, before)]

        def fitted(k: int) -> dict[str, tuple[Tensor, Tensor]]:
            result = {}
            for refit, module, *whole in zip(refits, modules, before, coefficients):
                weight, added = refit.fitted(k, *whole)
                bias = added if module.bias is None else added + module.bias.numpy()
                shaped = torch.from_numpy(weight.T.astype(np.float32)).reshape(module.weight.shape)
                result[refit.reader.path] = shaped, torch.from_numpy(bias.astype(np.float32))
            return result

        return fitted

    @contextlib.contextmanager
    def _with_weights(self, fitted: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[None]:
        """Give layers other weights and biases within a `with` block."""
        modules = {path: self.network.downstream.module.get_submodule(path) for path in fitted}
        before = {path: (module.weight, module.bias) for path, module in modules.items()}
        for path, module in modules.items():
            module.weight, module.bias = (nn.Parameter(each, requires_grad=False) for each in fitted[path])
        try:
            yield
        finally:
            for path, module in modules.items():
                module.weight, module.bias = before[path]

    def batches(
        self, features: np.ndarray, chosen: np.ndarray | None = None, most: int | None = None
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """Yield the places of each batch of inputs and their crossing values.

        features: (N, D) or (N, 0). chosen: the numbers (N,) of these inputs in the split; None for all. most: inputs
        per batch, if fewer than usual are wanted.
        """
        size, numbers = most or self.batch, np.arange(len(features)) if chosen is None else chosen
        for start in range(0, len(features), size):
            rows = slice(start, min(start + size, len(features)))
            if features.shape[1]:
                values = self.network.downstream.split(torch.from_numpy(np.array(features[rows])))
            else:
                with torch.no_grad():
                    values = self.network.crossing(self.split.inputs(torch.from_numpy(numbers[rows])))
            yield rows, self.network.downstream.prepared(values)
