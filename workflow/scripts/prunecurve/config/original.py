"""The text that a user wrote, where Snakemake or YAML made a number, a date or something else of it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from prunecurve.config.model import Study
from prunecurve.sections import schema_of


def original_text(
    config: Mapping[str, Any],
    entries: Iterable[str],
    parsed_entries: Mapping[str, Any],
    files: Iterable[str | Path],
) -> dict[str, Any]:
    """Return a copy of a config in which the keys for text have the text that the user wrote.

    Snakemake and YAML make numbers, dates and more of a text: `--config study=1_2` gives 12, and `data_dir=a #1` gives
    `a`. entries: the words `KEY=VALUE` of the command line. parsed_entries: what Snakemake made of them. files: the
    config files, in the order in which they are read. Quotes around a value are left out.
    """
    config = dict(config)
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
            config[name] = next(_texts(name, config[name], files), config[name])
    return config


def _texts(name: str, value: Any, files: Iterable[str | Path]) -> Iterator[str]:
    """Yield the text of a key in the config files that give it this value, the last file first."""
    for file in reversed(list(files)):
        try:
            content = Path(file).read_text(encoding="utf-8")
            texts, values = (yaml.load(content, loader) for loader in (yaml.BaseLoader, yaml.SafeLoader))
            if values[name] == value and isinstance(texts[name], str):
                yield texts[name]
        # Snakemake has read the file, so this is a file in another format or of another workflow.
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
            continue
