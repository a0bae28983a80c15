"""All K of all groups of ResNet-20: against whole passes with masks, surgery, and the arithmetic alone."""

import importlib.util
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from measuring import Row, at_least, at_most, compared, cores
from prunecurve.graph.channels import Channels
from prunecurve.graph.downstream import Downstream
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.nodes import layer_nodes
from prunecurve.graph.pruning import pruned_parts
from prunecurve.model.network_file import prepare_torch
from prunecurve.verification.surgery import structural
from study import Study

SHAPE, INPUTS = (3, 32, 32), 1000
# Inputs at once: as in the workflow, and the number with which whole passes are fastest.
BATCH, OF_OTHERS = 250, 125
LEAST_MASKS, LEAST_LAST, LEAST_SURGERY, MOST_ARITHMETIC = 3, 10, 4, 1.15
NETWORK = Path(__file__).resolve().parents[2] / "examples" / "my_network.py"


def network(quick: bool) -> nn.Module:
    """Return ResNet-20 with random weights, in the layout that is fastest; a small one for a quick run."""
    spec = importlib.util.spec_from_file_location("my_network", NETWORK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    model = module.resnet(depth=8, width=4) if quick else module.resnet()
    return model.eval().to(memory_format=torch.channels_last)


def groups_of(model: nn.Module) -> list[PrunableLayer]:
    """Return one layer of each group of convolutions, in the order of the network."""
    analysis, found = Channels(model, SHAPE), {}
    for path in layer_nodes(analysis.module):
        if isinstance(analysis.module.get_submodule(path), nn.Conv2d):
            layer = PrunableLayer(model, path, SHAPE, analysis)
            found.setdefault(tuple(layer.group.makers), layer)
    return list(found.values())


class Arithmetic:
    """The network downstream of a layer without some channels: only its operations, on values that are prepared before.

    downstream: after `Downstream.fuse`, which joins operations.
    """

    def __init__(self, downstream: Downstream, removed: np.ndarray, values: list[list[Tensor]]) -> None:
        kept = np.setdiff1d(np.arange(downstream.group.channels), removed)
        self.module = torch.fx.GraphModule(downstream.module, downstream.module.graph)
        for path, module in pruned_parts(downstream.module, downstream.belonging, downstream.group, kept).items():
            self.module.set_submodule(path, module)
        self.values = [downstream.without(v, removed) for v in values]

    def run(self) -> Tensor:
        """Return the logits of all inputs."""
        return torch.cat([self.module(*values) for values in self.values])


class Masks:
    """A whole pass of a network, with zeros where the layers that read the channels get removed ones."""

    def __init__(self, model: nn.Module, layer: PrunableLayer) -> None:
        self.model, self.layer, self.removed, self.calls = model, layer, np.zeros(0, np.int64), 0
        self.entries = [reading.axis for reading in layer.downstream.readings]

    def run(self, batches: list[Tensor]) -> Tensor:
        """Return the logits of all batches without the channels in `removed`."""
        hooks = [
            self.model.get_submodule(path).register_forward_pre_hook(self._hook) for path in self.layer.group.readers
        ]
        result = torch.cat([self.model(inputs) for inputs in batches])
        for hook in hooks:
            hook.remove()
        return result

    def _hook(self, module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        axis = self.entries[self.calls % len(self.entries)]
        self.calls += 1
        return (given[0].index_fill(axis.dim, torch.from_numpy(axis.entries(self.removed)), 0.0),)


def rows(study: Study) -> list[Row]:
    """Time two values of K per group and round with each method, in turn, and scale them to all K."""
    prepare_torch("cpu", cores())
    quick = study.channels < 64
    model, count = network(quick), 100 if quick else INPUTS
    inputs = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    batches, of_others = inputs.split(BATCH), inputs.split(OF_OTHERS)
    fused = fuse(model).to(memory_format=torch.channels_last)
    layers, random = groups_of(model), np.random.default_rng(0)
    for layer in layers:
        layer.downstream.fuse()
    last = max(layer.channels for layer in layers)
    orders = {layer.path: random.permutation(layer.channels) for layer in layers}
    wrong: set[tuple[str, int]] = set()
    timed_ks: set[tuple[str, int]] = set()

    def crossing(layer: PrunableLayer) -> list[list[Tensor]]:
        return [layer.downstream.prepared(layer.crossing(batch)) for batch in batches]

    results: dict[tuple[str, int], Tensor] = {}

    def ours(layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        started = time.perf_counter()
        values = crossing(layer)
        between = time.perf_counter()
        for removed in sets:
            results[layer.path, len(removed)] = torch.cat([layer.downstream.logits(v, removed) for v in values])
        return between - started, time.perf_counter() - between

    def compare(layer: PrunableLayer, removed: np.ndarray, logits: Tensor) -> None:
        if not torch.equal(logits.argmax(1), results[layer.path, len(removed)].argmax(1)):
            wrong.add((layer.path, len(removed)))

    def by_masks(model: nn.Module, layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        masked, seconds = Masks(model, layer), 0.0
        for masked.removed in sets:
            started = time.perf_counter()
            logits = masked.run(of_others)
            seconds += time.perf_counter() - started
            compare(layer, masked.removed, logits)
        return 0.0, seconds

    def masks(layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        return by_masks(model, layer, sets)

    def fused_masks(layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        return by_masks(fused, layer, sets)

    def surgery(layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        seconds = 0.0
        for removed in sets:
            started = time.perf_counter()
            cut = structural(model, {layer.path: removed}, inputs[:1])
            logits = torch.cat([cut(batch) for batch in of_others])
            seconds += time.perf_counter() - started
            compare(layer, removed, logits)
        return 0.0, seconds

    def arithmetic(layer: PrunableLayer, sets: list[np.ndarray]) -> tuple[float, float]:
        values, seconds = crossing(layer), 0.0
        for removed in sets:
            alone = Arithmetic(layer.downstream, removed, values)
            started = time.perf_counter()
            alone.run()
            seconds += time.perf_counter() - started
        return 0.0, seconds

    methods = {each.__name__: each for each in (ours, masks, fused_masks, surgery, arithmetic)}
    # By method: the seconds of all K of each group, round by round. The methods take turns in each group, so that a
    # busy machine slows all of them down.
    seconds: dict[str, list[list[float]]] = {name: [] for name in methods}
    for turn in range(min(study.rounds, 3)):
        for times in seconds.values():
            times.append([])
        for layer in layers:
            # As many channels below half of them as above it, because the time depends on K.
            least = 1 + turn * 7919 % (layer.channels // 2)
            ks = [least, layer.channels - least]
            timed_ks.update((layer.path, k) for k in ks)
            sets = [np.sort(orders[layer.path][:k]) for k in ks]
            for name, method in methods.items():
                with torch.inference_mode():
                    once, each = method(layer, sets)
                seconds[name][turn].append(once + each / len(ks) * (layer.channels - 1))
        for name, times in seconds.items():
            print(f"  round {turn + 1}  {name}: {sum(times[turn]):.3f} s", flush=True)
    every = sum(layer.channels - 1 for layer in layers)

    def total(name: str, chosen: Callable[[PrunableLayer], bool] = lambda layer: True) -> list[float]:
        return [sum(s for s, layer in zip(found, layers) if chosen(layer)) for found in seconds[name]]

    def of_last(layer: PrunableLayer) -> bool:
        return layer.channels == last

    what = f"network: all {every} K of the {len(layers)} groups of {'a small network' if quick else 'ResNet-20'}"
    name = f"{what}, {count:,} images, {cores()} threads"
    same = f"the same predictions at {len(timed_ks) - len(wrong)} of {len(timed_ks)} K"
    masking = f"whole forward passes with masks where the channels are read; {same}"
    joined = "the same, with batch normalisation joined with the convolutions by torch.fx, as in ours"
    # The version that the package itself names is an older one.
    by_surgery = f"Torch-Pruning {version('torch-pruning')} on a copy for every K, whole passes; {same}"
    in_last = f"{what}, those of {last} channels alone"
    return [
        at_least(compared(f"{name}, masks", total("ours"), masking, total("masks")), LEAST_MASKS),
        at_least(compared(f"{in_last}, masks", total("ours", of_last), masking, total("masks", of_last)), LEAST_LAST),
        compared(f"{name}, fused masks", total("ours"), joined, total("fused_masks")),
        at_least(compared(f"{name}, surgery", total("ours"), by_surgery, total("surgery")), LEAST_SURGERY),
        at_most(
            compared(
                f"{name}, arithmetic",
                total("ours"),
                "the operations of the rest of the network alone, on prepared weights and values",
                total("arithmetic"),
            ),
            MOST_ARITHMETIC,
        ),
    ]
