"""The whole workflow through the real `snakemake` command, in copies of the project with a small study."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, TINY, Study, environment, jobs_of_run, wait_until
from PIL import Image
from prunecurve import provenance
from prunecurve.provenance import settings_of
from prunecurve.ranking import criteria
from prunecurve.model.network_file import load_model
from prunecurve.arrays import save_array
from prunecurve.tables import read_order, read_rows, read_text, write_rows
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.removal import REPAIRS

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
    dataset seed layer criterion removal repair k channels_left accuracy balanced_accuracy recall_same recall_different
    precision_same f1_same mcc auroc average_precision log_loss predicted_same_rate tp fp tn fn params macs
    compression_ratio theoretical_speedup conv_weight_shape
""".split()  # noqa: SIM905 (as in the documents)


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(read_text(path).splitlines()))


def replace(study: Study, old: str, new: str) -> None:
    config = study.folder / "config.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))


def append(study: Study, module: str) -> None:
    """Edit a file under workflow/scripts."""
    with (study.folder / "workflow" / "scripts" / module).open("a") as file:
        file.write("\nEDITED = True\n")


# ---- results of a finished study


def test_a_job_runs_without_a_home_folder_that_can_be_written(copied):
    """Nothing can be created in /proc, not even by root."""
    copied.preloaded_jobs = False
    copied.variables = {"HOME": "/proc/no-home", "XDG_CACHE_HOME": ""}
    copied.path("figures/activation_levels.png").unlink()
    copied.run("results/digits/figures/activation_levels.png")
    assert copied.path("figures/activation_levels.png").exists()


def test_every_k_of_every_criterion_is_in_the_curve(finished):
    table = rows(finished.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in table] == [(c, k) for c in CRITERIA for k in range(P)]
    assert list(table[0]) == COLUMNS
    assert all(sum(int(row[n]) for n in ("tp", "fp", "tn", "fn")) == 800 for row in table)
    assert all(int(row["tp"]) + int(row["fn"]) == 80 for row in table)
    assert len({row["log_loss"] for row in table[P:]}) == len({row["params"] for row in table[P:]}) == P
    assert table[0]["log_loss"] == table[P]["log_loss"], "both are of the unpruned network"


def test_surgery_agrees_at_every_checked_k(finished):
    table = rows(finished.path("seed0/conv3/verification.csv"))
    assert len(table) == len(CRITERIA) * 2 * CHECKED
    assert {row["removal"] for row in table} == {"structural", "zero_weights"}
    assert all(row["agrees"] == "True" and float(row["max_logit_difference"]) < 1e-4 for row in table)


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


def test_the_layers_are_printed_and_nothing_is_trained(study):
    output = study.run("layers").stdout
    lines = study.path("layers.txt").read_text().splitlines()
    assert all(line in output for line in lines)
    rows = {row["layer"]: row for row in read_rows(study.path("layers.csv"), sealed=False)}
    assert list(rows) == ["conv1", "conv2", "conv3", "linear1", "linear2", "linear3"]
    assert [name for name, row in rows.items() if row["refused"]] == ["linear3"]
    assert not study.path("seed0/model.pt").exists()
    assert study.plan("layers") == {"layers": 1}
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


NOTHING_BEFORE_PLOT = dict.fromkeys(("train", "eval_pruned", "aggregate", "verify_surgery"), 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # The first ranking has its rows of mean_replacement already. The stored sums serve all removals.
        (["sweep={removals: [structural, mean_replacement]}"], {"sum_channels": 0, "eval_pruned": P}),
        # A repair: one job per ranking.
        (
            ["sweep={repairs: [none, refit_bias]}"],
            {"calibrate": 1, "sum_channels": 0, "eval_pruned": len(CRITERIA), "aggregate": 1, "verify_surgery": 1},
        ),
        # A K that only the verification needs is evaluated by the same job as a K of the study.
        (["sweep={ks: [2, 5]}"], {"aggregate": 1, "eval_pruned": 0, "verify_surgery": 0}),
        # l1_norm reads weights; it is not ranked again.
        (["ranking={split: val}"], {"rank_channels": 1, "eval_pruned": EVALUATIONS - (P + CHECKED)}),
        (["training={epochs: 3}"], {"train": 1, "make_pairs": 0}),
        (["images={test: 70}"], {"make_pairs": 1, "get_images": 0}),
        (["figures={dpi: 90}"], {"plot": len(STUDY_FIGURES), **NOTHING_BEFORE_PLOT}),
        (
            # The shape figure shows mean_replacement, whose means are of the validation pairs.
            ["seeds=[0, 1]"],
            {"get_images": 0, "make_pairs": 1, "train": 1, "collect_activations": 2, "rank_channels": len(CRITERIA)}
            | {"eval_pruned": EVALUATIONS, "verify_surgery": 1, "plot": len(STUDY_FIGURES)},
        ),
        (
            # greedy is a baseline, with which the others are compared; the study had none.
            ["seeds=[0, 1]", "ranking={criteria: [mean_activation, l1_norm, greedy]}"],
            {"plot": len(STUDY_FIGURES) + 1},
        ),
    ],
    ids=lambda value: "; ".join(value) if isinstance(value, list) else "",
)
def test_a_changed_key_runs_what_depends_on_it(finished, changes, expected):
    planned = finished.plan("--config", *changes)
    assert {rule: planned.get(rule, 0) for rule in expected} == expected


def test_what_changes_no_result_runs_nothing(finished):
    """A second run; the same data in another folder; another requirement, which the network reaches."""
    for arguments in ([], ["data_dir=elsewhere"], ["training={require: 0.4}"]):
        assert finished.plan(*(["--config", *arguments] if arguments else [])) == {}


def test_a_further_criterion_runs_its_own_jobs(finished):
    """Two draws of random and a reversed criterion. The third ranking is verified like the first two."""
    criteria = "[mean_activation, l1_norm, random, reversed-l1_norm]"
    assert finished.plan("--config", f"ranking={{criteria: {criteria}, random_draws: 2}}") == {
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


def test_repaired_curves_are_verified_and_leave_the_others_as_they_are(copied, finished):
    config = ["--config", "sweep={repairs: [none, bias, refit, refit_bias]}"]
    copied.run("complete", *config)
    curve, before = (rows(study.path("curve.csv")) for study in (copied, finished))
    assert [row for row in curve if row["repair"] == "none"] == before
    assert len(curve) == 2 * 4 * P and {row["repair"] for row in curve} == set(REPAIRS)
    checked = rows(copied.path("seed0/conv3/verification.csv"))
    assert {row["repair"] for row in checked} == set(REPAIRS) and {row["agrees"] for row in checked} == {"True"}
    assert "What the loss of each criterion consists of" in copied.path("summary.txt").read_text()
    assert copied.plan("complete", *config) == {}
    # An edit to the repairs evaluates only repaired networks again.
    append(copied, "prunecurve/sweep/repair.py")
    planned = copied.plan("complete", *config)
    assert (planned["calibrate"], planned["eval_pruned"], planned["verify_surgery"]) == (1, 2 * 3, 1)
    assert "train" not in planned and "sum_channels" not in planned


def test_another_point_of_measurement_ranks_only_by_activations_again(copied):
    """l1_norm reads weights and conv_abs_mean always measures at the convolution; neither is ranked again."""
    criteria = "[mean_activation, conv_abs_mean, l1_norm]"
    ranking = "results/digits/seed0/conv3/ranking/conv_abs_mean.csv"
    copied.run(ranking, "--config", f"ranking={{criteria: {criteria}}}")
    planned = copied.plan("--config", f"ranking={{criteria: {criteria}, measure_at: pool}}")
    assert planned["rank_channels"] == 1
    assert not {"collect_activations", "train"} & set(planned)


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        # Edits whose jobs are disjoint share a dry run.
        (
            [
                "prunecurve/verification/surgery.py",
                "prunecurve/figures/curve_mean/class_accuracy_vs_k.py",
                "prunecurve/statistics/shape.py",
                "prunecurve/sweep/backends/torch_backend.py",  # no job of this study uses it
            ],
            {"verify_surgery": 1, "explain_shape": 1, "plot": 2},
        ),
        (
            ["prunecurve/figures/curve_mean/accuracy_vs_k.py", "prunecurve/statistics/comparisons.py"],
            # All figures but that of the shape.
            {"plot": 6, "compare_networks": 1, "summarise": 1, "aggregate": None, "explain_shape": None},
        ),
        (["prunecurve/figures/style.py"], {"plot": len(STUDY_FIGURES), "plot_network": 2}),
        (
            # The first edit ranks one criterion again. From new sums, all are evaluated again.
            ["prunecurve/ranking/criteria/l1_norm.py", "sum_channels.py"],
            {"rank_channels": 1, "sum_channels": len(CRITERIA), "eval_pruned": EVALUATIONS, "verify_surgery": 1},
        ),
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


# ---- all criteria; parts of a study; other layers


def invert(labels: Path) -> None:
    """Invert the labels of a split; keep the settings that the file carries, and its time."""
    lines, times = settings_of(labels), labels.stat()
    provenance.start(lines)
    save_array(labels, 1 - np.load(labels))
    provenance.stop()
    os.utime(labels, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_test_labels_change_no_ranking(tmp_path):
    """All criteria give the same bytes with the labels of the test pairs and with these labels inverted."""
    every = [name for name in criteria.allowed() if name != "random"]
    config = TINY.replace("[mean_activation, l1_norm]", f"[{', '.join(every)}], sampled_pairs: 60")
    study = Study(tmp_path / "study", config.replace("[4, 6, 8]", "[4, 6, 5]"))
    targets = [f"results/digits/seed0/conv3/ranking/{name}.csv" for name in [*every, "random-1"]]
    study.run(*targets)
    before = {target: (study.folder / target).read_bytes() for target in targets}
    invert(study.path("seed0/labels/test.npy"))
    output = study.run(*targets, "--forcerun", "collect_activations", "rank_channels").stdout
    assert "train" not in jobs_of_run(output) and jobs_of_run(output)["rank_channels"] == len(targets)
    assert {target: (study.folder / target).read_bytes() for target in targets} == before
    invert(study.path("seed0/labels/val.npy"))
    study.run(*targets, "--forcerun", "rank_channels")
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
    for name in ("seed0/conv3/sweep/l1_norm/structural/k5.csv", "seed0/model.pt"):
        copied.path(name).rename(copied.path("away"))
        assert "no seed of the study has finished all its evaluations" in copied.run("partial", succeed=False).stdout
        copied.path("away").rename(copied.path(name))


def test_sensitivity_and_an_earlier_layer(copied):
    """First the curves of all layers, with verification; then the study of conv2, which reads the same files."""
    keys = "sensitivity: {criteria: [loss_oracle], repairs: [none, refit_bias]}"
    replace(copied, "threads: 2", f"threads: 2\n{keys}")
    output = copied.run("sensitivity").stdout
    jobs = jobs_of_run(output)
    # Only the criterion of the sensitivity: three layers; for the last one also the K of the verification. One job
    # evaluates all repaired networks of a layer.
    assert (jobs["rank_channels"], jobs["eval_pruned"], jobs["calibrate"]) == (3, P + CHECKED + 4 + 3, 3)
    everything = rows(copied.path("sensitivity.csv"))
    table, repaired = ([row for row in everything if row["repair"] == name] for name in ("none", "refit_bias"))
    assert [(row["layer"], row["k"]) for row in table] == [(row["layer"], row["k"]) for row in repaired]
    assert [(row["layer"], int(row["k"])) for row in table] == [
        (layer, k) for layer, channels in (("conv1", 4), ("conv2", 6), ("conv3", 8)) for k in range(channels)
    ]
    assert [float(row["share_removed"]) for row in table][4:7] == pytest.approx([0, 1 / 6, 2 / 6])
    assert table[5]["conv_weight_shape"] == "5x4x3x3"
    # The unpruned network gives the same result from the maps of any layer.
    assert len({(row["tp"], row["fp"], row["params"]) for row in table if row["k"] == "0"}) == 1
    for layer in ("conv1", "conv2", "conv3"):
        verified = rows(copied.path(f"seed0/{layer}/verification_sensitivity.csv"))
        assert {(row["criterion"], row["removal"], row["repair"]) for row in verified} == {
            ("loss_oracle", *each)
            for each in (("structural", "none"), ("structural", "refit_bias"), ("zero_weights", "none"))
        }
        assert all(row["agrees"] == "True" for row in verified)
    assert copied.path("figures/sensitivity.png").exists()
    table = rows(copied.path("sensitivity_table.csv"))
    assert [(row["layer"], row["channels"], row["repair"]) for row in table] == [
        (layer, channels, repair)
        for layer, channels in (("conv1", "4"), ("conv2", "6"), ("conv3", "8"))
        for repair in ("none", "refit_bias")
    ]
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
    maps = "figures/mean_feature_maps_conv2_seed0.png"
    copied.run("results/digits/curve.csv", f"results/digits/{maps}", "--config", "overwrite=true")
    table = rows(copied.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in table] == [
        (name, k) for name in ("loss_oracle", "l2_norm") for k in range(6)
    ]
    assert {row["layer"] for row in table} == {"conv2"}
    assert copied.path(maps).exists()
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
    for arguments in ((), ("results/digits/curve.csv",)):
        output = copied.run(*arguments, *other, succeed=False).stdout
        assert "results/digits would be replaced. Nothing was changed." in output
        assert "layer: conv3; asked for: conv2" in output
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
    assert copied.plan(*target) == {}


# ---- several studies in one folder


def test_a_finished_study_with_other_settings_is_not_replaced_without_overwrite(copied):
    other = ("--config", "seeds=[1]", "training={epochs: 1}")
    copied.run("archive/frozen/manifest.json")
    before = contents(copied.path(""))
    for dry in (True, False):
        output = copied.run(*other, *(["-n"] if dry else []), succeed=dry).stdout
        assert "results/digits holds a finished study that was made with other settings" in output
        assert "seeds: [0]; asked for: [1]" in output and "training.epochs: 2; asked for: 1" in output
        assert "--config study=NAME" in output and "overwrite=true" in output
        assert "Traceback" not in output
    assert "results/digits would be replaced" in output
    # Neither the target sensitivity nor the settings of an archive replace it; drawing that archive replaces nothing.
    fewer = ("--config", "archive=frozen", "study=digits", "ranking={criteria: [mean_activation]}")
    for arguments in (("results/digits/curve.csv", *fewer), ("sensitivity", "--config", "training={epochs: 1}")):
        assert "finished study that was made with other" in copied.run(*arguments, succeed=False).stdout, arguments
    copied.run("results/archive/frozen/figures/areas.png", *fewer)
    assert contents(copied.path("")) == before
    output = copied.run("-n", *other, "overwrite=true").stdout
    assert "finished study" not in output and re.search(r"^train +1$", output, re.MULTILINE)
    assert "finished study" not in copied.run("-n", "--config", "seeds=[0, 1]").stdout, "more seeds replace nothing"


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
    TINY.replace("[4, 6, 8]", "[4, 6, 35]")
    .replace("epochs: 2", "epochs: 1")
    .replace("[mean_activation, l1_norm]", "[greedy]")
)


def test_the_curve_is_the_same_however_many_k_a_job_evaluates(tmp_path):
    """1, 16 (the last batch has 11) or all K per job: the same bytes. The verification reads all these files."""
    study = Study(tmp_path / "study", WIDE)
    verification = "results/digits/seed0/conv3/verification.csv"
    study.run("results/digits/curve.csv")
    one = study.path("curve.csv").read_bytes()
    assert [row["k"] for row in rows(study.path("curve.csv"))] == [str(k) for k in range(35)]
    for size, names in ((16, ["k0-15", "k16-31", "k32-34"]), (35, ["k0-34"])):
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
    (folder / "structural/k0-34.csv").write_bytes((folder / "structural/k16-31.csv").read_bytes())
    for target in (verification, "results/digits/curve.csv"):
        (study.folder / target).unlink()
    output = study.run(verification, "results/digits/curve.csv", "--keep-going", *packed, succeed=False).stdout
    assert "k0-34.csv has 0 rows for K = 0" in output
    assert "sweep/greedy/structural does not hold exactly one row for each K of the study" in output


def test_an_interrupted_run_continues_with_the_same_command(finished, study):
    """Ctrl-C reaches Snakemake and its jobs, `kill` only Snakemake. For SIGKILL see test_faults.py.

    In the end the bytes are those of a run without interruptions. All runs are on one core, and the study that they are
    compared with was run on two.
    """
    # The last one needs a second removal, so that many evaluations remain when the run is stopped.
    files = ("results/digits/curve.csv", "results/digits/shape.csv")

    def interrupt(number: int, reached: Callable[[], bool], *, group: bool) -> None:
        driver = study.start(*files, cores=1)
        wait_until(reached, 240)
        os.killpg(driver.pid, number) if group else driver.send_signal(number)
        try:
            assert driver.wait(timeout=60) != 0, study.output
        except subprocess.TimeoutExpired:
            # Snakemake (9.27) handles SIGTERM by taking a lock, which the code that it interrupts can hold.
            assert number == signal.SIGTERM, study.output
            driver.kill()
            driver.wait()
            study.run("--unlock")
        assert not list((study.folder / "results").rglob(".unfinished-*"))

    def evaluated() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in study.folder.glob("results/**/k*.csv")}

    interrupt(signal.SIGINT, lambda: "train seed 0" in study.output, group=True)
    study.run("results/digits/seed0/conv3/partial_sums/l1_norm.npy", cores=1)
    interrupt(signal.SIGTERM, lambda: len(evaluated()) >= 5, group=False)
    done = evaluated()
    assert 5 <= len(done) < (len(CRITERIA) + 1) * P, study.output
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
    assert again <= 1, "only the job that was running may run again"


# ---- failures


def test_a_network_below_the_requirement_stops_the_run_but_is_not_trained_again(copied):
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
        (["--config", "images={train: 1700}"], "images: train 1700 + val 80 + test 80 = 1860 images"),
    ],
)
def test_config_errors_are_reported_without_a_traceback(study, arguments, message):
    output = study.run("results/digits/seed0/inputs/train.npy", *arguments, succeed=False).stdout
    assert message in output
    assert "Traceback" not in output
    assert not (study.folder / "results").exists(), "nothing was run"


# ---- other command lines


def test_other_command_lines(study):
    study.run("-n", "-s", "workflow/Snakefile")
    output = study.run("--rulegraph").stdout
    assert all(rule in output for rule in ("make_pairs", "eval_pruned", "verify_surgery", "plot"))


def test_from_another_folder(tmp_path):
    """The config of the folder or else of the project, also with --directory, and archives of the project."""
    here, there = (Study.at(tmp_path / name) for name in ("here", "there"))
    here.folder.mkdir()
    there.folder.mkdir()
    plan = ("-n", "-p", "-s", str(PROJECT / "Snakefile"))
    model = "results/digits/seed0/model.pt"
    assert '"channels": [16, 32, 64]' in here.run(*plan, model).stdout
    figures = here.run(*plan, "figures", "--config", "archive=mnist").stdout
    assert re.search(r"--data \S*/archive/mnist/curve.csv|--curve \S*/archive/mnist/curve", figures)
    assert "results/archive/mnist/figures/areas.png" in figures and "rule train" not in figures
    (there.folder / "config.yaml").write_text(TINY)
    assert '"channels": [4, 6, 8]' in there.run(*plan, model).stdout
    assert '"channels": [4, 6, 8]' in here.run(*plan, model, "--directory", str(there.folder)).stdout


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
    user, modules = Study.at(tmp_path / "user"), tmp_path / "modules"
    user.folder.mkdir()
    # All K in one job, which takes less time; this changes no byte.
    (user.folder / "mine.yaml").write_text(TINY.replace("repairs: [none]", f"repairs: [none], ks_per_job: {P}"))
    (user.folder / "Snakefile").write_text(MODULE.format(project=finished.folder))
    results = user.folder / "sub folder" / "results" / "digits"
    names = ("curve.csv", "shape.csv", "seed0/conv3/verification.csv", "figures/areas.png", "figures/shape.svg")
    user.run(*(f"sub folder/results/digits/{name}" for name in names))
    # In the hostile environment, a job with torch, one with matplotlib, and one with neither.
    (modules / "prunecurve").mkdir(parents=True)
    (modules / "prunecurve" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    for name in ("torch.py", "numpy.py"):
        (user.folder / name).write_text("raise SystemExit('a file of the user')")
    (user.folder / "matplotlibrc").write_text("savefig.bbox: tight\nlines.marker: o\ntext.usetex: true\n")
    hostile = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(modules)}
    hostile["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    again = ("seed0/conv3/verification.csv", "seed0/conv3/partial_sums/l1_norm.npy", "figures/areas.png")
    for name in again:
        (results / name).unlink(missing_ok=True)
    words = [Path(sys.executable).with_name("snakemake"), *(f"sub folder/results/digits/{name}" for name in again)]
    subprocess.run([*words, "--cores", "2"], cwd=user.folder, env=environment() | hostile, check=True)
    for name in (*names, *again):
        assert (results / name).read_bytes() == finished.path(name).read_bytes(), name
    # What remains of the default target are the other figures.
    remaining = user.run("prune_all", "-n", "--quiet", "rules").stdout
    planned = dict(re.findall(r"^prune_(\w+) +(\d+)$", remaining, re.MULTILINE))
    assert planned["plot"] == str(len(STUDY_FIGURES) - 2) and planned["plot_network"] == "2"
    assert not {"train", "eval_pruned", "aggregate", "verify_surgery"} & set(planned)
    # Nothing lies outside of the prefix. Snakemake runs no hooks of a module, which guard a finished study.
    assert not (user.folder / "results").exists()
    other = user.run("prune_all", "-n", "--config", "training={epochs: 3}", succeed=False).stdout
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
        .replace(
            "repairs: [none]", "repairs: [none], removals: [structural, mean_replacement], ks: [2, 5], ks_per_job: 8"
        )
        + "dataset: image_folder\nimage_size: 16\npairs_per_image: {same: 1, different: 3}\n",
    )
    study.name = "image_folder"
    # Without the tag, Snakemake makes 12 of this name.
    (tmp_path / "photos").rename(study.folder / "1_2")
    names = ("curve.csv", "seed0/conv3/verification.csv", "figures/shape.png", f"figures/{FIGURES[-2]}.png")
    files = [f"results/image_folder/{name}" for name in names]
    study.run(*files, "--config", "data_dir=!!str 1_2")
    table = rows(study.path("curve.csv"))
    assert [(row["removal"], row["k"]) for row in table] == [
        (removal, k) for removal in ("structural", "mean_replacement") for k in ("0", "2", "5")
    ]
    assert load_model(study.path("seed0/model.pt")).conv1.weight.shape == (4, 6, 3, 3)
    verified = {row["removal"] for row in rows(study.path("seed0/conv3/verification.csv"))}
    assert verified == {"structural", "mean_replacement", "zero_weights"}
    copy = shutil.copytree(study.folder / "1_2", tmp_path / "copied", copy_function=shutil.copyfile)
    assert study.plan(*files, "--config", f"data_dir={copy}") == {}, "a copy has the same content"
    (copy / "sky" / "0.png").unlink()
    assert "get_images" in study.plan("--config", f"data_dir={copy}")


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
