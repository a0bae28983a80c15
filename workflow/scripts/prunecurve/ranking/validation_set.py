"""The validation inputs with labels, which some criteria use."""

import dataclasses
from typing import Any

import numpy as np

from prunecurve.graph.layer_file import LayerFile


@dataclasses.dataclass(frozen=True)
class ValidationSet:
    """The validation inputs, as the maps that the layers behind the pruned one read, and the file of that layer.

    features: float32, see `LayerFile.features`. labels: (N,), the class of each input, 0 … C − 1. layer: the pruned
    layer. backend: what runs behind it (sweep/backends). threads: the number of threads for criteria. chosen: the
    numbers of the inputs in the split, if they are not all.
    """

    features: np.ndarray
    labels: np.ndarray
    layer: LayerFile
    backend: Any
    threads: int = 1
    chosen: np.ndarray | None = None

    def drawn(self, count: int, rng: np.random.Generator) -> "ValidationSet":
        """Return a random subset of about `count` inputs: the same share of each class, and at least one input."""
        share = min(count / len(self.labels), 1.0)
        members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        chosen = [rng.permutation(own)[: max(round(share * len(own)), 1)] for own in members]
        index = np.sort(np.concatenate(chosen))
        numbers = index if self.chosen is None else self.chosen[index]
        return dataclasses.replace(self, features=self.features[index], labels=self.labels[index], chosen=numbers)

    @property
    def shares(self) -> np.ndarray:
        """The weight (N,) of each pair in a class-balanced mean: the weights of each of C classes sum to 1 / C."""
        counts = np.bincount(self.labels, minlength=self.layer.classes)
        return 1 / self.layer.classes / counts[self.labels]
