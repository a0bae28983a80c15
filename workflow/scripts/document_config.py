"""Write the table of all config keys into config/README.md, and the schema of the config for editors."""

import json
from collections.abc import Iterator
from pathlib import Path

from prunecurve.config.check import describe
from prunecurve.config.model import KEYS, SCHEMA, change_of
from prunecurve.config.settings import as_yaml
from prunecurve.data.datasets import DATASETS
from prunecurve.data.splits import AUTO

PROJECT = Path(__file__).parents[2]
# From it, editors complete, describe and check keys.
FOR_EDITORS = PROJECT / "workflow" / "schemas" / "config.schema.json"
START, END = "<!-- keys: written by make docs -->\n", "<!-- end of keys -->\n"
CHANGES = {
    "none": " *No result depends on this value.*",
    "extends": " *Adding to it extends a finished study.*",
    "result": "",
}


def documented(text: str) -> str:
    """Return the text with the table of keys between the two marks."""
    before, after = text.split(START)[0], text.split(END)[1]
    table = "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows()])
    return f"{before}{START}\n{table}\n\n{END}{after}"


def rows() -> Iterator[str]:
    for key, part in KEYS.items():
        if "properties" in part:
            yield f"| **`{key}`** | | | {part['description']} |"
        else:
            allowed = describe({name: value for name, value in part.items() if name != "default"})
            meaning = f"{part['description']}{sizes_of_data_sets(key)}{CHANGES[change_of(key)]}"
            yield f"| `{key}` | `{as_yaml(part['default'])}` | {allowed} | {meaning} |"


def sizes_of_data_sets(key: str) -> str:
    """Return what `auto` means, if the key is the size of a split."""
    if KEYS[key]["default"] != AUTO or not key.startswith("images."):
        return ""
    names: dict[object, list[str]] = {}
    for name, dataset in DATASETS.items():
        names.setdefault(dataset.sizes[key.removeprefix("images.")], []).append(name)
    return " auto: " + "; ".join(f"{size} for {', '.join(names[size])}" for size in names if size != AUTO) + "."


def schema() -> str:
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA}, indent=1) + "\n"


if __name__ == "__main__":
    page = PROJECT / "config" / "README.md"
    page.write_text(documented(page.read_text(encoding="utf-8")), encoding="utf-8")
    FOR_EDITORS.write_text(schema(), encoding="utf-8")
