"""Evaluations for a convolution that is not the last: the same rows, with the rest of the network run in torch."""

from collections.abc import Sequence

import numpy as np
import torch

from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.rest import BATCH, RestOfNetwork, batch_of


class TorchEvaluator(Evaluator):
    """An `Evaluator` for an earlier convolution; `threads` is the number of torch threads."""

    def __init__(self, *files: str | None, threads: int = 1) -> None:
        super().__init__(*files)
        self.rest = RestOfNetwork(self.weights, self.layer, threads)

    @torch.inference_mode()
    def _logits(
        self, order: np.ndarray, ks: Sequence[int], replacement: np.ndarray, stored: np.ndarray | None, threads: int
    ) -> np.ndarray:
        # `stored` and `threads` are not used: there are no stored sums, and __init__ sets the torch threads.
        classes = self.rest.model.architecture.classes
        result = np.empty((len(ks), len(self.labels), classes), np.float32)
        for start in range(0, len(self.labels), BATCH):
            maps = batch_of(self.features, start)
            for place, k in enumerate(ks):
                result[place, start : start + BATCH] = self.rest.logits(maps, order[:k], replacement).numpy()
        return result
