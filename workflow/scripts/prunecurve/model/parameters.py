"""The config sections `network` and `training`: keys, types, bounds, defaults and descriptions."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from prunecurve.model.factory import MODULE_PATH
from prunecurve.sections import Different, Section

# No control characters, because a command line does not accept all of them; no `|`, which separates settings in files.
TEXT = r"^[^\x00-\x1f\x7f|\ud800-\udfff]*(?![\s\S])"
ModulePath = Annotated[str, Field(pattern=rf"^{MODULE_PATH}(?![\s\S])", examples=["block1", "layer1.0"])]
# A path, a pattern of paths, or the name of a class.
ModuleNames = Annotated[
    str,
    Field(pattern=r"^[\w*?\[][^/{}|\x00-\x1f]*(?![\s\S])", examples=["stage1.0", "blocks.*.attn", "Attention"]),
]
Width = Annotated[int, Field(ge=1, le=65536)]
Precision = Literal["float32", "bfloat16"]


class BuiltIn(Section):
    """The shape of the built-in network."""

    channels: list[Width] = Field([16, 32, 64], min_length=1)
    """Number of output channels of each convolution block of the built-in network. A network of network.factory ignores
    this key, network.kernel_size, network.hidden and network.dropout."""

    kernel_size: int = Field(3, ge=1, le=31)
    """Height and width of the filters of the built-in network; must be odd."""

    hidden: list[Width] = Field([128, 32], min_length=1, max_length=100)
    """Number of outputs of each hidden linear layer of the built-in network."""

    dropout: float = Field(0.5, ge=0, lt=1)
    """Dropout probability of the first hidden layer's outputs of the built-in network in training."""


class Network(BuiltIn):
    """The network that is trained and pruned: the built-in one, or one that a function returns (network.factory)."""

    factory: str = Field(
        "", max_length=4000, pattern=TEXT, examples=["FILE.py:FUNCTION", "torchvision.models:resnet18"]
    )
    """The function that returns the network, a torch.nn.Module: FILE.py:FUNCTION (a file; a relative path starts at the
    working folder) or package.module:FUNCTION. Its code runs in jobs. Left empty, the built-in network is used."""

    arguments: dict[str, JsonValue] = Field({})
    """The arguments that network.factory is called with, by name. The values are numbers, texts, true, false, null,
    lists and mappings."""

    weights: str = Field("", max_length=4000, pattern=TEXT, examples=["weights.pt", "weights_{seed}.pt"])
    """File with the weights (state dict) of the network of network.factory. Nothing is trained then. The path may
    contain {seed}; without it, exactly one seed is allowed. Left empty, the network is trained."""

    leaf_modules: Different[ModuleNames] = Field([])
    """Modules of the network of network.factory that torch.fx does not look into because it can't trace them: their
    paths, patterns of paths (blocks.*.attn) or names of their classes. What such a module does with channels is found
    by running it; layers inside it can't be pruned."""


class Recipe(Section):
    """Parameters of the training that the weights depend on: AdamW, one-cycle learning rates (Smith & Topin 2019)."""

    epochs: int = Field(8, ge=1, le=1_000_000)
    """Number of passes over the training inputs. The weights of the best validation epoch are kept."""

    batch_size: int = Field(64, ge=2, le=1_000_000)
    """Inputs (pairs or images) per training step."""

    learning_rate: float = Field(0.001, gt=0, le=1000)
    """Peak learning rate of the one-cycle schedule."""

    weight_decay: float = Field(0.01, ge=0, le=1000)
    """Weight decay of AdamW."""

    max_shift: int = Field(0, ge=0, le=511)
    """Each training image is shifted at random by at most this many pixels in each direction."""

    swap: bool = True
    """Exchange the two images of a training pair with probability 0.5. It has no effect on single images."""

    same_weight: Literal["balanced"] | Annotated[float, Field(gt=0, le=1_000_000)] = "balanced"
    """Weight of same pairs in the training loss; different pairs have weight 1. balanced gives all classes the same
    total weight (9 with one same and nine different pairs per image). With 1, as in the reference experiment, a network
    for difficult images can learn to answer different to every pair. A number is allowed for the task pairs only."""

    precision: Precision = "float32"
    """Number format of the forward and backward passes in training. Weights, evaluations and all later stages use
    float32. bfloat16 is faster if the processor supports it (AVX-512 BF16, AMX, GPUs), and much slower otherwise."""


class Training(Recipe):
    """Parameters of the training. The best epoch is chosen on the validation inputs only."""

    require: float = Field(0.55, ge=0, le=1)
    """Least balanced accuracy of a network on the validation inputs, for two classes, where a constant answer has 0.5.
    For C classes, where it has 1/C, the threshold is rescaled from [0.5, 1] to [1/C, 1]: 0.55 becomes 0.19 for 10
    classes. The balanced accuracy must also be three standard errors above that of a constant answer. A network
    below it stops the run, because its curve says nothing about pruning. 0 accepts every network; if it is not three
    standard errors above a constant answer, the summary and the figures carry a warning."""
