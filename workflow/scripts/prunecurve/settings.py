"""Command-line options from a section of the config, which declares the name, type and help text of each key."""

import argparse
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from prunecurve.sections import Section, describe, schema_of

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
            type=_reader(section, name, several),
            nargs=("+" if "minItems" in schema else "*") if several else None,
            required="default" not in schema,
            default=schema.get("default"),
            help=schema["description"].replace("%", "%%"),
        )


def _reader(section: type[Section], name: str, several: bool) -> Callable[[str], Any]:
    """Return the function that converts the text of an option, or of one of several values, to the key's type."""
    field, schema = section.model_fields[name], schema_of(section)["properties"][name]
    # At least one argument beside the type is required; pydantic ignores the name.
    kind = TypeAdapter(Annotated[field.annotation, name, *field.metadata], config=section.model_config)

    def read(text: str) -> Any:
        try:
            return kind.validate_python([text])[0] if several else kind.validate_python(text)
        except ValidationError:
            allowed = describe(schema["items"] if several else schema)
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: {allowed}") from None

    return read


def fields_of(section: type[AnySection], arguments: argparse.Namespace, **more: object) -> AnySection:
    """Create a section from parsed arguments; `more` has the values of the keys that are no options."""
    values = {name: getattr(arguments, name) for name in section.model_fields if name not in more}
    return section(**values, **more)
