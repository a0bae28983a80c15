"""The config section `training`: keys, types, bounds, defaults and descriptions."""

from typing import Annotated, Literal

from pydantic import Field

from prunecurve.sections import NoResult, Real, Section

Precision = Literal["float32", "bfloat16"]


class Recipe(Section):
    """Parameters of the training that the weights depend on: AdamW, one-cycle learning rates (Smith & Topin 2019)."""

    epochs: int = Field(8, ge=1, le=1_000_000)
    """Number of passes over the training inputs. The weights of the best validation epoch are kept."""

    batch_size: int = Field(64, ge=2, le=1_000_000)
    """Inputs (pairs or images) per training step."""

    learning_rate: Real = Field(0.001, gt=0, le=1000)
    """Peak learning rate of the one-cycle schedule."""

    weight_decay: Real = Field(0.01, ge=0, le=1000)
    """Weight decay of AdamW."""

    max_shift: int = Field(0, ge=0, le=511)
    """Each training image is shifted at random by at most this many pixels in each direction."""

    swap: bool = True
    """Exchange the two images of a training pair with probability 0.5, unless their order matters to the task. It has
    no effect on single images."""

    same_weight: Literal["balanced"] | Annotated[Real, Field(gt=0, le=1_000_000)] = "balanced"
    """Weight of same pairs in the training loss; different pairs have weight 1. balanced gives all classes the same
    total weight (9 with one same and nine different pairs per image). With 1, as in the reference experiment, a network
    for difficult images can learn to answer different to every pair. A number is allowed for the task pairs only."""

    precision: Precision = "float32"
    """Number format of the forward and backward passes in training. Weights, evaluations and all later stages use
    float32. bfloat16 is faster if the processor supports it (AVX-512 BF16, AMX, GPUs), and much slower otherwise."""


class Training(Recipe):
    """Parameters of the training. The best epoch is chosen on the validation inputs only."""

    require: NoResult[Real] = Field(0.55, ge=0, le=1)
    """Lowest accepted balanced accuracy on the validation inputs for two classes, where a constant answer has 0.5. For
    C classes, where it has 1/C, the threshold is rescaled from [0.5, 1] to [1/C, 1]: 0.55 becomes 0.19 for 10 classes.
    It must also be three standard errors above that of a constant answer. A network below it stops the run, because its
    curve says nothing about pruning. 0 accepts every network; if it is not three standard errors above a constant
    answer, the summary and the figures carry a warning."""
