"""The layers of a network, as far as the jobs of a study depend on them, and whether a config fits them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunecurve.errors import StudyError
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria
from prunecurve.sweep.k_batches import named

# Messages name all layers of a small network; for others they name the command that lists them.
NAMED = 12


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


def recovery_ks(config: Mapping[str, Any], layer: str, layers: Layers) -> list[int]:
    """Return the values of K of the target `recovery`, ascending, for a layer."""
    channels, chosen = layers.channels[layer], config["recovery"]["ks"]
    if chosen == "spread":
        chosen = [channels // 4, channels // 2, 3 * channels // 4, 7 * channels // 8, 15 * channels // 16, channels - 1]
    return sorted(set(chosen) - {0})


def k_batches(config: Mapping[str, Any], layer: str, layers: Layers) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by the job's name: `7` for one K, `0-15` for several.

    If torch evaluates them, one job evaluates all K of a ranking, because importing torch and reading the maps takes
    longer than an evaluation.
    """
    chosen = ks(config, layer, layers)
    size = config["sweep"]["ks_per_job"] if layers.backends[layer] == "numpy" else len(chosen)
    parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return {named(part): part for part in parts}


def misfits(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    """Yield the errors of the keys `layer`, `sweep` and `ranking.criteria` for these layers, one line each."""
    layer = pruned_layer(config, layers)
    channels = layers.channels.get(layer)
    if channels is None:
        yield wrong_layer(layer, layers)
        return
    width = "network.channels" if layer in layers.convolutions else "network.hidden"
    of_key = "" if config["network"]["factory"] else f" ({width})"
    if channels < 2:
        yield f"layer: {layer} has {channels} channel{of_key}; allowed: at least 2"
        return
    for name in [] if config["sensitivity"]["layers"] == "all" else config["sensitivity"]["layers"]:
        if name not in layers.channels:
            yield wrong_layer(name, layers, "sensitivity.layers")
    yield from unmeasured(config, "ranking", [layer], layers)
    if layer in layers.zero_weights and "zero_weights" in config["sweep"]["removals"]:
        yield f"sweep.removals: zero_weights is not possible at {layer}: {layers.zero_weights[layer]}; leave it out"
    for section, least in (("sweep", 0), ("recovery", 1)):
        asked = config[section]["ks"]
        if isinstance(asked, list) and max(asked) >= channels:
            yield (
                f"{section}.ks: K = {max(asked)} is out of range; allowed: {least} to {channels - 1}, "
                f"because {layer} has {channels} channels{of_key}"
            )


def wrong_layer(layer: str, layers: Layers, key: str = "layer") -> str:
    """Return the error for a layer, the value of a key, that cannot be pruned."""
    prunable = list(layers.channels)
    names = ", ".join(prunable) or "none"
    if len(prunable) > NAMED:
        names = f"one of {len(prunable)} layers (snakemake layers lists them)"
    if layer == "last":
        return f"{key}: last is the last convolution, but the network has none; allowed: {names}"
    allowed = f"allowed: last, {names}" if layers.last in layers.channels else f"allowed: {names}"
    if layer in layers.refused:
        return f"{key}: {layer} {layers.refused[layer]}; {allowed}"
    near = difflib.get_close_matches(layer, prunable, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key}: {layer} is not a convolution or linear layer of the network; {allowed}{hint}"


def unmeasured(config: Mapping[str, Any], section: str, measured: Iterable[str], layers: Layers) -> Iterator[str]:
    """Yield the errors of the criteria of a section that measure behind an activation where a layer has none."""
    for name in config[section]["criteria"]:
        if criteria.point(name.removeprefix(REVERSED), config["ranking"]["measure_at"]) in criteria.AFTER_ACTIVATION:
            for layer in measured:
                if layer in layers.signed:
                    yield f"{section}.criteria: at {layer}, {criteria.needs_activation(name, layers.signed[layer])}"


def sensitivity_layers(config: Mapping[str, Any], layers: Layers) -> list[str]:
    """Return the layers of the target `sensitivity`, in the order of the network.

    Raises StudyError if a criterion of the sensitivity cannot rank one of them.
    """
    asked = config["sensitivity"]["layers"]
    chosen = list(layers.convolutions) if asked == "all" else [layer for layer in layers.channels if layer in asked]
    if wrong := list(unmeasured(config, "sensitivity", chosen, layers)):
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise StudyError(wrong[0] + others)
    return chosen
