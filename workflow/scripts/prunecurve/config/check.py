"""Check a config, fill in defaults, and report errors, one line per error: key, value, allowed values, nearest key."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from prunecurve.config.layers import Layers, misfits, pruned_layer
from prunecurve.config.model import KEYS, Study
from prunecurve.data import tasks
from prunecurve.errors import StudyError
from prunecurve.model.factory import SEED_IN_PATH
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria


def check(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete config, with its keys in the order of the declaration.

    The parameters of jobs list the keys, so another order in the config or on the command line would trigger re-runs.
    Raises StudyError with one line per error; each line names its key.
    """
    try:
        complete = Study.model_validate(config).model_dump()
    except ValidationError as error:
        raise _refusal(_message(wrong, config) for wrong in error.errors(include_url=False)) from None
    complete["study"] = complete["study"] or complete["dataset"]
    if wrong := list(_contradictions(complete)):
        raise _refusal(wrong)
    return complete


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors that concern several keys, one line each; the first key of a line is to be changed."""
    network, layers = config["network"], Layers.of(config)
    if layers:
        yield from _contradictions_of_built_in(config, layers)
    # Layers from outside are known after a job (rules/layers.smk).
    elif network["weights"] and SEED_IN_PATH not in network["weights"] and len(config["seeds"]) > 1:
        yield (
            f"network.weights: one file of weights is one network, and there are {len(config['seeds'])} seeds; "
            f"write {SEED_IN_PATH} in the path (weights_{SEED_IN_PATH}.pt), or give one seed "
            f"(seeds: [{config['seeds'][0]}])"
        )
    if not tasks.inputs_of(config["task"]).RECALLS and not isinstance(weight := config["training"]["same_weight"], str):
        yield (
            f"training.same_weight: {weight} is the weight of same pairs, which the task {config['task']} does not "
            "have; allowed: balanced (or task: pairs)"
        )


def _contradictions_of_built_in(config: Mapping[str, Any], layers: Layers) -> Iterator[str]:
    network, size = config["network"], config["image_size"]
    for key in ("arguments", "weights", "leaf_modules"):
        if network[key]:
            yield f"network.{key}: it belongs to the network of network.factory, which is not given"
    blocks = len(network["channels"])
    if size >> blocks < 1:
        yield (
            f"network.channels: {blocks} blocks are too many for image_size {size}, since each halves the image; "
            f"allowed: at most {size.bit_length() - 1} blocks"
        )
    yield from misfits(config, layers)
    if pruned_layer(config, layers) in layers.channels.keys() - layers.convolutions.keys():
        for name in config["ranking"]["criteria"]:
            if "scale" in criteria.reads(name):
                yield f"ranking.criteria: {name} needs batch normalisation, and {config['layer']} (layer) has none"


def _refusal(lines: Iterable[str]) -> StudyError:
    return StudyError("the config has errors:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(lines)))


def _message(error: Mapping[str, Any], config: Any) -> str:
    """Return one of pydantic's errors in a line: key, value and allowed values.

    Below a key with several types, pydantic's path to the value names one of them; the message is about the key.
    """
    path = list(map(str, error["loc"]))
    if error["type"] in ("extra_forbidden", "invalid_key"):
        return f"{'.'.join(path)}: unknown key; {_hint(path[-1], '.'.join(path[:-1]))}"
    depth = 2 if ".".join(path[:2]) in KEYS else 1
    schema = KEYS[".".join(path[:depth])]
    if "items" in schema and len(path) > depth:
        schema, depth = schema["items"], depth + 1
    key, value = ".".join(path[:depth]), config
    for step in error["loc"][:depth]:
        value = value[step]
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    text, near = repr(value), []
    text = text if len(text) <= 200 else f"{text[:100]} … {text[-50:]}"
    if "enum" in schema:
        near = difflib.get_close_matches(text, schema["enum"], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key}: {text} is {'unknown' if 'enum' in schema else 'not allowed'}; allowed: {describe(schema)}{hint}"


def _hint(name: str, section: str) -> str:
    """Return which key an unknown key may mean: of this name elsewhere, or of a similar one; or the section's keys."""
    everywhere = {key.rpartition(".")[2]: key for key in reversed(KEYS)}
    here = {last: key for key in KEYS for head, _, last in [key.rpartition(".")] if head == section}
    near = difflib.get_close_matches(name, everywhere, 1, 0.8) or difflib.get_close_matches(name, here, 1)
    return f"did you mean {(everywhere | here)[near[0]]}?" if near else f"allowed keys: {', '.join(here)}"


def describe(schema: Mapping[str, Any]) -> str:
    """Describe the values that a part of a schema allows."""
    if "examples" in schema:
        return " or ".join(map(str, schema["examples"])) + ", …"
    if "enum" in schema:
        plain = [str(value) for value in schema["enum"] if not str(value).startswith(REVERSED)]
        return ", ".join(plain) + (f", {REVERSED}NAME" if len(plain) < len(schema["enum"]) else "")
    if "anyOf" in schema:
        return " or ".join(describe(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        example = f", such as [{', '.join(map(str, schema['default']))}]," if "default" in schema else ""
        different = ", all different" if schema.get("uniqueItems") else ""
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{example} of: {describe(schema['items'])}{different}{most}"
    names = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    words = (names | {"null": "null"}).get(schema.get("type", ""), "a mapping of keys to values")
    if "minLength" in schema:
        words = f"{words}, not empty"
    if "maxLength" in schema:
        words = f"{words}, at most {schema['maxLength']} characters, none of them a control character"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return " ".join([words, " and ".join(bounds)]).strip()
