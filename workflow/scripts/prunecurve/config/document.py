"""The documentation of the config: a table of all keys, and a JSON schema for editors."""

import json
from collections.abc import Iterator

from prunecurve.config.mappings import as_yaml
from prunecurve.config.model import KEYS, Study, change_of
from prunecurve.data.datasets import DATASETS
from prunecurve.data.splits import AUTO, SPLITS
from prunecurve.sections import describe, schema_of

CHANGES = {
    "none": " *No result depends on this value.*",
    "extends": " *Adding to it extends a finished study.*",
    "result": "",
}


def table() -> str:
    """Return the keys as a Markdown table: name, default, allowed values, meaning."""
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    for key, sub in KEYS.items():
        if "properties" in sub:
            yield f"| **`{key}`** | | | {sub['description']} |"
        else:
            allowed = describe({name: value for name, value in sub.items() if name != "default"})
            meaning = f"{sub['description']}{_of_data_sets(key)}{CHANGES[change_of(key)]}"
            yield f"| `{key}` | `{as_yaml(sub['default'])}` | {allowed} | {meaning} |"


def _of_data_sets(key: str) -> str:
    """Return what `auto` means, if the key is the size of a split."""
    section, _, split = key.partition(".")
    if section != "images" or split not in SPLITS:
        return ""
    sizes: dict[object, list[str]] = {}
    for dataset in DATASETS:
        sizes.setdefault(DATASETS[dataset].sizes[split], []).append(dataset)
    words = [f"{size} for {', '.join(names)}" for size, names in sizes.items() if size != AUTO]
    return f" auto: {'; '.join(words)}."


def editor_schema() -> str:
    """Return the JSON schema of the config, from which editors complete, describe and check keys."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema_of(Study)}
    return json.dumps(schema, indent=1, ensure_ascii=True) + "\n"
