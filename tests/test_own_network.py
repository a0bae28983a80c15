"""docs/own_network.md: every command of the page runs, on a tiny study; the networks of examples/."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import PROJECT, Study
from PIL import Image
from prunecurve.config.check import check
from prunecurve.model.user_network import build, require_logits

PAGE = PROJECT / "docs" / "own_network.md"
CONFIG = "my_study.yaml"
# What makes the study of the page tiny.
TINY = {
    "seeds": [0],
    "images": {"train": 60, "val": 40, "test": 30},
    "network": {"arguments": {"depth": 8, "width": 4, "classes": 10}},
    "training": {"epochs": 1, "batch_size": 20, "require": 0},
    "ranking": {"criteria": ["mean_activation", "random"], "random_draws": 1},
    "sweep": {"ks": [0, 1, 3, 7]},
    "verification": {"rankings": 1, "drawn_ks": 0},
    "sensitivity": {"criteria": ["l1_norm"]},
    "figures": {"dpi": 50},
}


def blocks() -> list[str]:
    """The code blocks of the page, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"^    ", "", block.strip("\n"), flags=re.M) for block in found]


def commands() -> list[list[str]]:
    """The commands of the page in their order, without comments."""
    lines = [line for block in blocks() for line in block.splitlines() if re.match(r"(snakemake|cp|source) ", line)]
    return [shlex.split(line, comments=True) for line in lines]


def config_of_page() -> dict:
    """The config file of the page."""
    return yaml.safe_load(block_with("study: my_study"))


def block_with(start: str) -> str:
    """The code block of the page that starts so."""
    (text,) = (block for block in blocks() if block.startswith(start))
    return text


def over(config: dict, changes: dict) -> dict:
    """Return a config with changes, section by section, as Snakemake reads one config file over another."""
    merged = {k: over(config.get(k, {}), v) if isinstance(v, dict) else v for k, v in changes.items()}
    return config | merged


def write_photographs(folder: Path) -> None:
    """Ten classes of random coloured patterns, each with a colour of its own."""
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 196, (10, 3))
    for split, count in (("train", 11), ("test", 4)):
        for i, colour in enumerate(colours):
            place = folder / split / f"class{i}"
            place.mkdir(parents=True)
            for j in range(count):
                pixels = rng.integers(-60, 60, (8, 8, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).resize((32, 32)).save(place / f"{j}.png")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The folder after all commands of the page; the output of each command by its words."""
    study = Study(tmp_path_factory.mktemp("tutorial") / "study")
    # As in a fresh clone.
    shutil.copy(PROJECT / "config.yaml", study.folder)
    write_photographs(study.folder / "photos")
    (study.folder / CONFIG).write_text(yaml.safe_dump(over(config_of_page(), TINY)))
    outputs = {}
    for program, *words in commands():
        if program == "cp":
            shutil.copy(*(study.folder / word for word in words))
        elif program != "source":
            assert program == "snakemake"
            place = words.index("--cores")
            others = [*words[:place], *words[place + 2 :]]
            outputs[" ".join(words)] = study.run(*others, cores=int(words[place + 1])).stdout
    return study, outputs


@pytest.mark.snakemake
def test_every_command_of_the_page_runs(tutorial):
    study, outputs = tutorial
    results = study.folder / "results"
    first = next(output for words, output in outputs.items() if words.startswith("layers"))
    assert "Layers of the network, for inputs of 3 × 32 × 32" in first
    assert "not prunable: its channels reach the output of the network" in first
    files = set(re.findall(r"`(results/my_study/[^`]*)`", PAGE.read_text(encoding="utf-8")))
    assert files and [name for name in sorted(files) if not (study.folder / name).exists()] == []
    with (results / "my_study" / "curve.csv").open() as file:
        assert {row["layer"] for row in csv.DictReader(file)} == {config_of_page()["layer"]}
    # Each study that the page names on a command line has results of its own.
    named = {word.partition("=")[2] for words in outputs for word in words.split() if word.startswith("study=")}
    assert all((results / name).is_dir() for name in named)


@pytest.mark.snakemake
def test_the_network_of_torchvision_has_the_layer_of_the_page(tutorial):
    study, _ = tutorial
    own = over(config_of_page(), {key: TINY[key] for key in ("seeds", "images")})
    own |= yaml.safe_load(block_with("study: resnet18"))
    (study.folder / "resnet18.yaml").write_text(yaml.safe_dump(own))
    table = study.run("layers", "--configfile", "resnet18.yaml").stdout
    assert re.search(rf"^{re.escape(own['layer'])} +Conv2d +128 ", table, re.M)


def test_the_config_of_the_page_is_the_study_in_config():
    own, other = config_of_page(), yaml.safe_load((PROJECT / "config" / "resnet20.yaml").read_text())
    names = {"study": "my_study", "data_dir": "photos", "seeds": [0]}
    factory = {"factory": "my_network.py:resnet"}
    assert own == other | names | {"network": other["network"] | factory}
    assert check(own)["network"]["factory"] == "my_network.py:resnet"


@pytest.mark.parametrize("name", ["resnet20", "vgg"])
def test_the_studies_of_the_examples_have_networks_that_exist(name):
    config = check(yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text()))
    network = config["network"]
    model = build(str(PROJECT / network["factory"]), network["arguments"], (3, 32, 32), 0)
    require_logits(model, (3, 32, 32), 10, trained=True)
    assert isinstance(model.get_submodule(config["layer"]), torch.nn.Conv2d)


def test_resnet_20_has_the_size_of_the_publication():
    """0.27 million parameters (He et al. 2016, table 6), of which the shortcuts here have 2,752."""
    model = build(f"{PROJECT}/examples/my_network.py:resnet", {}, (3, 32, 32), 0)
    of_shortcuts = sum(each.numel() for name, each in model.named_parameters() if "shortcut" in name)
    assert of_shortcuts == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert sum(each.numel() for each in model.parameters()) - of_shortcuts == 269_722


@pytest.mark.parametrize(("depth", "width"), [(20, 16), (8, 4), (14, 8)])
def test_the_residual_network_has_its_depth_and_widths(depth, width):
    model = build(f"{PROJECT}/examples/my_network.py:resnet", {"depth": depth, "width": width}, (3, 32, 32), 0)
    kernels = [module.kernel_size for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    # Two of the convolutions are on shortcuts; the linear layer counts.
    assert kernels.count((1, 1)) == 2 and kernels.count((3, 3)) + 1 == depth
    maps = {}
    model.stage3.register_forward_hook(lambda module, args, output: maps.update(shape=output.shape))
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert maps["shape"] == (2, 4 * width, 8, 8)


@pytest.mark.parametrize("size", [32, 48])
def test_the_plain_network_has_eight_convolutions(size):
    model = build(f"{PROJECT}/examples/vgg.py:vgg", {"width": 4, "image_size": size, "classes": 3}, (3, size, size), 0)
    widths = [module.out_channels for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 16, 16]
    assert model.eval()(torch.zeros(2, 3, size, size)).shape == (2, 3)
