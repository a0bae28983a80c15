"""Nested mappings, as a config is one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from prunecurve.config.model import KEYS


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `base` with the values of `over`; mappings are merged key by key."""
    both = {
        key: merged(base[key], over[key])
        for key in base.keys() & over.keys()
        if isinstance(base[key], Mapping) and isinstance(over[key], Mapping)
    }
    return {**base, **over, **both}


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of a config that is not a section, with dots between levels, and its value."""
    for name, value in config.items():
        if "properties" in KEYS[f"{prefix}{name}"]:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line. A mapping becomes JSON without `|`, which separates settings in files."""
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True).replace("|", "\\u007c")
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()
