"""Evaluations: the networks with the first K channels of a ranking removed. Of the libraries, imports only numpy."""

import argparse
from collections.abc import Sequence

import numpy as np

from prunecurve.commandline import parser
from prunecurve.data import tasks
from prunecurve.errors import StudyError
from prunecurve.files import load_array, load_arrays, read_order, write_rows
from prunecurve.sweep.cost import cost
from prunecurve.sweep.head import Head, in_threads, logits, partial_sums_shape
from prunecurve.sweep.removal import REMOVALS


def kept_channels(order: np.ndarray, k: int) -> np.ndarray:
    """Return the channels that remain after removing the first k of a ranking, sorted by number."""
    return np.sort(order[k:])


class Evaluator:
    """Evaluates one network, read from its artifacts, without some channels of its last convolution.

    The arguments are paths of files, except for `layer`. features: the split's pooled maps (N, P, h, w), memory-mapped.
    labels: (N,), the class of each input. weights: the file of `save_weights`. layer: the convolution (`conv3`).
    mean_features: (P, h, w), means over the validation pairs, needed only by mean_replacement.
    """

    def __init__(self, features: str, labels: str, weights: str, layer: str, mean_features: str | None = None) -> None:
        self.weights, self.layer = load_arrays(weights), layer
        self.features = load_array(features, shape=(None, None, None, None), mapped=True)
        self.labels = load_array(labels, shape=(len(self.features),))
        # NaN without a file, so that `logits` can detect that a removal needs them.
        missing = np.full(self.features.shape[1:], np.nan, np.float32)
        self.mean_features = load_array(mean_features, shape=missing.shape) if mean_features else missing
        self.channels = self.features.shape[1]

    @property
    def head(self) -> Head:
        """The linear layers of the network."""
        return Head(self.weights, self.channels)

    def stored_sums(self, path: str) -> np.ndarray:
        """Read the `head.partial_sums` of a ranking, memory-mapped."""
        return load_array(path, shape=partial_sums_shape(self.features, self.head), mapped=True)

    def logits(
        self, order: np.ndarray, ks: Sequence[int], removal: str, stored: np.ndarray | None = None, threads: int = 1
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C) of the networks without the first k channels of the ranking.

        See `head.logits` for the arguments. Raises StudyError if a K is out of range or given twice, or if
        mean_replacement has no mean pooled maps.
        """
        if len(set(ks)) < len(ks):
            raise StudyError(f"sweep.ks: {', '.join(map(str, ks))} contains a K twice; give each K once")
        for k in ks:
            if not 0 <= k < self.channels:
                last = self.channels - 1
                raise StudyError(f"sweep.ks: K = {k} is outside 0 … {last} (the layer has {self.channels} channels)")
        replacement = REMOVALS[removal].replacement(self.weights, self.layer, self.mean_features)
        if np.isnan(replacement).any():
            raise StudyError(f"removal {removal} needs the mean pooled maps; give their file with --mean-features")
        return self._logits(order, ks, replacement, stored, threads)

    def _logits(
        self, order: np.ndarray, ks: Sequence[int], replacement: np.ndarray, stored: np.ndarray | None, threads: int
    ) -> np.ndarray:
        return logits(self.features, self.head, order, ks, replacement, stored, threads)

    def rows(
        self,
        order: np.ndarray,
        ks: Sequence[int],
        removal: str,
        stored: np.ndarray | None = None,
        threads: int = 1,
        task: str = tasks.DEFAULT,
    ) -> list[dict[str, object]]:
        """Return one row per K: the metrics of the task and the size of the network.

        compression_ratio is the number of parameters before pruning divided by that after; theoretical_speedup is the
        same ratio for MACs (Blalock et al. 2020).
        """
        all_logits, measure = self.logits(order, ks, removal, stored, threads), tasks.load(task).measure
        before = cost(self.weights, self.layer, self.channels)
        filters = self.weights[f"{self.layer}.weight"].shape[1:]

        def row(k: int, of_k: np.ndarray) -> dict[str, object]:
            in_network = self.channels - k if REMOVALS[removal].smaller else self.channels
            after = cost(self.weights, self.layer, in_network)
            return {
                "k": k,
                "channels_left": self.channels - k,
                **measure(of_k, self.labels),
                **after,
                "compression_ratio": before["params"] / after["params"],
                "theoretical_speedup": before["macs"] / after["macs"],
                "conv_weight_shape": "x".join(map(str, (in_network, *filters))),
            }

        return in_threads(row, threads, ks, all_logits)


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of all evaluation scripts."""
    cli = parser(description)
    cli.add_argument("--features", required=True, help="the split's pooled maps")
    cli.add_argument("--labels", required=True, help="the split's labels")
    cli.add_argument("--weights", required=True, help="the network's weights")
    cli.add_argument("--mean-features", nargs="?", help="mean pooled maps, for mean_replacement")
    cli.add_argument("--layer", required=True, help="the pruned convolution, for example conv3")
    cli.add_argument("--ranking", required=True, help="the ranking, a CSV file")
    cli.add_argument("--removal", choices=REMOVALS, required=True, help="kind of removal")
    cli.add_argument("--k", type=int, nargs="+", required=True, help="numbers of removed channels")
    # Not checked here: listing the tasks takes longer than importing one.
    cli.add_argument("--task", default=tasks.DEFAULT, help="the task, whose metrics are computed")
    cli.add_argument("--dataset", required=True, help="value of the column dataset")
    cli.add_argument("--seed", type=int, required=True, help="value of the column seed")
    cli.add_argument("--criterion", required=True, help="value of the column criterion")
    cli.add_argument("--output", required=True, help="output: a CSV file with one row per K")
    return cli


def write_curve(evaluator: Evaluator, arguments: argparse.Namespace, sums: str | None = None) -> None:
    """Evaluate the K given by the options and write the rows. sums: path of the ranking's stored sums, if any."""
    order = read_order(arguments.ranking, evaluator.channels)
    stored = evaluator.stored_sums(sums) if sums else None
    rows = evaluator.rows(order, arguments.k, arguments.removal, stored, task=arguments.task)
    identity = {name: getattr(arguments, name) for name in ("dataset", "seed", "layer", "criterion", "removal")}
    write_rows(arguments.output, [identity | row for row in rows])
