"""The config section `repair`: keys, types, bounds, defaults and descriptions."""

from typing import Literal

from pydantic import Field

from prunecurve.sections import Section


class Repair(Section):
    """What repairs (sweep.repairs, sensitivity.repairs, plan.repair) are fitted to: inputs of the training split,
    without augmentation."""

    inputs: int = Field(4000, ge=1, le=100_000_000)
    """Number of calibration inputs, drawn at random for each network; all training inputs if there are fewer. 1,000 are
    enough for a refit of the default network."""

    single_inputs: int = Field(4096, ge=1, le=1_000_000)
    """A layer with more inputs than this is fitted with one coefficient for each pair of channels, instead of one for
    each pair of inputs (positions of a map or of a kernel). Memory and time grow with the square of the number. A
    linear layer that also reads other values, or reads the positions of a map first, is always fitted to single
    inputs. The layers of a plan, and networks that are retrained, are always fitted to single inputs."""

    weights: Literal["balanced", "equal"] = "balanced"
    """Weights of the calibration inputs: balanced gives each class the same total weight, equal each input. With equal,
    a refit reads no labels, and nor do the criteria obs and thinet."""
