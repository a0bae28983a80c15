"""The whole workflow through the real `snakemake` command, in copies of the project with a small study."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, TINY, Study, environment, heeds_interrupts
from PIL import Image
from prunecurve import provenance
from prunecurve.provenance.seal import settings_of
from prunecurve.ranking import criteria
from prunecurve.model.network_file import load_model
from prunecurve.arrays import save_array
from prunecurve.tables import read_order, read_rows, read_text, write_rows
from prunecurve.sweep.evaluation import Evaluator

P = 8
CHECKED = 8  # K that surgery checks: 0, 1, 2, 4, 6, 7, and two drawn ones, here 3 and 5
CRITERIA = ["mean_activation", "l1_norm"]
STUDY_FIGURES = [
    "accuracy_vs_k",
    "activation_levels",
    "areas",
    "balanced_accuracy_vs_k",
    "class_accuracy_vs_k",
    "rank_agreement",
    "shape",
]
FIGURES = [*STUDY_FIGURES, "mean_feature_maps_conv3_seed0", "mean_feature_maps_shared_scale_conv3_seed0"]
# The verification needs zero_weights at its own K; the shape figure shows all removals of the first criterion.
EVALUATIONS = len(CRITERIA) * P + (P + CHECKED) + P


COLUMNS = """
    dataset seed layer criterion removal k channels_left accuracy balanced_accuracy recall_same recall_different
    precision_same f1_same mcc auroc average_precision log_loss predicted_same_rate tp fp tn fn params macs
    compression_ratio theoretical_speedup conv_weight_shape
""".split()  # noqa: SIM905 (as in the documents)


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(read_text(path).splitlines()))


def replace(study: Study, old: str, new: str) -> None:
    config = study.folder / "config.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))


def jobs_of_run(output: str) -> dict[str, int]:
    """Return the number of jobs of each rule that a run printed before its first job."""
    table = re.search(r"^Job stats.*?^ total", output, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^ ([a-z ]+?) +(\d+) *$", table[0], re.MULTILINE) if table else []
    return {rule.replace(" ", "_"): int(count) for rule, count in found}


def append(study: Study, module: str) -> None:
    """Edit a file under workflow/scripts."""
    with (study.folder / "workflow" / "scripts" / module).open("a") as file:
        file.write("\nEDITED = True\n")


# ---- results of a finished study


def test_a_study_runs_without_a_home_folder_that_can_be_written(study):
    """Nothing can be created in /proc, not even by root."""
    study.variables = {"HOME": "/proc/no-home", "XDG_CACHE_HOME": ""}
    study.run("results/digits/figures/activation_levels.png")
    assert study.path("figures/activation_levels.png").exists()


def test_every_k_of_every_criterion_is_in_the_curve(finished):
    table = rows(finished.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in table] == [(c, k) for c in CRITERIA for k in range(P)]
    assert list(table[0]) == COLUMNS
    assert all(sum(int(row[n]) for n in ("tp", "fp", "tn", "fn")) == 800 for row in table)
    assert all(int(row["tp"]) + int(row["fn"]) == 80 for row in table)


def test_two_different_k_give_different_rows(finished):
    table = [row for row in rows(finished.path("curve.csv")) if row["criterion"] == "l1_norm"]
    assert len({row["log_loss"] for row in table}) == P
    assert len({row["params"] for row in table}) == P
    unpruned = [row["log_loss"] for row in rows(finished.path("curve.csv")) if row["k"] == "0"]
    assert len(set(unpruned)) == 1


def test_surgery_agrees_at_every_checked_k(finished):
    table = rows(finished.path("seed0/conv3/verification.csv"))
    assert len(table) == len(CRITERIA) * 2 * CHECKED
    assert {row["removal"] for row in table} == {"structural", "zero_weights"}
    assert all(row["agrees"] == "True" and float(row["max_logit_difference"]) < 1e-4 for row in table)


def test_rankings_are_permutations_in_the_order_of_scores(finished):
    for criterion in CRITERIA:
        table = rows(finished.path(f"seed0/conv3/ranking/{criterion}.csv"))
        assert [int(row["order"]) for row in table] == list(range(P))
        assert sorted(int(row["channel"]) for row in table) == list(range(P))
        scores = [float(row["score"]) for row in table]
        assert scores == sorted(scores)


def test_figures_are_drawn_as_png_and_svg(finished):
    for name in FIGURES:
        with Image.open(finished.path(f"figures/{name}.png")) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
        assert finished.path(f"figures/{name}.svg").read_text().count("<g id=") > 10


def test_no_temporary_file_is_left_and_every_job_has_a_log(finished):
    results = finished.folder / "results"
    assert not list(results.rglob(".unfinished-*"))
    logs = [path.relative_to(results).as_posix() for path in results.rglob("*.log")]
    assert len([path for path in logs if "/eval_pruned/" in path]) == EVALUATIONS
    assert "train seed 0: epoch 2/2" in finished.path("seed0/logs/train.log").read_text()


def test_a_run_prints_its_progress_and_its_summary_in_few_lines(finished):
    """Output to a file: numbers of jobs, epochs with their scores, the summary; not four lines per job."""
    lines = finished.folder.with_suffix(".txt").read_text().splitlines()
    assert len(lines) <= 80, "\n".join(lines)
    assert jobs_of_run("\n".join(lines))["eval_pruned"] == EVALUATIONS
    epochs = [
        line for line in lines if re.match(r"train seed 0: epoch [12]/2  loss .* balanced accuracy 0\.\d{4}", line)
    ]
    assert 1 <= len(epochs) <= 2 and "epoch 2/2" in epochs[-1]
    summary = finished.path("summary.txt").read_text().splitlines()
    assert len(summary) > 5 and set(filter(None, summary)) <= set(lines)


def test_the_summary_is_printed_again(copied):
    summary = copied.path("summary.txt").read_text()
    assert "results/digits/figures/" in summary and all(criterion in summary for criterion in CRITERIA)
    assert copied.plan("all", "summary") == {"summary": 1}
    output = copied.run("summary").stdout
    assert all(line in output for line in summary.splitlines())
    copied.path("logs/summarise.log").unlink()
    copied.path("summary.txt").unlink()
    assert copied.plan("summary") == {"summarise": 1, "summary": 1}


def test_the_layers_are_printed_each_time_and_nothing_is_trained(study):
    output = study.run("layers").stdout
    lines = study.path("layers.txt").read_text().splitlines()
    assert all(line in output for line in lines)
    rows = {row["layer"]: row for row in read_rows(study.path("layers.csv"), sealed=False)}
    assert list(rows) == ["conv1", "conv2", "conv3", "linear1", "linear2", "linear3"]
    assert [name for name, row in rows.items() if row["refused"]] == ["linear3"]
    assert not study.path("seed0/model.pt").exists()
    assert study.plan("layers") == {"layers": 1}
    assert all(line in study.run("layers").stdout for line in lines)
    assert study.plan("layers", "--config", "network={hidden: [9, 6]}") == {"describe_network": 1, "layers": 1}


def test_a_job_by_hand_gives_the_same_bytes(finished, tmp_path):
    """Scripts run without Snakemake too, here in another folder and with more BLAS threads."""
    seed = finished.path("seed0")
    options = {
        "features": seed / "conv3/activations/test/features.npy",
        "split": seed / "labels/test.npy",
        "layer": seed / "conv3/layer.npy",
        "mean-features": seed / "conv3/activations/test/mean_features.npy",
        "ranking": seed / "conv3/ranking/l1_norm.csv",
        "removal": "structural",
        "k": 3,
        "dataset": "digits",
        "seed": 0,
        "criterion": "l1_norm",
        "output": "row.csv",
    }
    subprocess.run(
        [sys.executable, finished.folder / "workflow/scripts/eval_pruned.py"]
        + [str(word) for name, value in options.items() for word in (f"--{name}", value)],
        cwd=tmp_path,
        env=environment() | {"OPENBLAS_NUM_THREADS": "2"},
        check=True,
    )
    # The files differ only in the last line: only a job of the workflow stores the digest of its code there.
    assert read_rows(tmp_path / "row.csv") == read_rows(seed / "conv3/sweep/l1_norm/structural/k3.csv")


def test_mean_replacement_takes_its_means_from_the_validation_pairs(finished):
    seed, rows_of = finished.path("seed0"), {}
    (row,) = read_rows(seed / "conv3/sweep/mean_activation/mean_replacement/k5.csv")
    for split in ("val", "test"):
        files = [seed / name for name in ("conv3/activations/test/features.npy", "labels/test.npy", "conv3/layer.npy")]
        evaluator = Evaluator(*files, seed / f"conv3/activations/{split}/mean_features.npy")
        order = read_order(seed / "conv3/ranking/mean_activation.csv", P)
        (rows_of[split],) = evaluator.rows(order, [5], "mean_replacement")
    assert float(row["log_loss"]) == pytest.approx(rows_of["val"]["log_loss"], abs=1e-9)
    assert rows_of["test"]["log_loss"] != pytest.approx(rows_of["val"]["log_loss"], abs=1e-6)


# ---- which jobs run again


def test_a_second_run_does_nothing(finished):
    assert finished.plan() == {}


def test_a_further_removal_uses_the_stored_sums(copied):
    """The other evaluations do not run again. The first ranking has its rows of mean_replacement already."""
    planned = copied.plan("--config", "sweep={removals: [structural, mean_replacement]}")
    assert (planned.get("sum_channels", 0), planned["eval_pruned"]) == (0, P)


def test_sums_of_other_code_run_their_evaluations_again(copied):
    append(copied, "sum_channels.py")
    planned = copied.plan()
    assert (planned["sum_channels"], planned["eval_pruned"]) == (len(CRITERIA), EVALUATIONS)


def test_a_further_criterion_runs_its_own_jobs(copied):
    """Two draws of random and a reversed criterion. The third ranking is verified like the first two."""
    replace(
        copied, "[mean_activation, l1_norm]", "[mean_activation, l1_norm, random, reversed-l1_norm], random_draws: 2"
    )
    assert copied.plan() == {
        "rank_channels": 3,
        "eval_pruned": 3 * P + CHECKED,
        "verify_surgery": 1,
        "sum_channels": 3,
        "aggregate": 1,
        "compare_networks": 1,
        "summarise": 1,
        "explain_shape": 1,
        "plot": len(STUDY_FIGURES),
        "complete": 1,
    }


def test_fewer_k_need_no_new_evaluation_and_no_new_verification(finished):
    """A K that only the verification needs is evaluated by the same job as a K of the study."""
    planned = finished.plan("--config", "sweep={ks: [2, 5]}")
    assert "aggregate" in planned
    assert not {"eval_pruned", "verify_surgery"} & set(planned)


def test_another_data_dir_with_the_same_data_runs_nothing(finished):
    assert finished.plan("--config", "data_dir=elsewhere") == {}


def test_another_ranking_split_does_not_rank_by_weights_again(copied):
    replace(copied, "criteria: [mean_activation, l1_norm]", "criteria: [mean_activation, l1_norm], split: val")
    planned = copied.plan()
    assert planned["rank_channels"] == 1
    assert planned["eval_pruned"] == EVALUATIONS - (P + CHECKED)


def test_another_point_of_measurement_ranks_only_by_activations_again(copied):
    """l1_norm reads weights and conv_abs_mean always measures at the convolution; neither is ranked again."""
    replace(copied, "[mean_activation, l1_norm]", "[mean_activation, conv_abs_mean, l1_norm]")
    copied.run("results/digits/seed0/conv3/ranking/conv_abs_mean.csv")
    replace(copied, "conv_abs_mean, l1_norm]", "conv_abs_mean, l1_norm], measure_at: pool")
    planned = copied.plan()
    assert planned["rank_channels"] == 1
    assert not {"collect_activations", "train"} & set(planned)


def test_a_further_seed_runs_its_own_network(copied):
    replace(copied, "seeds: [0]", "seeds: [0, 1]")
    planned = copied.plan()
    for rule in ("make_pairs", "train", "verify_surgery"):
        assert planned[rule] == 1, rule
    # The shape figure shows mean_replacement, whose means are of the validation pairs.
    assert planned["collect_activations"] == 2
    assert planned["rank_channels"] == len(CRITERIA)
    assert planned["eval_pruned"] == EVALUATIONS
    # The study has neither random nor greedy as a baseline.
    assert planned["plot"] == len(STUDY_FIGURES)
    replace(copied, "[mean_activation, l1_norm]", "[mean_activation, l1_norm, greedy]")
    planned = copied.plan()
    assert planned["plot"] == len(STUDY_FIGURES) + 1
    assert "get_images" not in planned


@pytest.mark.parametrize(
    ("old", "new", "first", "not_planned"),
    [
        ("epochs: 2", "epochs: 3", "train", "make_pairs"),
        ("test: 80", "test: 70", "make_pairs", "get_images"),
        ("dpi: 80", "dpi: 90", "plot", "aggregate"),
    ],
)
def test_a_changed_key_runs_what_depends_on_it(copied, old, new, first, not_planned):
    replace(copied, old, new)
    planned = copied.plan()
    assert first in planned
    assert not_planned not in planned


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        # Edits whose jobs are disjoint share a dry run.
        (
            [
                "prunecurve/verification/surgery.py",
                "prunecurve/figures/curve_mean/class_accuracy_vs_k.py",
                "prunecurve/sweep/backends/torch_backend.py",  # no job of this study uses it
            ],
            {"verify_surgery": 1, "plot": 1},
        ),
        (
            ["prunecurve/figures/curve_mean/accuracy_vs_k.py", "prunecurve/statistics/comparisons.py"],
            # All figures but that of the shape.
            {"plot": 6, "compare_networks": 1, "summarise": 1, "aggregate": None, "explain_shape": None},
        ),
        (["prunecurve/figures/style.py"], {"plot": len(STUDY_FIGURES), "plot_network": 2}),
        (
            # The first edit ranks one criterion again, the second one evaluates all of them again.
            ["prunecurve/ranking/criteria/l1_norm.py", "prunecurve/sweep/backends/numpy_backend.py"],
            {"rank_channels": 1, "sum_channels": len(CRITERIA), "eval_pruned": EVALUATIONS, "verify_surgery": 1},
        ),
        (["aggregate.py"], {"aggregate": 1}),
        (["prunecurve/statistics/shape.py"], {"explain_shape": 1, "plot": 1}),
        (["prunecurve/graph/layers.py"], {"describe_layer": 1, "collect_activations": 2}),
        (["make_pairs.py"], {"make_pairs": 1, "train": 1}),
        (["prunecurve/model/conv_net.py"], {"train": 1, "collect_activations": 2}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_edit_runs_what_uses_it(copied, modules, expected):
    for module in modules:
        append(copied, module)
    planned = copied.plan()
    assert {rule: planned.get(rule) for rule in expected} == expected
    order = ["get_images", "make_pairs", "train", "collect_activations", "rank_channels", "sum_channels"]
    order += ["eval_pruned", "aggregate"]
    earlier = next((order[: order.index(rule)] for rule in expected if planned.get(rule) and rule in order), order)
    assert not set(earlier) & set(planned)


def test_a_deleted_row_is_made_again_with_the_same_bytes(copied):
    path = copied.path("seed0/conv3/sweep/l1_norm/structural/k5.csv")
    before, curve = path.read_bytes(), copied.path("curve.csv").read_bytes()
    path.unlink()
    copied.path("curve.csv").unlink()
    copied.run("results/digits/curve.csv")
    assert (path.read_bytes(), copied.path("curve.csv").read_bytes()) == (before, curve)


# ---- all criteria; parts of a study; other layers


def planned_commands(study: Study, *arguments: str) -> list[tuple[str, list[str]]]:
    """Return the name of the script and the command of each job that a run would start, in the order of a run."""
    lines = study.run("-n", "--printshellcmds", *arguments).stdout.splitlines()
    commands = [shlex.split(line.partition(":")[2]) for line in lines if line.startswith("Shell command: python ")]
    return [(Path(words[1]).stem, words) for words in commands]


ONE_PROCESS = """
import json, os, runpy, sys
# A script ends its process.
os._exit = sys.exit
for words in json.load(sys.stdin):
    sys.argv = words[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, words
"""


def run_together(study: Study, commands: list[list[str]]) -> None:
    """Run commands of jobs one after the other in one process, so that torch is imported only once."""
    subprocess.run(
        [sys.executable, "-c", ONE_PROCESS],
        cwd=study.folder,
        input=json.dumps(commands),
        text=True,
        # As in jobs of Snakemake.
        env=environment() | {"PYTHONPATH": "workflow/scripts", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=True,
    )


def invert(labels: Path) -> None:
    """Invert the labels of a split, and keep the settings that the file carries."""
    lines = settings_of(labels)
    provenance.start(lines)
    save_array(labels, 1 - np.load(labels))
    provenance.stop()


def test_test_labels_change_no_ranking(tmp_path):
    """All criteria give the same bytes with the labels of the test pairs and with these labels inverted."""
    every = [name for name in criteria.allowed() if name != "random"]
    config = TINY.replace("[mean_activation, l1_norm]", f"[{', '.join(every)}], sampled_pairs: 60")
    study = Study(tmp_path / "study", config.replace("[4, 6, 8]", "[4, 6, 5]"))
    targets = [f"results/digits/seed0/conv3/ranking/{name}.csv" for name in [*every, "random-1"]]
    study.run(*targets)
    before = {target: (study.folder / target).read_bytes() for target in targets}
    invert(study.path("seed0/labels/test.npy"))
    commands = planned_commands(study, *targets, "--forcerun", "rank_channels")
    assert [script for script, _ in commands].count("collect_activations") == 1
    assert "rank_channels" in {script for script, _ in commands}
    run_together(study, [command for _, command in commands])
    assert {target: (study.folder / target).read_bytes() for target in targets} == before
    # Only labels of the validation pairs are read.
    (command,) = [" ".join(words) for _, words in commands if {"--criterion", "greedy"} <= set(words)]
    assert "activations/val/features.npy" in command and "labels/val.npy" in command
    assert all("labels/test.npy" not in " ".join(words) for script, words in commands if script == "rank_channels")
    invert(study.path("seed0/labels/val.npy"))
    run_together(study, [command for script, command in commands if script == "rank_channels"])
    after = {target for target in targets if (study.folder / target).read_bytes() != before[target]}
    names = {target.split("/")[-1].removesuffix(".csv").removeprefix("reversed-") for target in after}
    assert names == {name for name in criteria.names() if "labels" in criteria.reads(name)}
    assert [row["channel"] for row in rows(study.path("seed0/conv3/ranking/reversed-apoz.csv"))] == [
        row["channel"] for row in reversed(rows(study.path("seed0/conv3/ranking/apoz.csv")))
    ]
    assert (
        "channels have the same score as another channel"
        in study.path("seed0/logs/rank_channels/conv3/hrank.log").read_text()
    )
    assert all(float(row["standard_error"]) > 0 for row in rows(study.path("seed0/conv3/ranking/shapley.csv")))


def test_partial_includes_finished_seeds_and_reports_missing_ones(copied):
    """One of three networks is finished: its tables and figures are created, and nothing else runs."""
    replace(copied, "seeds: [0]", "seeds: [0, 5, 7]")
    tables = {"aggregate", "summarise", "compare_networks", "explain_shape", "plot", "partial"}
    assert set(copied.plan("partial")) == tables
    assert "partial: includes seeds 0; missing: 5, 7" in copied.run("partial").stdout
    assert copied.path("partial/curve.csv").read_bytes() == copied.path("curve.csv").read_bytes()
    assert copied.path("partial/figures/accuracy_vs_k.png").exists()
    output = copied.run("-n", "partial").stdout
    assert "missing: 5, 7" in output and "Nothing to be done" in output
    for name in ("seed0/conv3/sweep/l1_norm/structural/k5.csv", "seed0/model.pt"):
        copied.path(name).rename(copied.path("away"))
        assert "no seed of the study has finished all its evaluations" in copied.run("partial", succeed=False).stdout
        copied.path("away").rename(copied.path(name))


def test_sensitivity_and_an_earlier_layer(copied):
    """First the curves of all layers, with verification; then the study of conv2, which reads the same files."""
    replace(copied, "threads: 2", "threads: 2\nsensitivity: {criteria: [loss_oracle]}")
    output = copied.run("sensitivity").stdout
    jobs = jobs_of_run(output)
    # Only the criterion of the sensitivity: three layers; for the last one also the K of the verification.
    assert (jobs["rank_channels"], jobs["eval_pruned"]) == (3, P + CHECKED + 4)
    table = rows(copied.path("sensitivity.csv"))
    assert [(row["layer"], int(row["k"])) for row in table] == [
        (layer, k) for layer, channels in (("conv1", 4), ("conv2", 6), ("conv3", 8)) for k in range(channels)
    ]
    assert [float(row["share_removed"]) for row in table][4:7] == pytest.approx([0, 1 / 6, 2 / 6])
    assert table[5]["conv_weight_shape"] == "5x4x3x3"
    # The unpruned network gives the same result from the maps of any layer.
    unpruned = [row for row in table if row["k"] == "0"]
    assert len({row["tp"] + "/" + row["fp"] for row in unpruned}) == 1
    assert len({row["params"] for row in unpruned}) == 1
    for layer in ("conv1", "conv2", "conv3"):
        verified = rows(copied.path(f"seed0/{layer}/verification_sensitivity.csv"))
        assert {row["criterion"] for row in verified} == {"loss_oracle"}
        assert {row["removal"] for row in verified} == {"structural", "zero_weights"}
        assert all(row["agrees"] == "True" for row in verified)
    assert copied.path("figures/sensitivity.png").exists()
    table = rows(copied.path("sensitivity_table.csv"))
    assert [(row["layer"], row["channels"]) for row in table] == [("conv1", "4"), ("conv2", "6"), ("conv3", "8")]
    assert all(line in output for line in copied.path("sensitivity.txt").read_text().splitlines())
    # It is frozen with the study, although other code ranks and evaluates the earlier convolutions than the last one.
    copied.run("archive/with_sensitivity/manifest.json")
    manifest = json.loads((copied.folder / "archive" / "with_sensitivity" / "manifest.json").read_text())
    assert "sensitivity.csv" in manifest["files"]
    replace(copied, "[mean_activation, l1_norm]", "[loss_oracle, l2_norm]")
    replace(copied, "threads: 2", "threads: 2\nlayer: conv2")
    planned = copied.plan()
    assert not {"train", "describe_layer", "sum_channels"} & set(planned)
    # For loss_oracle mean_replacement, which the shape figure needs; for l2_norm the two verified removals.
    assert (planned["rank_channels"], planned["eval_pruned"]) == (1, 3)
    copied.run("--config", "overwrite=true")
    table = rows(copied.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in table] == [
        (name, k) for name in ("loss_oracle", "l2_norm") for k in range(6)
    ]
    assert {row["layer"] for row in table} == {"conv2"}
    assert copied.path("figures/mean_feature_maps_conv2_seed0.png").exists()
    # A study may have its sensitivity alone. It is not replaced either.
    copied.path("curve.csv").unlink()
    output = copied.run("sensitivity", "--config", "training={epochs: 1}", succeed=False).stdout
    assert "training.epochs: 2; asked for: 1" in output


def test_the_sensitivity_of_a_finished_study_of_another_layer(copied):
    """It replaces nothing of the curve: neither reads the other's files. The curve of another layer does."""
    other = ("--config", "layer=conv2", "ranking={criteria: [l1_norm]}", "sensitivity={criteria: [l1_norm]}")
    before = {name: copied.path(name).read_bytes() for name in ("curve.csv", "summary.txt", "figures/areas.png")}
    for target in ("sensitivity", "plan"):
        copied.run(target, *other)
        assert copied.path(f"{target}.csv").exists()
    for arguments in ((), ("results/digits/curve.csv",), ("results/digits/channels.csv",)):
        output = copied.run(*arguments, *other, succeed=False).stdout
        assert "results/digits would be replaced. Nothing was changed." in output
        assert "layer: conv3; asked for: conv2" in output
    assert "layer: conv3; asked for: conv2" in copied.run("-n", *other).stdout
    # What both read is not replaced.
    output = copied.run("sensitivity", *other, "training={epochs: 1}", succeed=False).stdout
    stopped = output.partition("would be replaced")[2]
    assert "training.epochs: 2; asked for: 1" in stopped and "asked for: conv2" not in stopped
    assert {name: copied.path(name).read_bytes() for name in before} == before


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_hidden_linear_layer_in_a_further_study_of_the_data_set(copied):
    """Its outputs are pruned like channels, with sums in numpy, all removals, and verification by surgery.

    The study has a name of its own, so it and the study that was there do not change each other.
    """
    before = contents(copied.path(""))
    criteria = "[mean_activation, l1_norm, hrank, chip, taylor_gate, greedy]"
    tables = ("results/hidden/curve.csv", "results/hidden/seed0/linear1/verification.csv")
    maps = "results/hidden/figures/mean_feature_maps_linear1_seed0.png"
    chosen = ("study=hidden", "layer=linear1", "training={epochs: 1}")
    chosen += (f"ranking={{criteria: {criteria}, sampled_pairs: 40}}",)
    chosen += ("sweep={removals: [structural, mean_replacement], ks_per_job: 64}",)
    target = (*tables, maps, "--config", *chosen)
    copied.run(*target)
    table = rows(copied.folder / tables[0])
    assert len(table) == 6 * 2 * 12 and {row["layer"] for row in table} == {"linear1"}
    assert {row["dataset"] for row in table} == {"digits"}
    assert table[3]["conv_weight_shape"] == "9x72"
    verified = rows(copied.folder / tables[1])
    assert {row["removal"] for row in verified} == {"structural", "mean_replacement", "zero_weights"}
    assert all(row["agrees"] == "True" for row in verified) and (copied.folder / maps).exists()
    assert contents(copied.path("")) == before
    assert copied.plan() == {} and copied.plan(*target) == {}


# ---- several studies in one folder


def test_a_finished_study_with_other_settings_is_not_replaced_without_overwrite(copied):
    other = ("--config", "seeds=[1]", "training={epochs: 1}")
    before = contents(copied.path(""))
    for dry in (True, False):
        output = copied.run(*other, *(["-n"] if dry else []), succeed=dry).stdout
        assert "results/digits holds a finished study that was made with other settings" in output
        assert "seeds: [0]; asked for: [1]" in output and "training.epochs: 2; asked for: 1" in output
        assert "--config study=NAME" in output and "overwrite=true" in output
        assert "Traceback" not in output
    assert "results/digits would be replaced" in output
    assert contents(copied.path("")) == before
    output = copied.run("-n", *other, "overwrite=true").stdout
    assert "finished study" not in output and re.search(r"^train +1$", output, re.MULTILINE)
    assert "finished study" not in copied.run("-n", "--config", "seeds=[0, 1]").stdout, "more seeds replace nothing"


def test_no_way_of_calling_replaces_a_finished_study(copied):
    """With the settings of an archive and fewer criteria, by the target sensitivity."""
    copied.run("archive/frozen/manifest.json")
    before = contents(copied.path(""))
    fewer = ("--config", "archive=frozen", "study=digits", "ranking={criteria: [mean_activation]}")
    for arguments in (
        ("results/digits/curve.csv", *fewer),
        ("sensitivity", "--config", "training={epochs: 1}"),
    ):
        output = copied.run(*arguments, succeed=False).stdout
        assert "finished study that was made with other settings" in output, arguments
    # Drawing that archive replaces nothing.
    copied.run("results/archive/frozen/figures/areas.png", *fewer)
    assert contents(copied.path("")) == before


def test_figures_of_another_layer_are_removed_and_named(copied):
    own = copied.path("figures/my_notes.png")
    own.write_text("not the workflow's")
    current = copied.path("figures/mean_feature_maps_conv3_seed0.png")
    former = copied.path("figures/mean_feature_maps_conv2_seed0.png")
    shutil.copyfile(current, former)
    copied.path("summary.txt").unlink()
    copied.path("figures/areas.png").unlink()
    assert jobs_of_run(copied.run("all", "--until", "summarise").stdout) == {"summarise": 1}
    assert former.exists(), "the figures of this config are not complete yet"
    output = copied.run().stdout
    assert f"removed {former.relative_to(copied.folder)}: this config does not draw it" in output
    assert not list(copied.path("figures").glob("*conv2*")) and own.exists()
    assert current.exists() and copied.path("figures/areas.png").exists()


# ---- the same numbers under all circumstances


# More channels than one stored partial sum covers; their number is not a multiple of the batch size 16.
WIDE = (
    TINY.replace("[4, 6, 8]", "[4, 6, 43]")
    .replace("epochs: 2", "epochs: 1")
    .replace("[mean_activation, l1_norm]", "[greedy]")
)


def test_the_curve_is_the_same_however_many_k_a_job_evaluates(tmp_path):
    """1, 16 (the last batch has 11) or all K per job: the same bytes. The verification reads all these files."""
    study = Study(tmp_path / "study", WIDE)
    verification = "results/digits/seed0/conv3/verification.csv"
    study.run("results/digits/curve.csv")
    one = study.path("curve.csv").read_bytes()
    assert [row["k"] for row in rows(study.path("curve.csv"))] == [str(k) for k in range(43)]
    for size, names in ((16, ["k0-15", "k16-31", "k32-42"]), (43, ["k0-42"])):
        packed = ["--config", f"sweep={{ks_per_job: {size}}}"]
        output = study.run("results/digits/curve.csv", verification, *packed).stdout
        assert study.path("curve.csv").read_bytes() == one, size
        folder = study.path("seed0/conv3/sweep/greedy")
        made = sorted(path.relative_to(folder) for path in folder.glob("*/k*-*.csv") if path.stem in names)
        assert [path.stem for path in made if path.parent.name == "structural"] == names
        # The others are of zero_weights, which only the verification reads.
        assert jobs_of_run(output) == {"eval_pruned": len(made), "aggregate": 1, "verify_surgery": 1}
        assert len(rows(study.folder / verification)) == 2 * CHECKED
    # A file with the rows of other K is detected.
    (folder / "structural/k0-42.csv").write_bytes((folder / "structural/k16-31.csv").read_bytes())
    for target in (verification, "results/digits/curve.csv"):
        (study.folder / target).unlink()
    output = study.run(verification, "results/digits/curve.csv", "--keep-going", *packed, succeed=False).stdout
    assert "k0-42.csv has 0 rows for K = 0" in output
    assert "sweep/greedy/structural does not hold exactly one row for each K of the study" in output


def test_jobs_of_many_k_need_no_stored_sums(study):
    """Their rows have the same bytes, see test_head.py."""
    few, many = (study.plan("--config", f"sweep={{ks_per_job: {count}}}") for count in (31, 32))
    assert few["sum_channels"] == len(CRITERIA)
    assert "sum_channels" not in many and many["eval_pruned"] == few["eval_pruned"]


def test_an_interrupted_run_continues_with_the_same_command(finished, study):
    """Ctrl-C reaches Snakemake and its jobs, `kill` only Snakemake. SIGKILL ends all of them during the sweep.

    After SIGKILL Snakemake requires `--unlock`. In the end the bytes are those of a run without interruptions. All runs
    are on one core, and the study that they are compared with was run on two.
    """
    # The last one needs a second removal, so that many evaluations remain when the run is killed.
    files = ("results/digits/curve.csv", "results/digits/shape.csv")

    def interrupt(number: int, reached: Callable[[], bool], *, group: bool) -> None:
        with (study.folder / "interrupted.log").open("w") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "1", *files],
                cwd=study.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
                preexec_fn=heeds_interrupts,
            )
            deadline = time.monotonic() + 240
            while not reached() and time.monotonic() < deadline:
                time.sleep(0.05)
            os.killpg(driver.pid, number) if group else driver.send_signal(number)
            assert driver.wait(timeout=60) != 0, (study.folder / "interrupted.log").read_text()

    def evaluated() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in study.folder.glob("results/**/k*.csv")}

    interrupt(signal.SIGINT, study.path("seed0/training.csv").exists, group=True)
    assert not list((study.folder / "results").rglob(".unfinished-*"))
    interrupt(signal.SIGTERM, study.path("seed0/conv3/layer.npy").exists, group=False)
    assert not list((study.folder / "results").rglob(".unfinished-*"))
    interrupt(signal.SIGKILL, lambda: len(evaluated()) >= 5, group=True)
    done = evaluated()
    assert 5 <= len(done) < (len(CRITERIA) + 1) * P, (study.folder / "interrupted.log").read_text()
    refused = study.run(*files, succeed=False)
    assert "--unlock" in refused.stdout
    study.run("--unlock")
    study.run(*files, "results/digits/seed0/conv3/verification.csv", cores=1)
    for name in (
        "curve.csv",
        "seed0/conv3/verification.csv",
        "seed0/conv3/layer.npy",
        "seed0/model.pt",
        "seed0/conv3/partial_sums/l1_norm.npy",
        "seed0/conv3/activations/test/features.npy",
        "seed0/inputs/train.npy",
    ):
        assert study.path(name).read_bytes() == finished.path(name).read_bytes(), name
    again = sum(path.stat().st_mtime_ns != time_ns for path, time_ns in done.items())
    assert again <= 2, "only the jobs that were running may run again"


# ---- failures


def test_a_failing_job_reports_the_reason_and_leaves_no_artifact(copied):
    features = copied.path("seed0/conv3/activations/test/features.npy")
    features.write_bytes(features.read_bytes()[:-100])
    row = copied.path("seed0/conv3/sweep/l1_norm/structural/k5.csv")
    row.unlink()
    output = copied.run("results/digits/seed0/conv3/sweep/l1_norm/structural/k5.csv", succeed=False).stdout
    assert "features.npy is damaged: it is cut off" in output
    assert not row.exists()
    assert not list((copied.folder / "results").rglob(".unfinished-*"))
    log = copied.path("seed0/logs/sum_channels/conv3/l1_norm.log").read_text()
    assert "Traceback" not in log and "features.npy is damaged" in log


def test_a_network_below_the_requirement_stops_the_run_but_is_not_trained_again(copied):
    assert copied.plan("--config", "training={require: 0.4}") == {}, "the requirement changes no network"
    copied.path("figures/areas.png").unlink()
    output = copied.run("--config", "training={require: 0.999}", succeed=False).stdout
    (score,) = [row["val_balanced_accuracy"] for row in rows(copied.path("seed0/training.csv")) if row["kept"] == "1"]
    assert "stopped: networks of this study do not reach training.require. Nothing was changed." in output
    assert f"results/digits/seed0/training.csv: a balanced accuracy of {float(score):.3f} on the validation" in output
    assert not copied.path("figures/areas.png").exists()
    assert copied.plan() == {"plot": 1, "complete": 1}


def test_verification_detects_a_falsified_row(copied):
    """The message names the K, the criterion and the removal of the falsified row."""
    row = copied.path("seed0/conv3/sweep/l1_norm/structural/k4.csv")
    (values,) = read_rows(row)
    write_rows(row, [values | {"tp": int(values["tp"]) + 1}])
    copied.path("seed0/conv3/verification.csv").unlink()
    output = copied.run("results/digits/seed0/conv3/verification.csv", succeed=False).stdout
    assert "disagree in 1 of 32 comparisons: K = 4, l1_norm, structural" in output
    assert not copied.path("seed0/conv3/verification.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "datset=mnist"], "datset: unknown key; did you mean dataset?"),
        (["--config", "dataset=mnst"], "dataset: 'mnst' is unknown; allowed: arrays, digits"),
        (["--config", "sweep={ks: [8]}"], "sweep.ks: K = 8 is out of range; allowed: 0 to 7"),
        (["--config", "seeds=[]"], "seeds: [] is not allowed"),
        (["--config", "images={train: 1700}"], "images: train 1700 + val 80 + test 80 = 1860 images"),
    ],
)
def test_config_errors_are_reported_without_a_traceback(study, arguments, message):
    output = study.run("results/digits/seed0/inputs/train.npy", *arguments, succeed=False).stdout
    assert message in output
    assert "Traceback" not in output
    assert not (study.folder / "results").exists(), "nothing was run"


# ---- other command lines


@pytest.mark.parametrize(
    "arguments", [["--lint"], ["--rulegraph"], ["-n", "-s", "workflow/Snakefile"], ["--list-rules"]]
)
def test_other_command_lines(study, arguments):
    output = study.run(*arguments).stdout
    if arguments == ["--lint"]:
        assert "Congratulations" in output
    if arguments == ["--rulegraph"]:
        assert all(rule in output for rule in ("make_pairs", "eval_pruned", "verify_surgery", "plot"))


def snakemake_in(folder, *arguments, succeed=True, **variables) -> str:
    """Run `snakemake` as a user does in this folder, with these environment variables; return its output."""
    process = subprocess.run(
        [Path(sys.executable).with_name("snakemake"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | variables,
    )
    assert (process.returncode == 0) is succeed, process.stdout
    return process.stdout


def test_from_another_folder(tmp_path):
    """The config of the folder or else of the project, also with --directory, and archives of the project."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    plan = ("-n", "-p", "-s", PROJECT / "Snakefile")
    assert '"channels": [16, 32, 64]' in snakemake_in(here, *plan, "results/digits/seed2/model.pt")
    figures = snakemake_in(here, *plan, "figures", "--config", "archive=mnist")
    assert re.search(r"--data \S*/archive/mnist/curve.csv|--curve \S*/archive/mnist/curve", figures)
    assert "results/archive/mnist/figures/areas.png" in figures and "rule train" not in figures
    (there / "config.yaml").write_text(TINY)
    assert '"channels": [4, 6, 8]' in snakemake_in(there, *plan, "results/digits/seed0/model.pt")
    assert '"channels": [4, 6, 8]' in snakemake_in(here, *plan, "results/digits/seed0/model.pt", "--directory", there)


MODULE = """
configfile: "mine.yaml"

module prune:
    snakefile: "{project}/workflow/Snakefile"
    config: config
    prefix: "sub folder"

use rule * from prune as prune_*
"""


def test_as_a_module_with_a_prefix_in_a_hostile_environment(finished, tmp_path):
    """The same bytes. The user works in a notebook, forbids the script's folder, and has modules of the same names."""
    folder, modules = tmp_path / "user", tmp_path / "modules"
    (modules / "prunecurve").mkdir(parents=True)
    (modules / "prunecurve" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    folder.mkdir()
    for name in ("torch.py", "numpy.py"):
        (folder / name).write_text("raise SystemExit('a file of the user')")
    (folder / "matplotlibrc").write_text("savefig.bbox: tight\nlines.marker: o\ntext.usetex: true\n")
    # All K in one job, which takes less time; this changes no byte.
    (folder / "mine.yaml").write_text(TINY + f"sweep: {{ks_per_job: {P}}}\n")
    (folder / "Snakefile").write_text(MODULE.format(project=finished.folder))
    names = ("curve.csv", "shape.csv", "seed0/conv3/verification.csv", "figures/areas.png", "figures/shape.svg")
    snakemake_in(
        folder,
        *(f"sub folder/results/digits/{name}" for name in names),
        *("--cores", "2"),
        PYTHONSAFEPATH="1",
        PYTHONPATH=str(modules),
        MPLBACKEND="module://matplotlib_inline.backend_inline",
    )
    results = folder / "sub folder" / "results" / "digits"
    for name in names:
        assert (results / name).read_bytes() == finished.path(name).read_bytes(), name
    # What remains of the default target are the other figures.
    remaining = snakemake_in(folder, "prune_all", "-n", "--quiet", "rules")
    planned = dict(re.findall(r"^prune_(\w+) +(\d+)$", remaining, re.MULTILINE))
    assert planned["plot"] == str(len(STUDY_FIGURES) - 2) and planned["plot_network"] == "2"
    assert not {"train", "eval_pruned", "aggregate", "verify_surgery"} & set(planned)
    # Nothing lies outside of the prefix. Snakemake runs no hooks of a module, which guard a finished study.
    assert not (folder / "results").exists()
    other = snakemake_in(folder, "prune_all", "-n", "--config", "training={epochs: 3}", succeed=False)
    assert "sub folder/results/digits holds a finished study" in other and "training.epochs: 2; asked for: 3" in other


def test_own_colour_images_through_all_steps(tmp_path):
    """One folder per class, RGB: pairs have six channels. Another image size, ranking split val, two removals."""
    rng = np.random.default_rng(0)
    for name, colour in (("sky", (60, 120, 220)), ("grass", (60, 180, 70)), ("brick", (170, 80, 60))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(24):
            noise = rng.integers(-40, 40, (20, 20, 3))
            Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(tmp_path / f"photos/{name}/{i}.png")
    study = Study(
        tmp_path / "study",
        TINY.replace("{train: 150, val: 80, test: 80}", "{train: 36, val: 15, test: 15}")
        .replace("same_weight: 6.0", "same_weight: 4.0")
        .replace("[mean_activation, l1_norm]", "[mean_activation], split: val")
        + "dataset: image_folder\nimage_size: 16\npairs_per_image: {same: 1, different: 3}\n"
        + "sweep: {removals: [structural, mean_replacement], ks: [2, 5], ks_per_job: 8}\n",
    )
    # Without the tag, Snakemake makes 12 of this name.
    (tmp_path / "photos").rename(study.folder / "1_2")
    files = (
        "curve.csv",
        "seed0/conv3/verification.csv",
        "figures/shape.png",
        "figures/mean_feature_maps_conv3_seed0.png",
    )
    files = [f"results/image_folder/{name}" for name in files]
    study.run(*files, "--config", "data_dir=!!str 1_2")
    results = study.folder / "results" / "image_folder"
    table = rows(results / "curve.csv")
    assert [(row["removal"], row["k"]) for row in table] == [
        (removal, k) for removal in ("structural", "mean_replacement") for k in ("0", "2", "5")
    ]
    model = load_model(results / "seed0" / "model.pt")
    assert model.conv1.weight.shape == (4, 6, 3, 3)
    assert {row["removal"] for row in rows(results / "seed0" / "conv3" / "verification.csv")} == {
        "structural",
        "mean_replacement",
        "zero_weights",
    }
    shutil.copytree(study.folder / "1_2", tmp_path / "copied", copy_function=shutil.copyfile)
    assert study.plan(*files, "--config", f"data_dir={tmp_path / 'copied'}") == {}, "a copy has the same content"
    (tmp_path / "copied" / "sky" / "0.png").unlink()
    assert "get_images" in study.plan("--config", f"data_dir={tmp_path / 'copied'}")


def test_the_report_explains_the_study_and_holds_its_figures_and_tables(copied):
    copied.run("--report", "report.zip")
    with zipfile.ZipFile(copied.folder / "report.zip") as report:
        names = {name.rsplit("/", 1)[-1] for name in report.namelist()}
        page = report.read("report/report.html").decode()
    expected = {f"{figure}.png" for figure in FIGURES} | {"summary.csv", "summary.txt", "curve_mean.csv", "shape.txt"}
    assert names >= expected
    for text in (
        "How many channels of a convolution can be removed",
        "This report shows the study <strong>digits</strong>",
        "Single networks",
        "summary, as printed after a run",
        "balanced accuracy vs k",
        "it and every smaller evaluated K are within one percentage point",
    ):
        assert text in " ".join(page.split()), text
