"""Command-line options from a dataclass: the name, type and help text of a parameter are declared in one place."""

import argparse
import dataclasses
import typing


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: true, false")


def add_fields(to: argparse.ArgumentParser, settings: type, leave_out: tuple[str, ...] = ()) -> None:
    """Add one option `--field-name` per field of a dataclass, with the field's type, default and help text.

    Fields in `leave_out` get no option. A field's metadata may have the `help` text, `choices`, and a function `type`
    that parses the option.
    """
    hints = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        if field.name in leave_out:
            continue
        several = typing.get_origin(hints[field.name]) is tuple
        kind = typing.get_args(hints[field.name])[0] if several else hints[field.name]
        required = field.default is dataclasses.MISSING
        to.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=field.metadata.get("type", _boolean if kind is bool else kind),
            nargs="+" if several else None,
            choices=field.metadata.get("choices"),
            required=required,
            default=None if required else field.default,
            help=field.metadata.get("help", " "),
        )


def fields_of(settings: type, arguments: argparse.Namespace, **more: object) -> typing.Any:
    """Create the dataclass from parsed arguments. Lists become tuples; `more` has the fields that are no options."""
    values = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(settings) if f.name not in more}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return settings(**values, **more)
