"""torchvision with a different build of torch than the one that it was compiled for, such as a CPU-only one."""

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def with_torchvision(run: Callable[[], Result]) -> Result:
    """Return the result of a function that imports torchvision.

    With a CPU-only torch, the import can fail because two compiled operators are missing. Then they are declared, and
    the function is called again. This is enough, because neither the data sets nor the classifiers use them.
    """
    try:
        return run()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", SIGNATURE)
    return run()
