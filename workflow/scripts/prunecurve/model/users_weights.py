"""The weights of a user's network from a file (network.weights): only weights, nothing else is unpickled."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from prunecurve import provenance
from prunecurve.digests import content_digest
from prunecurve.errors import StudyError, some
from prunecurve.model.factory import CONTENT_OF_WEIGHTS, DIGITS_OF_WEIGHTS
from prunecurve.model.messages import not_loaded, one_line

# Keys under which a checkpoint holds a state dict.
HOLDERS = ("state_dict", "model_state_dict", "model")
# Parts of names that wrappers add, anywhere in them: those for several devices, and torch.compile.
WRAPPER_PARTS = ("module", "_orig_mod")
# The last parts of names that others add to a state dict: torch's AveragedModel, and thop for each module.
ADDED = ("n_averaged", "total_ops", "total_params")


def load_weights(module: nn.Module, path: str) -> None:
    """Load a state dict of exactly this network from a file of torch.save or a safetensors file.

    It holds a state dict, or a checkpoint with one as one of HOLDERS. Raises StudyError with one line that names
    network.weights and says which keys are missing, unexpected or of a different shape, or that the file was replaced.
    """
    state = _with_names_of(module.state_dict(), _state_in(path))
    if provenance.differs(f"{CONTENT_OF_WEIGHTS}{provenance.SEPARATOR}{content_digest(path)[:DIGITS_OF_WEIGHTS]}"):
        raise StudyError(f"network.weights: {path} was replaced after this run had started; run the same command again")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise StudyError(
            f"network.weights: {path} does not fit the network of network.factory ({one_line(error)}); "
            "give the weights of this network, or check network.arguments"
        ) from error


def _state_in(path: str) -> dict[str, Any]:
    """Return the state dict in a file."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
        # A safetensors file starts with the length of its header, and the header in JSON.
        safe = start[8:] == b"{"
        content = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    # torch.load raises many different exceptions for files of a different kind.
    except Exception as error:
        raise StudyError(
            f"network.weights: {path} cannot be loaded ({not_loaded(error)}); "
            "the file must hold network.state_dict(), without other objects"
        ) from error
    state = content
    if isinstance(content, Mapping):
        state = next((content[name] for name in HOLDERS if isinstance(content.get(name), Mapping)), content)
        if any(isinstance(value, Tensor) for value in state.values()):
            return dict(state)
    what = f"a mapping with the keys {some(list(state), 5)}" if isinstance(state, Mapping) else type(state).__name__
    raise StudyError(
        f"network.weights: {path} holds no state dict, but {what}; "
        f"a state dict, or a mapping with one under {' or '.join(HOLDERS)}, is needed"
    )


def _with_names_of(own: Collection[str], state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict with the network's names: without ADDED, without WRAPPER_PARTS, and without a common prefix.

    The prefix, which none of the network's own names has, is the name of the network inside a larger module.
    """

    def bare(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)

    state = {name: value for name, value in state.items() if name in own or name.split(".")[-1] not in ADDED}
    while len(prefixes := {name.partition(".")[0] + "." for name in state}) == 1:
        (prefix,) = prefixes
        if any(name.startswith(prefix) for name in own) or not all("." in name for name in state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    names = {bare(name): name for name in own}
    return {name if name in own else names.get(bare(name), name): value for name, value in state.items()}
