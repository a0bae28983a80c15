"""The validation pairs with labels, which some criteria use."""

import dataclasses

import numpy as np

from prunecurve.sweep.cost import block_of, layer_names


@dataclasses.dataclass(frozen=True)
class ValidationSet:
    """The validation pairs, as pooled maps of the pruned convolution, and the weights of the network.

    features: float32 (N, P, h, w), the pooled maps. labels: (N,), 1 for same. weights: the network's weights, with the
    names of its state dict. layer: the pruned convolution (`conv3`). threads: the number of threads for criteria.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: dict[str, np.ndarray]
    layer: str
    threads: int = 1

    def drawn(self, count: int, rng: np.random.Generator) -> "ValidationSet":
        """Return a random subset of about `count` pairs: the same share of each class, and at least one pair."""
        share = min(count / len(self.labels), 1.0)
        members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        chosen = [rng.permutation(own)[: max(round(share * len(own)), 1)] for own in members]
        index = np.sort(np.concatenate(chosen))
        return dataclasses.replace(self, features=self.features[index], labels=self.labels[index])

    @property
    def in_last(self) -> bool:
        """Whether the pruned convolution is the last one, so that only linear layers follow."""
        return self.layer == layer_names(self.weights, "conv")[-1]

    @property
    def positions(self) -> int:
        """The number of positions (height × width) of the layer's maps before pooling."""
        return (int(self.weights["image_size"]) >> (block_of(self.layer) - 1)) ** 2

    @property
    def shares(self) -> np.ndarray:
        """The weight (N,) of each pair in a class-balanced mean: the weights of each class sum to one half."""
        same = self.labels.astype(bool)
        return 0.5 / np.where(same, max(same.sum(), 1), max((~same).sum(), 1))
