"""The description of the curves' shape, tested on constructed curves."""

import explain_shape
import numpy as np
import pandas as pd
import pytest
from prunecurve.tables import write_rows
from prunecurve.statistics.shape import explanation, shape_table, short_lines, with_answers


def curve(predicted_same, recall_same, auroc=None, share_same=0.1) -> pd.DataFrame:
    """Return a network's curve from the share predicted same and the recall of same, which determine the rest."""
    predicted, same = np.array(predicted_same, float), np.array(recall_same, float)
    different = 1 - (predicted - share_same * same) / (1 - share_same)
    one = {"dataset": "d", "seed": 0, "layer": "conv3", "criterion": "apoz", "removal": "structural", "repair": "none"}
    return pd.DataFrame(
        one
        | {"k": range(len(predicted))}
        | {"predicted_same_rate": predicted, "recall_same": same, "recall_different": different}
        | {"accuracy": share_same * same + (1 - share_same) * different, "balanced_accuracy": (same + different) / 2}
        | {"auroc": np.full(len(predicted), 0.9) if auroc is None else auroc}
    )


def facts(curve: pd.DataFrame) -> dict[str, object]:
    """Return the facts of one network."""
    return shape_table(curve).iloc[0].to_dict()


def test_a_network_that_ends_in_always_same():
    result = facts(
        curve([0.1, 0.1, 0.7, 0.995, 0.6, 1, 1], [0.9, 0.9, 0.9, 1, 0.9, 1, 1], [0.99, 0.99, 0.98, 0.9, 0.9, 0.9, 0.5])
    )
    assert (result["flips"], result["flipped_at"]) == (1, "2 same")
    assert (result["ends"], result["constant_from"], result["constant_at"]) == ("same", 5, "3-3 same, 5-6 same")
    assert (result["lost_first"], result["lost_different_at"]) == ("different", 2)
    assert np.isnan(result["lost_same_at"])
    assert (result["gap_k"], result["gap_auroc"], result["gap_balanced_accuracy"]) == (5, 0.9, pytest.approx(0.5))
    assert (result["last_accuracy"], result["last_auroc"]) == (pytest.approx(0.1), 0.5)
    rates = [1.0, 0.99, 0.98, 0.5, 0.02, 0.01, 0.0]
    assert with_answers(curve(rates, rates))["answer"].tolist() == ["same"] * 3 + ["different"] * 4
    assert facts(curve(rates, rates))["constant_at"] == "0-1 same, 5-6 different"


def test_a_network_that_ends_in_always_different_or_in_both_answers():
    result = facts(curve([0.1, 0.05, 0.0, 0.0], [0.9, 0.45, 0, 0]))
    assert (result["flips"], result["flipped_at"], result["ends"], result["constant_from"]) == (0, "", "different", 2)
    assert (result["lost_first"], result["lost_same_at"]) == ("same", 1)
    result = facts(curve([0.1, 0.2, 0.1], [0.9, 0.9, 0.8]))
    assert (result["ends"], result["lost_first"]) == ("mixed", "none") and np.isnan(result["constant_from"])
    assert facts(curve([0.1, 0.7], [0.9, 0.4]))["lost_first"] == "both"
    assert facts(curve([1, 1], [1, 1]))["constant_from"] == 0


def test_one_row_per_network_ranking_and_removal():
    one = curve([0.1, 1.0], [0.9, 1])
    result = shape_table(
        pd.concat([one, one.assign(seed=1), one.assign(removal="zero_weights")]).sample(frac=1, random_state=0)
    )
    assert len(result) == 3
    assert (result["flipped_at"] == "1 same").all()


def three_networks() -> pd.DataFrame:
    """Two networks that always answer same from K = 2 and 3 on, and one that gives both answers.

    The expected numbers are computed by hand.
    """
    same_rate = {0: [0.1, 0.6, 1.0, 1.0, 1.0], 1: [0.1, 0.2, 0.7, 1.0, 1.0], 2: [0.1, 0.1, 0.1, 0.2, 0.3]}
    recalls = {0: [0.9, 0.9, 1, 1, 1], 1: [0.9, 0.9, 0.9, 1, 1], 2: [0.9, 0.6, 0.4, 0.4, 0.4]}
    rows = []
    for removal, auroc in (("structural", 0.9), ("zero_weights", 0.4)):
        for seed, rates in same_rate.items():
            for k, (rate, same) in enumerate(zip(rates, recalls[seed])):
                different = 1 - (rate - 0.1 * same) / 0.9
                better = 0.1 if removal == "zero_weights" else 0
                rows.append(
                    {
                        "dataset": "d",
                        "layer": "conv3",
                        "criterion": "apoz",
                        "removal": removal,
                        "repair": "none",
                        "seed": seed,
                        "k": k,
                    }
                    | {"predicted_same_rate": rate, "recall_same": same, "recall_different": different}
                    | {"accuracy": 0.1 * same + 0.9 * different + better, "auroc": auroc}
                    | {"balanced_accuracy": (same + different) / 2, "tp": 5, "fn": 5, "fp": 20, "tn": 70}
                )
    return pd.DataFrame(rows)


def test_the_explanation_is_generated_from_the_numbers():
    text = explanation(three_networks())
    assert max(map(len, text.splitlines())) <= 100
    first, constant, structural, zeroed = " ".join(text.split()).replace(" Zero weights -", "\n").replace(
        " Structural -", "\n").replace(" A network", "\nA network").split("\n")  # fmt: skip
    assert "channels in the order of apoz, 3 networks (seeds)" in first
    assert "“different” to every pair has accuracy 0.90, one that answers “same” 0.10" in constant
    assert "At K = 4, 2 of 3 networks answer “same”, 1 of 3 both; mean accuracy" in structural
    assert "From K = 2 to 3 on, depending on the network, this answer goes to 99 % or more" in structural
    assert "whose recall falls below one half: different in 2 of 3, same in 1 of 3." in structural
    assert "The more frequent answer changes in 2 of 3, first at K = 1 to 2." in structural
    assert "In the network of seed 0, AUROC exceeds balanced accuracy most at K = 2" in structural
    assert "(AUROC 0.90, balanced accuracy 0.50, accuracy 0.10)" in structural
    assert "minus that of structural" not in structural
    # If AUROC is never higher, it is not mentioned. The area differs by the 0.1 that was added.
    assert "exceeds" not in zeroed
    assert "minus that of structural removal: accuracy +0.100, balanced accuracy +0.000, AUROC −0.500." in zeroed
    short, _ = short_lines(three_networks())
    assert short.startswith("Structural, K = 4: 2 of 3 networks answer “same”, 1 of 3 both; mean accuracy 0.")


def test_the_script_writes_the_text(tmp_path):
    rows = three_networks()
    for (seed, removal), one in rows.groupby(["seed", "removal"]):
        write_rows(tmp_path / f"{seed}-apoz-{removal}-all.csv", one.to_dict("records"))
    # The study has rows of a repair too; only those without are shown.
    refitted = rows[rows["removal"] == "structural"].assign(repair="refit", accuracy=0.5)
    pd.concat([rows, refitted]).to_csv(tmp_path / "curve.csv", index=False)
    words = ["--curve", str(tmp_path / "curve.csv"), "--rows", str(tmp_path / "{seed}-{criterion}-{removal}-{ks}.csv")]
    words += ["--seeds", "0", "1", "2", "--criteria", "apoz", "--removals", "structural", "zero_weights"]
    words += ["--ks", "all=0,1,2,3,4"]
    words += [f"--{name}={tmp_path / name}" for name in ("shown", "table", "text")]
    explain_shape.work(explain_shape.options().parse_args(words))
    assert (tmp_path / "text").read_text(encoding="utf-8") == explanation(rows)
    assert pd.read_csv(tmp_path / "table")["repair"].tolist() == ["none"] * 6 + ["refit"] * 3


def four_classes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A network of four classes that ends with the class `NA`: its curve and class_recall.csv, computed by hand."""
    share, answer = [0.3, 0.4, 0.6, 0.99, 1.0], [0, 2, 3, 1, 1]
    recalls = {"a": [1, 0.9, 0.4, 0, 0], "NA": [1, 1, 1, 1, 1], "3": [1, 0.8, 0.6, 0.2, 0], "007": [1, 0.4, 1, 0, 0]}
    one = {"seed": 0, "criterion": "apoz", "removal": "structural", "repair": "none"}
    rows = pd.DataFrame(one | {"dataset": "d", "layer": "conv3", "k": range(5)})
    rows = rows.assign(most_frequent_answer=answer, most_frequent_share=share, constant_accuracy=0.3)
    rows = rows.assign(
        constant_balanced_accuracy=0.25, accuracy=0.5, auroc=0.9, balanced_accuracy=[1, 0.8, 0.75, 0.3, 0.25]
    )
    parts = [pd.DataFrame(one | {"k": range(5), "name": name, "recall": each}) for name, each in recalls.items()]
    return rows, pd.concat(parts)


CLASS_NAMES = ("a", "NA", "3", "007")


def test_the_shape_of_many_classes():
    rows, recalls = four_classes()
    found = shape_table(rows, "classes", CLASS_NAMES, recalls).iloc[0].to_dict()
    # At K = 0 and 1 no class has the majority of the answers.
    assert (found["flips"], found["flipped_at"]) == (1, "3 NA")
    assert (found["ends"], found["constant_from"], found["constant_at"]) == ("NA", 3, "3-4 NA")
    assert (found["lost_first"], found["lost_first_at"], found["classes_lost"]) == ("007", 1, 3)
    text = " ".join(explanation(with_answers(rows, "classes", CLASS_NAMES), "classes", recalls).split())
    assert "the same answer has balanced accuracy 0.250 (one of 4 classes) and at most accuracy 0.300" in text
    assert "At K = 4, the network answers “NA”; mean accuracy 0.50" in text
    assert "From K = 3 on this answer goes to 99 % or more of the images." in text
    assert "falls below one half: 007 in 1 of 1. - Classes whose recall falls below one half at some K: 3." in text
    assert "the scores order the images better" in text


def test_more_answers_than_fit_in_a_sentence_are_counted():
    rows, _ = four_classes()
    ends = [rows.assign(seed=seed, most_frequent_answer=answer) for seed, answer in enumerate((0, 1, 2, 2, 3))]
    mixed = rows.assign(seed=9, most_frequent_share=0.5)
    (line,) = short_lines(with_answers(pd.concat([*ends, mixed]), "classes", CLASS_NAMES), "classes")
    assert "K = 4: 2 of 6 networks answer “3”, 1 of 6 “a”, 1 of 6 “NA”, 2 others; mean" in line
    (line,) = short_lines(with_answers(mixed, "classes", CLASS_NAMES), "classes")
    assert "K = 4: the network gives several answers; mean" in line


def test_two_classes_lost_at_once_are_several():
    rows, recalls = four_classes()
    recalls = recalls.assign(recall=recalls["recall"].where(recalls["k"] == 0, 0.1))
    assert shape_table(rows, "classes", CLASS_NAMES, recalls)["lost_first"].tolist() == ["several"]
