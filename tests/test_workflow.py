"""The whole workflow through the real `snakemake` command, in copies of the project with a small study."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import TINY, Study, environment, heeds_interrupts
from PIL import Image
from prunecurve import criteria
from prunecurve.files import read_rows, save_array, write_rows

P = 8
CHECKED = 6  # K that surgery checks: 0, 1, 2, 4, 6, 7
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
# The proof evaluates zeroed weights at K of its own; the figure of the shape shows all removals of the first criterion.
EVALUATIONS = len(CRITERIA) * P + (P + CHECKED) + P


COLUMNS = """
    dataset seed layer criterion removal k channels_left accuracy balanced_accuracy recall_same recall_different
    precision_same f1_same mcc auroc average_precision log_loss predicted_same_rate tp fp tn fn params macs
    compression_ratio theoretical_speedup conv_weight_shape
""".split()  # noqa: SIM905 (as the documents have it)


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def replace(study: Study, old: str, new: str) -> None:
    config = study.folder / "config.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))


def append(study: Study, module: str) -> None:
    """Edit a file under workflow/scripts."""
    with (study.folder / "workflow" / "scripts" / module).open("a") as file:
        file.write("\n# edited\n")


# ---- what a finished study holds


def test_every_k_of_every_criterion_is_in_the_curve(finished):
    found = rows(finished.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in found] == [(c, k) for c in CRITERIA for k in range(P)]
    assert list(found[0]) == COLUMNS
    assert all(sum(int(row[n]) for n in ("tp", "fp", "tn", "fn")) == 800 for row in found)
    assert all(int(row["tp"]) + int(row["fn"]) == 80 for row in found)


def test_two_different_k_give_different_rows(finished):
    found = [row for row in rows(finished.path("curve.csv")) if row["criterion"] == "l1_norm"]
    assert len({row["log_loss"] for row in found}) == P
    assert len({row["params"] for row in found}) == P
    unpruned = [row["log_loss"] for row in rows(finished.path("curve.csv")) if row["k"] == "0"]
    assert len(set(unpruned)) == 1


def test_surgery_agrees_at_every_checked_k(finished):
    found = rows(finished.path("seed0/conv3/verification.csv"))
    assert len(found) == len(CRITERIA) * 2 * CHECKED
    assert {row["removal"] for row in found} == {"structural", "zero_weights"}
    assert all(row["agrees"] == "True" and float(row["max_logit_difference"]) < 1e-4 for row in found)


def test_rankings_are_permutations_in_the_order_of_scores(finished):
    for criterion in CRITERIA:
        found = rows(finished.path(f"seed0/conv3/ranking/{criterion}.csv"))
        assert [int(row["order"]) for row in found] == list(range(P))
        assert sorted(int(row["channel"]) for row in found) == list(range(P))
        scores = [float(row["score"]) for row in found]
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


def test_a_run_prints_its_progress_and_its_summary_in_few_lines(copied):
    """Redirected: counts of jobs, epochs with their scores, the summary; not four lines per job."""
    copied.path("seed0/model.pt").unlink()
    lines = copied.run("--forcerun", "eval_pruned").stdout.splitlines()
    assert len(lines) <= 80, "\n".join(lines)
    epochs = [
        line for line in lines if re.match(r"train seed 0: epoch [12]/2  loss .* balanced accuracy 0\.\d{4}", line)
    ]
    assert 1 <= len(epochs) <= 2 and "epoch 2/2" in epochs[-1]
    summary = copied.path("summary.txt").read_text().splitlines()
    assert len(summary) > 5 and set(filter(None, summary)) <= set(lines)


def test_the_summary_is_printed_again(copied):
    summary = copied.path("summary.txt").read_text()
    assert "results/digits/figures/" in summary and all(criterion in summary for criterion in CRITERIA)
    assert copied.plan("all", "summary") == {"summary": 1}
    assert all(line in copied.run("summary").stdout for line in summary.splitlines())
    copied.path("logs/summarise.log").unlink()
    copied.path("summary.txt").unlink()
    assert copied.plan("summary") == {"summarise": 1, "summary": 1}


def test_a_job_by_hand_gives_the_same_bytes(finished, tmp_path):
    """Scripts are command-line tools of their own: no Snakemake, another folder, more BLAS threads."""
    seed = finished.path("seed0")
    options = {
        "features": seed / "conv3/activations/test/features.npy",
        "pairs": seed / "pairs/test.npy",
        "weights": seed / "weights.npy",
        "mean-features": seed / "conv3/activations/test/mean_features.npy",
        "layer": "conv3",
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
    # Only the job of the workflow records its own code in the header of the checksums.
    assert read_rows(tmp_path / "row.csv") == read_rows(seed / "conv3/sweep/l1_norm/structural/k3.csv")


# ---- what runs again, and what doesn't


def test_a_second_run_does_nothing(finished):
    assert finished.plan() == {}


def test_a_further_criterion_runs_its_own_jobs(copied):
    """Two draws of random and a criterion backwards; the third ranking is proved like the first two."""
    replace(
        copied, "[mean_activation, l1_norm]", "[mean_activation, l1_norm, random, reversed-l1_norm], random_draws: 2"
    )
    assert copied.plan() == {
        "rank_channels": 2,
        "reverse_ranking": 1,
        "eval_pruned": 3 * P + CHECKED,
        "verify_surgery": 1,
        "sum_channels": 3,
        "aggregate": 1,
        "compare_rankings": 1,
        "average_curves": 1,
        "summarise": 1,
        "explain_shape": 1,
        # All but activations and mean maps, which are what they were.
        "plot": len(STUDY_FIGURES) - 1,
        "all": 1,
    }


def test_fewer_k_need_no_evaluation_and_no_proof_anew(finished):
    """A K that the proof alone asks for is the same job as one of the study."""
    planned = finished.plan("--config", "sweep={ks: [2, 5]}")
    assert "aggregate" in planned
    assert not {"eval_pruned", "verify_surgery"} & set(planned)


def test_a_network_needs_nothing_new_where_the_data_lie_elsewhere(finished):
    assert finished.plan("--config", "data_dir=elsewhere") == {}


def test_another_ranking_split_leaves_what_looks_at_weights_alone(copied):
    replace(copied, "criteria: [mean_activation, l1_norm]", "criteria: [mean_activation, l1_norm], split: val")
    planned = copied.plan()
    assert planned["rank_channels"] == 1
    assert planned["eval_pruned"] == EVALUATIONS - (P + CHECKED)


def test_another_point_of_measurement_ranks_by_activations_alone_again(copied):
    """l1_norm looks at weights; conv_abs_mean, which is always of the convolution, is ranked for the first time."""
    replace(copied, "[mean_activation, l1_norm]", "[mean_activation, conv_abs_mean, l1_norm]")
    copied.run("results/digits/seed0/conv3/ranking/conv_abs_mean.csv")
    replace(copied, "conv_abs_mean, l1_norm]", "conv_abs_mean, l1_norm], measure_at: pool")
    planned = copied.plan()
    assert planned["rank_channels"] == 1
    assert not {"collect_activations", "train"} & set(planned)


def test_a_further_seed_runs_its_own_network(copied):
    replace(copied, "seeds: [0]", "seeds: [0, 1]")
    planned = copied.plan()
    for rule in ("make_pairs", "train", "collect_activations", "verify_surgery"):
        assert planned[rule] == 1, rule
    assert planned["rank_channels"] == len(CRITERIA)
    assert planned["eval_pruned"] == EVALUATIONS
    assert "compare" not in planned, "neither random nor greedy is there to compare with"
    replace(copied, "[mean_activation, l1_norm]", "[mean_activation, l1_norm, greedy]")
    planned = copied.plan()
    assert (planned["compare"], planned["plot"]) == (1, len(STUDY_FIGURES) + 1)
    assert "get_images" not in planned


@pytest.mark.parametrize(
    ("old", "new", "first", "spared"),
    [
        ("epochs: 2", "epochs: 3", "train", "make_pairs"),
        ("test: 80", "test: 70", "make_pairs", "get_images"),
        ("dpi: 80", "dpi: 90", "plot", "aggregate"),
    ],
)
def test_a_changed_key_runs_what_depends_on_it(copied, old, new, first, spared):
    replace(copied, old, new)
    planned = copied.plan()
    assert first in planned
    assert spared not in planned


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("prunecurve/surgery.py", {"verify_surgery": 1}),
        ("prunecurve/criteria/l1_norm.py", {"rank_channels": 1}),
        ("prunecurve/figures/of_curve_mean/accuracy_vs_k.py", {"plot": 2}),
        ("prunecurve/figures/of_curve_mean/class_accuracy_vs_k.py", {"plot": 1}),
        ("prunecurve/figures/style.py", {"plot": len(STUDY_FIGURES), "plot_network": 2}),
        (
            "prunecurve/head.py",
            {"sum_channels": len(CRITERIA), "eval_pruned": EVALUATIONS, "verify_surgery": 1},
        ),
        ("aggregate.py", {"aggregate": 1}),
        ("prunecurve/shape.py", {"explain_shape": 1, "plot": 1}),
        ("prunecurve/tail.py", {}),
        ("prunecurve/comparisons.py", {"compare_rankings": 1, "aggregate": None}),
        ("make_pairs.py", {"make_pairs": 1, "train": 1}),
        ("prunecurve/network.py", {"train": 1, "collect_activations": 1}),
    ],
)
def test_an_edit_runs_what_uses_it(copied, module, expected):
    append(copied, module)
    planned = copied.plan()
    assert {rule: planned.get(rule) for rule in expected} == expected
    order = ["get_images", "make_pairs", "train", "collect_activations", "rank_channels", "sum_channels"]
    order += ["eval_pruned", "aggregate"]
    earlier = next((order[: order.index(rule)] for rule in expected if rule in order), order)
    assert not set(earlier) & set(planned)


def test_a_deleted_row_is_made_again_with_the_same_bytes(copied):
    path = copied.path("seed0/conv3/sweep/l1_norm/structural/k5.csv")
    before, curve = path.read_bytes(), copied.path("curve.csv").read_bytes()
    path.unlink()
    copied.path("curve.csv").unlink()
    copied.run("results/digits/curve.csv")
    assert (path.read_bytes(), copied.path("curve.csv").read_bytes()) == (before, curve)


# ---- every criterion; parts of a study; other layers


def test_test_labels_change_no_ranking(tmp_path):
    """All criteria there are, ranked with the test pairs' labels as they are and turned round: the same bytes."""
    every = [name for name in criteria.allowed() if name != "random"]
    config = TINY.replace("[mean_activation, l1_norm]", f"[{', '.join(every)}], sampled_pairs: 60")
    study = Study(tmp_path / "study", config.replace("[4, 6, 8]", "[4, 6, 5]"))
    targets = [f"results/digits/seed0/conv3/ranking/{name}.csv" for name in [*every, "random-1"]]
    study.run(*targets)
    before = {target: (study.folder / target).read_bytes() for target in targets}
    pairs = study.path("seed0/pairs/test.npy")
    turned = np.load(pairs)
    turned[:, 2] = 1 - turned[:, 2]
    save_array(pairs, turned)
    planned = study.plan(*targets)
    assert planned["collect_activations"] == 1
    study.run(*targets, "--forcerun", "rank_channels")
    assert {target: (study.folder / target).read_bytes() for target in targets} == before
    # They would have changed, had the validation pairs' labels been turned round.
    pairs = study.path("seed0/pairs/val.npy")
    turned = np.load(pairs)
    turned[:, 2] = 1 - turned[:, 2]
    save_array(pairs, turned)
    study.run(*targets, "--allowed-rules", "rank_channels", "reverse_ranking", "--forcerun", "rank_channels")
    after = {target for target in targets if (study.folder / target).read_bytes() != before[target]}
    names = {target.split("/")[-1].removesuffix(".csv").removeprefix("reversed-") for target in after}
    assert names == {name for name in criteria.names() if "labels" in criteria.reads(name)}
    assert [row["channel"] for row in rows(study.path("seed0/conv3/ranking/reversed-apoz.csv"))] == [
        row["channel"] for row in reversed(rows(study.path("seed0/conv3/ranking/apoz.csv")))
    ]
    assert "channels share their score" in study.path("seed0/logs/rank_channels/conv3/hrank.log").read_text()
    assert all(float(row["standard_error"]) > 0 for row in rows(study.path("seed0/conv3/ranking/shapley.csv")))


def test_a_part_of_a_study_takes_the_seeds_that_are_done_and_says_which_are_missing(copied):
    """One of three networks is there: its tables and figures, nothing trained, ranked or evaluated."""
    replace(copied, "seeds: [0]", "seeds: [0, 5, 7]")
    tables = {"aggregate", "aggregate_channels", "average_curves", "summarise", "compare_rankings", "explain_shape"}
    tables |= {"plot", "partial"}
    assert set(copied.plan("partial")) == tables
    assert "partial: includes seeds 0; missing: 5, 7" in copied.run("partial").stdout
    assert copied.path("partial/curve.csv").read_bytes() == copied.path("curve.csv").read_bytes()
    assert copied.path("partial/figures/accuracy_vs_k.png").exists()
    told = copied.run("-n", "partial").stdout
    assert "missing: 5, 7" in told and "Nothing to be done" in told
    for made in ("seed0/conv3/sweep/l1_norm/structural/k5.csv", "seed0/model.pt"):
        copied.path(made).rename(copied.path("away"))
        assert "no seed of the study has all its evaluations" in copied.run("partial", succeed=False).stdout
        copied.path("away").rename(copied.path(made))


def test_sensitivity_and_an_earlier_layer(copied):
    """Every convolution's curve, proved by surgery; then the study of conv2, which reads the same files."""
    replace(copied, "threads: 2", "threads: 2\nsensitivity: {criteria: [l2_norm]}")
    planned = copied.plan("sensitivity")
    # Nothing of the study's own criteria: three layers, of the last one's K those of the proof too.
    assert (planned["rank_channels"], planned["eval_pruned"], planned["eval_early"]) == (3, P + CHECKED, 4)
    copied.run("sensitivity")
    found = rows(copied.path("sensitivity.csv"))
    assert [(row["layer"], int(row["k"])) for row in found] == [
        (layer, k) for layer, channels in (("conv1", 4), ("conv2", 6), ("conv3", 8)) for k in range(channels)
    ]
    assert [float(row["share_removed"]) for row in found][4:7] == pytest.approx([0, 1 / 6, 2 / 6])
    assert found[5]["conv_weight_shape"] == "5x4x3x3"
    # The unpruned network is the same one, whichever layer's maps it is evaluated from.
    unpruned = [row for row in found if row["k"] == "0"]
    assert len({row["tp"] + "/" + row["fp"] for row in unpruned}) == 1
    assert len({row["params"] for row in unpruned}) == 1
    for layer in ("conv1", "conv2", "conv3"):
        proved = rows(copied.path(f"seed0/{layer}/verification_sensitivity.csv"))
        assert {row["criterion"] for row in proved} == {"l2_norm"}
        assert {row["removal"] for row in proved} == {"structural", "zero_weights"}
        assert all(row["agrees"] == "True" for row in proved)
    assert copied.path("figures/sensitivity.png").exists()
    replace(copied, "[mean_activation, l1_norm]", "[l2_norm, loss_oracle]")
    replace(copied, "threads: 2", "threads: 2\nlayer: conv2")
    planned = copied.plan()
    assert not {"train", "eval_pruned"} & set(planned)
    # l2_norm's mean replacement for the figure of the shape, the oracle's two that are proved.
    assert (planned["rank_channels"], planned["eval_early"]) == (1, 3)
    copied.run("--config", "overwrite=true")
    found = rows(copied.path("curve.csv"))
    assert [(row["criterion"], int(row["k"])) for row in found] == [
        (name, k) for name in ("l2_norm", "loss_oracle") for k in range(6)
    ]
    assert {row["layer"] for row in found} == {"conv2"}
    assert copied.path("figures/mean_feature_maps_conv2_seed0.png").exists()


# ---- studies beside each other


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_study_of_other_settings_is_not_replaced_unasked(copied):
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
    assert "train" in copied.plan(*other, "overwrite=true")
    assert "finished study" not in copied.run("-n", *other, "overwrite=true").stdout
    assert "finished study" not in copied.run("-n", "--config", "seeds=[0, 1]").stdout, "more seeds replace nothing"


def test_studies_of_one_data_set_lie_side_by_side(copied):
    before = contents(copied.path(""))
    target = ("results/wide/curve.csv", "--config", "study=wide", "layer=conv2", "training={epochs: 1}")
    copied.run(*target)
    assert contents(copied.path("")) == before
    found = rows(copied.folder / "results" / "wide" / "curve.csv")
    assert {row["layer"] for row in found} == {"conv2"} and {row["dataset"] for row in found} == {"digits"}
    assert copied.plan() == {} and copied.plan(*target) == {}


def test_figures_of_another_layer_are_removed_and_named(copied):
    own = copied.path("figures/my_notes.png")
    own.write_text("not the workflow's")
    (former,) = copied.path("figures").glob("mean_feature_maps_conv3_seed0.png")
    output = copied.run("--config", "overwrite=true", "layer=conv2", "ranking={criteria: [l1_norm]}").stdout
    assert f"removed {former.relative_to(copied.folder)}: it was drawn for another layer" in output
    assert not list(copied.path("figures").glob("*conv3*")) and own.exists()
    assert copied.path("figures/mean_feature_maps_conv2_seed0.png").exists()


# ---- the same numbers whatever the circumstances


# More channels than one stored sum spans, and a number of them that no pack divides evenly.
WIDE = (
    TINY.replace("[4, 6, 8]", "[4, 6, 43]")
    .replace("epochs: 2", "epochs: 1")
    .replace("[mean_activation, l1_norm]", "[greedy]")
)


def test_the_curve_is_the_same_however_many_k_a_job_evaluates(tmp_path):
    """One K a job, 16 (the last pack has 11) and all in one: the same bytes, fewer jobs; the proof reads packs too."""
    study = Study(tmp_path / "study", WIDE)
    study.run("results/digits/curve.csv")
    one = study.path("curve.csv").read_bytes()
    assert [row["k"] for row in rows(study.path("curve.csv"))] == [str(k) for k in range(43)]
    for size, names in ((16, ["k0-15", "k16-31", "k32-42"]), (43, ["k0-42"])):
        packed = ["--config", f"sweep={{ks_per_job: {size}}}"]
        assert study.plan("results/digits/curve.csv", *packed) == {"eval_pruned": len(names), "aggregate": 1}
        study.run("results/digits/curve.csv", "results/digits/seed0/conv3/verification.csv", *packed)
        assert study.path("curve.csv").read_bytes() == one, size
        folder = study.path("seed0/conv3/sweep/greedy/structural")
        assert sorted(path.stem for path in folder.glob("k*-*.csv") if path.stem in names) == names
        assert len(rows(study.path("seed0/conv3/verification.csv"))) == 2 * CHECKED
    # Rows of a file that doesn't hold the K that it should are not taken for another's.
    (folder / "k0-42.csv").write_bytes((folder / "k16-31.csv").read_bytes())
    for target, message in (
        ("seed0/conv3/verification.csv", "k0-42.csv has 0 rows for K = 0"),
        ("curve.csv", "sweep/greedy/structural: the rows are not one for each K of the study"),
    ):
        study.path(target).unlink()
        assert message in study.run(f"results/digits/{target}", *packed, succeed=False).stdout
    # Labels are read of the validation pairs alone.
    ranking = "results/digits/seed0/conv3/ranking/greedy.csv"
    told = study.run(ranking, "-n", "--printshellcmds", "--forcerun", "rank_channels").stdout
    command = next(line for line in told.splitlines() if "rank_channels.py" in line and "--criterion greedy" in line)
    assert "activations/val/features.npy" in command and "pairs/val.npy" in command
    assert "pairs/test.npy" not in command


def test_one_core_gives_the_same_bytes_as_two(finished, study):
    study.run("results/digits/curve.csv", "results/digits/seed0/conv3/verification.csv", cores=1)
    for name in (
        "curve.csv",
        "seed0/conv3/verification.csv",
        "seed0/weights.npy",
        "seed0/model.pt",
        "seed0/conv3/partial_sums/l1_norm.npy",
        "seed0/conv3/activations/test/features.npy",
        "seed0/pairs/train.npy",
    ):
        assert study.path(name).read_bytes() == finished.path(name).read_bytes(), name


def test_killed_and_resumed_gives_the_same_bytes(finished, study):
    """Killed hard in the sweep; the same command goes on after the unlocking that Snakemake asks for."""
    log = study.folder / "killed.log"
    with log.open("w") as out:
        driver = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2"],
            cwd=study.folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
        deadline = time.monotonic() + 240
        while len(list(study.folder.glob("results/**/k*.csv"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    done = {path: path.stat().st_mtime_ns for path in study.folder.glob("results/**/k*.csv")}
    assert 5 <= len(done) < EVALUATIONS, log.read_text()
    refused = study.run(succeed=False)
    assert "--unlock" in refused.stdout
    study.run("--unlock")
    study.run()
    assert study.path("curve.csv").read_bytes() == finished.path("curve.csv").read_bytes()
    again = sum(path.stat().st_mtime_ns != time_ns for path, time_ns in done.items())
    assert again <= 2, "only the jobs that were running are done again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "kill"])
def test_interrupted_goes_on_with_the_same_command(finished, study, number):
    """Ctrl-C reaches the driver and its jobs, `kill` the driver alone."""
    driver = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=study.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
        preexec_fn=heeds_interrupts,
    )
    deadline = time.monotonic() + 240
    while not study.path("seed0/training.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(driver.pid, number) if number == signal.SIGINT else driver.send_signal(number)
    assert driver.wait(timeout=60) != 0
    assert not list((study.folder / "results").rglob(".unfinished-*"))
    study.run("results/digits/curve.csv")
    assert study.path("curve.csv").read_bytes() == finished.path("curve.csv").read_bytes()


# ---- failures


def test_a_failing_job_says_why_and_leaves_no_artifact(copied):
    features = copied.path("seed0/conv3/activations/test/features.npy")
    features.write_bytes(features.read_bytes()[:-100])
    row = copied.path("seed0/conv3/sweep/l1_norm/structural/k5.csv")
    row.unlink()
    told = copied.run("results/digits/seed0/conv3/sweep/l1_norm/structural/k5.csv", succeed=False).stdout
    assert "features.npy is damaged: it is cut off" in told
    assert not row.exists()
    assert not list((copied.folder / "results").rglob(".unfinished-*"))
    log = copied.path("seed0/logs/sum_channels/conv3/l1_norm.log").read_text()
    assert "Traceback" not in log and "features.npy is damaged" in log
    assert re.search(r"raised at files\.py, line \d+, in check_seal", log)


def test_a_sweep_that_lies_is_found_out(copied):
    """A row is falsified; surgery says which K, which criterion."""
    row = copied.path("seed0/conv3/sweep/l1_norm/structural/k4.csv")
    (found,) = read_rows(row)
    write_rows(row, [found | {"tp": int(found["tp"]) + 1}])
    copied.path("seed0/conv3/verification.csv").unlink()
    told = copied.run("results/digits/seed0/conv3/verification.csv", succeed=False).stdout
    assert "disagree in 1 cases: K = 4, l1_norm, structural" in told
    assert not copied.path("seed0/conv3/verification.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "datset=mnist"], "datset: unknown key; did you mean dataset?"),
        (["--config", "dataset=mnst"], "dataset: 'mnst' is unknown; allowed: digits, mnist"),
        (["--config", "sweep={ks: [8]}"], "sweep.ks: K = 8 is out of range; allowed: 0 to 7"),
        (["--config", "seeds=[]"], "seeds: [] is not allowed"),
        (["--config", "images={digits: {train: 1700}}"], "images.digits: train + val + test ask for 1860 images"),
        (["--config", "pairs_per_image={same: 20}"], "pairs_per_image.same: 20 needs 21 images of each class"),
    ],
)
def test_mistakes_are_told_without_a_traceback(study, arguments, message):
    told = study.run("results/digits/seed0/pairs/train.npy", *arguments, succeed=False).stdout
    assert message in told
    assert "Traceback" not in told


# ---- other ways to call it


@pytest.mark.parametrize(
    "arguments", [["--lint"], ["--rulegraph"], ["-n", "-s", "workflow/Snakefile"], ["--list-rules"]]
)
def test_other_ways_to_call_it(study, arguments):
    told = study.run(*arguments).stdout
    if arguments == ["--lint"]:
        assert "Congratulations" in told
    if arguments == ["--rulegraph"]:
        assert all(rule in told for rule in ("make_pairs", "eval_pruned", "verify_surgery", "plot"))


def test_own_colour_images_through_the_whole_chain(tmp_path):
    """A folder a class, RGB: pairs of six channels, another size, no ranking on the test pairs, two removals."""
    rng = np.random.default_rng(0)
    for name, colour in (("sky", (60, 120, 220)), ("grass", (60, 180, 70)), ("brick", (170, 80, 60))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(24):
            noise = rng.integers(-40, 40, (20, 20, 3))
            Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(tmp_path / f"photos/{name}/{i}.png")
    study = Study(
        tmp_path / "study",
        TINY.replace("digits: {train: 150, val: 80, test: 80}", "image_folder: {train: 36, val: 15, test: 15}")
        .replace("same_weight: 6.0", "same_weight: 4.0")
        .replace("[mean_activation, l1_norm]", "[mean_activation], split: val")
        + "dataset: image_folder\nimage_size: 16\npairs_per_image: {same: 1, different: 3}\n"
        + "sweep: {removals: [structural, mean_replacement], ks: [2, 5]}\n",
    )
    study.run("--config", f"data_dir={tmp_path / 'photos'}")
    results = study.folder / "results" / "image_folder"
    found = rows(results / "curve.csv")
    assert [(row["removal"], row["k"]) for row in found] == [
        (removal, k) for removal in ("structural", "mean_replacement") for k in ("0", "2", "5")
    ]
    weights = np.load(results / "seed0" / "weights.npy")
    assert weights["conv1.weight"].shape == (4, 6, 3, 3)
    assert {row["removal"] for row in rows(results / "seed0" / "conv3" / "verification.csv")} == {
        "structural",
        "mean_replacement",
        "zero_weights",
    }
    (tmp_path / "photos" / "sky" / "0.png").unlink()
    assert "get_images" in study.plan("--config", f"data_dir={tmp_path / 'photos'}")
