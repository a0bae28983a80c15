"""Results that checkouts share through Snakemake's cache are equal to results computed without the cache."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Study
from prunecurve import machine
from test_published import write_idx

# One K, so that each variant is fast.
FEW = TINY.replace("repairs: [none]", "repairs: [none], ks: [5]")
CURVE = "results/digits/curve.csv"
VERIFICATION = "results/digits/seed0/conv3/verification.csv"
ROW = "results/digits/seed0/conv3/sweep/{}/structural/k5.csv"
# Rules by a part of their output path, in the order of the data flow.
RULES = {
    "/source/": "get_images",
    "/inputs/": "make_pairs",
    "model.pt": "train",
    "/maps_": "sample_maps",
    "layer.npy": "describe_layer",
    "features.npy": "collect_activations",
    "/ranking/": "rank_channels",
    "/partial_sums/": "sum_channels",
    "/sweep/": "eval_pruned",
    "verification": "verify_surgery",
}
SHARED = [rule for rule in RULES.values() if rule not in ("sample_maps", "verify_surgery")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Return a cache folder that contains the results of the study FEW."""
    folder = tmp_path_factory.mktemp("cache")
    first = checkout(tmp_path_factory.mktemp("first") / "study", folder)
    # The last one for the mean maps of mean_replacement.
    targets = CURVE, VERIFICATION, "results/digits/seed0/conv3/activations/val/features.npy"
    assert computed(first.run(*targets, "--cache").stdout) == set(RULES.values()) - {"sample_maps"}
    # Maps of the test split. A study with split: val must not get these.
    first.run(
        *(ROW.format("hrank"), "--cache", "--config", "overwrite=true"),
        "ranking={criteria: [hrank], split: test, sampled_pairs: 60}",
    )
    return folder


@pytest.fixture(scope="module")
def second(cache, tmp_path_factory) -> tuple[Study, str]:
    """Return a second checkout with all results, read only, and the output of its run. Its study has another name."""
    study = checkout(tmp_path_factory.mktemp("second") / "study", cache)
    study.name = "other"
    (study.folder / "config.yaml").write_text(f"study: other\n{FEW}")
    targets = [name.replace("digits", "other") for name in (CURVE, VERIFICATION)]
    output = study.run(*targets, "--cache").stdout
    assert study.plan(*targets, "--cache") == {}
    return study, output


def checkout(folder: Path, cache: Path) -> Study:
    study = Study(folder, FEW)
    study.variables = {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}
    return study


def computed(output: str, of: str = "/") -> set[str]:
    """Return the rules that computed their outputs and put them into the cache.

    of: a part of the path, such as a criterion, to select outputs.
    """
    moved = [path for path in re.findall(r"Moving output file (\S+) to cache", output) if of in path]
    return {rule for part, rule in RULES.items() if any(part in path for path in moved)}


def without_cache(copied: Study, *changes: str) -> Study:
    """Run the study FEW with these changes in a finished study; return it."""
    # Without its curve, the study is not finished and may be replaced.
    copied.path("curve.csv").unlink()
    (copied.folder / "config.yaml").write_text(FEW)
    copied.run(CURVE, *(["--config", *changes] if changes else []))
    return copied


def test_a_second_checkout_computes_nothing_again_and_is_frozen(cache, second, copied):
    second, output = second
    assert computed(output) == set()
    assert output.count("Symlinking output file") > 40
    rows = sorted(second.folder.glob("results/other/seed0/conv3/sweep/*/*/*.csv"))
    entries = [row.resolve() for row in rows]
    assert len(set(entries)) == len(rows) > 10, "each row has its own cache entry"
    assert {entry.parent for entry in entries} == {cache}
    uncached = without_cache(copied)
    for name in ("curve.csv", "seed0/conv3/layer.npy", "seed0/conv3/verification.csv"):
        assert uncached.path(name).read_bytes() == second.path(name).read_bytes(), name
    assert "code of verify_surgery" in second.path("seed0/conv3/verification.csv").read_text().splitlines()[-1]
    second.run("archive/other/manifest.json", "--cache")


FROM_RANKING = {"rank_channels", "sum_channels", "eval_pruned"}


@pytest.mark.parametrize(
    ("changes", "again", "by_criterion"),
    [
        (
            (
                "sweep={ks: [3, 5], removals: [mean_replacement, zero_weights]}",
                "ranking={criteria: [l2_norm, l1_norm]}",
            ),
            FROM_RANKING,
            {"l2_norm": FROM_RANKING, "l1_norm": {"eval_pruned"}},
        ),
        (
            ("ranking={criteria: [mean_activation, hrank], split: val, sampled_pairs: 60}",),
            {*FROM_RANKING, "sample_maps"},
            {"mean_activation": FROM_RANKING, "hrank": FROM_RANKING},
        ),
    ],
    ids=["ks, removals, criteria", "split"],
)
def test_another_config_gets_its_own_results(cache, copied, tmp_path, changes, again, by_criterion):
    """The results are byte-identical to those without the cache; only what the change affects is computed."""
    shared = checkout(tmp_path / "shared", cache)
    output = shared.run(CURVE, "--cache", "--config", *changes).stdout
    assert computed(output) == again
    assert {criterion: computed(output, f"/{criterion}") for criterion in by_criterion} == by_criterion
    assert without_cache(copied, *changes).path("curve.csv").read_bytes() == shared.path("curve.csv").read_bytes()


def test_another_network_is_trained_and_nothing_is_taken_from_the_first(cache, tmp_path):
    """Another recipe; another seed; another processor, for which a variable of torch stands."""
    trained = {"train", "collect_activations"}
    for name, seed, variables, changes, again in (
        ("recipe", 0, {}, ["--config", "training={epochs: 1}"], {*SHARED[2:]}),
        ("seed", 1, {}, ["--config", "seeds=[1]"], {"make_pairs", *trained}),
        ("processor", 0, {"ATEN_CPU_CAPABILITY": "avx2"}, [], trained),
    ):
        study = checkout(tmp_path / name, cache)
        study.variables |= variables
        target = (
            ROW.format("l1_norm") if name == "recipe" else "results/digits/seed0/conv3/activations/test/features.npy"
        )
        target = target.replace("seed0", f"seed{seed}")
        assert computed(study.run(target, "--cache", *changes).stdout) == again, name


def test_another_processor_is_no_reason_to_run_again(copied):
    copied.variables = {"ATEN_CPU_CAPABILITY": "avx2"}
    assert copied.plan() == {}


@pytest.mark.parametrize(
    ("module", "criterion", "again"),
    [
        ("prunecurve/sweep/backends/numpy_backend.py", "l1_norm", {"sum_channels", "eval_pruned"}),
        ("prunecurve/activations/collection.py", "mean_activation", {"collect_activations", *FROM_RANKING}),
        ("prunecurve/ranking/criteria/l1_norm.py", "l1_norm", FROM_RANKING),
    ],
)
def test_an_edited_module_is_not_served_from_before_the_edit(cache, tmp_path, module, criterion, again):
    edited = checkout(tmp_path / "study", cache)
    with (edited.folder / "workflow" / "scripts" / module).open("a") as file:
        file.write("\nEDITED = True\n")
    assert computed(edited.run(ROW.format(criterion), "--cache").stdout) == again


def test_data_sets_share_nothing_but_their_shape(cache, tmp_path):
    """The same config with other data sets, and the same data set with other files in data_dir."""
    found = []
    for dataset, folder, seed in (("kmnist", "a", 1), ("mnist", "a", 2), ("mnist", "b", 3)):
        write_idx(tmp_path / folder / dataset.upper() / "raw", train=200, test=60, seed=seed)
        study = checkout(tmp_path / f"study{seed}", cache)
        images = study.folder / "results" / dataset / "source" / "images.npy"
        study.run(
            str(images.relative_to(study.folder)),
            *("--cache", "--config", f"dataset={dataset}", f"data_dir={tmp_path / folder}"),
            "images={train: 100, val: 60, test: 60}",
        )
        found.append(np.load(images).tobytes())
    assert len(set(found)) == 3


def test_a_damaged_entry_is_named_and_goes_with_its_link(second, tmp_path):
    study = second[0].copy(tmp_path / "study")
    features, sums = (
        study.path(f"seed0/conv3/{name}") for name in ("activations/test/features.npy", "partial_sums/l1_norm.npy")
    )
    intact, entry = features.read_bytes(), features.resolve()
    content = bytearray(intact)
    content[1000] ^= 1
    entry.write_bytes(content)
    try:
        sums.unlink()
        output = study.run(str(sums.relative_to(study.folder)), succeed=False).stdout
        assert "features.npy is damaged" in output
        assert f"delete it and the file that it links to, {entry}, and run again" in output
        features.unlink()
        entry.unlink()
        study.run(str(sums.relative_to(study.folder)), "--cache")
        assert features.resolve() == entry and entry.read_bytes() == intact
    finally:
        # Other tests share the cache.
        entry.write_bytes(intact)


def test_the_digest_of_the_machine_is_that_of_what_changes_results(tmp_path, monkeypatch):
    cpuinfo, information = tmp_path / "cpuinfo", tmp_path / "information"
    monkeypatch.setattr(machine, "CPU", str(cpuinfo))
    monkeypatch.setattr(machine, "GPUS", str(information))
    for name in (*machine.CHOSEN, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def digest(device="auto", vendor="AuthenticAMD", mhz=2000, flags="fpu sse2 avx2 fma"):
        cpuinfo.write_text(
            f"vendor_id\t: {vendor}\ncpu family\t: 25\nmodel\t\t: 1\ncpu MHz\t: {mhz}\nflags\t: {flags}\n"
        )
        return machine.machine(device)

    plain = digest()
    assert plain == digest(mhz=3000) == digest(flags="ssbd sse2 fma avx2") == digest("cpu") and machine.gpus() == []
    assert len({plain, digest(vendor="GenuineIntel"), digest(flags="fpu sse2 avx2 fma avx512f")}) == 3
    information.write_text("Model: \t\t NVIDIA A100\nIRQ: 1\n")
    assert machine.gpus() == ["NVIDIA A100"] and digest() == digest("cuda") != plain and digest("cpu") == plain
    information.write_text("Model: \t\t NVIDIA T4\n")
    assert digest() not in (plain, digest("cpu"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert digest() == plain
