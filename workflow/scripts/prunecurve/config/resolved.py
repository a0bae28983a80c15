"""What follows from a complete config and the layers of its network: layers, values of K and their jobs, settings."""

from collections.abc import Mapping
from typing import Any

from prunecurve.config.contradictions import unmeasured
from prunecurve.config.layers import Layers, is_built_in, pruned_layer
from prunecurve.config.mappings import leaves
from prunecurve.data.datasets import asked_sizes
from prunecurve.errors import StudyError
from prunecurve.model.parameters import BuiltIn, Network
from prunecurve.training.parameters import Recipe


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


def resolved(config: Mapping[str, Any], layers: Layers | None = None) -> dict[str, Any]:
    """Return the value of each key, with dots between levels. Two configs that need the same jobs give the same values:

    `layer`, `sweep.ks` and the sizes of the splits have the values that they mean. The first two are left as they
    are if the network is from outside and `layers` is not given. Keys that have no effect on the network are left out:
    those of the built-in network with a factory, the others without one, and the recipe if nothing is trained. Of
    network.weights, which is a place and not a content, there is whether it is given.
    """
    values, layers = dict(leaves(config)), layers or Layers.of(config)
    if layers:
        layer = values["layer"] = pruned_layer(config, layers)
        every = list(range(layers.channels[layer]))
        values["sweep.ks"] = "all" if ks(config, layer, layers) == every else ks(config, layer, layers)
    if is_built_in(config):
        unused = {f"network.{name}" for name in Network.model_fields if name not in ("factory", *BuiltIn.model_fields)}
    else:
        unused = {f"network.{name}" for name in BuiltIn.model_fields}
        if values["network.weights"]:
            # Nothing is trained.
            values["network.weights"] = "given"
            unused |= {f"training.{name}" for name in Recipe.model_fields}
    values = {key: value for key, value in values.items() if key not in unused}
    return values | {f"images.{split}": size for split, size in asked_sizes(config).items()}
