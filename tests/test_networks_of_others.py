"""Networks as people have them: each was once refused, crashed late, or gave numbers under a wrong name."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from prunecurve.config import layers as layers_of
from prunecurve.config.layers import misfits, sensitivity_layers
from prunecurve.data.batches import Split
from prunecurve.data.torchvision_operators import with_torchvision
from prunecurve.errors import StudyError
from prunecurve.graph.channels import Channels
from prunecurve.graph.pruning import with_random_constants
from prunecurve.graph.description import describe, linear_layers
from prunecurve.graph.layer_table import layer_table, layer_text
from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.checks import zero_filter, zero_filter_varies
from prunecurve.ranking import criteria
from prunecurve.activations.collection import collect, single_maps
from prunecurve.arrays import load_array
from prunecurve.tables import read_columns
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.confirmation import Confirmation
from test_channels import Network, conv
from torch import Tensor, nn
from torch.nn import functional

SHAPE = (1, 8, 8)


def refusals(model: nn.Module, **options) -> dict[str, str]:
    return {row["layer"]: row["refused"] for row in layer_table(model, SHAPE, **options)}


def averaged(maps, width: int = 4, **modules: nn.Module) -> Network:
    """Return a network whose head reads the means of maps, a function (network, images) → (n, width, M, N)."""
    return Network(lambda net, x: net.head(maps(net, x).mean((2, 3))), **modules, head=nn.Linear(width, 3))


# ---- where activations are measured


def signed() -> Network:
    """The channels branch before an activation, and the head reads one of the branches."""

    def maps(net, x):
        x = net.conv(x)
        return x + net.body(functional.relu(net.norm(x)))

    model = averaged(maps, conv=conv(1, 4, 1), norm=nn.BatchNorm2d(4), body=conv(4, 4))
    with torch.no_grad():
        model.conv.weight[2] *= 30
        model.conv.bias[2] = -20
    return model


def dense() -> Network:
    """As in DenseNet: all branches of the channels have an activation of their own."""

    def maps(net, x):
        x = net.conv(x)
        return functional.relu(net.norm2(torch.cat([net.grow(functional.relu(net.norm1(x))), x], 1)))

    modules = {"conv": conv(1, 4), "norm1": nn.BatchNorm2d(4), "grow": conv(4, 3), "norm2": nn.BatchNorm2d(7)}
    return with_random_constants(averaged(maps, 7, **modules))


def some_inputs() -> Split:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (10, *SHAPE), np.uint8)
    return Split.of(images, np.arange(10)[:, None], np.arange(10) % 3, "cpu")


def test_signed_values_are_not_ranked_as_activations():
    layer = PrunableLayer(signed(), "conv", SHAPE)
    assert layer.points.signed == "head reads its channels before an activation"
    file = describe(layer)
    statistics = {"relu_mean": np.arange(4.0), "conv_mean": np.arange(4.0)}
    given = {"filters": file.filters, "scale": None, "random": None, "signed": file.signed, "statistics": statistics}
    for point in ("relu", "pool"):
        with pytest.raises(StudyError, match="mean_activation measures behind an activation, but head reads"):
            criteria.scores("mean_activation", criteria.Layer(**given, point=point))
    assert criteria.scores("mean_activation", criteria.Layer(**given, point="conv")).tolist() == [0, 1, 2, 3]
    assert criteria.scores("l1_norm", criteria.Layer(**given)).argmax() == 2


def test_behind_several_branches_all_first_activations_are_measured(tmp_path):
    model, split = dense(), some_inputs()
    layer = PrunableLayer(model, "conv", SHAPE)
    assert layer.points.signed == ""
    collect(layer, split, 4, tmp_path)
    single_maps(layer, "relu", split, 4, tmp_path / "maps.npy")
    seen = []
    for name, chosen in (("norm1", slice(0, 4)), ("norm2", slice(3, 7))):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda m, given, out, chosen=chosen: seen.append(out.relu()[:, chosen]))
    with torch.inference_mode():
        model(split.inputs(torch.arange(10)))
    both = torch.cat(seen).double()
    (mean, inactive, pool) = read_columns(tmp_path / "channels.csv", "relu_mean", "relu_inactive_share", "pool_mean")
    assert mean == pytest.approx(both.mean((0, 2, 3)).numpy(), rel=1e-6)
    assert inactive == pytest.approx((both <= 0).double().mean((0, 2, 3)).numpy(), rel=1e-6)
    assert pool == pytest.approx(mean)
    assert load_array(tmp_path / "mean_maps.npy") == pytest.approx(both.mean(0).float().numpy(), rel=1e-5)
    assert load_array(tmp_path / "maps.npy").shape == (20, 4, 8, 8)


def layers_with(rows: list[dict[str, object]]) -> layers_of.Layers:
    return layers_of.Layers.read([{name: str(value) for name, value in row.items()} for row in rows])


def test_criteria_of_activations_are_refused_before_anything_is_trained():
    config = {
        "layer": "conv",
        "network": {"factory": "a.py:f"},
        "ranking": {"criteria": ["reversed-mean_activation", "l1_norm"], "measure_at": "relu"},
    }
    config |= {"sensitivity": {"layers": "all", "criteria": ["apoz"]}, "sweep": {"ks": "all", "removals": []}}
    config |= {"recovery": {"ks": "spread"}}
    found = layers_with(layer_table(signed(), SHAPE))
    (line,) = misfits(config, found)
    assert line.startswith("ranking.criteria: at conv, reversed-mean_activation measures behind an activation, but")
    with pytest.raises(StudyError, match=r"sensitivity.criteria: at conv, apoz measures behind an activation"):
        sensitivity_layers(config, found)
    config["ranking"]["measure_at"] = "bn"
    assert list(misfits(config, found)) == [] and sensitivity_layers(config, found) == ["conv"]
    assert list(misfits(config, layers_with(layer_table(dense(), SHAPE)))) == []


def masked() -> Network:
    modules = {"conv": conv(1, 4), "mask": conv(1, 1)}
    return averaged(lambda net, x: torch.relu(net.conv(x)) * torch.sigmoid(net.mask(x)), **modules)


def test_zero_weights_is_refused_where_a_mask_scales_what_they_leave():
    rows = layer_table(masked(), SHAPE)
    assert {row["layer"]: row["zero_weights"] for row in rows if not row["refused"]} == {
        "conv": "what a filter of zeros leaves depends on the input"
    }
    config = {
        "layer": "conv",
        "network": {"factory": "a.py:f"},
        "ranking": {"criteria": [], "measure_at": "relu"},
        "sensitivity": {"layers": "all"},
        "recovery": {"ks": "spread"},
    }
    for removals, errors in ((["structural"], 0), (["structural", "zero_weights"], 1)):
        assert len(list(misfits(config | {"sweep": {"ks": "all", "removals": removals}}, layers_with(rows)))) == errors
    assert not zero_filter_varies(PrunableLayer(dense(), "conv", SHAPE))


def test_zero_weights_is_refused_where_a_mask_is_computed_from_the_channels_that_are_left():
    """Without all channels the mask is a constant; without some it is not."""

    def maps(net, x):
        x = torch.relu(net.conv(x))
        return x * torch.sigmoid(net.mask(x))

    model = averaged(maps, conv=conv(1, 4), mask=conv(4, 1))
    with torch.no_grad():
        # Otherwise a zero filter leaves nothing behind ReLU.
        model.conv.bias += 1
    assert zero_filter_varies(PrunableLayer(model, "conv", SHAPE))


def both_calls(second_is_signed: bool) -> Network:
    def maps(net, x):
        first, second = torch.relu(net.conv(x)), net.conv(-x)
        return net.body(first) + net.body(second if second_is_signed else torch.relu(second))

    return averaged(maps, 5, conv=conv(1, 4), body=conv(4, 5))


def test_all_calls_of_a_layer_are_measured():
    assert (
        PrunableLayer(both_calls(True), "conv", SHAPE).points.signed == "body reads its channels before an activation"
    )
    model, images = both_calls(False), torch.rand(2, *SHAPE)
    with torch.inference_mode():
        maps = PrunableLayer(model, "conv", SHAPE).maps(images)["relu"]
        assert torch.equal(maps, torch.cat([model.conv(images), model.conv(-images)]).relu())


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda x: torch.relu(x) - 0.1 * torch.relu(-x), "several activations are joined before they are read"),
        (lambda x: x.clamp(-10, 10), "head reads its channels before an activation"),
    ],
    ids=["parametric relu by hand", "clamp"],
)
def test_what_is_no_activation_of_a_channel_is_not_measured_as_one(operation, reason):
    model = Network(lambda net, x: net.head(operation(net.conv(x)).flatten(1)), conv=conv(1, 4), head=nn.Linear(256, 3))
    assert PrunableLayer(model, "conv", SHAPE).points.signed == reason


class Shifted(nn.Conv2d):
    """Adds something of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.5


class Activating(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x))


def test_layers_of_own_classes_that_add_something_or_activate():
    def maps(net, x):
        return torch.relu(net.body(torch.relu(net.conv(x))))

    model = averaged(maps, 5, conv=conv(1, 4), body=Shifted(4, 5, 3, padding=1))
    layer, images = PrunableLayer(model, "conv", SHAPE), torch.rand(3, *SHAPE)
    constant = torch.rand(zero_filter(layer).shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        swept = layer.downstream.logits(layer.crossing(images), np.array([0, 2]), constant)
        cut = torch.relu(model.conv(images))
        cut[:, [0, 2]] = constant.reshape(4, 8, 8)[[0, 2]]
        assert torch.allclose(swept, model.head(torch.relu(model.body(cut)).mean((2, 3))), atol=1e-6)
    found = refusals(averaged(maps, 5, conv=conv(1, 4), body=Activating(4, 5, 3, padding=1)))
    assert found["conv"] == "body (Activating) is not linear in each of its inputs alone" and found["body"] == ""


# ---- values whose first dimension is not that of the inputs


def test_a_sequence_before_the_inputs_is_refused_before_anything_is_collected():
    def forward(net, x):
        tokens = net.patch(x).flatten(2).permute(2, 0, 1)
        return net.last(functional.gelu(net.first(tokens))).mean(0)

    model = Network(forward, patch=nn.Conv2d(1, 6, 4, 4), first=nn.Linear(6, 5), last=nn.Linear(5, 3))
    for path in ("patch", "first"):
        assert refusals(model)[path] == "a value that its channels pass through does not have one entry per input"
        with pytest.raises(NotPrunable, match="does not have one entry per input"):
            describe(PrunableLayer(model, path, SHAPE))


def test_two_images_stacked_in_the_batch_are_refused():
    def forward(net, x):
        both = torch.relu(net.conv(torch.cat([x, -x], 0))).mean((2, 3))
        return net.head(torch.cat(both.chunk(2, 0), 1))

    model = Network(forward, conv=conv(1, 4), head=nn.Linear(8, 3))
    assert refusals(model)["conv"] != ""


# ---- what the forward method and the modules look like


def test_other_arguments_of_forward_have_their_defaults():
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = conv(1, 4), conv(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor, mask: Tensor | None = None, size: int | None = None, *, flag: bool = False):
            x = functional.relu(self.first(x))
            if mask is not None or flag:
                x = x * mask
            x = functional.interpolate(functional.relu(self.second(x)), size=size, scale_factor=2)
            return self.head(x.mean((2, 3)))

    model = Optional().eval()
    assert refusals(model) | {"head": ""} == {"first": "", "second": "", "head": ""}
    layer = PrunableLayer(model, "first", SHAPE)
    images = torch.rand(5, *SHAPE)
    with torch.inference_mode():
        assert torch.allclose(
            layer.downstream.logits(layer.crossing(images), np.array([], int)), model(images), atol=1e-6
        )


def test_shared_weights_are_refused():
    modules = {"first": conv(1, 4), "a": conv(4, 4), "b": conv(4, 4)}
    model = averaged(lambda net, x: net.b(net.a(net.first(x).relu()).relu()).relu(), **modules)
    model.b.weight = model.a.weight
    assert refusals(model) | {"head": ""} == dict.fromkeys(modules, "a and b share weights") | {"head": ""}


def test_buffers_are_values_with_methods():
    model = averaged(
        lambda net, x: torch.relu(net.conv(torch.cat([x, net.grid.expand(x.size(0), -1, -1, -1)], 1))),
        **{"width": 5, "conv": conv(2, 5)},
    )
    model.register_buffer("grid", torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8))
    assert refusals(model)["conv"] == ""


def test_buffers_can_decide_what_runs():
    model = averaged(lambda net, x: torch.relu(net.conv(x)) if net.started else net.conv(x), conv=conv(1, 4))
    model.register_buffer("started", torch.tensor(True))
    assert refusals(model)["conv"] == ""
    assert PrunableLayer(model, "conv", SHAPE).points.signed == ""


def test_a_function_of_the_user_is_not_computed_as_the_one_of_torch_that_has_its_name():
    def forward(net, x):
        return net.two(relu(net.one(functional.relu(net.conv(x)).flatten(1))))

    model = Network(forward, conv=conv(1, 4), one=nn.Linear(256, 6), two=nn.Linear(6, 3))
    assert linear_layers(PrunableLayer(model, "conv", SHAPE)) is None, "numpy would compute torch's ReLU"
    (last,) = linear_layers(PrunableLayer(model, "one", SHAPE))
    assert last.activation == "identity"
    model.function = lambda net, x: net.two(functional.relu(net.one(functional.relu(net.conv(x)).flatten(1))))
    assert [each.activation for each in linear_layers(PrunableLayer(model, "conv", SHAPE))] == ["relu", "identity"]


@torch.fx.wrap
def relu(x: Tensor) -> Tensor:
    """Named as torch's function, and another one."""
    return x.clamp(0, 0.3)


class Attention(nn.Module):
    """Control flow that cannot be traced, and a layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) if x.sum() > 1e9 else x + self.mix(x)


@pytest.mark.parametrize("names", [["blocks.0.attn", "blocks.1.attn"], ["blocks.*.attn"], ["Attention"]])
def test_leaf_modules_by_path_pattern_and_class(names):
    blocks = nn.Sequential(*(nn.Sequential() for _ in range(2)))
    for block in blocks:
        block.add_module("conv", conv(4, 4))
        block.add_module("attn", Attention(4))
    modules = {"first": conv(1, 4), "blocks": blocks, "last": conv(4, 4)}
    model = averaged(lambda net, x: net.last(net.blocks(net.first(x))), **modules)
    with pytest.raises(StudyError, match=r"torch.fx cannot trace it"):
        layer_table(model, SHAPE)
    found = refusals(model, leaf_modules=names)
    assert found["last"] == "" and found["first"] == ""
    assert found["blocks.1.conv"] == "blocks.1.attn (Attention) mixes channels"
    assert found["blocks.0.attn.mix"] == "it lies inside blocks.0.attn, which torch.fx does not look into"


def test_each_layer_has_a_row():
    """Also those that do not run."""
    model = averaged(lambda net, x: net.conv(x).relu(), conv=conv(1, 4), aux=conv(4, 4))
    assert refusals(model)["aux"] == "the network does not run it as a layer in evaluation mode"


def test_notes_name_the_layers_that_are_measured_or_verified_in_another_way():
    model = masked()
    text = " ".join(layer_text(layer_table(model, SHAPE, (), Confirmation(model, SHAPE).by), SHAPE).split())
    assert text.endswith("verified by perturbation, because Torch-Pruning cannot follow the network: conv")
    text = " ".join(layer_text(layer_table(signed(), SHAPE), SHAPE).split())
    assert "no activation before they are read (use l1_norm, taylor_gate or ranking.measure_at: bn): conv, body" in text


def test_slices_divide_the_channels_and_the_layers_behind_are_verified():
    def maps(net, x):
        p, q = functional.relu(net.first(x)).chunk(2, 1)
        return functional.relu(net.join(torch.cat([p, functional.relu(net.b(functional.relu(net.a(q))))], 1)))

    model = averaged(maps, 6, first=conv(1, 8), a=conv(4, 4), b=conv(4, 4), join=conv(8, 6))
    rows = {row["layer"]: row for row in layer_table(model, SHAPE, (), Confirmation(model, SHAPE).by)}
    assert rows["first"]["refused"].startswith("chunk divides its channels")
    assert [rows[name]["refused"] for name in ("a", "b", "join")] == ["", "", ""]


def test_what_the_library_cuts_without_an_effect_is_seen_in_the_size(monkeypatch):
    """The verification compares the size of the row with that of the library's network."""
    model = dense()
    confirmation, layer = Confirmation(model, SHAPE), PrunableLayer(model, "conv", SHAPE)
    assert confirmation.by(layer) == SURGERY

    # Of the library's network, ours, and the whole network and its graph.
    sizes = iter([10, 11, 0, 0])
    monkeypatch.setattr("prunecurve.verification.confirmation._size", lambda model: next(sizes))
    assert confirmation.by(layer) == PERTURBATION


def test_a_network_that_neither_way_can_follow_is_refused_layer_by_layer(monkeypatch):
    def fails(*given):
        raise RuntimeError("shape '[4, 8]' is invalid")

    monkeypatch.setattr("prunecurve.verification.confirmation.group_of", fails)
    monkeypatch.setattr("prunecurve.verification.confirmation.Perturbation", fails)
    model = dense()
    rows = layer_table(model, SHAPE, (), Confirmation(model, SHAPE).by)
    reason = "its removal cannot be verified (Torch-Pruning: shape '[4, 8]' is invalid; perturbation: shape"
    assert [row["refused"].startswith(reason) for row in rows] == [True, True, False]


class Named(NamedTuple):
    maps: Tensor
    more: Tensor


class Several(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor):
        return self.kind(maps=torch.relu(x), more=x)


@pytest.mark.parametrize(("kind", "refused"), [(Named, ""), (dict, "several (Several) returns a dict, which is not")])
def test_modules_that_return_several_values(kind, refused):
    place = 0 if kind is Named else "maps"
    model = averaged(lambda net, x: net.several(net.conv(x))[place], conv=conv(1, 4), several=Several(kind))
    found = refusals(model, leaf_modules=["several"])["conv"]
    assert found.startswith(refused) and bool(found) == bool(refused)


def test_a_layer_that_is_called_by_keyword_is_refused():
    model = averaged(lambda net, x: net.conv(input=x).relu(), conv=conv(1, 4))
    assert refusals(model)["conv"] == "it must be called with one input, as layer(x), and return one tensor"


# ---- libraries


def test_einops():
    einops = pytest.importorskip("einops")
    from einops.layers.torch import Rearrange

    def forward(net, x):
        x = einops.rearrange(torch.relu(net.first(x)), "b c h w -> b h w c")
        x = einops.reduce(torch.relu(net.second(x)), "b (h k) (w l) c -> b c h w", "max", k=2, l=2)
        return net.head(net.flat(x))

    modules = {"first": conv(1, 4), "second": nn.Linear(4, 5), "flat": Rearrange("b c h w -> b (c h w)")}
    model = Network(forward, **modules, head=nn.Linear(80, 3))
    assert refusals(model) | {"head": ""} == {"first": "", "second": "", "head": ""}
    assert PrunableLayer(model, "second", SHAPE).group.readers["head"].tolist() == [
        c for c in range(5) for _ in range(16)
    ]


# Of timm: the layers, and how many can be pruned. The others are depthwise, grouped, the head, or before LayerNorm.
TIMM = {
    "efficientnet_lite0": (50, 33),
    "densenet121": (121, 120),
    "resnetv2_50": (54, 53),
    "regnetx_002": (45, 18),
    "repvgg_a0": (45, 44),
    "mobilenetv3_small_050": (54, 42),
    "efficientnet_b0": (82, 65),
    "convnext_atto": (41, 12),
    "resnet26d": (32, 31),
}


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name):
    torch.manual_seed(0)
    timm = with_torchvision(lambda: pytest.importorskip("timm"))
    model = with_random_constants(timm.create_model(name, num_classes=10).eval())
    labels = Channels(model, (3, 64, 64))
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    kept = [path for path in layers if labels.refusal(path) is None]
    assert (len(layers), len(kept)) == TIMM[name]
    reasons = {labels.refusal(path) for path in layers} - {None}
    allowed = ("depthwise", "grouped convolution", "reach the output", "layer_norm mixes channels")
    assert all(any(words in reason for words in allowed) for reason in reasons), reasons
    # Each of them: python benchmarks/coverage.py.
    confirmation = Confirmation(model, (3, 64, 64))
    for path in (kept[0], kept[len(kept) // 2], kept[-1]):
        assert confirmation.by(PrunableLayer(model, path, (3, 64, 64))) == SURGERY
