"""The labelled pairs that some criteria look at."""

import dataclasses

import numpy as np

from prunecurve.cost import block_of, layer_names


@dataclasses.dataclass(frozen=True)
class Examples:
    """The validation pairs as the layer after the pruned one sees them.

    features: float32 (N, P, h, w), the layer's pooled maps. labels: (N,), 1 for same. weights: the network's, by the
    names of its state dict. layer: the pruned convolution (`conv3`). threads: how many a criterion may use.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: dict[str, np.ndarray]
    layer: str
    threads: int = 1

    def drawn(self, count: int, rng: np.random.Generator) -> "Examples":
        """The same with about `count` of the pairs, drawn at random, of each class the same share and at least one."""
        share = min(count / len(self.labels), 1.0)
        members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        chosen = [rng.permutation(own)[: max(round(share * len(own)), 1)] for own in members]
        index = np.sort(np.concatenate(chosen))
        return dataclasses.replace(self, features=self.features[index], labels=self.labels[index])

    @property
    def in_last(self) -> bool:
        """Whether the pruned convolution is the last, so that only linear layers follow."""
        return self.layer == layer_names(self.weights, "conv")[-1]

    @property
    def positions(self) -> int:
        """How many positions the layer's maps have before pooling."""
        return (int(self.weights["image_size"]) >> (block_of(self.layer) - 1)) ** 2

    @property
    def shares(self) -> np.ndarray:
        """What each pair counts (N,) in a class-balanced mean: the pairs of each class one half together."""
        same = self.labels.astype(bool)
        return 0.5 / np.where(same, max(same.sum(), 1), max((~same).sum(), 1))
