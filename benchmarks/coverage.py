"""Which layers of known networks can be pruned, each confirmed by a removal: the numbers in docs/method.md.

python benchmarks/coverage.py [NETWORK@SIZE ...]    torchvision:NAME or a name of timm (pip install timm)
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.graph.layer_table import layer_table
from prunecurve.graph.pruning import with_random_constants
from prunecurve.verification import PERTURBATION
from prunecurve.verification.confirmation import Confirmation

TORCHVISION = (
    *("resnet18", "vgg11_bn", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "densenet121", "resnext50_32x4d"),
    *(
        "regnet_y_400mf",
        "efficientnet_b0",
        "googlenet",
        "inception_v3@96",
        "mnasnet0_5",
        "alexnet",
        "shufflenet_v2_x0_5",
    ),
)
TIMM = (
    *("efficientnet_lite0", "efficientnet_b0", "densenet121", "resnetv2_50", "regnetx_002", "repvgg_a0", "resnet26d"),
    *(
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small",
        "convnext_atto",
        "seresnet50",
        "cspresnet50",
        "hrnet_w18_small",
    ),
    *("res2net50_26w_4s", "ghostnet_100", "rexnet_100", "skresnet18", "vit_tiny_patch16_224@224", "resnest14d"),
)
NETWORKS = (*(f"torchvision:{name}" for name in TORCHVISION), *TIMM)
HEADER = "| network | inputs | layers | can be pruned | by perturbation | no activation |\n|---|---|---|---|---|---|"


def network(name: str) -> nn.Module:
    """Return a network with random weights."""

    def made() -> nn.Module:
        torch.manual_seed(0)
        if name.startswith("torchvision:"):
            import torchvision.models

            options = {"init_weights": False} if "ception" in name or "googlenet" in name else {}
            return torchvision.models.get_model(name.partition(":")[2], weights=None, **options)
        import timm

        return timm.create_model(name)

    return with_torchvision(made).eval()


def row(text: str) -> str:
    """Return the row of a network, given as NAME@SIZE; without a size its inputs are 64 × 64."""
    name, _, size = text.partition("@")
    shape = (3, int(size or 64), int(size or 64))
    model = with_random_constants(network(name))
    rows = layer_table(model, shape, (), Confirmation(model, shape).by)
    kept = [each for each in rows if not each["refused"]]
    perturbed = sum(each["verified_by"] == PERTURBATION for each in kept)
    signed = sum(bool(each["signed"]) for each in kept)
    return f"| {name} | {shape[1]} | {len(rows)} | {len(kept)} | {perturbed or ''} | {signed or ''} |"


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK@SIZE")
    torch.set_num_threads(1)
    print(HEADER, flush=True)
    for text in cli.parse_args().networks:
        print(row(text), flush=True)


if __name__ == "__main__":
    main()
