"""The text that a user wrote, where Snakemake or YAML made a number, a date or something else of it."""

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from prunecurve.config.model import Study
from prunecurve.sections import is_free, schema_of


def _is_list_of_names(schema: Mapping[str, Any]) -> bool:
    items = [choice["items"] for choice in schema.get("anyOf", [schema]) if "items" in choice]
    return any(item.get("type") == "string" and "enum" not in item for item in items)


IN_SECTIONS = [
    (section, name, part)
    for section, sub in schema_of(Study)["properties"].items()
    for name, part in sub.get("properties", {}).items()
]
# The mappings whose values can be of any type, so that the schema does not say which texts are numbers.
FREE = [(section, name) for section, name, part in IN_SECTIONS if is_free(part)]
# The lists of names of modules, such as 4.10. On the command line Snakemake leaves them as they are.
NAMES = [(section, name) for section, name, part in IN_SECTIONS if _is_list_of_names(part)]


def original_text(
    config: Mapping[str, Any],
    entries: Iterable[str],
    parsed_entries: Mapping[str, Any],
    files: Iterable[str | Path],
) -> dict[str, Any]:
    """Return a copy of a config in which the keys for text have the text that the user wrote.

    Snakemake and YAML make numbers, dates and more of a text: `--config study=1_2` gives 12, and `data_dir=a #1` gives
    `a`. entries: the words `KEY=VALUE` of the command line. parsed_entries: what Snakemake made of them. files: the
    config files, in the order in which they are read. Quotes around a value are left out. In mappings such as
    network.arguments, numbers of the command line are numbers, of which Snakemake makes texts.
    """
    config, entries = dict(config), list(entries)
    on_command_line = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    for name, sub in schema_of(Study)["properties"].items():
        if name not in config or sub.get("type") != "string" or "enum" in sub:
            continue
        text = on_command_line.get(name)
        # `nan` is not equal to itself, its text is.
        if text is not None and repr(parsed_entries.get(name)) == repr(config[name]):
            # As Snakemake does it.
            config[name] = text.strip("'\"")
        elif config[name] is not None and not isinstance(config[name], str | list | Mapping):
            config[name] = next(_texts([name], config[name], files), config[name])
    for section, name in NAMES:
        names = config[section].get(name) if isinstance(config.get(section), Mapping) else None
        if isinstance(names, list):
            config[section] = {**config[section], name: next(_texts([section, name], names, files), names)}
    for section, name in FREE:
        for entry in entries:
            if entry.startswith(f"{section}="):
                config[section] = _typed(
                    config.get(section), parsed_entries.get(section), name, entry.partition("=")[2]
                )
    return config


def _typed(section: Any, parsed_entry: Any, name: str, text: str) -> Any:
    """Return a section in which the mapping `name` has the numbers of the command line, where Snakemake has texts.

    section: as it is in the config. parsed_entry: what Snakemake made of the entry on the command line, and text: what
    the user wrote there.
    """
    try:
        written = yaml.safe_load(text)[name]
        return {**section, name: _replaced(section[name], parsed_entry[name], written)}
    # The entry is no mapping or does not have the key; the check of the config reports what is wrong.
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError):
        return section


def _replaced(value: Any, parsed_value: Any, written: Any) -> Any:
    """Return a value with that of the command line in place of what Snakemake made of it, name by name."""
    if isinstance(value, Mapping) and isinstance(parsed_value, Mapping) and isinstance(written, Mapping):
        # Snakemake has only texts as names.
        of = {str(name): each for name, each in written.items()}
        both = {name for name in value if name in parsed_value and name in of}
        return {n: _replaced(each, parsed_value[n], of[n]) if n in both else each for n, each in value.items()}
    return written if repr(value) == repr(parsed_value) else value


def _texts(path: Sequence[str], value: Any, files: Iterable[str | Path]) -> Iterator[str | list[str]]:
    """Yield the text of a key, or the list of its texts, in the config files that give it this value, the last first.

    path: the key, after its section if it is in one.
    """
    for file in reversed(list(files)):
        try:
            content = Path(file).read_text(encoding="utf-8")
            texts, values = (yaml.load(content, loader) for loader in (yaml.BaseLoader, yaml.SafeLoader))
            text, read = (functools.reduce(operator.getitem, path, each) for each in (texts, values))
            if read == value and isinstance(text, str | list):
                yield text
        # Snakemake has read the file, so this is a file in another format or of another workflow.
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
            continue
