"""The config of a study: the sections and single keys that no script imports, and the whole config, `Study`."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from prunecurve.data import tasks
from prunecurve.data.datasets import DATASETS
from prunecurve.data.parameters import Images, PairsPerImage, Preprocess
from prunecurve.model.parameters import ModulePath, Network
from prunecurve.ranking import criteria
from prunecurve.sections import Different, Extends, NoResult, Real, Section, only_for
from prunecurve.sweep.parameters import Repair
from prunecurve.sweep.removal import REMOVALS, REPAIRS
from prunecurve.training.parameters import Training

# Names that the code defines: a new module or entry there is an allowed value here.
# A type checker knows only Literals of constants.
DataSet: TypeAlias = Literal[*DATASETS]  # type: ignore[valid-type]
Task: TypeAlias = Literal[*tasks.names()]  # type: ignore[valid-type]
Criterion: TypeAlias = Literal[*criteria.allowed()]  # type: ignore[valid-type]
OneRanking: TypeAlias = Literal[*(name for name in criteria.names() if name != "random")]  # type: ignore[valid-type]
Removal: TypeAlias = Literal[*REMOVALS]  # type: ignore[valid-type]

Share: TypeAlias = Annotated[Real, Field(gt=0, le=1)]
Loss: TypeAlias = Annotated[Real, Field(ge=0, le=1)]


def _as_list(value: Any) -> list:
    """Return a list of the value, unless it is a list: a single value, or nothing, may be given for a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


Shares: TypeAlias = Annotated[Different[Share], BeforeValidator(_as_list, json_schema_input_type=Share | list[Share])]
Losses: TypeAlias = Annotated[Different[Loss], BeforeValidator(_as_list, json_schema_input_type=Loss | list[Loss])]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
# `(?![\s\S])` is the end of the text; `$` also matches before a line break at the end.
NAME = r"([A-Za-z0-9][A-Za-z0-9_.-]*)?(?![\s\S])"


class Activations(Section):
    """Collection of the pruned layer's maps and channel statistics."""

    batch_size: int = Field(250, ge=1, le=1_000_000)
    """Largest number of inputs (pairs or images) per forward pass, here and where evaluations run the rest of a network
    in torch. Fewer are used if the values of a batch would need more than 600 MB. Results depend on it only by
    rounding, because torch sums in a different order."""


class Ranking(Section):
    """Parameters of the rankings, which define the order of removal."""

    criteria: Extends[Different[Criterion]] = Field(
        ["mean_activation", "conv_abs_mean", "l1_norm", "taylor_activation", "greedy", "random"],
        min_length=1,
        json_schema_extra=only_for("curve.csv", "agreement.csv", "recovery.csv"),
    )
    """The criteria that rank the channels. The figure of the mean feature maps shows the ranks by the first one."""

    split: Literal["test", "val"] = "test"
    """The split on whose inputs activations are measured. test is as in the reference experiment. With val, rankings
    do not use the test images; prefer it in a study of your own."""

    measure_at: Literal["conv", "bn", "relu", "pool"] = "relu"
    """Where activations are measured: conv is the layer's output; bn, relu and pool are after batch normalisation, the
    activation and pooling. Used by mean_activation, activation_std, apoz, entropy, hrank and chip.
    conv_abs_mean always uses conv."""

    random_draws: Extends[int] = Field(2, ge=1, le=1000)
    """Number of random orders per network. The result of random for a network is their mean."""

    sampled_pairs: int = Field(1000, ge=1, le=100_000_000)
    """Number of random inputs (pairs or images) of the split whose single maps hrank, chip and entropy use."""

    entropy_bins: int = Field(100, ge=2, le=1_000_000)
    """Number of histogram bins of entropy."""

    shapley_permutations: int = Field(1000, ge=64, le=10_000_000)
    """Largest number of random orders that shapley evaluates; half of them are reverses of the others."""

    shapley_pairs: int = Field(2000, ge=2, le=100_000_000)
    """Number of validation inputs (pairs or images) on which shapley evaluates the orders. New ones are drawn after
    every eight orders."""

    shapley_relative_error: Real = Field(0.2, ge=0, le=1000)
    """shapley stops when its standard error, averaged over channels, is at most this fraction of the standard deviation
    of the channels' values."""


class Sweep(Section):
    """How channels are removed, and which K are evaluated."""

    removals: Extends[Different[Removal]] = Field(["structural"], min_length=1, json_schema_extra=only_for("curve.csv"))
    """How channels are removed: structural removes them from the network; zero_weights sets their filters to 0 and
    keeps bias and batch normalisation, as in the reference experiment's code; mean_replacement replaces them by their
    mean map."""

    repairs: Extends[Different[Literal[*REPAIRS]]] = Field(  # type: ignore[valid-type]
        ["none", "refit_bias"], min_length=1, json_schema_extra=only_for("curve.csv")
    )
    """What is done to the networks of structural removal: none; bias fits the biases of the logits (for pairs, the
    threshold); refit fits the weights of the layers that read the channels, by least squares to their outputs before
    the removal; refit_bias does both. The section repair says to which inputs they are fitted. What a loss
    consists of is only known with none."""

    ks: Extends[
        Literal["all"]
        | Annotated[int, Field(ge=2, le=65536)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=65536)]
    ] = "all"
    """The numbers K of removed channels. all means 0 to P−1; a number means this many evenly spread values from 0 to
    P−1. K = 0, the unpruned network, is always evaluated."""

    ks_per_job: NoResult[int] = Field(1, ge=1, le=65536)
    """Number of consecutive K that one job evaluates. Fewer jobs need less time in Snakemake, which matters in
    studies with many thousands of evaluations (docs/speed.md). It applies where only linear layers follow the pruned
    layer; for other layers, one job evaluates all K of a ranking."""

    stored_mb: NoResult[int] = Field(4000, ge=0, le=1_000_000_000)
    """Largest size, in MB, of the stored values of one network, layer and split from which evaluations start. It
    applies where more than linear layers follow the pruned layer. If the values are larger, for example those of an
    early layer at a large image size, each job computes them again from the images, one batch at a time; this costs
    at most one pass over the inputs per job."""


class Verification(Section):
    """Verification of the sweep against networks from which Torch-Pruning removed the channels."""

    tolerance: Real = Field(0.0001, gt=0, le=1000)
    """Largest allowed difference between a logit of the sweep and the same logit of the pruned torch network."""

    rankings: Literal["all"] | Count = 3
    """Number of rankings that are verified, the first ones in the order of ranking.criteria. Each costs about five
    forward passes over the test inputs per network and kind of removal, and one more for each of
    verification.drawn_ks."""

    drawn_ks: int = Field(2, ge=0, le=65536)
    """Number of K that are verified in addition to the six fixed ones (0, 1, P/4, P/2, 3P/4, P−1). They are drawn at
    random for each network and ranking; the seed of the network determines them."""


class Sensitivity(Section):
    """The target `sensitivity`: accuracy as a function of the share of removed channels, for each layer."""

    model_config = ConfigDict(json_schema_extra=only_for("sensitivity.csv"))

    criteria: Extends[Different[Criterion]] = Field(["mean_activation", "l1_norm"], min_length=1)
    """The criteria that rank the channels of every layer."""

    repairs: Extends[Different[Literal[*REPAIRS]]] = Field(["none", "refit_bias"], min_length=1)  # type: ignore[valid-type]
    """What is done to the networks without channels, as in sweep.repairs."""

    layers: Extends[Literal["all"] | Annotated[Different[ModulePath], Field(min_length=1)]] = "all"
    """The layers, by their names in the network. all means one convolution of each group, the first one; the layers of
    a group share their channels (see snakemake layers)."""


class Planning(Section):
    """The target `plan`: how many channels each layer keeps, so that the whole network meets a budget. Each value of
    the keys macs, params and tolerance is a budget, with a plan of its own."""

    model_config = ConfigDict(json_schema_extra=only_for("plan.csv"))

    macs: Extends[Shares] = Field([0.5])
    """Largest shares of the MACs of the unpruned network, or a single one. The default holds if neither params nor
    tolerance is given."""

    params: Extends[Shares] = Field([])
    """Largest shares of the parameters of the unpruned network."""

    tolerance: Extends[Losses] = Field([])
    """Largest predicted losses of balanced accuracy. The prediction is the sum of the losses that the removals in
    single layers cause on the validation inputs. Within it, as many MACs as possible are removed."""

    criterion: OneRanking = "l1_norm"
    """The criterion that ranks the channels of every layer."""

    repair: Literal[*REPAIRS] = "refit_bias"  # type: ignore[valid-type]
    """The repair of the smaller networks, as of sweep.repairs: their layers are refitted one after the other. A plan is
    chosen from curves with this repair, and its network is evaluated with it and as it is."""

    random_draws: Extends[int] = Field(3, ge=1, le=1000)
    """Number of networks per seed in which random channels are removed, as many in each layer as the plan (and as
    uniform ratios) removes. They are the control for the criterion."""

    @model_validator(mode="before")
    @classmethod
    def _default_budget(cls, plan: Any) -> Any:
        """Leave out the default budget if a different one is given."""
        others = isinstance(plan, dict) and any(plan.get(name) not in (None, []) for name in ("params", "tolerance"))
        return {"macs": [], **plan} if others else plan

    @model_validator(mode="after")
    def _some_budget(self) -> "Planning":
        if not (self.macs or self.params or self.tolerance):
            raise ValueError("no budget is given; give a value of macs, params or tolerance")
        return self


class Recovery(Section):
    """The target `recovery`: what retraining adds to the smaller networks of the study, as they are and repaired, and
    networks of the same width that are trained from scratch. Each training follows the section training, except for its
    epochs and its learning rate, and keeps the weights of its last epoch."""

    model_config = ConfigDict(json_schema_extra=only_for("recovery.csv"))

    ks: Extends[
        Literal["spread"] | Annotated[Different[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=65536)]
    ] = "spread"
    """The numbers K of removed channels. spread means P/4, P/2, 3P/4, 7P/8, 15P/16 (rounded down) and P−1."""

    epochs: int = Field(4, ge=1, le=1_000_000)
    """Largest number of epochs E of a retraining. Each network is retrained for 1/4, 1 and E epochs, each time from its
    start."""

    learning_rates: Different[Annotated[Real, Field(gt=0, le=1000)]] = Field(
        [0.0003, 0.001, 0.003], min_length=3, max_length=3
    )
    """Peak learning rates of the one-cycle schedule, of which each kind of start gets the one with the highest balanced
    accuracy on the validation inputs: the network as it is, repaired, or from scratch."""


class Figures(Section):
    """Parameters of the figures."""

    dpi: NoResult[int] = Field(300, ge=50, le=1200)
    """Resolution of the PNG files, in dots per inch."""

    maps_seeds: NoResult[Literal["all"] | Count] = 1
    """Number of networks whose mean feature maps are drawn, the first ones in the order of seeds; or all."""

    maps_order: NoResult[Literal["channel", "pruning"]] = "channel"
    """The order of the mean feature maps: channel, by channel number; pruning, in the order in which the first
    criterion removes the channels."""


class Study(Section):
    """The config of a study."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """Leave out keys without a value, such as `--config study=`: they have their defaults."""
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given

    dataset: DataSet = "digits"
    """Where the images come from."""

    # No control characters and no lone surrogates, because file systems and command lines do not accept all of them.
    data_dir: NoResult[str] = Field(
        "data", min_length=1, max_length=4000, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*(?![\s\S])"
    )
    """Folder of the data set. mnist, fashion_mnist, kmnist, cifar10 and cifar100 read torchvision's files in it and
    download them into it if they are missing. For image_folder it contains one folder of images per class, or the
    folders train, test and optionally val with one folder per class in each. For arrays it contains images.npy and
    labels.npy, or the folders train, test and optionally val with these two files in each. digits does not use it.
    Results depend on the files in it, not on its path."""

    dataset_name: NoResult[str] = Field(
        "", pattern=r"^([A-Za-z0-9][A-Za-z0-9 ._+-]{0,59})?(?![\s\S])", examples=["CIFAR-10"]
    )
    """Name of the data set in the titles of figures and in tables; left empty, it is the value of dataset. Useful for
    image_folder and arrays."""

    task: Task = "pairs"
    """What an input of the network is, and its label. pairs stacks two images into one input; the label says whether
    they are of the same class. classes takes single images; the label is the class."""

    # results/archive holds the figures of archives, results/logs the logs of freezing.
    study: NoResult[str] = Field(
        "", max_length=100, pattern=rf"^(?!(archive|logs)$){NAME}", examples=["mnist", "wide_network"]
    )
    """Name of the study: its results lie in results/STUDY. Left empty, it is the name of the data set. Give a study
    with a different network, layer or recipe a different name, so that both are kept."""

    overwrite: NoResult[bool] = False
    """Whether a run may replace a finished study in results/STUDY that was made with different settings. If not, the
    run stops before it changes anything and names the settings that differ. Adding seeds, criteria, removals or values
    of K never replaces results."""

    archive: NoResult[str] = Field("", pattern=f"^{NAME}", examples=["mnist"])
    """Name of an archived study in archive/. Its figures are drawn into results/archive/ without running the study. The
    values of all other keys then come from the archive, not from config.yaml. Keys given on the command line must agree
    with the archive, except those that change no result; ranking.criteria may also list fewer criteria."""

    image_size: int = Field(28, ge=4, le=512)
    """Height and width in pixels; every image is resized to this size."""

    image_channels: Literal["auto"] | Literal[1, 3] = "auto"
    """Channels of an image: 1 (grey) or 3 (RGB); images of the other kind are converted. auto leaves the channels as
    they are; an image_folder then has 1 channel if the pixels of all images are grey, else 3. A network that needs 3
    channels, such as one of torchvision with its weights, needs 3 here for grey images."""

    seeds: Extends[Different[Annotated[int, Field(ge=0, le=4_294_967_295)]]] = Field(
        [0, 1, 2], min_length=1, max_length=10_000
    )
    """One network is trained per seed. The seed also determines its images, pairs, initial weights and batch order."""

    images: Images = Images()

    preprocess: Preprocess = Preprocess()

    pairs_per_image: PairsPerImage = PairsPerImage()

    network: Network = Network()

    layer: ModulePath = Field(
        "last",
        examples=["last", "conv1", "layer1.0.conv2"],
        json_schema_extra=only_for("curve.csv", "agreement.csv", "channels.csv", "recovery.csv"),
    )
    """The layer whose channels are removed, by its name in the network: a convolution (conv1, conv2, …), a hidden
    linear layer (linear1, …; its outputs are the channels), or last, the last convolution. snakemake layers lists the
    layers. If more than linear layers follow it, the sweep runs the rest of the network for every K (in torch)."""

    training: Training = Training()

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that torch uses; auto uses a GPU if one is available."""

    threads: int = Field(1, ge=1, le=1024)
    """Number of threads of each torch job (training, activations, verification) and of rankings that read labels. It is
    set here and not by the scheduler, because torch sums in a different order with a different number of threads.
    Several seeds run in parallel, so 1 uses the cores best."""

    activations: Activations = Activations()

    ranking: Ranking = Ranking()

    sweep: Sweep = Sweep()

    repair: Repair = Repair()

    verification: Verification = Verification()

    sensitivity: Sensitivity = Sensitivity()

    plan: Planning = Planning()

    recovery: Recovery = Recovery()

    figures: Figures = Figures()


def _in_one_line(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the schema with its description in one line, and without pydantic's title, the key's name."""
    part.pop("title", None)
    return part | ({"description": " ".join(part["description"].split())} if "description" in part else {})


SCHEMA: dict[str, Any] = json.loads(json.dumps(Study.model_json_schema()), object_hook=_in_one_line)


def _keys() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in SCHEMA["properties"].items():
        section = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
        yield name, section or part
        for key, of_key in section.get("properties", {}).items():
            yield f"{name}.{key}", {"tables": section.get("tables", [])} | of_key


# Every key of the config, with dots between levels, and its part of the schema; a section comes before its keys, and
# its part has `properties`.
KEYS = dict(_keys())


def change_of(key: str) -> str:
    """Return what a change of a key does: `none`, `extends` (values that are added extend a study) or `result`."""
    return KEYS[key].get("change", "result")


def keys_of_tables() -> dict[str, list[str]]:
    """Return the keys that single tables of a study depend on, and no file of a network, by the name of the table."""
    tables: dict[str, list[str]] = {}
    for key, part in KEYS.items():
        for table in part.get("tables", []) if "properties" not in part else []:
            tables.setdefault(table, []).append(key)
    return tables
