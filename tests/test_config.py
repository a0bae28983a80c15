"""The config: defaults, and error messages that name the key, the value and the allowed values."""

import json
import re

import pytest
import yaml
from conftest import PROJECT, Study
from hypothesis import given, settings
from hypothesis import strategies as st
from prunecurve.ranking import criteria
from prunecurve import config as config_module
from prunecurve.config.mappings import merged
from prunecurve.config import Plan, check, k_batches, keys, ks, of_archive, original_text, pruned_layer, resolved
from prunecurve.data.datasets import DATASETS
from prunecurve.data.checks import asked_sizes
from prunecurve.errors import StudyError
from prunecurve.model.parameters import BuiltIn
from prunecurve.study import Study as StudyOfConfig
from prunecurve.sweep.removal import REMOVALS

ALL_KEYS = dict(keys())

INVALID = [
    ({"datset": "digits"}, "datset: unknown key; did you mean dataset?"),
    ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean training.epochs?"),
    ({"epochs": 3}, "epochs: unknown key; did you mean training.epochs?"),
    ({"images": {"trein": 10}}, "images.trein: unknown key; did you mean images.train?"),
    (
        {"images": {"mnist": {"train": 10}}},
        "images.mnist: unknown key; the sizes of the data set's splits are images.train, images.val, images.test",
    ),
    ({"training": {"lr": 1}}, "training.lr: unknown key; allowed keys: epochs, batch_size, learning_rate"),
    ({"xyz": 1}, "xyz: unknown key; allowed keys: dataset, data_dir"),
    ({"dataset": "mnst"}, "dataset: 'mnst' is unknown; allowed: digits, mnist, fashion_mnist, kmnist, cifar10, "),
    (
        {"ranking": {"criteria": ["l1_nrm"]}},
        "ranking.criteria.0: 'l1_nrm' is unknown; allowed: activation_std, apoz, bn_scale, chip, conv_abs_mean",
    ),
    ({"ranking": {"criteria": ["l1_nrm"]}}, "did you mean l1_norm?"),
    ({"sweep": {"removals": ["zero"]}}, "sweep.removals.0: 'zero' is unknown; allowed: structural, zero_weights"),
    ({"sweep": {"ks": [3, 64]}}, "sweep.ks: K = 64 is out of range; allowed: 0 to 63"),
    ({"sweep": {"ks": [-1]}}, "sweep.ks"),
    ({"sweep": {"ks": "every"}}, "sweep.ks: 'every' is not allowed; allowed: all or whole number ≥ 2"),
    ({"sensitivity": {"layers": ["conv4"]}}, "sensitivity.layers: conv4 is not in the network; allowed: last, conv1"),
    ({"seeds": 3}, "seeds: 3 is not allowed; allowed: a list, such as [0, 1, 2], of: whole number ≥ 0"),
    ({"seeds": [1, 1]}, "seeds: [1, 1] is not allowed; allowed: a list, such as [0, 1, 2], of: whole number"),
    ({"seeds": []}, "seeds: [] is not allowed"),
    ({"training": {"learning_rate": "fast"}}, "training.learning_rate: 'fast' is not allowed; allowed: number > 0"),
    ({"training": {"learning_rate": "nan"}}, "training.learning_rate: nan is not a finite number"),
    ({"training": {"epochs": "2.5"}}, "training.epochs: 2.5 is not allowed; allowed: whole number ≥ 1"),
    ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: nan is not a finite number"),
    ({"training": {"epochs": 0}}, "training.epochs: 0 is not allowed; allowed: whole number ≥ 1"),
    ({"training": {"swap": "yes"}}, "training.swap: 'yes' is not allowed; allowed: true or false"),
    ({"training": 5}, "training: 5 is not allowed; allowed: a mapping of keys to values"),
    ({"device": "gpu"}, "device: 'gpu' is unknown; allowed: auto, cpu, cuda"),
    (
        {"network": {"channels": [4] * 5}},
        "network.channels: 5 blocks are too many for image_size 28, since each halves the image; allowed",
    ),
    ({"network": {"channels": [4, 1]}}, "network.channels: the last block has 1 channel; allowed: at least 2"),
    (
        {"layer": "conv4"},
        "layer: conv4 is not in the network; allowed: last, conv1, conv2, conv3, linear1, linear2; did you mean conv3?",
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
    (
        {"layer": "conv/1"},
        "layer: 'conv/1' is not allowed; allowed: last or conv1 or layer1.0.conv2, …",
    ),
    ({"layer": "conv1", "network": {"channels": [1, 4]}}, "layer: conv1 has 1 channel (network.channels)"),
    (
        {"layer": "conv1", "sweep": {"ks": [16]}},
        "K = 16 is out of range; allowed: 0 to 15, because conv1 has 16 channels",
    ),
    ({"ranking": {"criteria": ["reversed-random"]}}, "'reversed-random' is unknown; allowed"),
    ({"ranking": {"measure_at": "head"}}, "ranking.measure_at: 'head' is unknown; allowed: conv, bn, relu, pool"),
    ({"sensitivity": {"criteria": ["l3_norm"]}}, "sensitivity.criteria.0: 'l3_norm' is unknown"),
    ({"plan": {"macs": 0.5, "tolerance": 0.1}}, "plan: macs and tolerance are given; give one of macs, params and"),
    ({"plan": {"macs": None}}, "plan: no budget is given; give one of macs, params and tolerance"),
    ({"plan": {"macs": 0}}, "plan.macs: 0 is not allowed; allowed: number > 0 and ≤ 1 or null"),
    ({"plan": {"criterion": "random"}}, "plan.criterion: 'random' is unknown; allowed: activation_std"),
    ({"network": {"kernel_size": 4}}, "network.kernel_size: 4 is even; allowed: odd numbers"),
    (
        {"training": {"epochs": 10**30}},
        "training.epochs: 1000000000000000000000000000000 is not allowed; allowed: whole",
    ),
    ({"training": {"learning_rate": 10**400}}, "training.learning_rate: 1000000000"),
    ({"training": {"epochs": 16**9999}}, "training.epochs: the number has thousands of digits"),
    (
        {"seeds": list(range(10_001))},
        "9999, 10000] is not allowed; allowed: a list, such as [0, 1, 2], of: whole",
    ),
    ({"seeds": [float("inf")]}, "seeds.0: inf is not a finite number"),
    ({"images": {"train": 10**12}}, "images.train: 1000000000000 is not allowed"),
    (
        {"network": {"channels": [65536, 65536]}},
        "network.channels, network.hidden: the network would have 3.9e+10 weights",
    ),
    ({"network": {"hidden": [65536] * 3}}, "network.channels, network.hidden: the network would have"),
    ({"data_dir": "a\nb"}, "data_dir: 'a\\nb' is not allowed; allowed: text, not empty, at most 4000 characters, none"),
    ({"data_dir": "a\n"}, "data_dir: 'a\\n' is not allowed"),
    ({"data_dir": "\0"}, "data_dir: '\\x00' is not allowed"),
    ({"data_dir": "\ud800"}, "data_dir: '\\ud800' is not allowed"),
    ({"data_dir": "a" * 5000}, "data_dir: 'aaaa"),
    ({"layer": "last\n"}, "layer: 'last\\n' is not allowed"),
    ({1: 2}, "1: unknown key"),
    ({"training": {None: 2}}, "training.None: unknown key"),
    (
        {"images": {"val": 1.5}},
        "images.val: 1.5 is not allowed; allowed: auto or whole number ≥ 2 and ≤ 100000000 or number > 0",
    ),
    ({"images": {"val": 10}}, "images.val: 10 images are too few for the pairs of one image"),
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
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == ["datset", "seeds", "device"]


def test_a_name_may_look_like_a_number():
    """Snakemake makes a number of `--config study=2024`."""
    assert check({"study": 2024})["study"] == "2024"


@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        (["study=1_2"], "study", "1_2"),
        (["data_dir=2024"], "data_dir", "2024"),
        (["archive=007"], "archive", "007"),
        (["study=1.10"], "study", "1.10"),
        (["study=2024-01-01"], "study", "2024-01-01"),
        (["study=true"], "study", "true"),
        (["study=1e999"], "study", "1e999"),
        (["study=nan"], "study", "nan"),
        (["data_dir=a #1"], "data_dir", "a #1"),
        (["data_dir=[a]"], "data_dir", "[a]"),
        (["data_dir=a: b"], "data_dir", "a: b"),
        (["data_dir=a=b"], "data_dir", "a=b"),
        (['data_dir="1_2"'], "data_dir", "1_2"),
        (["study="], "study", ""),
        (["study=5", "study=6_0"], "study", "6_0"),
    ],
)
def test_text_on_the_command_line_stays_as_it_was_written(words, name, text):
    """`parse_config` is what Snakemake does with the words after --config."""
    from snakemake.cli import parse_config

    given = parse_config(words)
    assert original_text(given, words, given, [])[name] == text


def test_text_in_a_config_file_stays_as_it_was_written(tmp_path):
    (tmp_path / "a.yaml").write_text("study: 3_4\ndata_dir: 2024-01-01\nseeds: [1_0]\n")
    (tmp_path / "b.yaml").write_text("study: 1_2\narchive: yes\n")
    files = [tmp_path / name for name in ("missing.yaml", "a.yaml", "b.yaml")]
    read = {key: value for file in files[1:] for key, value in yaml.safe_load(file.read_text()).items()}
    assert read["study"] == 12
    text = original_text(read, ["layer=3"], {"layer": 3}, files)
    assert text == {"study": "1_2", "data_dir": "2024-01-01", "archive": "yes", "seeds": [10]}
    # Names of layers.
    (tmp_path / "a.yaml").write_text(
        "layer: 4.10\nsensitivity: {layers: [4.10, 0, 1_0]}\nnetwork: {leaf_modules: [1.0]}\n"
    )
    read = yaml.safe_load((tmp_path / "a.yaml").read_text())
    text = original_text(read, [], {}, files)
    assert (text["layer"], text["sensitivity"]) == ("4.10", {"layers": ["4.10", "0", "1_0"]})
    assert text["network"] == {"leaf_modules": ["1.0"]}
    for other in ({"sensitivity": 3}, {"sensitivity": {"layers": "all"}}, {"sensitivity": {"layers": [7.5]}}):
        assert original_text(other, [], {}, files) == other
    # The command line of another workflow that uses this one as a module.
    assert original_text({"study": "x"}, ["study=y"], {"study": "y"}, []) == {"study": "x"}


def test_every_key_has_a_description_and_a_default():
    for key, sub in ALL_KEYS.items():
        assert sub.get("description"), key
        assert "default" in sub or "properties" in sub, key
        assert "properties" not in sub or sub.get("additionalProperties") is False, key


def test_defaults_are_allowed_and_are_the_default_study():
    complete = check({})
    assert check(complete) == complete
    assert check(yaml.safe_load((PROJECT / "config.yaml").read_text())) == complete


@pytest.mark.parametrize("study", sorted((PROJECT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_study_is_allowed(study):
    default, given = (yaml.safe_load(path.read_text()) for path in (PROJECT / "config.yaml", study))
    complete = check(merged(default, given))
    assert set(complete) == set(check({})), "with all keys"
    assert merged(complete, given) == complete, "with the values of the file"


def test_another_budget_replaces_the_default_of_a_plan():
    budgets = ("macs", "params", "tolerance")
    for given_plan, values in (
        ({}, (0.5, None, None)),
        ({"params": "0.3"}, (None, 0.3, None)),
        ({"tolerance": 0, "macs": "null"}, (None, None, 0)),
        ({"params": None}, (0.5, None, None)),
    ):
        plan = check({"plan": given_plan})["plan"]
        assert tuple(plan[key] for key in budgets) == values
        assert check({"plan": plan})["plan"] == plan


def test_keys_of_the_task_pairs_have_no_effect_on_images():
    pairs = {"pairs_per_image": {"same": 500, "different": 500}}
    assert check({"task": "classes", "images": {"val": 10}} | pairs)["task"] == "classes"


def test_the_study_of_all_criteria_names_all():
    named = yaml.safe_load((PROJECT / "config" / "all_criteria.yaml").read_text())["ranking"]["criteria"]
    assert {name for name in named if not name.startswith("reversed-")} == set(criteria.names())


def test_names_are_those_of_the_code():
    assert ALL_KEYS["dataset"]["enum"] == list(DATASETS)
    assert ALL_KEYS["ranking.criteria"]["items"]["enum"] == criteria.allowed()
    assert ALL_KEYS["sweep.removals"]["items"]["enum"] == list(REMOVALS)
    assert set(ALL_KEYS["ranking.criteria"]["default"]) < set(criteria.names())


def test_ks_always_hold_the_control():
    config = check({"sweep": {"ks": [9, 3, 20, 3]}})
    plan = Plan.of(config)
    assert ks(config, "conv3", plan) == [0, 3, 9, 20]
    assert ks(config, "conv1", plan) == [0, 3, 9], "a smaller layer has fewer values of K"
    assert ks(check({}), "conv3", plan) == list(range(64))


@pytest.mark.parametrize(
    ("count", "expected"), [(2, [0, 63]), (5, [0, 16, 32, 47, 63]), (64, [*range(64)]), (999, [*range(64)])]
)
def test_a_number_of_ks_are_evenly_spread(count, expected):
    config = check({"sweep": {"ks": count}})
    assert ks(config, "conv3", Plan.of(config)) == expected
    assert resolved(config)["sweep.ks"] == (expected if count < 64 else "all")


def test_layers_and_their_jobs():
    config = check({"sweep": {"ks_per_job": 48}})
    plan = Plan.of(config)
    assert plan.convolutions == {"conv1": 16, "conv2": 32, "conv3": 64}
    assert plan.channels == {**plan.convolutions, "linear1": 128, "linear2": 32}
    assert pruned_layer(config, plan) == "conv3"
    assert pruned_layer(check({"layer": "conv2"}), plan) == "conv2"
    assert plan.backends == {
        **{"conv1": "torch", "conv2": "torch"},
        **{"conv3": "numpy", "linear1": "numpy", "linear2": "numpy"},
    }
    assert list(k_batches(config, "conv3", plan)) == ["0-47", "48-63"]
    assert list(k_batches(check({}), "conv2", plan)) == ["0-31"], "the sweep of a layer before the last is one job"
    assert list(k_batches(config, "linear1", plan)) == ["0-47", "48-95", "96-127"]


def test_the_layers_and_backends_of_the_config_are_those_of_the_network():
    """The config knows them before there is a network; the graph of the network says the same."""
    import torch
    from conftest import layer_of, random_network
    from prunecurve.model import conv_net_layers as conv_net_plan
    from prunecurve.graph.description import describe
    from prunecurve.model.conv_net import Architecture

    config = check({"network": {"channels": [3, 4, 5], "hidden": [6, 7]}})
    plan = Plan.of(config)
    model = random_network(
        Architecture(in_channels=2, image_size=12, channels=[3, 4, 5], kernel_size=3, hidden=[6, 7], dropout=0.5), 0
    )
    for name, channels in plan.channels.items():
        layer = describe(layer_of(model, name))
        assert (layer.channels, layer.backend) == (channels, plan.backends[name]), name
        assert (layer.scale is None) == (name not in plan.convolutions)
    assert layer_of(model, "last").path == pruned_layer(config, plan)
    network = config["network"]
    paths = [*plan.channels, *plan.refused]
    assert sorted(paths) == sorted(path for path, _ in model.named_modules() if path)
    shape = {key: network[key] for key in BuiltIn.model_fields}
    grey = random_network(Architecture(in_channels=1, image_size=12, **shape), 0)
    kinds = torch.nn.Conv2d | torch.nn.Linear
    weights = sum(module.weight.numel() for module in grey.modules() if isinstance(module, kinds))
    assert conv_net_plan.fewest_weights(network, 12) == weights
    with pytest.raises(StudyError, match="linear3 can't be pruned: its channels reach the output"):
        layer_of(model, "linear3")


def test_points_are_those_of_the_network():
    from prunecurve.graph.layers import POINTS

    assert ALL_KEYS["ranking.measure_at"]["enum"] == list(POINTS)


def test_every_parameter_of_a_criterion_is_a_key():
    for name in criteria.names():
        assert all(f"ranking.{key}" in ALL_KEYS for key in criteria.parameters(name)), name


def test_numbers_stay_as_they_are_given():
    """The parameters of jobs list the values as text: 1 and 1.0 would be two settings."""
    training = {"same_weight": 1, "learning_rate": 0.5, "weight_decay": "0", "require": "1e-1"}
    got = check({"training": training})["training"]
    assert [repr(got[key]) for key in training] == ["1", "0.5", "0", "0.1"]


@pytest.mark.parametrize("value", [True, False, "true"])
def test_true_is_not_a_number(value):
    for key in ("training.epochs", "training.learning_rate", "training.same_weight", "images.val", "seeds.0"):
        given = {"seeds": [value]} if key == "seeds.0" else nested(key, value)
        with pytest.raises(StudyError, match=rf"{re.escape(key)}: {value!r} is not allowed; allowed: "):
            check(given)


def test_a_config_of_an_older_study_names_the_new_keys():
    given = {"dataset": "mnist", "images": {"mnist": {"train": 6000}, "digits": {"val": 9}, "disjoint": True}}
    with pytest.raises(StudyError) as error:
        check(given)
    new = "unknown key; the sizes of the data set's splits are images.train, images.val, images.test"
    assert str(error.value).splitlines()[1:] == [f"  images.mnist: {new}", f"  images.digits: {new}"]


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
    with pytest.raises(StudyError, match=r"archive: in the manifest, .*\n  images: 5 is not allowed"):
        of_archive(manifest["config"] | {"images": 5}, {"archive": "mnist"})


def test_the_sizes_of_splits_are_those_of_the_data_set_or_of_the_config():
    assert asked_sizes(check({})) == {"train": 1000, "val": 297, "test": 300}
    assert asked_sizes(check({"dataset": "kmnist"})) == {"train": 6000, "val": 1000, "test": 1000}
    own = check({"dataset": "image_folder", "images": {"val": "0.25", "test": 40}})
    assert asked_sizes(own) == {"train": "auto", "val": 0.25, "test": 40}
    lines = [config_module.settings(check({"images": images})) for images in ({}, {"train": 1000})]
    assert lines[0] == lines[1] and lines[0]["images.train"] == "images.train: 1000"


def test_text_is_converted_to_the_required_number():
    """Snakemake passes the values in `--config 'sweep={ks: [2]}'` as text, and YAML reads 1e-3 as text."""
    training = {"learning_rate": "1e-3", "swap": "no"}
    given = {"sweep": {"ks": ["2"]}, "seeds": ["4"], "data_dir": "7", "training": training}
    with pytest.raises(StudyError, match="'no' is not allowed; allowed: true or false"):
        check(given)
    training["swap"] = "False"
    config = check(given)
    assert (config["sweep"]["ks"], config["seeds"], config["data_dir"]) == ([2], [4], "7")
    assert (config["training"]["learning_rate"], config["training"]["swap"]) == (0.001, False)


@pytest.mark.parametrize("given", ["3", 3.0, 3])
def test_a_key_for_a_word_or_a_number_accepts_both(given):
    assert repr(check({"verification": {"rankings": given}})["verification"]["rankings"]) == "3"
    assert check({"verification": {"rankings": "all"}})["verification"]["rankings"] == "all"
    with pytest.raises(
        StudyError, match=r"verification\.rankings: .* is not allowed; allowed: all or whole number ≥ 1"
    ):
        check({"verification": {"rankings": "some"}})


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_no_job(random):
    """Jobs list the values of a section, and Snakemake compares the lists."""

    def shuffled(value):
        if not isinstance(value, dict):
            return value
        names = random.sample(list(value), len(value))
        return {name: shuffled(value[name]) for name in names}

    config = check(shuffled(check({})))
    lines = [list(config_module.settings(one).items()) for one in (config, check({}))]
    assert lines[0] == lines[1]
    assert list(config["training"]) == list(ALL_KEYS["training"]["properties"])


def test_whole_numbers_with_a_decimal_point_become_integers():
    config = check({"training": {"epochs": 3.0}, "seeds": [1.0], "sweep": {"ks": [5.0]}})
    assert (repr(config["training"]["epochs"]), repr(config["seeds"]), repr(ks(config, "conv3", Plan.of(config)))) == (
        "3",
        "[1]",
        "[0, 5]",
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["all", "mnist"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


large = st.integers(2**31, 2**70) | st.integers(2**1000, 2**1001) | st.floats(1e10, allow_infinity=True)
odd = large | large.map(lambda n: -n) | st.binary(max_size=3) | st.dates() | st.text(max_size=5)
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
    """Includes the ends of every range. Checks the jobs, their names, their options and the values a script parses."""
    import train

    chosen = data.draw(
        st.lists(st.sampled_from(sorted(k for k in ALL_KEYS if "properties" not in ALL_KEYS[k])), max_size=4)
    )
    config: dict = {}
    for key in chosen:
        parts, place = key.split("."), config
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = data.draw(allowed_values(ALL_KEYS[key]), label=key)
    try:
        complete = check(config)
    except StudyError as error:
        assert any(key in str(error) for key in [*chosen, "network.channels", "images.", "training.same_weight"]), error
        return
    plan = Plan.of(complete)
    for layer, channels in plan.channels.items() if plan else ():
        chosen, jobs = ks(complete, layer, plan), k_batches(complete, layer, plan)
        assert [k for several in jobs.values() for k in several] == chosen and max(chosen) < channels
    # The scripts take the sections as JSON.
    of_complete = StudyOfConfig(complete, lambda: None)
    words = ["--train", "x", "x", "x", "--val", "x", "x", "x", "--model=x", "--history=x", "--seed=0"]
    for section in ("preprocess", "training"):
        words += [f"--{section}", of_complete.json(section)]
    taken = train.options().parse_args([*words, "--network", of_complete.network()])
    assert (
        taken.training.model_dump() == complete["training"] and taken.preprocess.model_dump() == complete["preprocess"]
    )
    assert taken.network.channels == complete["network"]["channels"] or not plan


@settings(max_examples=300)
@given(key=st.sampled_from(sorted(ALL_KEYS)), value=hostile)
def test_any_absurd_value_is_accepted_or_reported_with_its_key_in_short_lines(key, value):
    try:
        check(nested(key, value))
    except StudyError as error:
        message = str(error)
        assert key.split(".")[0] in message or "network" in message or "images" in message
        assert all(len(line) < 2500 for line in message.splitlines())


@given(key=st.sampled_from(sorted(ALL_KEYS)), value=values)
def test_any_value_of_any_key_is_accepted_or_reported_with_its_key(key, value):
    try:
        complete = check(nested(key, value))
    except StudyError as error:
        # Errors inside a mapping, and values that contradict others, can name a related key.
        assert key.split(".")[0] in str(error) or "network" in str(error) or "images" in str(error)
    else:
        assert check(complete) == complete


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("untouched") / "study")


@settings(max_examples=10)
@given(key=st.sampled_from(sorted(ALL_KEYS)), value=values)
def test_snakemake_plans_with_any_value_or_names_its_key(untouched, key, value):
    """From a config file, as a user writes it. Few examples, because each one starts Snakemake."""
    (untouched.folder / "given.yaml").write_text(yaml.safe_dump(nested(key, value)))
    done = untouched.run("-n", "--quiet", "rules", "--configfile", "given.yaml", succeed=None)
    assert "Traceback" not in done.stdout, done.stdout
    if done.returncode:
        # A missing image folder is reported with the key data_dir.
        named = (key.split(".")[0], "network", "images", "data_dir")
        assert any(f"{name}." in done.stdout or f"{name}:" in done.stdout for name in named), done.stdout
