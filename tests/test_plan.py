"""The layers of a network, known from the config or from the table that a job writes, and studies that use either."""

import base64
import json
import re

import pytest
from conftest import TINY, Study, random_network
from prunecurve.config.check import check
from prunecurve.config.layers import Layers, k_batches, ks, misfits, pruned_layer, sensitivity_layers
from prunecurve.config.settings import replaced, resolved, settings
from prunecurve.arrays import load_array
from prunecurve.tables import as_text, read_rows, read_text
from prunecurve.provenance import settings_of
from prunecurve.model.conv_net import Architecture
from prunecurve.graph.layer_table import layer_table

NETWORK = {"channels": [4, 6, 8], "hidden": [12, 6]}
OUTSIDE = {**NETWORK, "factory": "net.py:network"}


def table(**replacing) -> list[dict[str, str]]:
    """Return rows as layers.csv has them, of a network with a residual block."""
    layers = [("conv1", "Conv2d", 8), ("block.0", "Conv2d", 8), ("block.1.conv", "Conv2d", 6), ("fc", "Linear", 2)]
    rows = [{"layer": name, "kind": kind, "channels": str(p), "refused": ""} for name, kind, p in layers]
    backends = {"conv1": "torch", "block.0": "torch", "block.1.conv": "numpy", "fc": ""}
    refused = {"fc": "its channels reach the output of the network", **replacing}
    # conv1 and block.0 compute the same channels.
    groups = {"conv1": "1", "block.0": "1", "block.1.conv": "2"}
    return [
        row
        | {"backend": backends[row["layer"]], "refused": refused.get(row["layer"], "")}
        | {"group": groups.get(row["layer"], "")}
        for row in rows
    ]


def messages(config: dict, rows: list[dict[str, str]]) -> list[str]:
    return list(misfits(check({"network": OUTSIDE} | config), Layers.read(rows)))


# ---- layers


def test_the_layers_of_the_config_and_of_the_table_are_the_same():
    config = check({"network": NETWORK, "sweep": {"ks": [7, 2], "ks_per_job": 2}})
    architecture = Architecture(in_channels=2, image_size=28, **NETWORK)
    rows = layer_table(random_network(architecture, 0), [2, 28, 28])
    built_in = Layers.of(config)
    read = Layers.read([{name: as_text(value) for name, value in row.items()} for row in rows])
    for name in ("channels", "backends", "convolutions"):
        values = [getattr(layers, name) for layers in (built_in, read)]
        assert list(values[0].items()) == list(values[1].items()), name
    assert read.last == built_in.last == "conv3"
    assert list(read.refused) == ["linear3"]
    assert resolved(config, read) == resolved(config)
    for layer in built_in.channels:
        assert k_batches(config, layer, read) == k_batches(config, layer, built_in), layer


def test_layers_of_a_table():
    layers, config = Layers.read(table()), check({"network": OUTSIDE, "sweep": {"ks": [2, 7]}})
    assert layers.channels == {"conv1": 8, "block.0": 8, "block.1.conv": 6}
    assert layers.convolutions == {"conv1": 8, "block.1.conv": 6}, "the first of each group"
    assert pruned_layer(config, layers) == "block.1.conv"
    assert pruned_layer(check({"network": OUTSIDE, "layer": "block.0"}), layers) == "block.0"
    assert ks(check({"network": OUTSIDE}), "block.1.conv", layers) == list(range(6))
    assert k_batches(config, "block.0", layers) == {"0-7": [0, 2, 7]}, "in torch, all K are one job"
    assert Layers.read(table(conv1="frozen")).convolutions == {"block.0": 8, "block.1.conv": 6}


def test_the_layers_of_the_sensitivity_are_in_the_order_of_the_network():
    layers = Layers.read(table())
    assert sensitivity_layers(check({"network": OUTSIDE}), layers) == ["conv1", "block.1.conv"]
    chosen = {"network": OUTSIDE, "sensitivity": {"layers": ["block.1.conv", "block.0"]}}
    assert sensitivity_layers(check(chosen), layers) == ["block.0", "block.1.conv"]
    wrong = messages({"sensitivity": {"layers": ["block.0", "fc"]}}, table())
    assert wrong == [
        "sensitivity.layers: fc cannot be pruned: its channels reach the output of the network; "
        "allowed: last, conv1, block.0, block.1.conv"
    ]


def test_the_layers_of_a_network_from_outside_are_not_in_the_config():
    config = check({"network": OUTSIDE, "layer": "block.0", "sweep": {"ks": [99]}})
    assert Layers.of(config) is None
    assert (resolved(config)["layer"], resolved(config)["sweep.ks"]) == ("block.0", [99])
    config = check({"network": OUTSIDE, "sweep": {"ks": [3, 2, 1, 4, 5]}})
    lines = settings(config, Layers.read(table()))
    assert (lines["layer"], lines["sweep.ks"]) == ("layer: block.1.conv", "sweep.ks: all")


NOT_A_LAYER = "is not a convolution or linear layer of the network; allowed: last,"
ALLOWED = "conv1, block.0, block.1.conv"


@pytest.mark.parametrize(
    ("config", "rows", "message"),
    [
        ({}, table(), None),
        ({"layer": "conv1", "sweep": {"ks": [7]}}, table(), None),
        ({"layer": "block.1"}, table(), f"block.1 {NOT_A_LAYER} {ALLOWED}; did you mean block.0?"),
        (
            {"layer": "fc"},
            table(),
            f"fc cannot be pruned: its channels reach the output of the network; allowed: last, {ALLOWED}",
        ),
        (
            {},
            table(**{"block.1.conv": "view divides its channels"}),
            "block.1.conv cannot be pruned: view divides its channels; allowed: conv1, block.0",
        ),
        ({}, table()[-1:], "last is the last convolution, but the network has none; allowed: none"),
        ({"layer": "conv1"}, [table()[0] | {"channels": "1"}], "conv1 has 1 channel; allowed: at least 2"),
        (
            {"layer": "c3_"},
            [table()[0] | {"layer": f"c{i}"} for i in range(40)],
            f"c3_ {NOT_A_LAYER} one of 40 layers (snakemake layers lists them); did you mean c3?",
        ),
    ],
)
def test_errors_of_the_key_layer(config, rows, message):
    assert messages(config, rows) == ([f"layer: {message}"] if message else [])


def test_a_k_that_the_layer_does_not_have():
    assert messages({"sweep": {"ks": [1, 6]}}, table()) == [
        "sweep.ks: K = 6 is out of range; allowed: 0 to 5, because block.1.conv has 6 channels"
    ]


def test_a_finished_study_is_compared_as_far_as_the_layers_are_known():
    layers = Layers.read(table())

    def lines(asked: dict, known: Layers | None) -> list[str]:
        return replaced(
            settings(check({"network": OUTSIDE}), layers).values(), check({"network": OUTSIDE} | asked), [], known
        )

    assert lines({}, layers) == lines({}, None) == []
    assert lines({"layer": "conv1"}, None) == ["layer: block.1.conv; asked for: conv1"]
    fewer = {"sweep": {"ks": [2]}}
    assert lines(fewer, layers) == ["sweep.ks: all; asked for: [0, 2]"]
    assert lines(fewer, None) == []
    assert lines({"training": {"epochs": 3}}, None) == ["training.epochs: 8; asked for: 3"]


# ---- studies

# The network of TINY, as a user writes it.
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [2, 4, 6, 8]
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], 3, padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(widths[i]))
        self.linear1, self.linear2, self.linear3 = nn.Linear(72, 12), nn.Linear(12, 6), nn.Linear(6, 2)
        self.relu, self.pool, self.dropout = nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)

    def forward(self, x):
        for i in (1, 2, 3):
            x = self.pool(self.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))))
        x = self.dropout(self.relu(self.linear1(x.flatten(1))))
        return self.linear3(self.relu(self.linear2(x)))


def network():
    return Net()
"""
FROM_OUTSIDE = TINY.replace("network: {", "network: {factory: 'net.py:network', ")
# Their parameters name the network.
OF_NETWORK = {"describe_network", "train", "describe_layer", "collect_activations", "verify_surgery"}


def study_from_outside(tmp_path) -> Study:
    study = Study(tmp_path / "study", FROM_OUTSIDE)
    (study.folder / "net.py").write_text(NET)
    return study


def records(study: Study) -> dict[str, dict]:
    """Return what Snakemake has recorded of each output whose job does not read the network, by the output's path."""
    found = {}
    for path in (study.folder / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            name = base64.b64decode("".join(path.relative_to(study.folder / ".snakemake/metadata").parts)).decode()
            if record["rule"] not in OF_NETWORK and record["rule"] not in ("get_images", "make_pairs"):
                found[name] = {key: record[key] for key in ("rule", "params", "shellcmd")}
                found[name]["input"] = sorted(record["input"])
    return found


def content(path):
    """Return what a file holds besides settings and times: bytes, an array, rows or text."""
    if path.suffix == ".npy":
        return load_array(path).tobytes()
    if path.name == "training.csv":
        return [{key: value for key, value in row.items() if key != "seconds"} for row in read_rows(path)]
    return read_text(path) if path.suffix == ".csv" else path.read_bytes()


def test_a_study_planned_through_the_checkpoint_is_the_same(finished, tmp_path):
    """The same files, bytes, parameters and inputs as with the built-in network, which is planned at the start."""
    study = study_from_outside(tmp_path)
    assert study.plan() == {"get_images": 1, "make_pairs": 1, "describe_network": 1, "complete": 1}
    study.run()
    names = {
        path.relative_to(one.path("")).as_posix()
        for one in (finished, study)
        for path in one.path("").rglob("*")
        if path.is_file() and "logs" not in path.parts and not path.name.startswith("layers.")
    }
    assert len(names) > 60
    for name in names:
        ours, theirs = study.path(name), finished.path(name)
        if name.endswith((".csv", ".npy", ".pt")):
            kept = [
                [line for line in settings_of(path) if not re.match(r"(code of |content of )?network|made with", line)]
                for path in (ours, theirs)
            ]
            assert kept[0] == kept[1], name
        if not name.endswith((".pt", ".settings")):
            assert content(ours) == content(theirs), name
    assert records(study) == records(finished)

    assert study.plan() == {}
    # From here on the layers are known when a run starts.
    assert study.plan("--config", "ranking={criteria: [mean_activation, l1_norm, l2_norm]}")["eval_pruned"] > 8
    for target in ("all", "sensitivity"):
        output = study.run("-n", target, "--config", "layer=conv9", succeed=False).stdout
        assert output.count("layer: conv9 is not a convolution or linear layer of the network; allowed: last, ") == 1
        assert "did you mean conv3?" in output
    # The table is created again, and nothing else.
    study.path("layers.csv").unlink()
    assert study.plan() == {"describe_network": 1, "complete": 1}
    output = study.run("--config", "sweep={ks: [2]}", succeed=False).stdout
    assert "results/digits holds a finished study" in output and "sweep.ks: all; asked for: [0, 2]" in output
    assert study.path("layers.csv").exists() and study.plan() == {}


@pytest.mark.snakemake
def test_a_layer_that_the_network_does_not_have_stops_the_run_before_the_training(tmp_path):
    study = study_from_outside(tmp_path)
    figure = "results/digits/figures/mean_feature_maps_shared_scale_layer1.0.conv1_seed0.png"
    output = study.run("-n", figure).stdout
    assert "wildcards: study=digits, figure=mean_feature_maps_shared_scale, layer=layer1.0.conv1, seed=0" in output
    wrong = ("--config", "layer=linear3")
    output = study.run("all", "summary", "--keep-going", *wrong, succeed=False).stdout
    refused = (
        "layer: linear3 cannot be pruned: its channels reach the output of the network; allowed: last, conv1, conv2"
    )
    assert output.count(refused) == 1
    assert study.path("layers.csv").exists() and not study.path("seed0/model.pt").exists()
    # The layers can be listed, even with this config, and a dry run reports the error too.
    assert refused in study.run("-n", *wrong, succeed=False).stdout
    assert study.path("layers.txt").read_text().splitlines()[0] in study.run("layers", *wrong).stdout
    output = study.run(figure, succeed=False).stdout
    assert "layer: layer1.0.conv1 is not a convolution or linear layer of the network" in output
    assert not study.path("seed0/model.pt").exists()
