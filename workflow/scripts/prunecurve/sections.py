"""Sections of the config: classes that declare keys, their types, bounds, defaults and descriptions.

A section is a subclass of `Section`; each of its fields is a key, and the docstring below the field describes the key.
The check of a config, its documentation, the schema for editors and the options of scripts are derived from these
classes. They are declared where their values are used (`model/parameters.py`), the others in `config/model.py`.
"""

import functools
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, field_validator

from prunecurve.naming import REVERSED

Item = TypeVar("Item")
# What a change of a key does is declared with its type; a key without such a mark determines results.
# No result depends on this key: it says how a study is run, named or drawn.
NoResult = Annotated[Item, Field(json_schema_extra={"change": "none"})]
# Values that are added extend a finished study, and replace no result.
Extends = Annotated[Item, Field(json_schema_extra={"change": "extends"})]


def only_for(*tables: str) -> dict[str, Any]:
    """Return the mark (`json_schema_extra`) of a key that only these tables of a study depend on."""
    return {"tables": list(tables)}


class Section(BaseModel):
    """A section of the config. Its values are immutable and of the declared types.

    Snakemake passes nested values of a `--config` option as text, and YAML reads 1e-3 as text: pydantic converts text
    to the declared type, and a number to text where a text is declared (`--config study=2024`).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        regex_engine="python-re",
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Return the text of a Boolean, which is not the number 1, and of a date, which YAML makes of 2024-01-01."""
        if isinstance(value, list):
            return [cls._as_text(item) for item in value]
        return str(value).lower() if isinstance(value, bool | date) else value


def _all_different(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"{next(value for value in values if values.count(value) > 1)} is listed twice")
    return values


# A list without equal values.
Different = Annotated[list[Item], AfterValidator(_all_different), Field(json_schema_extra={"uniqueItems": True})]
# The parameters of jobs list values as text, and 1 and 1.0 would be two settings: a whole number is written as 1.
Real = Annotated[float, PlainSerializer(lambda value: int(value) if value == int(value) else value)]


@functools.cache
def schema_of(section: type[Section]) -> dict[str, Any]:
    """Return the JSON schema of a section, with the schemas of its sections instead of references to them.

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


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all keys of a schema with dots between levels (`training.epochs`), each with its part of the schema.

    A section comes before its keys; its part has `properties`. The mark of a section holds for its keys.
    """
    mark = {name: schema[name] for name in ("change", "tables") if name in schema}
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}", mark | part
        yield from keys(mark | part, f"{prefix}{name}.")


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
    names = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    words = (names | {"null": "null"}).get(schema.get("type", ""), "a mapping of keys to values")
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
