"""One layer of networks of torchvision, with random weights: the sweep of some K against Torch-Pruning's surgery."""

import numpy as np
import pytest
import torch
from prunecurve.graph.channels import Channels
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.graph.layers import PrunableLayer
from prunecurve.activations.collection import collect
from prunecurve.sweep.removal import REMOVALS
from prunecurve.verification.comparison import allowed_difference, require_means
from prunecurve.verification.surgery import operated, size_of
from prunecurve.arrays import load_array
from test_channels import from_torchvision
from test_layers import Inputs, swept

SIZE = 32
# A residual group with a downsampling, one with squeeze-and-excitation and depthwise convolutions, a layer that all
# later ones of a dense block read.
CASES = [
    ("resnet18", "layer2.1.conv2"),
    ("mobilenet_v3_small", "features.4.block.3.0"),
    ("mobilenet_v3_small", "features.5.block.0.0"),
    ("densenet121", "features.denseblock3.denselayer20.conv2"),
    ("efficientnet_b0", "features.4.1.block.3.0"),
    ("googlenet", "inception4b.branch3.1.conv"),
]


@torch.no_grad()
def calibrated(model: torch.nn.Module, images: torch.Tensor) -> torch.nn.Module:
    """Set the running statistics to those of images. With others, a deep network gives all inputs the same logits."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    model(images)
    return model.eval()


@pytest.mark.parametrize(("name", "path"), CASES)
def test_the_sweep_is_torch_prunings_surgery(name, path, tmp_path):
    shape = (3, SIZE, SIZE)
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(5))
    model = calibrated(from_torchvision(name), x)
    layer = PrunableLayer(model, path, shape, Channels(model, shape))
    collect(layer, Inputs(x), 4, tmp_path)
    described = describe(layer)
    save_layer(tmp_path / "layer.npy", described)
    features, means = (load_array(tmp_path / f"{kind}features.npy") for kind in ("", "mean_"))
    require_means(model, path, Inputs(x), means, "mean_features.npy")
    order = np.random.default_rng(0).permutation(layer.channels)
    ks = [0, layer.channels // 2, layer.channels - 1]
    for removal in REMOVALS:
        replacement = REMOVALS[removal].replacement(described, means)
        found = swept(layer, tmp_path, features, order, ks, replacement)
        removed = [np.sort(order[:k]) for k in ks]
        with torch.inference_mode():
            cut = [operated(model, path, each, removal, x[:1], means)(x).numpy() for each in removed]
        effect = max(np.abs(each - cut[0]).max() for each in cut)
        for k, own, other in zip(ks, found, cut):
            allowed = allowed_difference(1e-4 * np.abs(other).max(), effect, other)
            assert np.abs(own - other).max() <= allowed, (removal, k)
            assert effect > 10 * allowed, "the comparison would show nothing"
    gone = layer.channels // 2
    size = {"params": described.params[gone], "macs": described.macs[gone]}
    assert size_of(model, path, removed[1], "structural", x[:1]) == size
