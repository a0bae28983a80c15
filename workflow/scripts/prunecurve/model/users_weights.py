"""The weights of a user's network from a file (network.weights): only weights, nothing else is unpickled."""

import os
import pickle
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from prunecurve import provenance
from prunecurve.errors import StudyError
from prunecurve.files import content_digest
from prunecurve.model.factory import CONTENT_OF_WEIGHTS, DIGITS_OF_WEIGHTS
from prunecurve.model.factory_import import reported
from prunecurve.model.messages import one_line, times
from prunecurve.model.user_network import few

# Keys under which a checkpoint holds a state dict.
HOLDERS = ("state_dict", "model_state_dict", "model")
# Parts of names that wrappers add, anywhere in them: those for several devices, and torch.compile.
WRAPPER_PARTS = ("module", "_orig_mod")
# The last parts of names that others add to a state dict: torch's AveragedModel, and thop for each module.
ADDED = ("n_averaged", "total_ops", "total_params")
# How files start that are not the weights themselves, what they are, and what to do.
NOT_THE_FILE = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; git lfs pull downloads it",
    b"<": "a web page (HTML), not the file itself; download the file that the page links to",
}


def load_weights(module: nn.Module, path: str) -> None:
    """Load a state dict of exactly this network from a file: only weights, nothing else is unpickled.

    The file is one of torch.save or a safetensors file. It holds a state dict, or a checkpoint with one as one of
    HOLDERS. Names may have a common prefix, or parts that wrappers add. Raises StudyError with one line that names
    network.weights and says which keys are missing, unexpected or of a different shape, or that the file was replaced.
    """
    content = _loaded(path)
    _require_unchanged(path)
    own = module.state_dict()
    state = _with_names_of(own, _without_prefixes(_state_in(content, path), own))
    shapes = [
        f"{name}: {_shape(state[name])} in the file, {_shape(value)} in the network"
        for name, value in own.items()
        if name in state and isinstance(value, Tensor) and getattr(state[name], "shape", None) != value.shape
    ]
    # Files of old versions of torch lack the number of batches, which no evaluation uses.
    missing = [name for name in own if name not in state and not name.endswith(".num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    problems = [("missing", missing), ("unexpected", unexpected), ("of a different shape", shapes)]
    listed = [f"{_count(len(names))} {kind} ({few(names)})" for kind, names in problems if names]
    if listed:
        raise StudyError(
            f"network.weights: {path} does not fit the network of network.factory: {'; '.join(listed)}; "
            "give the weights of this network, or check network.arguments"
        )
    with reported(f"network.weights: {path} cannot be loaded into the network of network.factory"):
        module.load_state_dict(state, strict=False)


def _require_unchanged(path: str) -> None:
    """Raise StudyError if the content of the file is not the one that the run started with."""
    if provenance.differs(f"{CONTENT_OF_WEIGHTS}{provenance.SEPARATOR}{content_digest(path)[:DIGITS_OF_WEIGHTS]}"):
        raise StudyError(f"network.weights: {path} was replaced after this run had started; run the same command again")


def _loaded(path: str) -> Any:
    if not os.path.isfile(path):
        raise StudyError(f"network.weights: there is no file {path}")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
        if what := next((what for mark, what in NOT_THE_FILE.items() if start.lstrip().startswith(mark)), None):
            raise StudyError(f"network.weights: {path} is {what}")
        # The length of the header, and the header in JSON.
        if start[8:9] == b"{":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except StudyError:
        raise
    except pickle.UnpicklingError as error:
        # torch's message suggests to load the file unsafely.
        named = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        raise StudyError(
            f"network.weights: {path} is damaged or holds more than weights"
            f"{f' ({named[1]})' if named else ''}, and nothing else is unpickled; save network.state_dict() alone"
        ) from error
    except OSError as error:
        raise StudyError(f"network.weights: {path} cannot be read ({error.strerror or error})") from error
    # torch.load raises many different exceptions for files of a different kind.
    except Exception as error:
        raise StudyError(f"network.weights: {path} is not a file of weights ({one_line(error)})") from error


def _state_in(content: Any, path: str) -> dict[str, Any]:
    """Return the state dict in the content of a file."""
    if isinstance(content, Mapping):
        holder = next((name for name in HOLDERS if isinstance(content.get(name), Mapping)), None)
        state = content[holder] if holder else content
        if (
            state
            and all(isinstance(name, str) for name in state)
            and any(isinstance(v, Tensor) for v in state.values())
        ):
            return dict(state)
        what = f"a mapping with the keys {few(map(str, content))}" if content else "empty"
    else:
        what = f"a {type(content).__name__}"
    raise StudyError(
        f"network.weights: {path} holds no state dict: it is {what}; "
        f"a state dict, or a mapping with one under {' or '.join(HOLDERS)}, is needed"
    )


def _without_prefixes(state: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
    """Return a state dict without ADDED and without prefixes that all its names and none of the network's own have.

    Such a prefix is the name of the network inside a larger module.
    """
    state = {name: value for name, value in state.items() if name in own or name.split(".")[-1] not in ADDED}
    while len(prefixes := {name.partition(".")[0] + "." for name in state}) == 1:
        (prefix,) = prefixes
        if any(name.startswith(prefix) for name in own) or not all("." in name for name in state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _with_names_of(own: Collection[str], state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict with the names of the network instead of those that differ only by parts WRAPPER_PARTS."""

    def bare(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)

    names = {bare(name): name for name in own}
    return {name if name in own else names.get(bare(name), name): value for name, value in state.items()}


def _shape(value: Any) -> str:
    return (times(value.shape) or "a number") if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _count(number: int) -> str:
    return f"{number} key is" if number == 1 else f"{number} keys are"
