"""How many inputs run at once through a network whose channels are measured or removed, so that they fit in memory."""

import numpy as np
import torch

from prunecurve.data.batches import Values, fitting
from prunecurve.graph.downstream import Downstream
from prunecurve.graph.layers import PrunableLayer


@torch.inference_mode()
def batch_of(layer: PrunableLayer, most: int) -> int:
    """Return the inputs per forward pass for a layer: `most`, or fewer if their values would need too much memory.

    The number is the same for all jobs of the layer, so that maps that are computed again have the same bytes.
    """
    few = layer.example().repeat(2, 1, 1, 1)
    with Values() as values:
        measured = layer.measure(few)
        layer.downstream.logits(measured.crossing, np.zeros(0, np.int64))
    crossing = sum(value.nbytes for value in measured.crossing)
    kept = sum({value.data_ptr(): value.nbytes for value in measured.maps.values()}.values())
    # What is stored and what is read are copies of maps, and the values before the copy are still there.
    needed = kept + 2 * crossing + 2 * measured.read.nbytes + 2 * values.largest
    return fitting(most, needed / len(few))


def batch_with_gradients(downstream: Downstream, crossing: list[torch.Tensor], count: int, most: int) -> int:
    """Return the inputs per pass through the network downstream of a layer, if its values are kept for gradients.

    crossing: the crossing values of `count` inputs. most: see `batch_of`.
    """
    with torch.no_grad(), Values() as values:
        downstream.logits(crossing, np.zeros(0, np.int64))
    return fitting(most, 2 * values.total / count)
