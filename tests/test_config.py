"""The config: defaults, and error messages that name the key, the value and the allowed values."""

import copy
import json

import pytest
import yaml
from conftest import PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from prunecurve.config.check import check
from prunecurve.config.layers import Layers, k_batches, ks, pruned_layer
from prunecurve.config.model import KEYS
from prunecurve.config.model import Study as StudyKeys
from prunecurve.config.settings import of_archive, resolved
from prunecurve.config.settings import settings as settings_of
from prunecurve.data.datasets import asked_sizes
from prunecurve.errors import StudyError
from prunecurve.ranking import criteria
from prunecurve.sections import Section
from prunecurve.study import Options, Settings, Study
from snakemake.utils import update_config

INVALID = [
    ({"datset": "digits"}, "datset: unknown key; did you mean dataset?"),
    ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean training.epochs?"),
    ({"epochs": 3}, "epochs: unknown key; did you mean training.epochs?"),
    ({"images": {"mnist": {"train": 10}}}, "images.mnist: unknown key; allowed keys: train, val, test, disjoint"),
    ({"xyz": 1}, "xyz: unknown key; allowed keys: dataset, data_dir"),
    ({"dataset": "mnst"}, "dataset: 'mnst' is unknown; allowed: arrays, digits, image_folder, mnist, fashion_mnist, "),
    ({"ranking": {"criteria": ["l1_nrm"]}}, "ranking.criteria.0: 'l1_nrm' is unknown; allowed: activation_std, apoz"),
    ({"ranking": {"criteria": ["l1_nrm"]}}, "did you mean l1_norm?"),
    ({"sweep": {"ks": [3, 64]}}, "sweep.ks: K = 64 is out of range; allowed: 0 to 63"),
    ({"sweep": {"ks": [-1]}}, "sweep.ks: [-1] is not allowed; allowed: all or whole number ≥ 2"),
    ({"sensitivity": {"layers": ["conv4"]}}, "sensitivity.layers: conv4 is not a convolution or linear layer"),
    ({"seeds": 3}, "seeds: 3 is not allowed; allowed: a list, such as [0, 1, 2], of: whole number ≥ 0"),
    ({"seeds": [1, 2, 1]}, "seeds: 1 is listed twice"),
    ({"training": {"learning_rate": "nan"}}, "training.learning_rate: 'nan' is not allowed; allowed: number > 0"),
    ({"training": {"epochs": "2.5"}}, "training.epochs: '2.5' is not allowed; allowed: whole number ≥ 1"),
    ({"training": {"epochs": True}}, "training.epochs: True is not allowed; allowed: whole number ≥ 1"),
    ({"seeds": [True]}, "seeds.0: True is not allowed; allowed: whole number ≥ 0"),
    ({"training": 5}, "training: 5 is not allowed; allowed: a mapping of keys to values"),
    ({"network": {"channels": [4] * 5}}, "network.channels: 5 blocks are too many for image_size 28, since each"),
    (
        {"layer": "conv4"},
        "layer: conv4 is not a convolution or linear layer of the network; allowed: last, conv1, conv2, conv3, "
        "linear1, linear2; did you mean conv3?",
    ),
    ({"layer": "linear3"}, "layer: linear3 is the output layer, whose outputs are the classes; allowed: last, conv1"),
    (
        {"layer": "linear1", "ranking": {"criteria": ["reversed-bn_scale"]}},
        "ranking.criteria: reversed-bn_scale needs batch normalisation, and linear1 (layer) has none",
    ),
    (
        {"layer": "linear2", "sweep": {"ks": [32]}},
        "sweep.ks: K = 32 is out of range; allowed: 0 to 31, because linear2 has 32 channels (network.hidden)",
    ),
    ({"layer": "conv/1"}, "layer: 'conv/1' is not allowed; allowed: last or conv1 or layer1.0.conv2, …"),
    ({"layer": 4.1}, "layer: 4.1 is a number; write the name of a module in quotes ('4.1'), on the command line with"),
    ({"network": {"channels": [4, 1]}}, "layer: conv2 has 1 channel (network.channels); allowed: at least 2"),
    ({"plan": {"macs": [0.5, 0.5]}}, "plan.macs: 0.5 is listed twice"),
    ({"plan": {"macs": None}}, "plan: no budget is given; give a value of macs, params or tolerance"),
    (
        {"plan": {"macs": 0}},
        "plan.macs: 0 is not allowed; allowed: number > 0 and ≤ 1 or a list of: number > 0 and ≤ 1",
    ),
    ({"plan": {"criterion": "random"}}, "plan.criterion: 'random' is unknown; allowed: activation_std"),
    ({"network": {"kernel_size": 4}}, "network.kernel_size: 4 is even; allowed: odd numbers"),
    ({"seeds": list(range(10_001))}, "9999, 10000] is not allowed; allowed: a list, such as [0, 1, 2], of: whole"),
    ({"data_dir": "a\nb"}, "data_dir: 'a\\nb' is not allowed; allowed: text, not empty, at most 4000 characters, none"),
    ({"layer": "last\n"}, "layer: 'last\\n' is not allowed"),
    ({1: 2}, "1: unknown key"),
    ({"images": {"val": 1.5}}, "images.val: 1.5 is not allowed; allowed: auto or whole number ≥ 2 and ≤ 100000000 or"),
    ({"task": "clases"}, "task: 'clases' is unknown; allowed: pairs, classes; did you mean classes?"),
    (
        {"task": "classes", "training": {"same_weight": 2}},
        "training.same_weight: 2 is the weight of same pairs, which the task classes does not have; allowed: balanced",
    ),
]


@pytest.mark.parametrize(("given_config", "message"), INVALID)
def test_an_error_names_the_key_the_value_and_the_allowed_values(given_config, message):
    with pytest.raises(StudyError) as error:
        check(given_config)
    assert message in str(error.value)


def test_all_errors_are_reported_at_once():
    with pytest.raises(StudyError) as error:
        check({"datset": "x", "seeds": 1, "device": "gpu"})
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == ["seeds", "device", "datset"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("study=2024", "2024"),
        ("study=true", "true"),
        ("study=!!str 1_2", "1_2"),
        ("study=", "digits"),
        ("archive=yes", "yes"),
        ("overwrite=true", True),
        ("sweep={ks: [2]}", [2]),
        ("training={swap: False}", False),
        ("training={learning_rate: 1e-3}", 0.001),
        ("verification={rankings: 7}", 7),
        ("sensitivity={layers: [conv1]}", ["conv1"]),
    ],
)
def test_values_of_the_command_line_have_the_declared_type(word, value):
    """`parse_config` is what Snakemake does with the words after --config: nested values are texts."""
    from snakemake.cli import parse_config

    given = parse_config([word])
    key = word.partition("=")[0]
    config = check(given)[key]
    config = config[next(iter(given[key]))] if isinstance(config, dict) else config
    assert repr(config) == repr(value)


def test_values_of_a_file_have_the_declared_type():
    text = "study: 2024-01-01\ndata_dir: 7\ndataset_name:\ntraining: {learning_rate: 1e-3, epochs: 3.0}"
    config = check(yaml.safe_load(text))
    assert [config[key] for key in ("study", "data_dir", "dataset_name")] == ["2024-01-01", "7", ""]
    assert (config["training"]["learning_rate"], repr(config["training"]["epochs"])) == (0.001, "3")


def test_whole_numbers_are_one_setting():
    """The parameters of jobs list the values as text: 1 and 1.0 would be two settings."""
    given = ({"training": {"same_weight": one}, "preprocess": {"std": [one]}} for one in (1, 1.0, "1"))
    lines = [settings_of(check(one)) for one in given]
    assert lines[0] == lines[1] == lines[2]
    assert {"training.same_weight: 1", "preprocess.std: [1]"} < set(lines[0].values())


def test_every_key_has_a_description_and_a_default():
    for key, sub in KEYS.items():
        assert sub.get("description"), key
        assert "default" in sub or "properties" in sub, key
        assert "properties" not in sub or sub.get("additionalProperties") is False, key


def merged(default: dict, over: dict) -> dict:
    """Return a config as Snakemake merges it with the values of a second file or of the command line."""
    update_config(both := copy.deepcopy(default), over)
    return both


@pytest.mark.parametrize(
    "study", [PROJECT / "config.yaml", *sorted((PROJECT / "config").glob("*.yaml"))], ids=lambda path: path.name
)
def test_every_study_is_allowed(study):
    default, given = (yaml.safe_load(path.read_text()) for path in (PROJECT / "config.yaml", study))
    complete = check(merged(default, given))
    assert check(default) == check({}) and check(complete) == complete
    assert set(complete) == set(check({})), "with all keys"
    assert merged(complete, given) == complete, "with the values of the file"


def test_another_budget_replaces_the_default_of_a_plan():
    budgets = ("macs", "params", "tolerance")
    for given_plan, values in (
        ({}, ([0.5], [], [])),
        ({"params": "0.3"}, ([], [0.3], [])),
        ({"tolerance": 0, "macs": None}, ([], [], [0])),
        ({"params": None}, ([0.5], [], [])),
        ({"params": [0.3, 0.2], "macs": 1}, ([1], [0.3, 0.2], [])),
    ):
        plan = check({"plan": given_plan})["plan"]
        assert tuple(plan[key] for key in budgets) == values
        assert check({"plan": plan})["plan"] == plan


def test_the_study_of_all_criteria_names_all():
    named = yaml.safe_load((PROJECT / "config" / "all_criteria.yaml").read_text())["ranking"]["criteria"]
    assert {name for name in named if not name.startswith("reversed-")} == set(criteria.names())


def test_names_are_those_of_the_code():
    from prunecurve.graph.points import POINTS

    assert KEYS["ranking.measure_at"]["enum"] == list(POINTS)
    for name in criteria.names():
        assert all(f"ranking.{key}" in KEYS for key in criteria.parameters(name)), name


def test_ks_always_hold_the_control():
    config = check({"sweep": {"ks": [9, 3, 20, 3]}})
    assert ks(config, "conv3", Layers.of(config)) == [0, 3, 9, 20]
    assert ks(config, "conv1", Layers.of(config)) == [0, 3, 9], "a smaller layer has fewer values of K"


@pytest.mark.parametrize(
    ("count", "expected"), [(2, [0, 63]), (5, [0, 16, 32, 47, 63]), (64, [*range(64)]), (999, [*range(64)])]
)
def test_a_number_of_ks_are_evenly_spread(count, expected):
    config = check({"sweep": {"ks": count}})
    assert ks(config, "conv3", Layers.of(config)) == expected
    assert resolved(config)["sweep.ks"] == (expected if count < 64 else "all")


def test_layers_and_their_jobs():
    config = check({"sweep": {"ks_per_job": 48}})
    layers = Layers.of(config)
    assert layers.convolutions == {"conv1": 16, "conv2": 32, "conv3": 64}
    assert layers.channels == {**layers.convolutions, "linear1": 128, "linear2": 32}
    assert pruned_layer(config, layers) == "conv3"
    assert pruned_layer(check({"layer": "conv2"}), layers) == "conv2"
    assert layers.backends == {
        **{"conv1": "torch", "conv2": "torch"},
        **{"conv3": "numpy", "linear1": "numpy", "linear2": "numpy"},
    }
    assert list(k_batches(config, "conv3", layers)) == ["0-47", "48-63"]
    assert list(k_batches(check({}), "conv2", layers)) == ["0-31"], "the sweep of a layer before the last is one job"
    assert list(k_batches(config, "linear1", layers)) == ["0-47", "48-95", "96-127"]


def test_an_archive_of_an_older_version_has_its_sizes():
    manifest = json.loads((PROJECT / "archive" / "mnist" / "manifest.json").read_text(encoding="utf-8"))
    config = of_archive(manifest["config"], {"archive": "mnist"})
    assert config["images"] == {"train": 6000, "val": 1000, "test": 1000, "disjoint": True}
    assert check(config) == config
    # The same numbers, given as such or by the data set.
    asked = {"archive": "mnist", "images": {"train": "auto", "val": 1000}}
    assert asked_sizes(of_archive(manifest["config"], asked)) == asked_sizes(config)
    with pytest.raises(StudyError, match=r"images\.train: asked for: 100; the archive holds: 6000"):
        of_archive(manifest["config"], {"archive": "mnist", "images": {"train": 100}})
    # Keys that change nothing may differ.
    asked = {"archive": "mnist", "figures": {"dpi": "90"}, "training": {"require": 0}}
    assert of_archive(manifest["config"], asked)["figures"]["dpi"] == 90


def test_the_sizes_of_splits_are_those_of_the_data_set_or_of_the_config():
    assert asked_sizes(check({})) == {"train": 1000, "val": 297, "test": 300}
    assert asked_sizes(check({"dataset": "kmnist"})) == {"train": 6000, "val": 1000, "test": 1000}
    own = check({"dataset": "image_folder", "images": {"val": "0.25", "test": 40}})
    assert asked_sizes(own) == {"train": "auto", "val": 0.25, "test": 40}
    lines = [settings_of(check({"images": images})) for images in ({}, {"train": 1000})]
    assert lines[0] == lines[1] and lines[0]["images.train"] == "images.train: 1000"


def test_the_order_of_keys_changes_no_job():
    """Jobs list the values of a section, and Snakemake compares the lists."""
    backwards = {key: dict(reversed(value.items())) if isinstance(value, dict) else value
                 for key, value in reversed(check({}).items())}  # fmt: skip
    assert json.dumps(check(backwards)) == json.dumps(check({}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["all", "mnist"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
large = st.integers(2**31, 2**70) | st.integers(2**1000, 2**1001) | st.floats(1e10, allow_infinity=True)
odd = large | large.map(lambda n: -n) | st.dates() | st.text(max_size=5)
hostile = odd | st.lists(odd, max_size=3) | st.dictionaries(odd | st.none(), odd, max_size=2) | values


def nested(key: str, value: object) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def allowed_values(sub: dict) -> st.SearchStrategy:
    """Return a strategy for the allowed values of a key, including the ends of its range."""
    if "enum" in sub:
        return st.sampled_from(sub["enum"])
    if sub.get("type") in ("integer", "number"):
        low, high = sub.get("minimum", 1e-9), sub.get("maximum", sub.get("exclusiveMaximum"))
        return st.sampled_from([low, high]) | (st.integers if sub["type"] == "integer" else st.floats)(low, high)
    return st.just(sub["default"])


@settings(max_examples=200)
@given(data=st.data())
def test_jobs_and_scripts_accept_all_allowed_values(data):
    """Includes the ends of every range. Scripts get a section as JSON; jobs have each K once."""
    chosen = data.draw(st.lists(st.sampled_from(sorted(k for k in KEYS if "properties" not in KEYS[k])), max_size=4))
    config: dict = {}
    for key in chosen:
        config = merged(config, nested(key, data.draw(allowed_values(KEYS[key]), label=key)))
    try:
        complete = check(config)
    except StudyError as error:
        assert any(key in str(error) for key in [*chosen, "network.channels", "images.", "training.same_weight"]), error
        return
    layers = Layers.of(complete)
    for layer, channels in layers.channels.items() if layers else ():
        chosen, jobs = ks(complete, layer, layers), k_batches(complete, layer, layers)
        assert [k for several in jobs.values() for k in several] == chosen and max(chosen) < channels
    for name, field in StudyKeys.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            assert field.annotation.model_validate_json(json.dumps(complete[name])).model_dump() == complete[name]


@settings(max_examples=300)
@given(key=st.sampled_from(sorted(KEYS)), value=hostile)
def test_any_value_of_any_key_is_accepted_or_reported_with_its_key_in_short_lines(key, value):
    try:
        complete = check(nested(key, value))
    except StudyError as error:
        # Errors inside a mapping, and values that contradict others, can name a related key.
        assert key.split(".")[0] in str(error) or "network" in str(error) or "images" in str(error)
        assert all(len(line) < 2500 for line in str(error).splitlines())
    else:
        assert check(complete) == complete
        # The rules ask for these when Snakemake reads them.
        study = Study(complete, lambda: Layers({}, {}, {}, None, {}))
        assert study.in_words() and Options(study).torch()
        assert not study.built_in or Settings(study).keys("layer", "sweep")
