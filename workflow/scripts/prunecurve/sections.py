"""Sections of the config: classes that declare keys, their types, bounds, defaults and descriptions.

A section is a subclass of `Section`; each of its fields is a key, and the docstring below the field describes the key.
The check of a config, its documentation, the schema for editors and the options of scripts are derived from these
classes. They are declared where their values are used (`model/parameters.py`), the others in `config/model.py`.
"""

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from prunecurve.naming import REVERSED


class Section(BaseModel):
    """A section of the config. Its values are immutable and of the declared types: no text, and no 1 for true."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, regex_engine="python-re"
    )


def _all_different(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("two values are equal")
    return values


Item = TypeVar("Item")
# A list without equal values.
Different = Annotated[list[Item], AfterValidator(_all_different), Field(json_schema_extra={"uniqueItems": True})]


@functools.cache
def schema_of(section: type[Section]) -> dict[str, Any]:
    """Return the JSON schema of a section, with the schemas of its sections in place of references to them.

    The keys in `properties` are in the order of the declaration.
    """
    schema = section.model_json_schema()
    return _complete(schema, schema.pop("$defs", {}))


def _complete(part: Any, sections: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_complete(item, sections) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _complete(sections[part["$ref"].rpartition("/")[2]], sections)
    # pydantic writes the name of a key as its title.
    kept = {name: _complete(value, sections) for name, value in part.items() if name != "title" or type(value) is dict}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())
    return kept


def parsed(schema: Mapping[str, Any], given: Any) -> Any:
    """Return a copy of the given value, in which text is converted to a number or a Boolean if the schema requires one.

    Snakemake passes nested values of a `--config` option as text, YAML reads 1e-3 as text, and options of a script are
    text. 6000.0 becomes 6000 if the schema requires an integer.
    """
    if isinstance(given, Mapping):
        if is_free(schema):
            return {name: _with_numbers(value) for name, value in given.items()}
        known = schema.get("properties", {})
        return {name: parsed(known.get(name, {}), value) for name, value in given.items()}
    choices = schema.get("anyOf", [schema])
    for choice in choices:
        if isinstance(given, list) and "items" in choice:
            return [parsed(choice["items"], value) for value in given]
    kinds = {choice.get("type") for choice in choices}
    if "null" in kinds and given in ("null", "None"):
        return None
    if isinstance(given, str) and "boolean" in kinds:
        return {"true": True, "false": False}.get(given.lower(), given)
    if isinstance(given, str) and kinds & {"integer", "number"}:
        given = _number(given)
    if "integer" in kinds and isinstance(given, float) and given.is_integer():
        return int(given)
    # `--config study=2024`: Snakemake makes a number of it.
    if kinds == {"string"} and "enum" not in schema and isinstance(given, int | float) and not isinstance(given, bool):
        return str(given) if abs(given) < 1e15 else given
    return given


def is_free(schema: Mapping[str, Any]) -> bool:
    """Return whether a part of a schema is a mapping whose names are the user's, such as network.arguments."""
    return schema.get("type") == "object" and "properties" not in schema


def _with_numbers(value: Any) -> Any:
    """Return a value of a free mapping, with numbers such as 1e-3 in place of the text that YAML reads."""
    if isinstance(value, Mapping):
        return {name: _with_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value):
        return float(value)
    return value


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


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
        return _describe_list(schema)
    named = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    named["null"] = "null"
    words = named.get(schema.get("type", ""), "a mapping of keys to values")
    if "minLength" in schema:
        words = f"{words}, not empty"
    if "maxLength" in schema:
        words = f"{words}, at most {schema['maxLength']} characters, none of them a control character"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return " ".join([words, " and ".join(bounds)]).strip()


def _describe_list(schema: Mapping[str, Any]) -> str:
    different = ", all different" if schema.get("uniqueItems") else ""
    most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
    example = f", such as [{', '.join(map(str, schema['default']))}]," if "default" in schema else ""
    return f"a list{example} of: {describe(schema['items'])}{different}{most}"
