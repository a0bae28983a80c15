"""Evaluations: the networks with the first K channels of a ranking removed. Of the libraries, imports only numpy."""

import importlib
from collections.abc import Sequence

import numpy as np

from prunecurve.arrays import load_array
from prunecurve.data import tasks
from prunecurve.errors import StudyError, remedy
from prunecurve.graph.layer_file import load_layer
from prunecurve.model.model_file import ModelFile
from prunecurve.sweep.inputs import Calibration, InputFiles
from prunecurve.sweep.removal import REMOVALS, parts_of
from prunecurve.sweep.threads import in_threads


class Evaluator:
    """Evaluates one network, read from its artifacts, without some channels of a layer.

    The arguments are paths of files. features: of the split, memory-mapped, see `LayerFile.features`. labels: (N,), the
    class of each input. layer: the layer's file. mean_features: what the layers that read the channels get, as
    `LayerFile.zero_filter`, the mean over the validation inputs; needed only by mean_replacement. model: the network,
    which only the backend torch reads, with `threads` threads. inputs: the files of the split, which it needs if the
    features are not stored. calibration: what repairs are fitted to.
    """

    def __init__(
        self,
        features: str,
        labels: str,
        layer: str,
        mean_features: str | None = None,
        model: ModelFile | None = None,
        threads: int = 1,
        inputs: InputFiles | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.layer = load_layer(layer)
        shape = self.layer.features if self.layer.backend == "numpy" else (None,)
        # Read once: the checksum of a large file takes as long as the rest of an evaluation.
        self.features = load_array(features, shape=(None, *shape), mapped=True)
        if (shape := self.features.shape)[1:] not in ((0,), self.layer.features):
            name = self.layer.name
            raise StudyError(f"{features} is not of the layer {name} (its shape is {shape}); {remedy(features)}")
        self.labels = load_array(labels, shape=(len(self.features),))
        shape = self.layer.zero_filter.shape
        self.mean_features = load_array(mean_features, shape=shape) if mean_features else None
        module = importlib.import_module(f"prunecurve.sweep.backends.{self.layer.backend}_backend")
        self.backend = module.Backend(self.layer, model, threads, inputs)
        self.fits = None
        if calibration:
            # Imported by name, because scipy takes longer to import than an evaluation of one K without repairs.
            fits = importlib.import_module("prunecurve.sweep.repair").Fits
            backend = module.Backend(self.layer, model, threads, calibration.inputs)
            self.fits = fits(calibration, backend)

    def stored_sums(self, path: str) -> np.ndarray:
        """Read the `partial_sums` of a ranking, memory-mapped. Only the backend numpy has them."""
        return load_array(path, shape=self.backend.sums_shape(self.features), mapped=True)

    def logits(
        self, order: np.ndarray, ks: Sequence[int], variant: str, stored: np.ndarray | None = None, threads: int = 1
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C) of the networks without the first k channels of the ranking.

        variant: a removal, with its repair. See `numpy_backend.Backend.logits` for the other arguments. Raises
        StudyError if a K is out of range, if mean_replacement has no mean maps, or a repair no calibration inputs.
        """
        removal, repair = parts_of(variant)
        for k in ks:
            if not 0 <= k < (channels := self.layer.channels):
                raise StudyError(f"sweep.ks: K = {k} is outside 0 … {channels - 1} (the layer has {channels} channels)")
        if REMOVALS[removal].reads_means and self.mean_features is None:
            raise StudyError(f"removal {removal} needs the mean maps; give their file with --mean-features")
        replacement = REMOVALS[removal].replacement(self.layer, self.mean_features)
        if repair == "none":
            return self.backend.logits(self.features, order, ks, replacement, stored, threads)
        if self.fits is None:
            raise StudyError(f"repair {repair} needs the calibration inputs; give their files with --calibration")
        refits = self.fits.refits(order) if repair.startswith("refit") else []
        logits = self.backend.logits(self.features, order, ks, replacement, None, threads, refits=refits)
        if repair.endswith("bias"):
            logits += self.fits.biases(order, ks, replacement, threads, refits)[:, None]
        return logits

    def rows(
        self,
        order: np.ndarray,
        ks: Sequence[int],
        variant: str,
        stored: np.ndarray | None = None,
        threads: int = 1,
        task: str = tasks.DEFAULT,
    ) -> list[dict[str, object]]:
        """Return one row per K: the metrics of the task and the size of the network.

        compression_ratio is the number of parameters before pruning divided by that after; theoretical_speedup is the
        same ratio for MACs (Blalock et al. 2020).
        """
        channels, measure = self.layer.channels, tasks.metrics_of(task).measure
        params, macs = self.layer.params.tolist(), self.layer.macs.tolist()

        def row(k: int, logits: np.ndarray) -> dict[str, object]:
            gone = k if REMOVALS[parts_of(variant)[0]].shrinks else 0
            return {
                "k": k,
                "channels_left": channels - k,
                **measure(logits, self.labels),
                "params": params[gone],
                "macs": macs[gone],
                "compression_ratio": params[0] / params[gone],
                "theoretical_speedup": macs[0] / macs[gone],
                "conv_weight_shape": "x".join(map(str, (channels - gone, *self.layer.weight.shape[1:]))),
            }

        return in_threads(row, threads, ks, self.logits(order, ks, variant, stored, threads))
