"""The task `classes` through the real `snakemake`: a small study of digits, its verification, archive and figures."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import Study, finished_study
from prunecurve.data.batches import Split, all_logits
from prunecurve.arrays import load_array
from prunecurve.model.network_file import load_model
from prunecurve.statistics.means import read_table
from sklearn import metrics as sk

CONFIG = """
task: classes
seeds: [0, 1]
images: {train: 500, val: 200, test: 150}
network: {channels: [4, 6, 8], hidden: [12]}
training: {epochs: 8, batch_size: 16, learning_rate: 0.01}
ranking: {criteria: [mean_activation, random], random_draws: 1}
sweep: {ks_per_job: 8}
figures: {dpi: 80}
"""


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory) -> Study:
    """A finished study of single images, read only."""
    return finished_study(tmp_path_factory, "classes", CONFIG)


def test_the_unpruned_rows_are_those_of_the_trained_network(of_classes):
    curve, recalls = (read_table(of_classes.path(name)) for name in ("curve.csv", "class_recall.csv"))
    assert not [name for name in curve if re.search(r"_[0-9]+$", name)]
    for seed in (0, 1):
        folder = of_classes.path(f"seed{seed}")
        arrays = [load_array(folder / kind / "test.npy") for kind in ("images", "inputs", "labels")]
        assert arrays[1].shape == (150, 1) and arrays[0].shape[1] == 1
        logits = all_logits(load_model(folder / "model.pt"), Split.of(*arrays, "cpu"))
        labels, predicted = arrays[2], logits.argmax(axis=1)
        row = curve[(curve["seed"] == seed) & (curve["k"] == 0)].iloc[0]
        assert row["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
        assert row["top_5_accuracy"] == pytest.approx(sk.top_k_accuracy_score(labels, logits, k=5))
        assert row["balanced_accuracy"] > 0.5, "the network has learned something"
        own = recalls.query(f"seed == {seed} and k == 0 and criterion == 'mean_activation' and repair == 'none'")
        assert own["recall"].tolist() == pytest.approx(sk.recall_score(labels, predicted, average=None), abs=1e-6)
        assert own["answers"].tolist() == pytest.approx(np.bincount(predicted, minlength=10) / 150, abs=1e-6)


def test_every_curve_has_a_row_per_class(of_classes):
    curve, recalls = (read_table(of_classes.path(name)) for name in ("curve.csv", "class_recall.csv"))
    assert len(recalls) == 10 * len(curve) == 10 * 2 * 2 * 8 * 2, "as it is, and repaired"
    keys = ["seed", "criterion", "removal", "repair", "k"]
    found = recalls.groupby(keys)["recall"].mean()
    expected = curve.set_index(keys)["balanced_accuracy"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False, atol=1e-6)


def test_the_verification_compares_the_counts_of_every_class(of_classes):
    rows = read_table(of_classes.path("seed0/conv3/verification.csv"))
    assert rows["agrees"].all() and set(rows["removal"]) == {"structural", "zero_weights"}
    for name in ("correct_0", "predicted_9", "top_5_accuracy", "auroc", "log_loss"):
        assert {f"{name}_sweep", f"{name}_surgery"} <= set(rows)


def test_texts_and_tables_are_about_images(of_classes):
    summary, shape = (of_classes.path(f"{name}.txt").read_text() for name in ("summary", "shape"))
    assert "digits, conv3, test images, K = 0 to 7." in summary and "pairs" not in summary + shape
    assert re.search(r"Always the largest class:  accuracy 0\.1\d\d, balanced accuracy 0\.100", summary)
    assert max(map(len, summary.splitlines())) <= 100
    assert "(one of 10 classes)" in shape
    history = read_table(of_classes.path("seed0/training.csv"))
    assert (history["constant"] == 0.1).all() and not [name for name in history if "recall" in name]


def test_pairs_in_the_same_folder_would_replace_the_study(of_classes):
    output = of_classes.run("-n", "--config", "task=pairs").stdout
    assert "task: classes; asked for: pairs" in output


def test_the_archive_holds_the_recalls_and_is_drawn(of_classes):
    of_classes.run("archive")
    files = json.loads((of_classes.folder / "archive" / "digits" / "manifest.json").read_text())["files"]
    assert {"class_recall.csv", "shape.csv"} <= set(files)
    names = ("class_accuracy_vs_k", "shape", "accuracy_vs_k")
    of_classes.run(*(f"results/archive/digits/figures/{name}.png" for name in names), "--config", "archive=digits")
    for name in (f"figures/{name}.{ending}" for name in names for ending in ("png", "svg")):
        drawn = of_classes.folder / "results" / "archive" / "digits" / name
        assert drawn.read_bytes() == of_classes.path(name).read_bytes(), name
