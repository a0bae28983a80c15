"""The layers of a network, as far as the jobs of a study depend on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Layers:
    """Which layers can be pruned. Compared by identity, so that they can be an argument of cached functions."""

    channels: Mapping[str, int]
    """P of each layer that can be pruned, by its module path, in the order of the network."""

    backends: Mapping[str, str]
    """How the network behind each of them is evaluated: numpy or torch."""

    convolutions: Mapping[str, int]
    """P of one convolution of each group of channels, the first: the layers of the target `sensitivity`, unless the
    config names others."""

    last: str | None
    """The last convolution of the network, even if it cannot be pruned."""

    refused: Mapping[str, str]
    """Why other layers cannot be pruned: the words that follow the layer's name in a message."""

    signed: Mapping[str, str] = field(default_factory=dict)
    """Why nothing can be measured behind an activation at some of the layers, see `PrunableLayer.signed`."""

    zero_weights: Mapping[str, str] = field(default_factory=dict)
    """Why this removal is not possible at some of the layers."""

    verified_by: Mapping[str, str] = field(default_factory=dict)
    """How removals from each layer are verified, see verification/confirmed.py; by surgery if a layer is missing."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Layers | None":
        """Return the layers of the built-in network; None if the network is from outside (network.factory)."""
        network = config["network"]
        if network["factory"]:
            return None
        # The modules of model/conv_net.py, which is not imported here because it imports torch.
        convolutions = {f"conv{i}": channels for i, channels in enumerate(network["channels"], start=1)}
        hidden = {f"linear{i}": outputs for i, outputs in enumerate(network["hidden"], start=1)}
        *earlier, last = convolutions
        output = f"linear{len(hidden) + 1}"
        return cls(
            channels=convolutions | hidden,
            backends=dict.fromkeys(earlier, "torch") | dict.fromkeys([last, *hidden], "numpy"),
            convolutions=convolutions,
            last=last,
            refused={output: "is the output layer, whose outputs are the classes"},
        )

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, str]]) -> "Layers":
        """Return the layers of a network whose table of layers (layers.csv) has these rows."""
        rows = list(rows)
        kept = [row for row in rows if not row["refused"]]
        convolutions = [row["layer"] for row in rows if row["kind"] == "Conv2d"]
        channels = {row["layer"]: int(row["channels"]) for row in kept}
        # The last one of a dictionary counts.
        first = {row["group"]: row["layer"] for row in reversed(kept) if row["kind"] == "Conv2d"}
        return cls(
            channels=channels,
            backends={row["layer"]: row["backend"] for row in kept},
            convolutions={layer: channels[layer] for layer in channels if layer in first.values()},
            last=convolutions[-1] if convolutions else None,
            refused={row["layer"]: f"cannot be pruned: {row['refused']}" for row in rows if row["refused"]},
            signed=_column(kept, "signed"),
            zero_weights=_column(kept, "zero_weights"),
            verified_by=_column(kept, "verified_by"),
        )


def _column(rows: Iterable[Mapping[str, str]], name: str) -> dict[str, str]:
    """Return what a column has, by layer. A table of an earlier version lacks it until it is made again."""
    return {row["layer"]: row[name] for row in rows if row.get(name)}


def is_built_in(config: Mapping[str, Any]) -> bool:
    """Return whether the network is the built-in one, whose layers follow from the config."""
    return not config["network"]["factory"]


def pruned_layer(config: Mapping[str, Any], layers: Layers) -> str:
    """Return the layer whose channels the study removes."""
    return layers.last if config["layer"] == "last" and layers.last else config["layer"]
