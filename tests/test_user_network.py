"""A network from outside: how it is built, what is refused and with which message, its weights, its digest."""

import json
import shutil
import subprocess
import sys
from collections import OrderedDict
from importlib import metadata

import numpy as np
import pytest
import yaml
import torch
from conftest import PROJECT, random_network, random_split
from prunecurve.config.check import check
from prunecurve.config.settings import data_settings, replaced, settings, weights_settings
from prunecurve.data.batches import all_logits
from prunecurve.data.tasks.pairs import inputs as pairs
from prunecurve import digests
from prunecurve.errors import StudyError
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.tracing import traced_network
from prunecurve.model.conv_net import Architecture
from prunecurve.model.factory import code_of_network, contents_of_weights, parsed_factory, path_of_weights
from prunecurve.model.model_file import ModelFile, model_file
from prunecurve.model.network_file import built, load_model, load_network, prepare_torch, save_model
from prunecurve.model.parameters import Network
from prunecurve.model.user_network import build, require_logits
from prunecurve.model.users_weights import load_weights
from prunecurve.training.learned import validation_columns
from prunecurve.training.parameters import Recipe
from prunecurve.training.training import train
from prunecurve.verification.surgery import structural
from safetensors.torch import save_file
from test_arrays import Danger
from torch import nn

SCRIPTS = PROJECT / "workflow" / "scripts"
REFERENCE = str(PROJECT / "examples" / "reference_network.py")
SHAPE = (2, 12, 12)
NUMBERS = {"in_channels": 2, "image_size": 12, "classes": 2}
SMALL = Architecture(**NUMBERS, channels=[4], hidden=[2])
CPU = torch.device("cpu")
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, classes=2):
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.head = nn.Linear(width * 36, classes)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.bn(self.conv(x))), 2)
        return self.head({flat})

def make(width=4, classes=2):
    return Net(width, classes)
"""
PLAIN = NET.replace("{flat}", "x.flatten(1)")
RETURN = "return self.head(x.flatten(1))"


pytestmark = pytest.mark.usefixtures("own_modules")


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file of a user and returns its path."""

    def write(text: str, name: str = "net.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def refused(message: str, action, *arguments, **options) -> None:
    """Check that an action raises a StudyError whose message, one line, is or contains this one."""
    with pytest.raises(StudyError) as error:
        action(*arguments, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def made(path: str, **arguments) -> nn.Module:
    return build(f"{path}:make", arguments, SHAPE, 0)


def digest(path: str) -> str:
    """Return the setting for the code of a function."""
    return code_of_network({"factory": f"{path}:make"})[0]


# The forms.


@pytest.mark.parametrize("text", ["net", "net.py", "net:", ":f", "a/b:f", "net.py:f g", "a..b:f", "1a:f", "net.py:1"])
def test_other_forms_are_refused(text):
    with pytest.raises(
        StudyError, match=f"network.factory: '{text}' is not allowed; allowed: FILE.py:FUNCTION or torch"
    ):
        check({"network": {"factory": text}})


def test_a_file_may_be_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert parsed_factory("~/a:b/net.py:make").place == "/somewhere/a:b/net.py"
    assert parsed_factory("torchvision.models:resnet18").place == "torchvision.models"
    assert path_of_weights("~/w_{seed}.pt", 7) == "/somewhere/w_7.pt"


# Building.


def test_a_file_is_built_with_its_arguments(file):
    path = file(PLAIN)
    assert made(path, width=6).conv.weight.shape == (6, 2, 3, 3)
    one, same, other = (build(f"{path}:Net", {}, SHAPE, seed).conv.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_networks_of_torchvision_work_as_they_stand():
    model = build("torchvision.models:resnet18", {"num_classes": 5}, (3, 32, 32), 3)
    require_logits(model, (3, 32, 32), 5, trained=True)
    import torchvision

    torch.manual_seed(3)
    expected = torchvision.models.resnet18(num_classes=5).state_dict()
    assert list(model.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


def test_torchvision_is_imported_by_a_file_too_beside_another_build_of_torch(file):
    path = file("import torchvision\ndef make():\n    return torchvision.models.resnet18(num_classes=2)\n")
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
    code += "from prunecurve.model.user_network import build\n"
    code += f"print(type(build({f'{path}:make'!r}, {{}}, (3, 32, 32), 0)).__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "ResNet\n"


@pytest.mark.parametrize(
    "line",
    [
        "from beside_blocks import Block",
        "from .beside_blocks import Block",
        "from beside_package.inner import Block",
        "from .beside_package import Block",
        "import beside_package.inner as inner; Block = inner.Block",
    ],
)
def test_a_file_imports_what_lies_beside_it(file, line):
    file("from torch import nn\nclass Block(nn.Conv2d): pass\n", "beside_blocks.py")
    file("from .inner import Block\n", "beside_package/__init__.py")
    file("from beside_blocks import Block\n", "beside_package/inner.py")
    path = file(f"{line}\n{PLAIN}".replace("nn.Conv2d(2", "Block(2"))
    before = digest(path)
    for _ in range(2):
        assert type(made(path).conv).__name__ == "Block"
    file("from torch import nn\nclass Block(nn.Conv2d): x = 1\n", "beside_blocks.py")
    assert digest(path) != before


def test_names_of_modules_that_are_imported_already_are_refused_where_they_matter(file):
    assert type(made(file(PLAIN, "numpy.py"))).__name__ == "Net", "it imports no numpy"
    for i, (name, module) in enumerate({"torch": torch.__file__, "numpy": np.__file__, "sys": "built in"}.items()):
        path, clash = file(f"import {name}\n{PLAIN}", f"{i}/net.py"), file("x = 1", f"{i}/{name}.py")
        message = f"network.factory: {clash} has the name of a module that is imported already ({module}); rename it"
        refused(message, made, path)


KEPT = "    net = Net()\n    net.kept = net.bn.weight * 2\n    return net\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from math import *\n", "network.factory: {path} has no function make; it has "),
        ("make, mkae = 3, print", "network.factory: {path} has no function make; it has mkae"),
        ("def make(x): pass", "make() of {path} fails (TypeError: make() missing 1 required positional argument: 'x'"),
        ("def make():\n    {}['so\\nwhat']", "make() of {path} fails (KeyError: 'so\\nwhat'; {path}, line 2: {}['so"),
        (
            "import sys\ndef make(): sys.exit(3)",
            "make() of {path} fails (SystemExit: 3; {path}, line 2: def make(): sys",
        ),
        (
            "import nowhere",
            "{path} cannot be imported (ModuleNotFoundError: No module named 'nowhere'; {path}, line 1: ",
        ),
        ("def make(): return {}", "make() of {path} must return a torch.nn.Module, but returns a dict"),
        (
            "from torch import nn\nmake = nn.Flatten",
            "the network has no Conv2d and no Linear, so there are no channels",
        ),
        (f"{PLAIN}\ndef make():\n{KEPT}", "network.factory: the network cannot be copied (RuntimeError: Only Tensors"),
        (
            PLAIN.replace("2, width", "5, width"),
            "network.factory: the network cannot read inputs of the shape 2 × 12 × 12; check network.arguments, "
            "image_size and image_channels (RuntimeError: Given groups=1, weight of size [4, 5, 3, 3]",
        ),
        (NET.replace("{flat}", "x.reshape(64, -1)"), "{path}, line 14: return self.head(x.reshape(64, -1)))"),
    ],
)
def test_a_wrong_function_is_refused_in_one_line_with_its_key(file, text, message):
    path = file(text)
    refused(message.replace("{path}", path), made, path)


def test_wrong_arguments_and_modules_are_refused(file):
    path = file(PLAIN)
    message = f"network.factory, network.arguments: make(widht=3) of {path} fails (TypeError: make() got an unexpected "
    refused(f"{message}keyword argument 'widht'", made, path, widht=3)
    name = "torchvision.models"
    message = "network.factory: no_such.models cannot be imported (ModuleNotFoundError: No module named 'no_such'"
    refused(message, made, "no_such.models")
    message = f"network.factory: {name} has no function resnet81; it has resnet18"
    refused(message, build, f"{name}:resnet81", {}, SHAPE, 0)
    message = f"{name} fails (TypeError: ResNet.__init__() got an unexpected keyword argument 'num_clases'; "
    refused(message, build, f"{name}:resnet18", {"num_clases": 3}, SHAPE, 0)


# Its outputs.


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            f"{RETURN} / torch.arange(len(x))[:, None]",
            "network.factory: the network gives NaN or infinite logits for 1 of 2 in",
        ),
        (f"{RETURN} + torch.rand(1)", "two runs of the network on the same inputs give different results;"),
        (f"self.n = getattr(self, 'n', 0) + 1; {RETURN} * self.n", "on the same inputs give different results;"),
        ("return [x]", "network.factory: its output is a list; it must be one tensor of logits (n, classes)"),
        ("return x", "network.factory: its output is a Tensor (n, 4 × 6 × 6); it must be one tensor of logits"),
        ("return x.flatten(1)[:, :3]", "network.arguments: the network has 3 outputs, but the data have 2 classes"),
        (f"{RETURN}.softmax(1)", "the network returns probabilities (between 0 and 1, with the sum 1), and logits are"),
        (f"{RETURN} if not self.training else (x, x)", "network.factory: its output in training mode is a tuple"),
        (
            f"assert not self.training; {RETURN}",
            "network.factory: the network fails in training mode (AssertionError; ",
        ),
    ],
)
def test_wrong_outputs_are_refused(file, end, message):
    refused(message, require_logits, made(file(PLAIN.replace(RETURN, end))), SHAPE, 2, trained=True)


def test_logarithms_of_probabilities_are_logits(file):
    split, losses = random_split(SMALL, 0), []
    for end in ("", ".log_softmax(1)", ".sigmoid()"):
        module = made(file(PLAIN.replace(RETURN, RETURN + end))).eval()
        require_logits(module, SHAPE, 2, trained=True)
        losses.append(validation_columns(all_logits(module, split), split.labels.numpy(), {})["val_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6) and losses[2] != pytest.approx(losses[0], rel=1e-3)


# Values that must be contiguous.


@pytest.mark.parametrize("flat", ["x.view(x.size(0), -1)", "x.view(-1, self.head.in_features)"])
def test_a_network_that_takes_views_gives_the_same_results_as_one_that_flattens(file, tmp_path, flat):
    split = random_split(SMALL, 0)
    plain, path = made(file(PLAIN, "plain.py")), file(NET.replace("{flat}", flat))
    model = made(path)
    assert type(model).__name__ == "Net" and list(model.state_dict()) == list(plain.state_dict())
    assert np.allclose(all_logits(model, split), all_logits(plain, split), atol=1e-6)
    save_model(tmp_path / "model.pt", model, NUMBERS, 0)
    loaded, shape, _ = load_network(ModelFile(str(tmp_path / "model.pt"), f"{path}:make"))
    assert np.array_equal(all_logits(loaded, split), all_logits(model, split))
    if "in_features" in flat:
        refused("view divides its channels or fixes their number", PrunableLayer, model, "conv", SHAPE)
        return
    layer, (example, _) = PrunableLayer(loaded, "conv", shape), next(split.batches(4))
    with torch.inference_mode():
        assert torch.allclose(layer.traced(example), plain(example), atol=1e-6)
    # Surgery runs the network itself, from images in channels-last layout.
    assert len(all_logits(structural(loaded, {"conv": np.array([1])}, example[:1]), split)) == len(split)


def test_a_network_that_takes_views_reads_images_of_one_channel(file):
    """Their strides don't say which layout they have."""
    text = NET.replace("{flat}", "x.view(x.size(0), -1)").replace("nn.Conv2d(2", "nn.Conv2d(1")
    model = build(f"{file(text)}:make", {}, (1, 12, 12), 0).eval()
    require_logits(model, (1, 12, 12), 2, trained=True)
    images = torch.rand(3, 1, 12, 12).to(memory_format=torch.channels_last)
    maps = torch.max_pool2d(torch.relu(model.bn(model.conv(images))), 2)
    assert torch.allclose(model(images), model.head(maps.flatten(1)), atol=1e-6)


# Training.


def test_the_reference_network_as_a_users_file_has_the_same_weights_to_the_last_bit():
    prepare_torch("cpu", 1)
    numbers = {"in_channels": 2, "image_size": 28, "classes": 2}
    networks = (
        Network(channels=[4, 8, 16], hidden=[32, 8]),
        Network(factory=f"{REFERENCE}:network", arguments={"width": 4}),
    )
    recipe = Recipe(epochs=2, batch_size=16)
    splits = [random_split(Architecture(**numbers), seed, 30, 100) for seed in (0, 1)]
    results = [train(built(network, numbers, 5), recipe, *splits, 5, CPU, pairs) for network in networks]
    (ours, our_rows), (theirs, their_rows) = results
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert [row["val_loss"] for row in our_rows] == [row["val_loss"] for row in their_rows]


def test_the_reference_network_of_the_example_has_the_names_and_sizes_of_the_default_study():
    config = check({})["network"]
    shape = {key: config[key] for key in ("channels", "kernel_size", "hidden", "dropout")}
    theirs = build(f"{REFERENCE}:network", {}, (2, 28, 28), 0).state_dict()
    own = random_network(Architecture(in_channels=2, image_size=28, classes=2, **shape), 0).state_dict()
    assert {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in theirs.items()}


def test_a_network_that_fails_in_training_is_named_with_its_line(file):
    path = file(PLAIN.replace(RETURN, f"assert len(x) == 2 or not self.training, 'full'; {RETURN}"))
    split, message = random_split(SMALL, 0), "the network fails in training (AssertionError: full; "
    refused(f"{message}{path}, line 14: ", train, made(path), Recipe(epochs=1), split, split, 0, CPU, pairs)


# The file of a network.


def test_a_model_file_does_not_choose_the_code(file, tmp_path):
    text, path = f"{file(PLAIN)}:make", tmp_path / "model.pt"
    model = build(text, {"width": 5}, SHAPE, 3)
    save_model(path, model, NUMBERS, 3)
    stored = torch.load(path, weights_only=True)
    assert set(stored) == {"numbers", "seed", "state"} and stored["numbers"] == NUMBERS
    module, shape, leaf_modules = load_network(ModelFile(str(path), text, {"width": 5}, ("bn",)))
    assert (shape, leaf_modules, module.training) == (SHAPE, ("bn",), False)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in model.state_dict().items())
    refused(f"{path} is not a model of this workflow ('architecture')", load_model, path)
    with pytest.raises(StudyError, match=r"is not a model of this workflow \(Error.* in loading state_dict"):
        load_network(ModelFile(str(path), text, {"width": 6}))
    save_model(path, random_network(SMALL, 0))
    refused(f"{path} is not a model of this workflow ('numbers'); del", load_network, ModelFile(str(path), text))


def test_scripts_and_evaluations_get_a_network_from_the_same_options():
    import collect_activations
    import eval_pruned

    network = {"factory": "a.py:f", "arguments": {"n": 10, "x": [1.5, None]}, "leaf_modules": ["a", "b.0"]}
    words = ["--model=m.pt", "--network", json.dumps(network)]
    expected = ModelFile("m.pt", "a.py:f", {"n": 10, "x": [1.5, None]}, ("a", "b.0"))
    others = ["--split", "x", "x", "x", "--layer=x", "--folder=x"]
    assert model_file(collect_activations.options().parse_args([*words, *others])) == expected
    others = ["--features=x", "--split", "x", "--layer=x", "--ranking=x", "--removal=structural", "--k", "1"]
    others += ["--dataset=x", "--seed=1", "--criterion=x", "--output=x"]
    for given, model in ((words, expected), (["--model"], None), (["--model=m.pt"], ModelFile("m.pt"))):
        assert model_file(eval_pruned.options().parse_args([*given, *others])) == model


# Weights.


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 4, 3), bn=nn.BatchNorm2d(4), head=nn.Linear(4, 2)))


def loaded(model: nn.Module, path) -> dict[str, torch.Tensor]:
    """Return what a network has after it has loaded a file, without the numbers that no evaluation uses."""
    load_weights(model, str(path))
    return {name: value for name, value in model.state_dict().items() if "num_batches" not in name}


def sevens(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, 7) for name, value in model.state_dict().items()}


def renamed(state: dict, prefix: str) -> dict:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": renamed(state, "net."), "epoch": 3},
        lambda state: {"state_dict": renamed(state, "module.")},
        lambda state: renamed(state, "module._orig_mod."),
        lambda state: renamed(state | {"conv.total_ops": torch.ones(1)}, "module.") | {"n_averaged": torch.ones(())},
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
)
def test_checkpoints_are_understood(tmp_path, wrapped):
    torch.save(wrapped(sevens(net())), tmp_path / "w.pt")
    assert all((value == 7).all() for value in loaded(net(), tmp_path / "w.pt").values())


@pytest.mark.parametrize("wrapped", ["", "module.", "_orig_mod."])
def test_a_network_whose_own_names_have_the_prefix_keeps_it(tmp_path, wrapped):
    model = nn.ModuleDict({"module": net()})
    torch.save(renamed(sevens(model), wrapped), tmp_path / "w.pt")
    state = loaded(model, tmp_path / "w.pt")
    assert "module.conv.weight" in state and all((value == 7).all() for value in state.values())


def test_weights_of_wrapped_modules_are_loaded(tmp_path):
    """Modules inside run on several devices, as AlexNet and VGG were trained, or are compiled."""
    for wrap, name in ((nn.DataParallel, "module"), (torch.compile, "_orig_mod")):
        state = sevens(nn.Sequential(OrderedDict(features=wrap(net()), head=nn.Linear(2, 2))))
        assert f"features.{name}.conv.weight" in state
        torch.save(state, tmp_path / "w.pt")
        state = loaded(nn.Sequential(OrderedDict(features=net(), head=nn.Linear(2, 2))), tmp_path / "w.pt")
        assert len(state) == 10 and all((value == 7).all() for value in state.values())


def test_safetensors_files_are_loaded_whatever_their_name(tmp_path):
    for name, prefix in (("w.safetensors", ""), ("w.bin", "module.")):
        save_file(renamed(sevens(net()), prefix), tmp_path / name)
        assert all((value == 7).all() for value in loaded(net(), tmp_path / name).values())
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    refused("w.safetensors does not fit the network", load_weights, net(), str(tmp_path / "w.safetensors"))
    (tmp_path / "w.bin").write_bytes((tmp_path / "w.bin").read_bytes()[:-9])
    refused("w.bin cannot be loaded (", load_weights, net(), str(tmp_path / "w.bin"))


def without(*names, **more):
    return {name: value for name, value in (net().state_dict() | more).items() if name not in names}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("conv.bias"), "does not fit the network of network.factory (Error(s) in loading state_dict for Sequ"),
        (without("conv.bias"), 'Missing key(s) in state_dict: "conv.bias".); give the weights of this network, or ch'),
        (without(**{"fc.weight": torch.zeros(2)}), 'Unexpected key(s) in state_dict: "fc.weight".); give the weights'),
        (without(**{"head.weight": torch.zeros(9, 4)}), "size mismatch for head.weight: copying a param with shape t"),
        ({"weights": without()}, "holds no state dict, but a mapping with the keys weights; a state dict, or a mappi"),
        (torch.zeros(3), "holds no state dict, but Tensor"),
        ({"state_dict": Danger()}, "cannot be loaded (it is damaged, or holds"),
        (net(), "cannot be loaded (it is damaged, or holds objects other than weights, which are not loaded); the fi"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_keys(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    refused(message, load_weights, net(), str(tmp_path / "w.pt"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04rest", b"\n<!DOCTYPE html><html></html>"])
def test_files_that_are_no_weights_are_refused(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    refused(f"network.weights: {tmp_path}/w.pt cannot be loaded (", load_weights, net(), str(tmp_path / "w.pt"))


# The trace.


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def branching() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Sequential(Branching()), nn.Flatten(), nn.Linear(400, 2))


def test_modules_that_cant_be_traced_are_named_and_can_be_left_out():
    with pytest.raises(StudyError) as error:
        traced_network(branching(), SHAPE)
    assert str(error.value).startswith("network: torch.fx cannot trace it (symbolically traced variables")
    assert f"; {__file__}, line " in str(error.value)
    assert "in module 1.0; change it, or leave the module out with network.leaf_modules: [1.0]" in str(error.value)
    traced = traced_network(branching(), SHAPE, ("1.0",))
    assert "1.0" in {node.target for node in traced.graph.nodes}
    message = "layer: 0 cannot be pruned: 1.0 (Branching)"
    refused(message, PrunableLayer, branching(), "0", SHAPE, leaf_modules=("1.0",))
    message = (
        "network.leaf_modules: 1.1 is not a path, pattern of paths or class of a module in the network; nearest: 1.0"
    )
    refused(message, traced_network, branching(), SHAPE, ("1.1",))


# The digest of the code.


def test_an_edit_of_the_code_changes_its_digest_and_a_comment_or_another_folder_does_not(file, tmp_path):
    file("from torch import nn\nfrom .beside_deep import x\n\nclass Block(nn.Module): pass\n", "code/beside_a.py")
    file("", "code/beside_pkg/__init__.py")
    file("from . import two\nfrom .. import beside_deep\n", "code/beside_pkg/one.py")
    text = '"""Doc."""\nimport torch\n\ndef make():\n    from beside_a import Block\n    import beside_pkg.one\n'
    path = file(text, "code/net.py")
    file("x = 1\n", "code/beside_deep.py")
    file("y = 1\n", "code/beside_pkg/two.py")
    digests, edited = {digest(path)}, f"{text}    return Block()\n"
    edits = {
        "beside_deep.py": "x = 2",
        "beside_pkg/two.py": "y = 2",
        "beside_pkg/__init__.py": "z = 1",
        "net.py": edited,
    }
    for count, (name, content) in enumerate(edits.items(), start=2):
        file(content, f"code/{name}")
        digests.add(digest(path))
        assert len(digests) == count, name
    last = digest(path)
    file(edited.replace("Doc.", "Other.").replace("\n\n", "\n\n# A comment.\n\n"), "code/net.py")
    file("unused = 2", "code/beside_unused.py")
    shutil.copytree(tmp_path / "code", tmp_path / "another" / "place")
    assert digest(path) == digest(f"{tmp_path}/another/place/net.py") == last


def test_an_installed_library_counts_by_its_version_and_another_one_by_its_code(tmp_path, file, monkeypatch):
    libraries = "code of network.factory's libraries:"
    settings = code_of_network({"factory": "torchvision.models:resnet18"})
    assert settings[1] == f"{libraries} torchvision {metadata.version('torchvision')}"
    monkeypatch.syspath_prepend(tmp_path)
    file("", "beside_mylab/__init__.py")
    file("import torch\nfrom .parts import x\ndef make(): pass\n", "beside_mylab/nets.py")
    file("x = 1\n", "beside_mylab/parts.py")
    before = code_of_network({"factory": "beside_mylab.nets:make"})
    assert before[1] == f"{libraries} torch {torch.__version__}"
    file("x = 2\n", "beside_mylab/parts.py")
    assert digest("beside_mylab.nets") != before[0] != settings[0]
    assert "beside_mylab" not in sys.modules, "nothing is imported"


def test_wrong_code_is_reported_before_it_runs(file):
    path = file("import beside_wrong\ndef make(): pass\n")
    file("x = 1\ndef f(:\n", "beside_wrong.py")
    message = f"network.factory: {path}, or a file that it imports, cannot be read: invalid syntax (beside_wrong.py, "
    refused(message, digest, path)
    refused("network.factory: there is no file nowhere.py", digest, "nowhere.py")


# The config.


def test_the_weights_count_by_their_content(tmp_path, monkeypatch):
    network = check({"network": {"factory": "a.py:f", "weights": str(tmp_path / "w_{seed}.pt")}})["network"]
    message = f"network.weights: {tmp_path}/w_0.pt cannot be read: No such file or directory"
    refused(message, contents_of_weights, network, [0, 1], "")
    for seed in (0, 1):
        (tmp_path / f"w_{seed}.pt").write_bytes(bytes([seed]))
    cache = tmp_path / "cache.json"
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    before = contents_of_weights(network, [0, 1], cache)
    assert len(set(before.values())) == 2
    monkeypatch.setattr(digests, "content_digest", lambda path: pytest.fail(f"{path} was read again"))
    assert contents_of_weights(network, [0, 1], cache) == before
    monkeypatch.undo()
    (tmp_path / "w_0.pt").rename(tmp_path / "other.pt")
    moved = network | {"weights": str(tmp_path / "other.pt")}
    assert contents_of_weights(moved, [0], cache) == {0: before[0]}
    assert contents_of_weights(check({})["network"], [0], cache) == {} and code_of_network(check({})["network"]) == []


def lines(**network):
    config = check({"seeds": [0], "network": network})
    return list(settings(config).values()), config


def test_keys_without_effect_are_no_settings():
    built_in, _ = lines()
    assert not any(line.startswith(("network.arguments", "network.weights", "network.leaf")) for line in built_in)
    assert lines(factory="a.py:f", channels=[9])[0] == lines(factory="a.py:f")[0]
    assert not any(line.startswith(("network.channels", "network.hidden")) for line in lines(factory="a.py:f")[0])
    with_weights, _ = lines(factory="a.py:f", weights="w.pt")
    assert "network.weights: given" in with_weights
    assert not any(line.startswith("training.") for line in with_weights)


def test_another_network_would_replace_a_finished_study():
    (built_in, plain), (users, config) = lines(), lines(factory="a.py:f", arguments={"n": 1})
    assert replaced(built_in, plain, []) == []
    assert "network.factory: ''; asked for: a.py:f" in replaced(built_in, config, [])
    assert "network.factory: a.py:f; asked for: ''" in replaced(users, plain, [])
    other = lines(factory="a.py:f", arguments={"n": 2})[1]
    assert replaced(users, other, []) == ['network.arguments: {"n": 1}; asked for: {"n": 2}']
    given, with_weights = lines(factory="a.py:f", weights="w.pt", arguments={"n": 1})
    assert replaced(users, with_weights, weights_settings(["1"])) == ["network.weights: ''; asked for: given"]
    carried = [*given, *weights_settings(["1"]), *data_settings("5")]
    assert replaced(carried, with_weights, [*data_settings("5"), *weights_settings(["1", "2"])]) == []
    others = replaced(carried, with_weights, [*data_settings("5"), *weights_settings(["2"])])
    assert others == ["network.weights: the finished study has different weights"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        *(
            ({key: value}, f"network.{key}: it belongs to the network of network.factory, which is not given")
            for key, value in {"arguments": {"n": 1}, "weights": "w.pt", "leaf_modules": ["a"]}.items()
        ),
        (
            {"factory": "a.py:f", "arguments": 3},
            "network.arguments: 3 is not allowed; allowed: a mapping of keys to val",
        ),
        (
            {"factory": "a.py:f", "arguments": {"n": {1}}},
            "network.arguments: {'n': {1}} is not allowed; allowed: a map",
        ),
        ({"factory": "a.py:f", "leaf_modules": ["a", "a"]}, "network.leaf_modules: a is listed twice"),
        ({"factory": "a.py:f", "leaf_modules": ["a/b"]}, "network.leaf_modules.0: 'a/b' is not allowed"),
        (
            {"factory": "a.py:f", "weights": "w.pt"},
            "network.weights: one file of weights is one network, and there are 3 seeds; "
            "write {seed} in the path (weights_{seed}.pt), or give one seed (seeds: [0])",
        ),
    ],
)
def test_config_errors_name_their_key(network, message):
    with pytest.raises(StudyError) as error:
        check({"network": network})
    assert message in str(error.value)


def test_arguments_keep_their_types():
    """Also on the command line, where Snakemake makes texts of nested values."""
    from snakemake.cli import parse_config

    arguments = "{n: 10, rate: 1e-3, deep: {x: [1, true, null, text]}, padding: same}"
    given = parse_config([f"network={{factory: a.py:f, arguments: {arguments}, leaf_modules: [0]}}"])
    assert given["network"]["arguments"]["n"] == "10"
    config = check(given)
    expected = {"n": 10, "rate": 0.001, "deep": {"x": [1, True, None, "text"]}, "padding": "same"}
    assert config["network"]["arguments"] == expected and config["network"]["leaf_modules"] == ["0"]
    assert check(config) == config
    of_yaml = check({"network": {"factory": "a.py:f", "arguments": yaml.safe_load(arguments)}})
    assert of_yaml["network"]["arguments"] == expected


def test_settings_of_arguments_stay_on_one_line_without_the_separator_of_files():
    config = check({"network": {"factory": "a.py:f", "arguments": {"t": "a | b\nc" * 400}}})
    line = settings(config)["network.arguments"]
    assert "\n" not in line and "|" not in line
