"""The code of a network from outside: what it may do when it is imported, edits during a run, and names of modules."""

import os
import sys
from pathlib import Path

import pytest
import torch
from conftest import Study
from prunecurve import provenance
from prunecurve.config.settings import weights_settings
from prunecurve.errors import StudyError
from prunecurve.tables import read_rows
from prunecurve.model.factory import code_of_network, contents_of_weights, parsed_factory, require_as_planned
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import load_network, save_model
from prunecurve.model.user_network import build
from prunecurve.model.users_weights import load_weights
from torch import Tensor, nn

SHAPE = (1, 16, 16)
NUMBERS = {"in_channels": 1, "image_size": 16, "classes": 3}
CHAIN = "nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout(0.1), nn.Flatten(), nn.Linear(784, 3))"
MAKE = f"\ndef make():\n    return {CHAIN}\n"


pytestmark = pytest.mark.usefixtures("own_modules")


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file of a user, and returns its factory `make`."""

    def write(text: str, name: str = "net.py") -> str:
        (tmp_path / name).write_text(f"import torch\nfrom torch import nn\n{text}")
        return f"{tmp_path / name}:make"

    return write


def weights(factory: str, seed: int) -> Tensor:
    return torch.cat([value.flatten() for value in build(factory, {}, SHAPE, seed).state_dict().values()])


# Random numbers when the code is imported.

ON_IMPORT = {
    "a module": f"net = {CHAIN}\ndef make():\n    return net\n",
    "a module beside it": "from beside_net import net\ndef make():\n    return net\n",
    "an argument": f"import random, numpy as np\nx = np.random.rand() + random.random()\ndef make():\n"
    f"    net = {CHAIN}\n    nn.init.constant_(net[0].weight, x)\n    return net\n",
    "a cache": f"import functools\n@functools.cache\ndef make():\n    return {CHAIN}\n",
}


@pytest.mark.parametrize("text", ON_IMPORT.values(), ids=ON_IMPORT)
def test_a_seed_gives_the_same_weights_in_each_job_and_another_seed_others(written, own_modules, text):
    written(f"net = {CHAIN}\n", "beside_net.py")
    factory, networks = written(text), []
    for seed in (1, 2, 1):
        networks.append(weights(factory, seed))
        own_modules()
    assert torch.equal(networks[0], networks[2]) and not torch.equal(networks[0], networks[1])


def test_a_network_that_a_package_holds_is_not_the_one_that_is_trained(tmp_path, monkeypatch):
    """Its module is imported once in a process."""
    place = tmp_path / "site-packages"
    place.mkdir()
    (place / "beside_package.py").write_text(f"from torch import nn\n{ON_IMPORT['a module']}")
    monkeypatch.syspath_prepend(place)
    first = build("beside_package:make", {}, SHAPE, 1)
    before = first[0].weight.clone()
    with torch.no_grad():
        first[0].weight.zero_()
    assert torch.equal(build("beside_package:make", {}, SHAPE, 1)[0].weight, before)


# The state of the process.


def test_the_code_sees_no_options_of_the_job(written, monkeypatch):
    text = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--width', type=int, default=4)\n"
    text += "width = parser.parse_known_args()[0].width\nparser.parse_args()\n"
    text += "def make():\n    assert parser.parse_args().width == 4\n"
    text += f"    return {CHAIN.replace('(1, 4', '(1, width').replace('784', '196 * width')}\n"
    factory = written(text)
    argv = ["train.py", "--width", "8", "--model", "m.pt"]
    monkeypatch.setattr(sys, "argv", argv)
    assert build(factory, {}, SHAPE, 0)[0].out_channels == 4
    assert sys.argv is argv
    with pytest.raises(StudyError, match="cannot be imported"):
        build(written("import sys\nsys.argv.append('x')\nsys.exit(sys.argv)\n" + MAKE, "third.py"), {}, SHAPE, 0)
    assert sys.argv is argv and len(argv) == 5


CHANGES = {
    "import os; os.chdir('/')": lambda: str(Path.cwd()),
    "torch.set_default_dtype(torch.bfloat16)": lambda: torch.zeros(1).dtype,
    "torch.set_default_device('meta')": lambda: torch.zeros(1).device.type,
    "torch.set_grad_enabled(False)": torch.is_grad_enabled,
    "torch.set_num_threads(torch.get_num_threads() + 1)": torch.get_num_threads,
    "torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())": (
        torch.get_deterministic_debug_mode
    ),
    "torch.set_float32_matmul_precision('medium')": torch.get_float32_matmul_precision,
    "torch.backends.cudnn.benchmark ^= True": lambda: torch.backends.cudnn.benchmark,
    "torch.backends.cudnn.allow_tf32 ^= True": lambda: torch.backends.cudnn.allow_tf32,
}


@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_what_the_code_changes_in_the_process_is_undone(written, end):
    before = [state() for state in CHANGES.values()]
    # Weights without values cannot read the inputs.
    with pytest.raises(StudyError):
        build(written("\n".join([*CHANGES, end, MAKE])), {}, SHAPE, 0)
    assert [state() for state in CHANGES.values()] == before


# Wrappers.


@pytest.mark.parametrize("wrap", ["torch.compile(net)", "nn.DataParallel(torch.compile(net))", "nn.DataParallel(net)"])
def test_wrappers_are_left_out(written, wrap):
    plain = build(written(MAKE), {}, SHAPE, 0)
    for inner in (False, True):
        text = f"\ndef make():\n    net = {CHAIN}\n"
        text += f"    net[0] = {wrap.replace('net', 'net[0]')}\n    return net\n" if inner else f"    return {wrap}\n"
        module = build(written(text), {}, SHAPE, 0)
        assert type(module) is nn.Sequential and list(module.state_dict()) == list(plain.state_dict())
        images = torch.rand(2, *SHAPE)
        assert torch.equal(module.eval()(images), plain.eval()(images))


# Edits during a run.


@pytest.fixture
def planned():
    """Return a function that sets what a job was planned with."""
    yield provenance.start
    provenance.stop()


def test_a_job_stops_if_the_code_was_edited_since_it_was_planned(written, planned):
    factory = written(MAKE)
    settings = code_of_network({"factory": factory})
    planned(["training.epochs: 3", *settings])
    build(factory, {}, SHAPE, 0)
    written("# A comment.\n" + MAKE)
    build(factory, {}, SHAPE, 0)
    written(MAKE.replace("0.1", "0.2"))
    message = f"^network.factory: the code of {factory} was edited after this run had started, or.*; run the same comm"
    with pytest.raises(StudyError, match=message):
        build(factory, {}, SHAPE, 0)
    # A job in an environment of its own has other libraries than the process that planned it.
    written(MAKE)
    planned([line.replace(f"torch {torch.__version__}", "torch") for line in settings])
    require_as_planned(parsed_factory(factory))


def test_an_edit_within_the_same_second_has_an_effect(written, own_modules, tmp_path, monkeypatch):
    """Python's bytecode files count as current if the time in seconds and the size of their source are the same."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    factory = written("from beside_net import make\n")
    for width in (4, 5):
        written(MAKE.replace("(1, 4", f"(1, {width}").replace("784", f"{196 * width:3}"), "beside_net.py")
        os.utime(tmp_path / "beside_net.py", (1_000_000_000, 1_000_000_000))
        assert build(factory, {}, SHAPE, 0)[0].out_channels == width
        own_modules()


def test_a_network_is_loaded_with_the_code_of_its_training_alone(written, planned, tmp_path):
    factory, path = written(MAKE), tmp_path / "model.pt"
    planned(code_of_network({"factory": factory}))
    save_model(path, build(factory, {}, SHAPE, 0), NUMBERS, 0)
    planned([])
    load_network(ModelFile(str(path), factory))
    written(MAKE.replace("Dropout(0.1)", "LeakyReLU()"))
    planned([])
    with pytest.raises(StudyError, match="was edited after this run had started, or after its results were"):
        load_network(ModelFile(str(path), factory))


def test_a_job_stops_if_the_weights_were_replaced_since_it_was_planned(planned, tmp_path):
    path, module = tmp_path / "w.pt", nn.Linear(2, 2)
    torch.save(module.state_dict(), path)
    planned(weights_settings(contents_of_weights({"weights": str(path)}, [0], "").values()))
    load_weights(module, str(path))
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(StudyError, match=f"network.weights: {path} was replaced after this run had started; run the s"):
        load_weights(module, str(path))


TINY = """
dataset: digits
task: classes
image_size: 16
seeds: [0]
images: {train: 200, val: 100, test: 100}
network: {factory: "net.py:make", arguments: {}}
layer: conv 2
training: {epochs: 1, batch_size: 50, require: 0}
ranking: {criteria: [l1_norm], random_draws: 1, split: val}
sweep: {ks: 2}
sensitivity: {criteria: [l1_norm]}
verification: {rankings: 1, drawn_ks: 0}
figures: {dpi: 50}
"""
NET = """
from collections import OrderedDict
from torch import nn

def make(activation=nn.ReLU):
    return nn.Sequential(OrderedDict([
        ("conv-1", nn.Conv2d(1, 4, 3)), ("relu", activation()), ("conv 2", nn.Conv2d(4, 6, 3)), ("relu2", nn.ReLU()),
        ("class", nn.Conv2d(6, 5, 3)), ("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()),
        ("fc", nn.Linear(5, 10)),
    ]))
"""
# It edits itself while it is trained, as its author may.
EDITED = (
    NET
    + """
import pathlib

class Edits(nn.Module):
    def forward(self, x):
        if self.training and len(x) > 2:
            file = pathlib.Path("net.py")
            file.write_text(file.read_text().replace("make(activation=nn.ReLU)", "make(activation=nn.Tanh)"))
        return x

def edited():
    net = make()
    net.add_module("edits", Edits())
    return net
"""
)


@pytest.fixture
def tiny(tmp_path) -> Study:
    study = Study(tmp_path / "study", TINY)
    (study.folder / "net.py").write_text(NET)
    return study


@pytest.mark.snakemake
def test_an_edit_during_a_run_stops_it_and_the_next_run_uses_the_new_code(tiny):
    (tiny.folder / "net.py").write_text(EDITED)
    (tiny.folder / "config.yaml").write_text(TINY.replace("net.py:make", "net.py:edited"))
    output = tiny.run(succeed=False).stdout
    assert "network.factory: the code of net.py:edited was edited after this run had started" in output
    assert tiny.path("seed0/model.pt").exists() and not list(tiny.path("").rglob("layer.npy"))
    assert "activation=nn.Tanh" in (tiny.folder / "net.py").read_text()
    # Without the edit, the network that was trained before it is used.
    (tiny.folder / "net.py").write_text(EDITED)
    assert "train" not in tiny.plan()
    (tiny.folder / "net.py").write_text(EDITED.replace("nn.ReLU)", "nn.Tanh)"))
    assert tiny.plan()["describe_network"] == 1
    tiny.run()
    assert tiny.path("summary.txt").exists()


@pytest.mark.snakemake
def test_a_job_in_a_process_of_its_own_has_the_code_that_the_run_was_planned_with(tiny):
    tiny.run("results/digits/seed0/images/train.npy")
    job = ["--target-jobs", "train:study=digits,seed=0", "--allowed-rules", "train", "--mode", "subprocess"]
    job += ["--force", "--nolock", "--no-hooks"]
    settings = code_of_network({"factory": f"{tiny.folder}/net.py:make"})
    tiny.variables = {"PRUNECURVE_CODE_OF_NETWORK": "|".join(settings)}
    tiny.run(*job)
    (tiny.folder / "net.py").write_text(NET.replace("nn.ReLU)", "nn.Tanh)"))
    assert "the code of net.py:make was edited after this run had started" in tiny.run(*job, succeed=False).stdout


@pytest.mark.snakemake
def test_names_with_spaces_and_hyphens_and_keywords_have_curves_plans_and_figures(tiny):
    tiny.run("all", "sensitivity", "plan")
    layers = {"conv-1", "conv 2", "class"}
    for name, expected in (("curve", {"conv 2"}), ("sensitivity", layers), ("plan_layers", layers)):
        assert {row["layer"] for row in read_rows(tiny.path(f"{name}.csv"), sealed=False)} == expected
    for name in ("mean_feature_maps_conv 2_seed0.png", "sensitivity.png", "plan.png"):
        assert tiny.path(f"figures/{name}").exists()


@pytest.mark.snakemake
def test_until_trains_a_network_from_outside_and_other_rules_need_its_layers(tiny):
    tiny.run("--until", "train")
    model = tiny.path("seed0/model.pt")
    trained = model.stat().st_mtime_ns
    assert not tiny.path("layers.csv").exists()
    output = tiny.run("--until", "rank_channels", succeed=False).stdout
    assert "--until rank_channels: which jobs there are is known after the layers of the network; run `" in output
    tiny.run("layers")
    tiny.run("--until", "rank_channels")
    assert tiny.path("seed0/conv 2/ranking/l1_norm.csv").exists() and not tiny.path("curve.csv").exists()
    assert model.stat().st_mtime_ns == trained
    assert "Nothing" in tiny.run("--until", "rank_channels").stdout or tiny.plan("--until", "rank_channels") == {}
    # The layers of edited code are not known.
    (tiny.folder / "net.py").write_text(NET.replace("6", "7"))
    tiny.run("--until", "rank_channels", succeed=False)
    tiny.run("--until", "train")
    assert model.stat().st_mtime_ns > trained
