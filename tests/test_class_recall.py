"""The recall of each class in a table of its own: computed from exact counts, left out of the curve."""

import aggregate
import numpy as np
import pandas as pd
import pytest
from prunecurve.arrays import save_array
from prunecurve.tables import write_rows
from prunecurve.statistics.curves import class_recall
from prunecurve.statistics.means import read_table

NAMES = ["1", "NA", "a, b"]


def rows_of(seed: int, repair: str = "none") -> list[dict[str, object]]:
    """Return the rows of two K: with all right, and with one answer for all three classes."""
    one = {
        "dataset": "d",
        "seed": seed,
        "layer": "conv3",
        "criterion": "apoz",
        "removal": "structural",
        "repair": repair,
    }
    counts = {0: ([4, 2, 3], [4, 2, 3]), 1: ([0, 2, 0], [0, 9, 0])}
    return [
        one
        | {"k": k, "accuracy": sum(correct) / 9}
        | {f"correct_{c}": n for c, n in enumerate(correct)}
        | {f"predicted_{c}": n for c, n in enumerate(answers)}
        for k, (correct, answers) in counts.items()
    ]


def test_the_script_writes_the_table_and_leaves_the_counts_out_of_the_curve(tmp_path):
    write_rows(tmp_path / "classes.csv", [{"class": c, "name": name, "images": 9} for c, name in enumerate(NAMES)])
    for seed in (0, 1):
        save_array(tmp_path / f"labels{seed}.npy", np.repeat([0, 1, 2], [4, 2, 3]))
        write_rows(tmp_path / f"{seed}-apoz-structural-all.csv", rows_of(seed))
    words = ["--rows", str(tmp_path / "{seed}-{criterion}-{removal}-{ks}.csv"), "--seeds", "0", "1"]
    words += ["--criteria", "apoz", "--removals", "structural", "--ks", "all=0,1"]
    words += ["--classes", str(tmp_path / "classes.csv"), str(tmp_path / "labels{seed}.npy")]
    words += ["--task", "classes", "--curve", str(tmp_path / "curve.csv")]
    words += ["--recalls", str(tmp_path / "class_recall.csv")]
    aggregate.work(aggregate.options().parse_args(words))
    curve, recalls = (read_table(tmp_path / name) for name in ("curve.csv", "class_recall.csv"))
    assert (
        list(curve) == ["dataset", "seed", "layer", "criterion", "removal", "repair", "k", "accuracy"]
        and len(curve) == 4
    )
    assert list(recalls) == [
        "seed",
        "criterion",
        "removal",
        "repair",
        "k",
        "class",
        "name",
        "inputs",
        "recall",
        "answers",
    ]
    assert recalls["name"].tolist() == NAMES * 4 and recalls["inputs"].tolist() == [4, 2, 3] * 4
    last = recalls[(recalls["seed"] == 1) & (recalls["k"] == 1)]
    assert (last["recall"].tolist(), last["answers"].tolist()) == ([0, 1, 0], [0, 1, 0])
    assert recalls["answers"].iloc[:3].tolist() == pytest.approx([4 / 9, 2 / 9, 3 / 9], abs=1e-6)


def test_the_files_of_a_repair_have_its_name_and_their_rows_its_column(tmp_path):
    # A job repairs all K; without repairs, the study has a job for all of them here, too.
    for repair, name in (("none", "structural-all"), ("refit_bias", "structural+refit_bias-0-1")):
        write_rows(tmp_path / f"0-apoz-{name}.csv", rows_of(0, repair))
    words = ["--rows", str(tmp_path / "{seed}-{criterion}-{removal}-{ks}.csv"), "--seeds", "0", "--criteria", "apoz"]
    words += ["--removals", "structural", "structural+refit_bias", "--ks", "all=0,1"]
    aggregate.work(aggregate.options().parse_args([*words, "--curve", str(tmp_path / "curve.csv")]))
    curve = read_table(tmp_path / "curve.csv")
    assert curve["repair"].tolist() == ["none"] * 2 + ["refit_bias"] * 2 and set(curve["removal"]) == {"structural"}


def test_counts_can_be_computed_from_the_rounded_shares():
    rng, inputs = np.random.default_rng(0), np.array([99_991, 77_777])
    correct = rng.integers(0, inputs)
    row = {"seed": "0", "criterion": "c", "removal": "r", "repair": "none", "k": "0"}
    row |= {f"correct_{c}": str(n) for c, n in enumerate(correct)} | {"predicted_0": "99991", "predicted_1": "77777"}
    table = class_recall(pd.DataFrame([row]), {"0": inputs}, ["a", "b"])
    assert np.rint(table["recall"] * table["inputs"]).tolist() == correct.tolist()
