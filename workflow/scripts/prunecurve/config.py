"""Check the config against the schema, fill in defaults, and report errors, one line per error."""

import difflib
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from prunecurve.data import tasks
from prunecurve.data.datasets import DATASETS
from prunecurve.errors import StudyError
from prunecurve.naming import REVERSED
from prunecurve.provenance import SEPARATOR
from prunecurve.ranking import criteria
from prunecurve.sweep.removal import REMOVALS


def load_schema(path: str | Path) -> dict[str, Any]:
    """Read the JSON schema. The allowed data sets, tasks, criteria and removals are those that the code defines."""
    schema = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    keys = schema["properties"]
    keys["dataset"]["enum"] = list(DATASETS)
    keys["task"]["enum"] = tasks.names()
    keys["ranking"]["properties"]["criteria"]["items"]["enum"] = criteria.allowed()
    keys["sensitivity"]["properties"]["criteria"]["items"]["enum"] = criteria.allowed()
    keys["sweep"]["properties"]["removals"]["items"]["enum"] = list(REMOVALS)
    return schema


def parsed(schema: Mapping[str, Any], given: Any) -> Any:
    """Return a copy of the given value, with text converted to a number or a Boolean if the schema requires one.

    Snakemake passes nested values of a `--config` option as text, and YAML reads 1e-3 as text.
    """
    if isinstance(given, Mapping):
        known = schema.get("properties", {})
        return {name: parsed(known.get(name, {}), value) for name, value in given.items()}
    choices = schema.get("anyOf", [schema])
    for choice in choices:
        if isinstance(given, list) and "items" in choice:
            return [parsed(choice["items"], value) for value in given]
    kinds = {choice.get("type") for choice in choices}
    if isinstance(given, str) and "boolean" in kinds:
        return {"true": True, "false": False}.get(given.lower(), given)
    if isinstance(given, str) and kinds & {"integer", "number"}:
        for number in (int, float):
            try:
                return number(given)
            except ValueError:
                continue
    # `--config study=2024`: Snakemake makes a number of it.
    if kinds == {"string"} and "enum" not in schema and isinstance(given, int | float) and not isinstance(given, bool):
        return str(given) if abs(given) < 1e15 else given
    return given


def original_text(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
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
    for name, sub in schema["properties"].items():
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


def filled(schema: Mapping[str, Any], given: Any) -> Any:
    """Return a copy with defaults for missing keys; 6000.0 becomes 6000 if the schema requires an integer.

    The keys are in the order of the schema. The parameters of jobs list them, so another order in the config or on the
    command line would trigger re-runs.
    """
    for choice in schema.get("anyOf", [schema]):
        if isinstance(given, list) and "items" in choice:
            return [filled(choice["items"], value) for value in given]
    integers = any(choice.get("type") == "integer" for choice in schema.get("anyOf", [schema]))
    if integers and isinstance(given, float) and given.is_integer():
        return int(given)
    if "properties" not in schema:
        return given
    return {
        name: filled(sub, given.get(name, {} if "properties" in sub else sub["default"]))
        for name, sub in schema["properties"].items()
    }


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all keys of the config with dots between levels (`training.epochs`), each with its part of the schema."""
    for name, sub in schema.get("properties", {}).items():
        yield f"{prefix}{name}", sub
        yield from keys(sub, f"{prefix}{name}.")


def check(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete config. Raises StudyError with one line per error; each line names its key."""
    try:
        return _checked(given, schema)
    except RecursionError:
        raise StudyError("the config has errors:\n  a value contains itself (a recursive list or mapping)") from None


def _checked(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    import jsonschema

    given = parsed(schema, given)
    wrong = list(_unknown_keys(given, schema, [key for key, _ in keys(schema)]))
    no_numbers = list(_no_numbers(given))
    wrong += no_numbers
    for error in () if no_numbers else jsonschema.Draft202012Validator(schema).iter_errors(given):
        if error.validator != "additionalProperties":
            wrong.append(_message(error))
    if not wrong:
        config = filled(schema, given)
        config["study"] = config["study"] or config["dataset"]
        wrong = list(_contradictions(config))
    if wrong:
        raise StudyError("the config has errors:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(wrong)))
    return config


# Keys that say how a study is run and drawn, not what it computes: they may differ from the archive's values.
NOT_FROZEN = (
    "study",
    "overwrite",
    "archive",
    "data_dir",
    "activations.",
    "training.require",
    "sweep.ks_per_job",
    "verification.",
    "figures.",
)


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the line `KEY: VALUE` of each key of a complete config, by key. Artifacts store them, see provenance.py.

    Two configs that need the same jobs give the same lines: `layer` and `sweep.ks` are resolved.
    """
    values = dict(_leaves(config))
    layer = values["layer"] = pruned_layer(config)
    every = list(range(layers(config)[layer]))
    values["sweep.ks"] = "all" if ks(config, layer) == every else ks(config, layer)
    return {key: f"{key}{SEPARATOR}{_yaml(value)}" for key, value in values.items()}


DATA_CONTENT = f"content of data_dir{SEPARATOR}"


def data_settings(content: str) -> list[str]:
    """Return the setting for the content of `data_dir` (see datasets.fingerprint); none for published data."""
    return [f"{DATA_CONTENT}{content}"] if content else []


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# Adding values to these keys extends a finished study without replacing its results.
EXTENDED = ("seeds", "ranking.criteria", "sweep.removals", "sweep.ks", "ranking.random_draws")


def replaced(carried: Iterable[str], config: Mapping[str, Any], data: Sequence[str]) -> list[str]:
    """Return what a run would replace in a study with the settings `carried`: one line per key.

    config, data: what the run asks for, the data as in `data_settings`.
    """
    carried, asked, lines = list(carried), settings(config), []
    for line in sorted(carried):
        key, _, value = line.partition(SEPARATOR)
        if key not in asked or line == asked[key]:
            continue
        wanted = asked[key].partition(SEPARATOR)[2]
        if key not in EXTENDED or not _extends(
            key, yaml.safe_load(wanted), yaml.safe_load(value), config["images"]["disjoint"]
        ):
            lines.append(f"{line}; asked for: {wanted}")
    if carried and [line for line in carried if line.startswith(DATA_CONTENT)] != list(data):
        lines.append("data_dir: its images are not those of the finished study")
    return lines


def _extends(key: str, asked: Any, has: Any, disjoint: bool = False) -> bool:
    """Return whether a list (or `all`) or a number includes everything that a finished study has.

    disjoint: the key images.disjoint. The images of a seed then depend on its place in the list of seeds.
    """
    if key == "seeds" and disjoint:
        return asked[: len(has)] == has
    if asked == "all" or has == "all":
        return asked == "all"
    # The figures of the shape and of the mean maps are drawn for the first criterion.
    if key == "ranking.criteria" and asked[0] != has[0]:
        return False
    return set(has) <= set(asked) if isinstance(has, list) else asked >= has


def of_archive(frozen: Mapping[str, Any], asked: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an archive, with the values given on the command line (`asked`).

    Raises StudyError, with one line per key, if these values need results that the archive does not hold.
    """
    try:
        held = check(frozen, schema)
    except StudyError as error:
        raise StudyError(f"archive: in the manifest, {error}") from error
    wanted = check(merged(frozen, asked), schema)
    wrong = []
    for key, sub in keys(schema):
        if "properties" in sub or key.startswith(NOT_FROZEN):
            continue
        has, wants = value_of(held, key), value_of(wanted, key)
        # Criteria may be left out, but not the first: the archive has the maps' order and the shapes of the first only.
        fewer = key == "ranking.criteria" and set(wants) <= set(has) and wants[0] == has[0]
        if wants != has and not fewer:
            wrong.append(f"  {key}: asked for: {_yaml(wants)}; the archive holds: {_yaml(has)}")
    if wrong:
        raise StudyError(
            f"archive: {wanted['archive']} holds another study:\n"
            + "\n".join(wrong)
            + "\nremove these keys, or run the study itself (without archive)"
        )
    return wanted


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `base` with the values of `over`; mappings are merged key by key."""
    both = {
        key: merged(base[key], over[key])
        for key in base.keys() & over.keys()
        if isinstance(base[key], Mapping) and isinstance(over[key], Mapping)
    }
    return {**base, **over, **both}


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key with dots between levels."""
    return functools.reduce(lambda part, name: part[name], key.split("."), config)


# 4 GB in float32; training holds several copies.
MOST_WEIGHTS = 10**9


def least_weights(config: Mapping[str, Any]) -> int:
    """Return the number of weights in filters and linear layers for grey images, a lower bound for all images."""
    network = config["network"]
    widths = [2, *network["channels"]]
    pixels = (config["image_size"] >> len(network["channels"])) ** 2
    linear = [widths[-1] * pixels, *network["hidden"], 2]
    filters = sum(before * after for before, after in pairwise(widths)) * network["kernel_size"] ** 2
    return filters + sum(before * after for before, after in pairwise(linear))


def layers(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of channels of each convolution, in the order of the network."""
    return {f"conv{i}": channels for i, channels in enumerate(config["network"]["channels"], start=1)}


def pruned_layer(config: Mapping[str, Any]) -> str:
    """Return the convolution whose channels the study removes."""
    return list(layers(config))[-1] if config["layer"] == "last" else config["layer"]


def ks(config: Mapping[str, Any], layer: str) -> list[int]:
    """Return the values of K that a layer's sweep evaluates, ascending: those of the config, and 0 (unpruned)."""
    channels, chosen = layers(config)[layer], config["sweep"]["ks"]
    # Values of K are left out if the layer has too few channels.
    return list(range(channels)) if chosen == "all" else sorted({0, *(k for k in chosen if k < channels)})


def k_batches(config: Mapping[str, Any], layer: str) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by the job's name: `7` for one K, `0-15` for several.

    For a layer other than the last, one job evaluates all K of a ranking, because importing torch and reading the maps
    takes longer than an evaluation.
    """
    chosen = ks(config, layer)
    size = config["sweep"]["ks_per_job"] if layer == list(layers(config))[-1] else len(chosen)
    parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return {str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}": part for part in parts}


def _unknown_keys(given: Any, schema: Mapping[str, Any], all_keys: list[str], prefix: str = "") -> Iterator[str]:
    if not isinstance(given, Mapping) or "properties" not in schema:
        return
    known = schema["properties"]
    for name, value in given.items():
        if name in known:
            yield from _unknown_keys(value, known[name], all_keys, f"{prefix}{name}.")
            continue
        # The key may exist at another level.
        lasts = {key.split(".")[-1]: key for key in reversed(all_keys)}
        here = difflib.get_close_matches(str(name), known, n=1)
        near = [lasts[name]] if name in lasts else [f"{prefix}{here[0]}"] if here else []
        near = near or [lasts[last] for last in difflib.get_close_matches(str(name), lasts, n=1, cutoff=0.8)]
        hint = f"did you mean {near[0]}?" if near else f"allowed keys: {', '.join(known)}"
        yield f"{prefix}{name}: unknown key; {hint}"


def _no_numbers(given: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _no_numbers(value, f"{prefix}{name}.")
    elif isinstance(given, list):
        for place, value in enumerate(given):
            yield from _no_numbers(value, f"{prefix}{place}.")
    elif isinstance(given, float) and not math.isfinite(given):
        yield f"{prefix.rstrip('.')}: {given} is not a finite number"
    # Python refuses to print numbers of more than 4,300 digits.
    elif isinstance(given, int) and given.bit_length() > 10_000:
        yield f"{prefix.rstrip('.')}: the number has thousands of digits"


def _message(error: Any) -> str:
    """Return a one-line message for a schema error: key, value, allowed values."""
    path = [str(part) for part in error.absolute_path]
    key = ".".join(path) or "the config"
    value, allowed = error.instance, error.schema
    if error.validator == "enum":
        near = difflib.get_close_matches(_shown(value), map(str, error.validator_value), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{key}: {_shown(value)} is unknown; allowed: {describe(allowed)}{hint}"
    return f"{key}: {_shown(value)} is not allowed; allowed: {describe(allowed)}"


def _shown(value: Any) -> str:
    """Return a value as one line of text, shortened if it is very long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-50:]}"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()


def describe(schema: Mapping[str, Any]) -> str:
    """Describe the values that a part of the schema allows."""
    if "examples" in schema:
        return " or ".join(map(str, schema["examples"])) + ", …"
    if "enum" in schema:
        plain = [str(value) for value in schema["enum"] if not str(value).startswith(REVERSED)]
        return ", ".join(plain) + (f", {REVERSED}NAME" if len(plain) < len(schema["enum"]) else "")
    if "anyOf" in schema:
        return " or ".join(describe(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        different = ", all different" if schema.get("uniqueItems") else ""
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        example = f", such as {_yaml(schema['default'])}," if "default" in schema else ""
        return f"a list{example} of: {describe(schema['items'])}{different}{most}"
    named = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    words = named.get(kind, "a mapping of keys to values")
    if "minLength" in schema:
        words = f"{words}, not empty"
    if "maxLength" in schema:
        words = f"{words}, at most {schema['maxLength']} characters, none of them a control character"
    bounds = [
        f"{sign} {schema[name]}"
        for name, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if name in schema
    ]
    return " ".join([words, " and ".join(bounds)]).strip()


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors that concern several keys."""
    network, size = config["network"], config["image_size"]
    blocks, last = len(network["channels"]), network["channels"][-1]
    if size >> blocks < 1:
        yield (
            f"network.channels: {blocks} blocks are too many for image_size {size}, since each halves the image; "
            f"allowed: at most {size.bit_length() - 1} blocks"
        )
    if network["kernel_size"] % 2 == 0:
        yield f"network.kernel_size: {network['kernel_size']} is even; allowed: odd numbers, which keep the map size"
    if (weights := least_weights(config)) > MOST_WEIGHTS:
        yield (
            f"network.channels, network.hidden: the network would have {weights:.1e} weights or more; "
            f"allowed: at most {MOST_WEIGHTS:.0e}"
        )
    if pruned_layer(config) not in layers(config):
        yield f"layer: {config['layer']} is not in the network; allowed: last, {', '.join(layers(config))}"
        return
    channels = layers(config)[pruned_layer(config)]
    if last < 2:
        yield f"network.channels: the last block has {last} channel; allowed: at least 2, so that one can be removed"
    elif channels < 2:
        yield f"layer: {config['layer']} has {channels} channel (network.channels); allowed: at least 2"
    if config["sweep"]["ks"] != "all":
        for k in config["sweep"]["ks"]:
            if not 0 <= k < channels:
                yield (
                    f"sweep.ks: K = {k} is out of range; allowed: 0 to {channels - 1}, "
                    f"because {pruned_layer(config)} has {channels} channels (network.channels)"
                )
    yield from tasks.load(config["task"]).contradictions(config)


def document(schema: Mapping[str, Any]) -> str:
    """Return the keys as a Markdown table: name, default, allowed values, meaning."""
    lines = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for key, sub in keys(schema):
        if "properties" in sub:
            lines.append(f"| **`{key}`** | | | {sub['description']} |")
        else:
            allowed = describe({name: value for name, value in sub.items() if name != "default"})
            lines.append(f"| `{key}` | `{_yaml(sub['default'])}` | {allowed} | {sub['description']} |")
    return "\n".join(lines) + "\n"
