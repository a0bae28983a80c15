"""The layers of a network, as far as the jobs of a study depend on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prunecurve.model import conv_net_layers as conv_net_plan


@dataclass(frozen=True, eq=False)
class Plan:
    """Which layers can be pruned. It is compared by identity, so that it can be an argument of cached functions."""

    channels: Mapping[str, int]
    """P of each layer that can be pruned, by its module path, in the order of the network."""

    backends: Mapping[str, str]
    """How the network behind each of them is evaluated: numpy or torch."""

    convolutions: Mapping[str, int]
    """P of one convolution of each group of channels, the first: the layers of the target `sensitivity`, unless the
    config names others."""

    last: str | None
    """The last convolution of the network, even if it can't be pruned."""

    refused: Mapping[str, str]
    """Why other layers can't be pruned: the words that follow the layer's name in a message."""

    signed: Mapping[str, str]
    """Why nothing can be measured behind an activation at some of the layers, see `PrunableLayer.signed`."""

    zero_weights: Mapping[str, str]
    """Why this removal is not possible at some of the layers."""

    verified_by: Mapping[str, str]
    """How removals from each layer are verified, see verification/confirmed.py; by surgery if a layer is missing."""

    absent: str
    """The words for a name that is neither in `channels` nor in `refused`."""

    widths: Mapping[str, str]
    """The key of the config that sets P of each layer, if there is one."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Plan | None":
        """Return the plan of a complete config; None if the network is from outside (network.factory)."""
        network = config["network"]
        if network["factory"]:
            return None
        convolutions, hidden = conv_net_plan.convolutions(network), conv_net_plan.hidden_layers(network)
        channels = convolutions | hidden
        refused = dict.fromkeys(conv_net_plan.other_modules(network), "is neither a convolution nor a linear layer")
        return cls(
            channels=channels,
            backends={layer: conv_net_plan.backend(network, layer) for layer in channels},
            convolutions=convolutions,
            last=list(convolutions)[-1],
            refused=refused
            | {conv_net_plan.output_layer(network): "is the output layer, whose outputs are the classes"},
            signed={},
            zero_weights={},
            verified_by={},
            absent="is not in the network",
            widths=dict.fromkeys(convolutions, "network.channels") | dict.fromkeys(hidden, "network.hidden"),
        )

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, str]]) -> "Plan":
        """Return the plan of a network whose table of layers (layers.csv) has these rows."""
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
            refused={row["layer"]: f"can't be pruned: {row['refused']}" for row in rows if row["refused"]},
            signed=_column(kept, "signed"),
            zero_weights=_column(kept, "zero_weights"),
            verified_by=_column(kept, "verified_by"),
            absent="is not a convolution or linear layer of the network",
            widths={},
        )


def _column(rows: Iterable[Mapping[str, str]], name: str) -> dict[str, str]:
    """Return what a column has, by layer. A table of an earlier version lacks it until it is made again."""
    return {row["layer"]: row[name] for row in rows if row.get(name)}
