"""The layers of a network, as far as the jobs of a study depend on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Layers:
    """Which layers can be pruned. Compared by identity, so that they can be an argument of cached functions.

    channels: P of each layer that can be pruned, by its module path, in the order of the network. backends: how the
    network behind each of them is evaluated, numpy or torch. convolutions: P of one convolution of each group of
    channels, the first: the layers of the target `sensitivity`, unless the config names others. last: the last
    convolution of the network, even if it cannot be pruned. refused: why other layers cannot be pruned, the words that
    follow the layer's name in a message. signed, zero_weights: why nothing can be measured behind an activation (see
    `PrunableLayer.signed`), and why this removal is not possible, at some of the layers. verified_by: how removals from
    each layer are verified, see verification/confirmed.py; by surgery if a layer is missing.
    """

    channels: Mapping[str, int]
    backends: Mapping[str, str]
    convolutions: Mapping[str, int]
    last: str | None
    refused: Mapping[str, str]
    signed: Mapping[str, str] = field(default_factory=dict)
    zero_weights: Mapping[str, str] = field(default_factory=dict)
    verified_by: Mapping[str, str] = field(default_factory=dict)

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
        # A table of an earlier version lacks some of these columns until it is made again.
        words = {
            name: {row["layer"]: row[name] for row in kept if row.get(name)}
            for name in ("signed", "zero_weights", "verified_by")
        }
        # The last one of a dictionary counts.
        first = {row["group"]: row["layer"] for row in reversed(kept) if row["kind"] == "Conv2d"}
        return cls(
            channels=channels,
            backends={row["layer"]: row["backend"] for row in kept},
            convolutions={layer: channels[layer] for layer in channels if layer in first.values()},
            last=convolutions[-1] if convolutions else None,
            refused={row["layer"]: f"cannot be pruned: {row['refused']}" for row in rows if row["refused"]},
            **words,
        )


def pruned_layer(config: Mapping[str, Any], layers: Layers) -> str:
    """Return the layer whose channels the study removes."""
    return layers.last if config["layer"] == "last" and layers.last else config["layer"]


def ks(config: Mapping[str, Any], layer: str, layers: Layers) -> list[int]:
    """Return the values of K that a layer's sweep evaluates, ascending: those of the config, and 0 (unpruned)."""
    channels, chosen = layers.channels[layer], config["sweep"]["ks"]
    if isinstance(chosen, int):
        # The first and the last are 0 and P − 1.
        return sorted({round(place * (channels - 1) / (chosen - 1)) for place in range(chosen)})
    # Values of K are left out if the layer has too few channels.
    return list(range(channels)) if chosen == "all" else sorted({0, *(k for k in chosen if k < channels)})


def k_batches(config: Mapping[str, Any], layer: str, layers: Layers) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by the job's name: `7` for one K, `0-15` for several.

    If torch evaluates them, one job evaluates all K of a ranking, because importing torch and reading the maps takes
    longer than an evaluation.
    """
    chosen = ks(config, layer, layers)
    size = config["sweep"]["ks_per_job"] if layers.backends[layer] == "numpy" else len(chosen)
    parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return {str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}": part for part in parts}
