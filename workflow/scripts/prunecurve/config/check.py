"""Check a config, fill in defaults, and report errors, one line per error: key, value, allowed values, nearest key."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from prunecurve.config.contradictions import contradictions
from prunecurve.config.model import KEYS, Study
from prunecurve.errors import StudyError
from prunecurve.sections import describe, schema_of


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete config, with its keys in the order of the declaration.

    The parameters of jobs list the keys, so another order in the config or on the command line would trigger re-runs.
    Raises StudyError with one line per error; each line names its key.
    """
    try:
        config = Study.model_validate(given).model_dump()
    except ValidationError as error:
        raise _refusal(_message(wrong, given) for wrong in error.errors(include_url=False)) from None
    config["study"] = config["study"] or config["dataset"]
    if wrong := list(contradictions(config)):
        raise _refusal(wrong)
    return config


def _refusal(lines: Iterable[str]) -> StudyError:
    return StudyError("the config has errors:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(lines)))


def _message(error: Mapping[str, Any], given: Any) -> str:
    """Return one of pydantic's errors in a line: key, value and allowed values.

    Below a key with several types, pydantic's path to the value names one of them; the message is about the key.
    """
    if error["type"] in ("extra_forbidden", "invalid_key"):
        *sections, name = map(str, error["loc"])
        return f"{'.'.join([*sections, name])}: unknown key; {_hint(name, '.'.join(sections))}"
    value, schema, path = given, schema_of(Study), []
    for step in error["loc"]:
        if step in schema.get("properties", {}):
            schema = schema["properties"][step]
        elif "items" in schema and isinstance(step, int):
            schema = schema["items"]
        else:
            break
        value = value[step]
        path.append(str(step))
    key = ".".join(path)
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    if "enum" in schema:
        near = difflib.get_close_matches(_shown(value), schema["enum"], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{key}: {_shown(value)} is unknown; allowed: {describe(schema)}{hint}"
    return f"{key}: {_shown(value)} is not allowed; allowed: {describe(schema)}"


def _hint(name: str, section: str) -> str:
    """Return which key an unknown key may mean: of this name elsewhere, or of a similar one; or the section's keys."""
    everywhere = {key.rpartition(".")[2]: key for key in reversed(KEYS)}
    here = {last: key for key in KEYS for head, _, last in [key.rpartition(".")] if head == section}
    near = difflib.get_close_matches(name, everywhere, 1, 0.8) or difflib.get_close_matches(name, here, 1)
    return f"did you mean {(everywhere | here)[near[0]]}?" if near else f"allowed keys: {', '.join(here)}"


def _shown(value: Any) -> str:
    """Return a value as one line of text, shortened if it is very long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-50:]}"
