"""A network from outside: how it is built, what is refused and with which message, its weights, its digest."""

import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import yaml
import torch
from conftest import PROJECT, random_split
from prunecurve.config import check, data_settings, replaced, settings, weights_settings
from prunecurve.data.batches import all_logits
from prunecurve.data.datasets import digests
from prunecurve.errors import StudyError
from prunecurve.model.conv_net import Architecture
from prunecurve.model.factory import parsed_factory, path_of_weights
from prunecurve.model.factory_source import code_of, digest_of
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import load_model, load_network, prepare_torch, save_model
from prunecurve.training.parameters import Recipe
from prunecurve.model.code_and_weights import code_of_network, contents_of_weights
from prunecurve.training.learned import validation_scores
from prunecurve.graph.tracing import traced_network
from prunecurve.training.training import train
from prunecurve.model.user_network import build, require_finite, require_logits
from prunecurve.model.users_weights import load_weights
from prunecurve.verification.surgery import structural
from safetensors.torch import save_file
from torch import nn

SCRIPTS = PROJECT / "workflow" / "scripts"
REFERENCE = str(PROJECT / "examples" / "reference_network.py")
SHAPE = (2, 12, 12)
NUMBERS = {"in_channels": 2, "image_size": 12, "classes": 2}
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


def made(text: str, **arguments) -> nn.Module:
    return build(text, arguments, SHAPE, 0)


# The forms.


@pytest.mark.parametrize("text", ["net", "net.py", "net:", ":f", "a/b:f", "net.py:f g", "a..b:f", "1a:f", "net.py:1"])
def test_other_forms_are_refused(text):
    refused("; write FILE.py:FUNCTION or package.module:FUNCTION", parsed_factory, text)


def test_a_file_may_be_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert parsed_factory("~/a:b/net.py:make").file == "/somewhere/a:b/net.py"
    assert parsed_factory("torchvision.models:resnet18").module == "torchvision.models"
    assert path_of_weights("~/w_{seed}.pt", 7) == "/somewhere/w_7.pt"


# Building.


def test_a_file_is_built_with_its_arguments(file):
    path = file(PLAIN)
    assert made(f"{path}:make", width=6).conv.weight.shape == (6, 2, 3, 3)
    assert made(f"{path}:Net", classes=3).head.weight.shape == (3, 144)
    one, same, other = (build(f"{path}:make", {}, SHAPE, seed).conv.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("name", ["torchvision.models:resnet18", "torchvision.models:mobilenet_v2"])
def test_networks_of_torchvision_work_as_they_stand(name):
    model = build(name, {"num_classes": 5}, (3, 32, 32), 3)
    require_logits(model, (3, 32, 32), 5, trained=True)
    import torchvision

    torch.manual_seed(3)
    expected = getattr(torchvision.models, name.partition(":")[2])(num_classes=5).state_dict()
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
    text = PLAIN.replace("import torch\n", f"import torch\n{line}\n", 1).replace("nn.Conv2d(2", "Block(2")
    path = file(text)
    for _ in range(2):
        assert type(made(f"{path}:make").conv).__name__ == "Block"
    names = {each.name for each in code_of(parsed_factory(f"{path}:make")).files}
    assert {"net.py", "beside_blocks.py"} & names == ({"net.py", "beside_blocks.py"}), names


def test_a_file_may_have_the_name_of_a_library_that_it_does_not_import(file):
    assert type(made(f"{file(PLAIN, 'numpy.py')}:make")).__name__ == "Net"
    path = file(PLAIN, "torch.py")
    refused(
        f"{path} has the name of a module that is imported already ({torch.__file__}); rename", made, f"{path}:make"
    )


def test_names_of_modules_that_are_imported_already_are_refused(file):
    path, random = file("import numpy\nimport torch\n" + PLAIN), file("x = 1", "numpy.py")
    refused(f"network.factory: {random} has the name of a module that is imported already (", made, f"{path}:make")
    path, random = file("import random\n" + PLAIN, "other/net.py"), file("x = 1", "other/random.py")
    refused(
        f"network.factory: {random} has the name of a module of Python's standard library; rename it",
        digest_of,
        parsed_factory(f"{path}:make"),
    )


@pytest.mark.parametrize(
    ("text", "function", "arguments", "message"),
    [
        (PLAIN, "mkae", {}, "network.factory: {path} has no function mkae; it has make"),
        ("from math import *\n", "f", {}, "network.factory: {path} has no function f; it has "),
        ("make = 3", "make", {}, "network.factory: make of {path} is a int, not a function"),
        (
            PLAIN,
            "make",
            {"widht": 3},
            "network.arguments: make(widht=3) is not possible (got an unexpected keyword argument 'widht'); "
            "{path} defines make(width=4, classes=2)",
        ),
        (
            "def make(x, *, y: int = 2) -> str:\n    return x",
            "make",
            {},
            "network.arguments: make() is not possible (missing a required argument: 'x'); "
            "{path} defines make(x, *, y=2)",
        ),
        (
            PLAIN,
            "make",
            {"width": "a"},
            "network.factory, network.arguments: make(width='a') of {path} fails (TypeError: ",
        ),
        (
            "def make():\n    raise ValueError('so\\nwhat')",
            "make",
            {},
            "network.factory, network.arguments: make() of {path} fails (ValueError: so what; "
            "{path}, line 2: raise ValueError('so\\nwhat'))",
        ),
        (
            "import sys\ndef make():\n    sys.exit(3)",
            "make",
            {},
            "make() of {path} fails (SystemExit: 3; {path}, line 3: sys.exit(3))",
        ),
        (
            "import no_such_module\ndef make(): pass",
            "make",
            {},
            "network.factory: {path} cannot be imported (ModuleNotFoundError: No module named 'no_such_module'; "
            "{path}, line 1: import no_such_module)",
        ),
        (
            "def make():\n    return {}",
            "make",
            {},
            "network.factory: make() of {path} must return a torch.nn.Module, but returns a dict",
        ),
        ("def make(): pass", "make", {}, "make() of {path} must return a torch.nn.Module, but returns None"),
        (
            "from torch import nn\ndef make():\n    return nn.LazyLinear(2)",
            "make",
            {},
            "network.factory: the sizes of weight, bias are not known before an input is read (lazy modules)",
        ),
        (
            PLAIN.replace("2, width", "5, width"),
            "make",
            {},
            "network.factory: the network cannot read inputs of the shape 2 × 12 × 12 "
            "(RuntimeError: Given groups=1, weight of size [4, 5, 3, 3]",
        ),
        (
            PLAIN.replace("def forward(self, x)", "def forward(self, x, y)"),
            "make",
            {},
            "; its forward method must need one argument, the images",
        ),
        (
            PLAIN.replace("36", "35"),
            "make",
            {},
            "line 14: return self.head(x.flatten(1))); check network.arguments, image_size and image_channels",
        ),
    ],
)
def test_a_wrong_function_is_refused_in_one_line_with_its_key(file, text, function, arguments, message):
    path = file(text)
    refused(message.replace("{path}", path), made, f"{path}:{function}", **arguments)


def test_a_wrong_module_is_refused(monkeypatch, tmp_path):
    refused("network.factory: there is no module no_such_package; is it installed?", made, "no_such_package.models:f")
    refused("network.factory: there is no module torch.no_such; is it installed?", made, "torch.no_such:f")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text(PLAIN)
    message = "network.factory: there is no module beside; did you mean beside.py:make?"
    refused(message, made, "beside:make")
    refused(
        "network.factory: torchvision.models has no function resnet81; it has resnet18",
        made,
        "torchvision.models:resnet81",
    )
    message = "torchvision.models fails (TypeError: ResNet.__init__() got an unexpected keyword argument 'num_clases'; "
    refused(message, made, "torchvision.models:resnet18", num_clases=3)
    (tmp_path / "beside_lib.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    refused(
        "beside_lib cannot be imported (ModuleNotFoundError: No module named 'no_such_module'; ", made, "beside_lib:f"
    )


# Its outputs.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "x.flatten(1))",
            "x.flatten(1)) * float('nan')",
            "network.factory: the network gives NaN or infinite logits for 2 of 2 inputs",
        ),
        (
            "x.flatten(1))",
            "x.flatten(1)) + torch.rand(1)",
            "in evaluation mode two runs of the network on the same inputs give different results",
        ),
        (
            "return self.head(x.flatten(1))",
            "self.calls = getattr(self, 'calls', 0) + 1\n        return self.head(x.flatten(1)) * self.calls",
            "in evaluation mode two runs of the network on the same inputs give different results",
        ),
        (
            "return self.head(x.flatten(1))",
            "return [x]",
            "network.factory: its output is a list; it must be one tensor of logits (n, classes)",
        ),
        (
            "return self.head(x.flatten(1))",
            "return x",
            "network.factory: its output is a tensor (n, 4 × 6 × 6); it must be one of logits (n, classes)",
        ),
        (
            "classes)\n\n    def",
            "3)\n\n    def",
            "network.arguments: the network has 3 outputs, but the data have 2 classes",
        ),
        (
            "return self.head(x.flatten(1))",
            "return (self.head(x.flatten(1)), x) if self.training else self.head(x.flatten(1))",
            "network.factory: its output in training mode is a tuple",
        ),
        (
            "return self.head(x.flatten(1))",
            "assert not self.training, 'no'\n        return self.head(x.flatten(1))",
            "network.factory: the network fails in training mode (AssertionError: no; ",
        ),
    ],
)
def test_wrong_outputs_are_refused(file, old, new, message):
    text = PLAIN.replace(old, new)
    assert text != PLAIN
    refused(message, require_logits, made(f"{file(text)}:make"), SHAPE, 2, trained=True)


def test_a_network_without_weights_cant_be_trained(file):
    model = made(f"{file(PLAIN)}:make").requires_grad_(False)
    refused(
        "network.factory: the network has no weights that can be trained", require_logits, model, SHAPE, 2, trained=True
    )
    require_logits(model, SHAPE, 2, trained=False)


def test_logits_that_are_not_finite_are_counted():
    refused(
        "network.weights: the network gives NaN or infinite logits for 2 of 3 inputs",
        require_finite,
        np.array([[0, np.nan], [1, 2], [np.inf, 0]]),
        "network.weights: the network",
    )


def test_probabilities_are_refused_and_logarithms_of_probabilities_are_logits(file):
    def with_end(end: str) -> nn.Module:
        return made(f"{file(PLAIN.replace('x.flatten(1))', f'x.flatten(1)){end}'))}:make")

    refused(
        "network.factory: the network returns probabilities (between 0 and 1, with the sum 1), and logits are needed; "
        "remove the softmax at its end, or replace it by log_softmax",
        require_logits,
        with_end(".softmax(1)"),
        SHAPE,
        2,
        trained=False,
    )
    split = random_split(Architecture(**NUMBERS, channels=[4], hidden=[2]), 0)
    labels = split.labels.numpy()
    losses = []
    for end in ("", ".log_softmax(1)", ".sigmoid()"):
        module = with_end(end).eval()
        require_logits(module, SHAPE, 2, trained=True)
        losses.append(validation_scores(all_logits(module, split), labels).log_loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6) and losses[2] != pytest.approx(losses[0], rel=1e-3)


def test_a_network_that_cant_be_copied_is_refused(file):
    text = PLAIN + "\ndef made():\n    net = Net()\n    net.kept = net.head.weight * 2\n    return net\n"
    refused("network.factory: the network cannot be copied (RuntimeError: Only Tensors", made, f"{file(text)}:made")


# Values that must be contiguous.


@pytest.mark.parametrize("flat", ["x.view(x.size(0), -1)", "x.view(-1, self.head.in_features)"])
def test_a_network_that_takes_views_gives_the_same_results_as_one_that_flattens(file, tmp_path, flat):
    split = random_split(Architecture(**NUMBERS, channels=[4], hidden=[2]), 0)
    plain = made(f"{file(PLAIN, 'plain.py')}:make")
    text = f"{file(NET.replace('{flat}', flat))}:make"
    model = made(text)
    assert type(model).__name__ == "Net" and list(model.state_dict()) == list(plain.state_dict())
    assert np.allclose(all_logits(model, split), all_logits(plain, split), atol=1e-6)
    save_model(tmp_path / "model.pt", model, NUMBERS, 0)
    loaded = load_network(ModelFile(str(tmp_path / "model.pt"), text))
    assert np.array_equal(all_logits(loaded.module, split), all_logits(model, split))
    if "in_features" in flat:
        refused("view divides its channels or fixes their number", PrunableLayer, model, "conv", SHAPE)
        return
    layer, (example, _) = PrunableLayer(loaded.module, "conv", loaded.input_shape), next(split.batches(4))
    with torch.inference_mode():
        assert torch.allclose(layer.traced(example), plain(example), atol=1e-6)
    # Surgery runs the network itself, from images in channels-last layout.
    assert len(all_logits(structural(loaded.module, "conv", np.array([1]), example[:1]), split)) == len(split)


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
    architecture = Architecture(in_channels=2, image_size=28, channels=[4, 8, 16], hidden=[32, 8], classes=2)
    recipe = Recipe(epochs=2, batch_size=16)
    training, validation = (random_split(architecture, seed, 30, 100) for seed in (0, 1))
    users = ModelFile("", f"{REFERENCE}:network", {"width": 4})
    results = [train(options, recipe, training, validation, 5, CPU) for options in (architecture, users)]
    (ours, our_rows), (theirs, their_rows) = results
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert [row["val_loss"] for row in our_rows] == [row["val_loss"] for row in their_rows]


def test_the_reference_network_of_the_example_has_the_names_and_sizes_of_the_default_study():
    config = check({})["network"]
    shape = {key: config[key] for key in ("channels", "kernel_size", "hidden", "dropout")}
    from prunecurve.model.conv_net import ConvNet

    theirs = build(f"{REFERENCE}:network", {}, (2, 28, 28), 0).state_dict()
    own = ConvNet(Architecture(in_channels=2, image_size=28, classes=2, **shape)).state_dict()
    assert {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in theirs.items()}


def test_a_network_that_fails_in_training_is_named_with_its_line(file):
    text = PLAIN.replace(
        "        x = torch",
        "        if self.training and len(x) > 2:\n            raise OSError('full')\n        x = torch",
    )
    split = random_split(Architecture(**NUMBERS, channels=[4], hidden=[2]), 0)
    path = file(text)
    message = f"network.factory: the network fails in training (OSError: full; {path}, line 14: raise OSError('full'))"
    refused(message, train, ModelFile("", f"{path}:make"), Recipe(epochs=1), split, split, 0, CPU)


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
    from conftest import random_network

    save_model(path, random_network(Architecture(**NUMBERS, channels=[4], hidden=[2]), 0))
    refused(
        f"{path} is not the network of {text} (network.factory); delete it", load_network, ModelFile(str(path), text)
    )


def test_scripts_and_evaluations_get_a_network_from_the_same_options():
    import collect_activations
    import eval_pruned
    import rank_channels
    from prunecurve.model.model_file import model_file

    network = {"factory": "a.py:f", "arguments": {"n": 10, "x": [1.5, None]}, "leaf_modules": ["a", "b.0"]}
    words = ["--model=m.pt", "--network", json.dumps(network)]
    rest = ["--split", "x", "x", "x", "--layer=x", "--folder=x"]
    expected = ModelFile("m.pt", "a.py:f", {"n": 10, "x": [1.5, None]}, ("a", "b.0"))
    assert model_file(collect_activations.options().parse_args([*words, *rest])) == expected
    rest = ["--features=x", "--split", "x", "--layer=x", "--ranking=x", "--removal=structural", "--k", "1"]
    rest += ["--dataset=x", "--seed=1", "--criterion=x", "--output=x"]
    assert model_file(eval_pruned.options().parse_args([*words, *rest])) == expected
    assert model_file(eval_pruned.options().parse_args(["--model", *rest])) is None
    rest = ["--criterion=x", "--layer=x", "--output=x", "--seed=1"]
    assert model_file(rank_channels.options().parse_args(["--model=m.pt", *rest])) == ModelFile("m.pt")


# Weights.

THOP = ("total_ops", "total_params")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 4, 3), bn=nn.BatchNorm2d(4), head=nn.Linear(4, 2)))


def loaded(model: nn.Module, path) -> dict[str, torch.Tensor]:
    """Return what a network has after it has loaded a file, without the numbers that no evaluation uses."""
    load_weights(model, str(path))
    return {name: value for name, value in model.state_dict().items() if "num_batches" not in name}


def sevens(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, 7) for name, value in model.state_dict().items()}


def of_torchs_wrappers(state):
    return {f"_orig_mod.module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": {f"net.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        of_torchs_wrappers,
        lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
)
def test_checkpoints_are_understood(tmp_path, wrapped):
    torch.save(wrapped(sevens(net())), tmp_path / "w.pt")
    assert all((value == 7).all() for value in loaded(net(), tmp_path / "w.pt").values())


@pytest.mark.parametrize("wrapped", ["", "module.", "_orig_mod."])
def test_a_network_whose_own_names_have_the_prefix_keeps_it(tmp_path, wrapped):
    model = nn.ModuleDict({"module": net()})
    torch.save({wrapped + name: value for name, value in sevens(model).items()}, tmp_path / "w.pt")
    state = loaded(model, tmp_path / "w.pt")
    assert "module.conv.weight" in state and all((value == 7).all() for value in state.values())


class Inner(nn.Sequential):
    """Runs its first module on several devices, as AlexNet and VGG were trained."""

    def __init__(self):
        super().__init__(OrderedDict(features=nn.DataParallel(net()), head=nn.Linear(2, 2)))


def test_weights_of_wrapped_modules_and_averages_are_loaded(tmp_path):
    def plain() -> nn.Module:
        return nn.Sequential(OrderedDict(features=net(), head=nn.Linear(2, 2)))

    averaged = torch.optim.swa_utils.AveragedModel(Inner())
    compiled = nn.Sequential(OrderedDict(features=torch.compile(net()), head=nn.Linear(2, 2)))
    counted = sevens(plain()) | {f"{name}{what}": torch.zeros(1) for name in ("", "features.conv.") for what in THOP}
    names = {"features.module.conv.weight", "module.features.module.conv.weight", "features._orig_mod.conv.weight"}
    for state in (sevens(Inner()), sevens(averaged), sevens(compiled), counted):
        assert state is counted or names & set(state)
        torch.save(state, tmp_path / "w.pt")
        state = loaded(plain(), tmp_path / "w.pt")
        assert len(state) == 10 and all((value == 7).all() for value in state.values())


def test_safetensors_files_are_loaded_whatever_their_name(tmp_path):
    for name, prefix in (("w.safetensors", ""), ("w.bin", "module.")):
        save_file({prefix + key: value for key, value in sevens(net()).items()}, tmp_path / name)
        assert all((value == 7).all() for value in loaded(net(), tmp_path / name).values())
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(
        StudyError, match=r"w\.safetensors does not fit the network of network\.factory: \d+ keys are miss"
    ):
        load_weights(net(), str(tmp_path / "w.safetensors"))
    cut = (tmp_path / "w.bin").read_bytes()[:-9]
    (tmp_path / "w.bin").write_bytes(cut)
    with pytest.raises(StudyError, match=r"^network\.weights: \S+w\.bin is not a file of weights \([^\n]+$"):
        load_weights(net(), str(tmp_path / "w.bin"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "is a Git LFS pointer, not the file itself; git lfs pull downloads it",
        ),
        (
            b"\n<!DOCTYPE html><html></html>",
            "is a web page (HTML), not the file itself; download the file that the page links to",
        ),
    ],
)
def test_a_file_in_place_of_the_weights_is_named(tmp_path, content, message):
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        refused(f"network.weights: {tmp_path / name} {message}", load_weights, net(), str(tmp_path / name))


def without(*names, **more):
    return {name: value for name, value in (net().state_dict() | more).items() if name not in names}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("conv.bias"), "does not fit the network of network.factory: 1 key is missing (conv.bias); give the"),
        (without(**{"fc.weight": torch.zeros(2)}), "network.factory: 1 key is unexpected (fc.weight); give"),
        (
            without("bn.weight", "bn.bias", **{"head.weight": torch.zeros(9, 4), "head.bias": torch.tensor(1.0)}),
            "2 keys are missing (bn.weight, bn.bias); 2 keys are of a different shape (head.weight: 9 × 4 in the file, "
            "2 × 4 in the network, head.bias: a number in the file, 2 in the network)",
        ),
        (
            without(**{f"x{i}": torch.zeros(1) for i in range(9)}),
            "9 keys are unexpected (x0, x1, x2, x3, x4, …)",
        ),
        (
            {"weights": net().state_dict()},
            "holds no state dict: it is a mapping with the keys weights; a state dict, or",
        ),
        ({}, "holds no state dict: it is empty"),
        (torch.zeros(3), "holds no state dict: it is a Tensor"),
        (net(), "is damaged or holds more than weights (torch.nn.modules.container.Sequential), and nothing else is"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_keys(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(StudyError) as error:
        load_weights(net(), str(tmp_path / "w.pt"))
    assert str(error.value).startswith(f"network.weights: {tmp_path}/w.pt ")
    assert message in str(error.value) and "\n" not in str(error.value)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_hostile_weights_are_refused_unopened(tmp_path):
    torch.save({"state_dict": Hostile(tmp_path / "opened")}, tmp_path / "w.pt")
    refused(
        "w.pt is damaged or holds more than weights (io.open), and nothing", load_weights, net(), str(tmp_path / "w.pt")
    )
    assert not (tmp_path / "opened").exists()


def test_files_that_are_no_weights_are_refused(tmp_path):
    refused("network.weights: there is no file nowhere.pt", load_weights, net(), "nowhere.pt")
    for content in (b"", b"text", b"PK\x03\x04rest"):
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(StudyError, match=rf"^network\.weights: {tmp_path}/w\.pt is [^\n]*$"):
            load_weights(net(), str(tmp_path / "w.pt"))


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
    refused(
        "network.leaf_modules: 1.1 is not a path, pattern of paths or class of a module in the network; nearest: 1.0",
        traced_network,
        branching(),
        SHAPE,
        ("1.1",),
    )


def test_a_number_of_inputs_in_the_network_is_named(file):
    path = file(NET.replace("{flat}", "x.reshape(64, -1)"))
    message = (
        f"{path}, line 14: return self.head(x.reshape(64, -1))); check network.arguments, image_size and "
        "image_channels; a number of "
    )
    refused(message, made, f"{path}:make")


# The digest of the code.


@pytest.fixture
def project(file):
    file("from torch import nn\nfrom .beside_deep import x\n\nclass Block(nn.Module): pass\n", "beside_a.py")
    file("x = 1\n", "beside_deep.py")
    file("unused = 1\n", "beside_unused.py")
    file("", "beside_pkg/__init__.py")
    file("from . import two\nfrom .. import beside_deep\n", "beside_pkg/one.py")
    file("y = 1\n", "beside_pkg/two.py")
    text = '"""Doc."""\nimport torch\n\ndef make():\n'
    text += "    from beside_a import Block\n    import beside_pkg.one\n    return Block()\n"
    return lambda: digest_of(parsed_factory(f"{file(text) if not edits else file(edits[0](text))}:make"))


edits: list = []


@pytest.fixture(autouse=True)
def no_edits():
    edits.clear()


def test_an_edit_of_the_code_changes_its_digest_and_a_comment_does_not(project, file):
    before = project()
    for same in (
        lambda t: f"# Comment.\n{t}",
        lambda t: t.replace("Doc.", "Other."),
        lambda t: t.replace("\n\n", "\n\n\n"),
    ):
        edits[:] = [same]
        assert project() == before
    edits[:] = [lambda t: t.replace("return Block()", "return Block().eval()")]
    assert project() != before
    edits.clear()
    for name, text in (
        ("beside_deep.py", "x = 2\n"),
        ("beside_pkg/__init__.py", "z = 1\n"),
        ("beside_pkg/two.py", "y = 2\n"),
    ):
        file(text, name)
        after = project()
        assert after != before, name
        before = after
    file("unused = 2\n", "beside_unused.py")
    file("# A comment.\nx = 2\n", "beside_deep.py")
    assert project() == before


def test_the_folder_of_the_code_does_not_change_its_digest(file):
    digests = set()
    for folder in ("one", "other/place"):
        file("x = 1\n", f"{folder}/beside_x.py")
        path = file(f"import beside_x\n{PLAIN}", f"{folder}/net.py")
        digests.add(digest_of(parsed_factory(f"{path}:make")))
    assert len(digests) == 1


def test_an_installed_library_counts_by_its_version_and_another_one_by_its_code(tmp_path, monkeypatch):
    code = code_of(parsed_factory("torchvision.models:resnet18"))
    assert (code.files, code.libraries) == (set(), {"torchvision"})
    (tmp_path / "beside_mylab").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside_mylab" / "__init__.py").write_text("")
    (tmp_path / "beside_mylab" / "nets.py").write_text("import torch\nfrom .parts import x\ndef make(): pass\n")
    (tmp_path / "beside_mylab" / "parts.py").write_text("x = 1\n")
    factory = parsed_factory("beside_mylab.nets:make")
    code = code_of(factory)
    assert {path.name for path in code.files} == {"__init__.py", "nets.py", "parts.py"} and code.libraries == {"torch"}
    before = digest_of(factory)
    (tmp_path / "beside_mylab" / "parts.py").write_text("x = 2\n")
    assert digest_of(factory) != before
    assert "beside_mylab" not in sys.modules, "nothing is imported"


def test_wrong_code_is_reported_before_it_runs(file):
    path = file("import beside_wrong\ndef make(): pass\n")
    wrong = file("x = 1\ndef f(:\n", "beside_wrong.py")
    refused(f"network.factory: {wrong}, line 2: invalid syntax: def f(:", digest_of, parsed_factory(f"{path}:make"))
    refused("network.factory: there is no file nowhere.py", digest_of, parsed_factory("nowhere.py:make"))
    refused(f"network.factory: {path} has no function mace; it has make", digest_of, parsed_factory(f"{path}:mace"))
    file("", "beside_wrong.py")
    texts = (
        "from x import make",
        "from x import *",
        "if 1:\n    make = f",
        "try:\n    def make(): pass\nexcept E: pass",
    )
    assert len({digest_of(parsed_factory(f"{file(text)}:make")) for text in texts}) == 4


# The config.


def test_the_weights_count_by_their_content(tmp_path, monkeypatch):
    network = check({"network": {"factory": "a.py:f", "weights": str(tmp_path / "w_{seed}.pt")}})["network"]
    refused(
        f"network.weights: there is no file {tmp_path}/w_0.pt (and 1 more)", contents_of_weights, network, [0, 1], ""
    )
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
        (
            {"arguments": {"n": 1}},
            "network.arguments: it belongs to the network of network.factory, which is not given",
        ),
        ({"weights": "w.pt"}, "network.weights: it belongs to the network of network.factory, which is not given"),
        (
            {"leaf_modules": ["a"]},
            "network.leaf_modules: it belongs to the network of network.factory, which is not given",
        ),
        (
            {"factory": "a"},
            "network.factory: a does not name a function; write FILE.py:FUNCTION or package.module:FUNCTION",
        ),
        ({"factory": "a b:f"}, "network.factory: a b:f names neither a file that ends in .py nor a module; write FILE"),
        (
            {"factory": "a.py:f", "arguments": 3},
            "network.arguments: 3 is not allowed; allowed: a mapping of keys to values",
        ),
        (
            {"factory": "a.py:f", "arguments": {"n": {1}}},
            "network.arguments: {'n': {1}} is not allowed; allowed: a mapping",
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
    assert (
        check(given | {"network": {"factory": "a.py:f", "arguments": yaml.safe_load(arguments)}})["network"][
            "arguments"
        ]
        == expected
    )


def test_settings_of_arguments_stay_on_one_line_without_the_separator_of_files():
    line = settings(check({"network": {"factory": "a.py:f", "arguments": {"t": "a | b\nc" * 400}}}))[
        "network.arguments"
    ]
    assert "\n" not in line and "|" not in line
