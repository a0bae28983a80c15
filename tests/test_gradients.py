"""Gradients where oneDNN has no AVX-512: training, effects and counting, each in a process that may crash or hang."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PROJECT
from prunecurve.data.batches import Split
from prunecurve.data.tasks.classes import inputs as classes
from prunecurve.model.gradients import safe_gradients
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.network_file import built, prepare_torch
from prunecurve.model.parameters import Network
from prunecurve.training.parameters import Recipe
from prunecurve.training.training import train
from prunecurve.verification.surgery import parameters_and_macs
from torch import nn

SHAPE = (3, 32, 32)
RECIPE = Recipe(epochs=2, batch_size=20, learning_rate=0.001, weight_decay=0, max_shift=0, swap=False)


class Shortcuts(nn.Module):
    """1×1 convolutions with a stride that read 3 channels, 1 channel, and 4 that a group of layers computes."""

    def __init__(self):
        super().__init__()
        self.first, self.beside = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2)
        self.second, self.shortcut = nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(4, 8, 1, (1, 2), bias=False)
        self.grey = nn.Conv2d(1, 8, 1, 4)
        self.pool, self.head = nn.AvgPool2d((2, 1)), nn.Linear(8, 3)

    def forward(self, x):
        y = torch.relu(self.first(x) + self.beside(x))
        y = self.second(y) + self.pool(self.shortcut(y)) + self.grey(x.mean(1, keepdim=True))
        return self.head(torch.relu(y).mean((2, 3)))


def network() -> nn.Module:
    torch.manual_seed(0)
    return Shortcuts().to(memory_format=torch.channels_last)


def images(count: int) -> torch.Tensor:
    x = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    return x.to(memory_format=torch.channels_last)


def in_training():
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (60, *SHAPE), dtype=np.uint8), np.arange(60) % 3
    split = Split.of(pixels, np.arange(60)[:, None], labels, "cpu")
    for precision in ("float32", "bfloat16"):
        recipe = RECIPE.model_copy(update={"precision": precision})
        model = built(Network(factory=f"{__file__}:Shortcuts"), split.numbers, 0, trained=True)
        _, rows = train(model, recipe, split, split, 0, prepare_torch("cpu", 1), classes)
        assert all(0.5 < row["train_loss"] < 3 for row in rows)


def in_gradients():
    """Compared with the same network in float64."""
    model, x = network(), images(20)
    with safe_gradients(model):
        model(x).square().sum().backward()
    exact = copy.deepcopy(model).double()
    exact.zero_grad()
    exact(x.double()).square().sum().backward()
    for (name, one), other in zip(model.named_parameters(), exact.parameters()):
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-3, atol=1e-4), name
    assert not any(module._forward_pre_hooks for module in model.modules())


def in_effects():
    """Compared with the derivative with respect to a factor on the outputs of ReLU, in float64."""
    model, x, labels = network().eval(), images(20), torch.arange(20) % 3
    layer = PrunableLayer(model, "first", SHAPE)
    with torch.no_grad():
        values = layer.crossing(x)
    layer.traced.requires_grad_(False)
    layer.downstream.fuse()
    found = layer.downstream.effects(values, labels)
    exact, gates = copy.deepcopy(model).double(), torch.ones(20, 4, 1, 1, dtype=torch.float64, requires_grad=True)
    y = torch.relu(exact.first(x.double()) + exact.beside(x.double())) * gates
    y = exact.second(y) + exact.pool(exact.shortcut(y)) + exact.grey(x.double().mean(1, keepdim=True))
    logits = exact.head(torch.relu(y).mean((2, 3)))
    nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    assert found == pytest.approx(gates.grad[:, :, 0, 0].numpy(), abs=1e-5)


def in_counting():
    """One input of 224×224 is enough for a crash."""
    large = torch.rand(1, 3, 224, 224).to(memory_format=torch.channels_last)
    for _ in range(20):
        size = parameters_and_macs(network(), large)
        assert size["params"] == sum(each.numel() for each in Shortcuts().parameters())


@pytest.mark.parametrize("where", [in_training, in_gradients, in_effects, in_counting], ids=lambda each: each.__name__)
def test_without_avx_512_gradients_are_right(where):
    """torch 2.13 then writes beyond its memory in channels-last layout, and the process crashes or hangs."""
    variables = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": f"{PROJECT}/workflow/scripts:{Path(__file__).parent}"}
    command = [sys.executable, "-c", f"import {__name__} as tests; tests.{where.__name__}()"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


def test_other_layers_keep_their_layout():
    model, layouts = network(), {}
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda module, given, output, name=name: layouts.update({name: given[0].is_contiguous()})
        )
    with safe_gradients(model):
        model(images(2))
    assert layouts["shortcut"] and layouts["beside"] and not layouts["first"] and not layouts["second"]
