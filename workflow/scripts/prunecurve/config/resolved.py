"""What follows from a complete config: layers, values of K and their jobs."""

from collections.abc import Mapping
from typing import Any

from prunecurve.config.mappings import leaves
from prunecurve.data.planning import asked_sizes
from prunecurve.errors import StudyError
from prunecurve.network import conv_net_plan
from prunecurve.network.parameters import BuiltIn

OF_USERS_NETWORK = ("network.arguments", "network.weights", "network.leaf_modules")
# With weights, nothing is trained.
OF_ALL_NETWORKS = "training.require"


def is_built_in(config: Mapping[str, Any]) -> bool:
    """Return whether the network is the built-in one, whose layers follow from the config."""
    return not config["network"]["factory"]


def convolutions(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of channels of each convolution, in the order of the network.

    Raises StudyError for a network of network.factory: its layers are known when a job has built it.
    """
    if not is_built_in(config):
        raise StudyError("network.factory: the layers of this network do not follow from the config")
    return conv_net_plan.convolutions(config["network"])


def layers(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of channels of each layer that can be pruned: convolutions and hidden linear layers."""
    return convolutions(config) | conv_net_plan.hidden_layers(config["network"])


def pruned_layer(config: Mapping[str, Any]) -> str:
    """Return the layer whose channels the study removes."""
    return list(convolutions(config))[-1] if config["layer"] == "last" else config["layer"]


def width_key(config: Mapping[str, Any]) -> str:
    """Return the key that sets the number of channels of the pruned layer."""
    return "network.channels" if pruned_layer(config) in convolutions(config) else "network.hidden"


def backend(config: Mapping[str, Any], layer: str) -> str:
    """Return how the network behind a layer is evaluated: numpy if only linear layers follow, else torch."""
    return conv_net_plan.backend(config["network"], layer)


def ks(config: Mapping[str, Any], layer: str) -> list[int]:
    """Return the values of K that a layer's sweep evaluates, ascending: those of the config, and 0 (unpruned)."""
    channels, chosen = layers(config)[layer], config["sweep"]["ks"]
    # Values of K are left out if the layer has too few channels.
    return list(range(channels)) if chosen == "all" else sorted({0, *(k for k in chosen if k < channels)})


def k_batches(config: Mapping[str, Any], layer: str) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by the job's name: `7` for one K, `0-15` for several.

    If torch evaluates them, one job evaluates all K of a ranking, because importing torch and reading the maps takes
    longer than an evaluation.
    """
    chosen = ks(config, layer)
    size = config["sweep"]["ks_per_job"] if backend(config, layer) == "numpy" else len(chosen)
    parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return {str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}": part for part in parts}


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each key, with dots between levels. Two configs that need the same jobs give the same values:

    `layer`, `sweep.ks` and the sizes of the splits have the values that they stand for (`layer` and `sweep.ks` for the
    built-in network only). Keys that have no effect on the network are left out: those of the built-in network with a
    factory, the others without one, and the recipe if nothing is trained. Of network.weights, which is a place and not
    a content, there is whether it is given.
    """
    values = dict(leaves(config))
    if is_built_in(config):
        unused = OF_USERS_NETWORK
        layer = values["layer"] = pruned_layer(config)
        every = list(range(layers(config)[layer]))
        values["sweep.ks"] = "all" if ks(config, layer) == every else ks(config, layer)
    else:
        unused = tuple(f"network.{name}" for name in BuiltIn.model_fields)
        if values["network.weights"]:
            values["network.weights"] = "given"
            unused += tuple(key for key in values if key.startswith("training.") and key != OF_ALL_NETWORKS)
    values = {key: value for key, value in values.items() if key not in unused}
    return values | {f"images.{split}": size for split, size in asked_sizes(config).items()}
