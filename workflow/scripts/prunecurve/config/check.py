"""Check a config, fill in defaults, and report errors, one line per error: key, value, allowed values, nearest key."""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from prunecurve.config.contradictions import contradictions
from prunecurve.config.mappings import merged
from prunecurve.config.model import Study
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError
from prunecurve.sections import describe, parsed, schema_of


def keys() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all keys of the config with dots between levels (`training.epochs`), each with its part of the schema.

    A section comes before its keys; its part has `properties`.
    """
    return _keys(schema_of(Study), "")


def _keys(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, sub in schema.get("properties", {}).items():
        yield f"{prefix}{name}", sub
        yield from _keys(sub, f"{prefix}{name}.")


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete config, with its keys in the order of the declaration.

    The parameters of jobs list the keys, so another order in the config or on the command line would trigger re-runs.
    Raises StudyError with one line per error; each line names its key.
    """
    try:
        return _checked(given)
    except RecursionError:
        raise StudyError("the config has errors:\n  a value contains itself (a recursive list or mapping)") from None


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    schema = schema_of(Study)
    given = parsed(schema, given)
    wrong = list(_unknown_keys(given, schema, [key for key, _ in keys()]))
    given = _known(given, schema)
    config: dict[str, Any] = {}
    if no_numbers := list(_no_numbers(given)):
        wrong += no_numbers
    else:
        try:
            # The values as they are given: pydantic makes 1.0 of 1, and the parameters of jobs list values as text.
            config = merged(Study.model_validate(given).model_dump(), given)
        except ValidationError as error:
            wrong += [_message(given, schema, each["loc"]) for each in error.errors(include_context=False)]
    if not wrong:
        config["study"] = config["study"] or config["dataset"]
        wrong = list(contradictions(config))
    if wrong:
        raise StudyError("the config has errors:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(wrong)))
    return config


def _known(given: Any, schema: Mapping[str, Any]) -> Any:
    """Return a copy of the given value without the keys that a section does not have."""
    if not isinstance(given, Mapping) or "properties" not in schema:
        return given
    known = schema["properties"]
    return {name: _known(value, known[name]) for name, value in given.items() if name in known}


def _unknown_keys(given: Any, schema: Mapping[str, Any], all_keys: list[str], prefix: str = "") -> Iterator[str]:
    if not isinstance(given, Mapping) or "properties" not in schema:
        return
    known = schema["properties"]
    for name, value in given.items():
        if name in known:
            yield from _unknown_keys(value, known[name], all_keys, f"{prefix}{name}.")
        # Before, each data set had its sizes: `images: {mnist: {train: 6000}}`.
        elif prefix == "images." and isinstance(value, Mapping) and value.keys() & set(SPLITS):
            yield (
                f"images.{name}: unknown key; the sizes of the data set's splits are "
                f"{', '.join(f'images.{split}' for split in SPLITS)}"
            )
        else:
            yield f"{prefix}{name}: unknown key; {_hint(str(name), list(known), all_keys, prefix)}"


def _hint(name: str, known: list[str], all_keys: list[str], prefix: str) -> str:
    """Return which key an unknown key may mean: of this name elsewhere, or of a similar one; or the section's keys."""
    lasts = {key.split(".")[-1]: key for key in reversed(all_keys)}
    if name in lasts:
        return f"did you mean {lasts[name]}?"
    if here := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {prefix}{here[0]}?"
    if elsewhere := difflib.get_close_matches(name, lasts, n=1, cutoff=0.8):
        return f"did you mean {lasts[elsewhere[0]]}?"
    return f"allowed keys: {', '.join(known)}"


def _no_numbers(given: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _no_numbers(value, f"{prefix}{name}.")
    elif isinstance(given, list):
        for place, value in enumerate(given):
            yield from _no_numbers(value, f"{prefix}{place}.")
    elif isinstance(given, float) and not math.isfinite(given):
        yield f"{prefix.rstrip('.')}: {given} is not a finite number"
    # Python refuses to print numbers of more than 4,300 digits.
    elif isinstance(given, int) and given.bit_length() > 10_000:
        yield f"{prefix.rstrip('.')}: the number has thousands of digits"


def _message(value: Any, schema: Mapping[str, Any], place: tuple[str | int, ...]) -> str:
    """Return a one-line message for a value that is not allowed: key, value, allowed values.

    value, schema: the whole config and its schema. place: pydantic's path to the value. Below a key with several types
    it names one of them; the message is about the key.
    """
    path = []
    for step in place:
        if step in schema.get("properties", {}):
            schema = schema["properties"][step]
        elif "items" in schema and isinstance(step, int):
            schema = schema["items"]
        else:
            break
        value = value[step]
        path.append(str(step))
    key = ".".join(path)
    if "enum" in schema:
        near = difflib.get_close_matches(_shown(value), schema["enum"], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{key}: {_shown(value)} is unknown; allowed: {describe(schema)}{hint}"
    return f"{key}: {_shown(value)} is not allowed; allowed: {describe(schema)}"


def _shown(value: Any) -> str:
    """Return a value as one line of text, shortened if it is very long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-50:]}"
