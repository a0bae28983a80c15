"""All K of a ranking from stored features: against masks in torch, the nearest peer, and against BLAS alone."""

import numpy as np
import torch
from torch import nn

import reference
from measuring import Row, alternating, at_least, at_most, compared, cores
from prunecurve.arrays import load_array
from prunecurve.model.network_file import load_model, prepare_torch
from prunecurve.sweep.backends.numpy_backend import GROUP, ROWS, Backend, over_pairs
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.tables import read_order
from study import Study

LEAST, MOST = 20, 1.5
BATCH = 500


def linear_layers(model: nn.Module) -> nn.Sequential:
    """Return the part of the plain network behind the last convolution's maps, in eval mode."""
    plain = reference.plain_copy(model)
    start = next(i for i, layer in enumerate(plain) if isinstance(layer, nn.Flatten))
    return plain[start:].eval()


@torch.inference_mode()
def masked(layers: nn.Sequential, maps: torch.Tensor, order: np.ndarray, labels: np.ndarray) -> list[dict[str, int]]:
    """Return the confusion counts of every K from 1 on, by forward passes through the linear layers.

    Each K sets one more channel of the stored maps (N, P, h, w) to zero, in a copy that is made once.
    """
    left, counts = maps.clone(), []
    for channel in order[:-1]:
        left[:, channel] = 0
        counts.append(reference.counts(layers, list(left.split(BATCH)), labels))
    return counts


def products(backend: Backend, pairs: int, area: int) -> None:
    """Do the matrix products of a sweep over all K with numpy: no additions, no ReLU, no metrics, no copies."""
    channels, hidden = backend.blocks.shape[1], backend.hidden
    random = np.random.default_rng(0)
    inputs = random.random((ROWS, GROUP * area), np.float32)
    weights = random.random((GROUP * area, hidden), np.float32)
    outputs = [np.empty((ROWS, hidden), np.float32)]
    outputs += [np.empty((ROWS, weight.shape[1]), np.float32) for weight, _ in backend.later]

    def work(rows: slice) -> None:
        # Each thread needs its own outputs.
        own = [np.empty_like(output) for output in outputs]
        count = rows.stop - rows.start
        for place in range(channels):
            if place % GROUP == 0:
                np.dot(inputs[:count], weights, out=own[0][:count])
            else:
                np.dot(inputs[:count, :area], weights[:area], out=own[0][:count])
            for i, (weight, _) in enumerate(backend.later):
                np.dot(own[i][:count], weight, out=own[i + 1][:count])

    over_pairs(work, pairs, cores())


def rows(study: Study) -> list[Row]:
    """Time all K in this process, from features in memory to the counts and, for ours, all metrics."""
    prepare_torch("cpu", cores())
    files, channels = study.files(), study.channels
    order, ks = read_order(study.in_layer / "ranking" / "l1_norm.csv", channels), range(1, channels)
    evaluator = Evaluator(files["features"], files["split"], files["layer"])
    maps = torch.from_numpy(np.array(load_array(files["features"])))
    layers, pairs, area = linear_layers(load_model(study.seed / "model.pt")), len(maps), maps[0, 0].numel()
    swept = evaluator.rows(order, ks, "structural")
    same = [
        all(row[name] == number for name, number in counts.items())
        for row, counts in zip(swept, masked(layers, maps, order, evaluator.labels), strict=True)
    ]
    seconds = alternating(
        study.rounds,
        ours=lambda turn: evaluator.rows(order, ks, "structural", threads=cores()) and None,
        masks=lambda turn: masked(layers, maps, order, evaluator.labels) and None,
        products=lambda turn: products(evaluator.backend, pairs, area),
    )
    name = f"peers: all {len(ks)} K from stored features, {study.dataset}, {pairs:,} pairs, {cores()} threads"
    peer = f"masks on the same features in torch; the same confusion counts at {sum(same)} of {len(ks)} K"
    return [
        at_least(compared(f"{name}, masks", seconds["ours"], peer, seconds["masks"]), LEAST),
        at_most(
            compared(f"{name}, arithmetic", seconds["ours"], "the same products in BLAS alone", seconds["products"]),
            MOST,
        ),
    ]
