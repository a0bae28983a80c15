"""Sections of the config: classes that declare keys, their types, bounds, defaults and descriptions.

A section is a subclass of `Section`; each of its fields is a key, and the docstring below the field describes the key.
The check of a config, its documentation, the schema for editors and the options of scripts are derived from these
classes. They are declared where their values are used (`model/parameters.py`), the others in `config/model.py`.
"""

from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, field_validator

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
