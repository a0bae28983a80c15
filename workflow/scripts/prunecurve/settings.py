"""Command-line options from a section of the config, which declares the name, type and help text of each key."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from prunecurve.sections import Section, describe, parsed, schema_of

AnySection = TypeVar("AnySection", bound=Section)


def add_fields(to: argparse.ArgumentParser, section: type[Section], leave_out: tuple[str, ...] = ()) -> None:
    """Add one option `--key-name` per key of a section, with the key's type, default and description.

    Keys in `leave_out` get no option.
    """
    for name, schema in schema_of(section)["properties"].items():
        if name in leave_out:
            continue
        several = schema.get("type") == "array"
        to.add_argument(
            f"--{name.replace('_', '-')}",
            type=_reader(section, name, schema["items"] if several else schema, several),
            nargs=("+" if "minItems" in schema else "*") if several else None,
            required="default" not in schema,
            default=schema.get("default"),
            help=schema["description"].replace("%", "%%"),
        )


def _reader(section: type[Section], name: str, schema: Mapping[str, Any], several: bool) -> Callable[[str], Any]:
    """Return the function that converts the text of an option, or of one of several values, to the key's type."""

    def read(text: str) -> Any:
        value = parsed(schema, text)
        if not _allowed(section, name, [value] if several else value):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: {describe(schema)}")
        return value

    return read


def _allowed(section: type[Section], name: str, value: Any) -> bool:
    try:
        section.model_validate({name: value})
    except ValidationError as error:
        # Other keys may be missing.
        return all(wrong["loc"][0] != name for wrong in error.errors())
    return True


def fields_of(section: type[AnySection], arguments: argparse.Namespace, **more: object) -> AnySection:
    """Create a section from parsed arguments; `more` has the values of the keys that are no options."""
    values = {name: getattr(arguments, name) for name in section.model_fields if name not in more}
    return section(**values, **more)
