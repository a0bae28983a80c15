"""All K of a ranking with refitted readers, against the sweep without repairs and against a solution for each K."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from measuring import Row, alternating, at_least, at_most, compared, cores
from prunecurve.sweep.backends.numpy_backend import Backend
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import Calibration
from prunecurve.sweep.repair import Reader, regularised
from prunecurve.tables import read_order
from study import Study

MOST, LEAST = 2, 3


def alone(evaluator: Evaluator, reader: Reader, order: np.ndarray, ks: range) -> np.ndarray:
    """Return the logits (len(ks), N, C): for each K, the normal equations are solved, and the network runs once.

    The first layer's product is one matrix product, in blocks of the same size and by the same threads as ours.
    """
    layer, covariance = evaluator.layer, regularised(reader.covariance)
    first, *_ = layer.linears
    result = np.empty((len(ks), len(evaluator.features), layer.classes), np.float32)
    flat, weight = evaluator.features.reshape(len(evaluator.features), -1), first.weight.T.astype(np.float64)
    for i, k in enumerate(ks):
        kept = np.flatnonzero(~np.isin(reader.channels, order[:k]))
        fitted = cho_solve(cho_factor(covariance[np.ix_(kept, kept)]), covariance[kept] @ weight)
        bias = first.bias + reader.mean[:, 0] @ weight - reader.mean[kept, 0] @ fitted
        # One channel with the kept inputs: a backend whose only network is this one.
        small = first._replace(weight=fitted.T.astype(np.float32), bias=bias.astype(np.float32))
        one = layer._replace(weight=layer.weight[:1], linears=(small, *layer.linears[1:]))
        inputs = flat[:, kept][:, None, :, None]
        none = np.zeros(inputs.shape[1:], np.float32)
        result[i] = Backend(one).logits(inputs, np.zeros(1, np.int64), [0], none, threads=cores())[0]
    return result


def rows(study: Study) -> list[Row]:
    """Time all K in this process, from features in memory to the logits. The logits of both ways are compared."""
    files, channels = study.files(), study.channels
    order, ks = read_order(study.in_layer / "ranking" / "l1_norm.csv", channels), range(1, channels)
    names = ("moments", "features", "labels", "shares")
    fitted_to = Calibration(*(str(study.in_layer / "calibration" / f"{name}.npy") for name in names))
    evaluator = Evaluator(files["features"], files["split"], files["layer"], calibration=fitted_to)
    evaluator.features = np.array(evaluator.features)
    (reader,) = evaluator.fits.readers
    few = range(1, channels, max(channels // 8, 1))
    ours, theirs = (
        evaluator.logits(order, few, "structural+refit", threads=cores()),
        alone(evaluator, reader, order, few),
    )
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def each(turn: int) -> None:
        alone(evaluator, reader, order, ks)

    def swept(variant: str) -> None:
        evaluator.logits(order, ks, variant, threads=cores())

    seconds = alternating(
        study.rounds,
        ours=lambda turn: swept("structural+refit"),
        plain=lambda turn: swept("structural"),
        alone=each,
    )
    name = f"repairs: all {len(ks)} K refitted, {study.dataset}, {len(evaluator.features):,} inputs, {cores()} threads"
    solved = f"each K solved alone; the largest relative difference of a logit is {difference:.0e}"
    return [
        at_most(compared(f"{name}, refit", seconds["ours"], "the same sweep without repairs", seconds["plain"]), MOST),
        at_least(compared(f"{name}, all at once", seconds["ours"], solved, seconds["alone"]), LEAST),
    ]
