"""The config section `network`: keys, types, bounds, defaults and descriptions."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from prunecurve.model.factory import MODULE_PATH
from prunecurve.sections import Different, Real, Section

# No control characters, because a command line does not accept all of them; no `|`, which separates settings in files.
TEXT = r"^[^\x00-\x1f\x7f|\ud800-\udfff]*(?![\s\S])"
# FILE.py:FUNCTION or package.module:FUNCTION.
FUNCTION = rf"(?={TEXT})^((.+\.py|[^\W\d]\w*(\.[^\W\d]\w*)*):[^\W\d]\w*)?(?![\s\S])"


def _no_decimal(value: Any) -> Any:
    """Refuse a number such as 4.1, because the user may have written 4.10, a different module."""
    if isinstance(value, float):
        raise ValueError(
            f"{value} is a number; write the name of a module in quotes ('{value}'), on the command line with a tag: "
            f"'layer=!!str {value}'"
        )
    return value


def _typed(value: Any) -> Any:
    """Return numbers, true, false and null instead of their texts, to which Snakemake converts values in a mapping."""
    if isinstance(value, dict):
        return {name: _typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    try:
        typed = json.loads(value, parse_constant=str) if isinstance(value, str) else value
    except ValueError:
        return value
    return value if isinstance(typed, str | list | dict) else typed


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"{size} is even; allowed: odd numbers, which keep the map size")
    return size


ModulePath = Annotated[
    str,
    BeforeValidator(_no_decimal),
    Field(pattern=rf"^{MODULE_PATH}(?![\s\S])", examples=["block1", "layer1.0"]),
]
# A path, a pattern of paths, or the name of a class.
ModuleNames = Annotated[
    str,
    BeforeValidator(_no_decimal),
    Field(pattern=r"^[\w*?\[][^/{}|\x00-\x1f]*(?![\s\S])", examples=["stage1.0", "blocks.*.attn", "Attention"]),
]
Width = Annotated[int, Field(ge=1, le=65536)]


class BuiltIn(Section):
    """The shape of the built-in network."""

    channels: list[Width] = Field([16, 32, 64], min_length=1)
    """Number of output channels of each convolution block of the built-in network. A network of network.factory ignores
    this key, network.kernel_size, network.hidden and network.dropout."""

    kernel_size: Annotated[int, AfterValidator(_odd)] = Field(3, ge=1, le=31)
    """Height and width of the filters of the built-in network; must be odd."""

    hidden: list[Width] = Field([128, 32], min_length=1, max_length=100)
    """Number of outputs of each hidden linear layer of the built-in network."""

    dropout: Real = Field(0.5, ge=0, lt=1)
    """Dropout probability of the first hidden layer's outputs of the built-in network in training."""


class Network(BuiltIn):
    """The network that is trained and pruned: the built-in one, or one that a function returns (network.factory)."""

    factory: str = Field(
        "", max_length=4000, pattern=FUNCTION, examples=["FILE.py:FUNCTION", "torchvision.models:resnet18"]
    )
    """The function that returns the network, a torch.nn.Module: FILE.py:FUNCTION (a file; a relative path starts at the
    working folder) or package.module:FUNCTION. Its code runs in jobs. Left empty, the built-in network is used."""

    arguments: Annotated[dict[str, JsonValue], BeforeValidator(_typed)] = Field({})
    """The arguments that network.factory is called with, by name. The values are numbers, texts, true, false, null,
    lists and mappings. A text that reads as a number, true, false or null becomes one."""

    weights: str = Field("", max_length=4000, pattern=TEXT, examples=["weights.pt", "weights_{seed}.pt"])
    """File with the weights (state dict) of the network of network.factory. Nothing is trained then. The path may
    contain {seed}; without it, exactly one seed is allowed. Left empty, the network is trained."""

    leaf_modules: Different[ModuleNames] = Field([])
    """Modules of the network of network.factory that torch.fx does not look into because it cannot trace them: their
    paths, patterns of paths (blocks.*.attn) or names of their classes. What such a module does with channels is
    determined by running it; layers inside it cannot be pruned."""
