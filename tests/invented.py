"""Invented studies: of `pairs` with random metrics, and of `classes`, where one class after the other is lost."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from prunecurve.data.tasks import metrics_of
from prunecurve.sweep.removal import REPAIRS
from prunecurve.tables import as_text
from prunecurve.statistics.curves import class_recall, without_class_counts

INPUTS = 12
# Of retrainings.
EPOCHS = (0.0, 0.25, 1.0, 3.0)


def variants(removals: Sequence[str], repairs: Sequence[str]) -> list[tuple[str, str]]:
    """Return each removal with each of its repairs; only structural removal has others than none."""
    return [(each, repair) for each in removals for repair in (repairs if each == "structural" else ("none",))]


def study_of_pairs(
    orders: Sequence[str],
    removals: Sequence[str] = ("structural",),
    seeds: int = 3,
    ks: int = 9,
    repairs: Sequence[str] = ("none",),
) -> pd.DataFrame:
    """Return a curve.csv with random metrics; nine of ten pairs are different. repairs: of structural removal."""
    rng = np.random.default_rng(3)
    levels = {"variant": variants(removals, repairs), "criterion": orders, "seed": range(seeds), "k": range(ks)}
    table = pd.MultiIndex.from_product(levels.values(), names=levels.keys()).to_frame(index=False)
    table[["removal", "repair"]] = table.pop("variant").tolist()
    metrics = {name: rng.random(len(table)) for name in metrics_of("pairs").METRICS}
    metrics |= {"mcc": rng.uniform(-1, 1, len(table)), "log_loss": rng.exponential(size=len(table))}
    left = ks - table["k"]
    sizes = {"channels_left": left, "params": 2 * left, "macs": 3 * left}
    ratios = {"compression_ratio": ks / left, "theoretical_speedup": ks / left}
    # The counts are used only for the share of same pairs.
    counts = {"tp": 5, "fn": 5, "fp": 20, "tn": 70}
    return table.assign(dataset="digits", layer="conv3", **sizes, **metrics, **counts, **ratios)


def retrained(seeds: int = 4, ks=(2, 5), criteria=("apoz", "l1_norm", "greedy", "random")) -> pd.DataFrame:
    """A recovery.csv with invented numbers."""
    rng, rows = np.random.default_rng(0), []
    orders = [(name, name) for name in criteria if name != "random"] + [("random", f"random-{i}") for i in (1, 2)]

    def row(seed, k, start, epochs, criterion, order):
        return {
            **{"dataset": "digits", "seed": seed, "layer": "conv3", "criterion": criterion, "order": order, "k": k},
            **{"channels_left": 8 - k, "start": start, "epochs": epochs, "learning_rate": 0.1 if epochs else np.nan},
            # Coarse numbers have ties.
            **{
                "accuracy": rng.random(),
                "balanced_accuracy": round(rng.uniform(0.5, 1) * 20) / 20,
                "tp": 5,
                "fn": 5,
                "fp": 20,
            },
            **{"tn": 70, "params": 10 - k, "macs": 90 - k},
        }

    for seed in range(seeds):
        for k, (criterion, order), start, epochs in itertools.product(ks, orders, ("none", "refit_bias"), EPOCHS):
            rows.append(row(seed, k, start, epochs, criterion, order))
        for k, (start, epochs) in itertools.product(ks, (("scratch", 8), ("scratch_same_compute", 9 + 1 / 3))):
            rows.append(row(seed, k, start, epochs, "scratch", "scratch"))
        rows += [row(seed, 0, "none", epochs, "unpruned", "unpruned") for epochs in EPOCHS]
    return pd.DataFrame(rows)


def names_of(count: int) -> list[str]:
    """Names of different lengths, some of which look like numbers or missing values."""
    return [
        str(c) if c % 2 else ["NA", "a very long name of a class", "owl", "007"][c // 2 % 4] + f" {c}"
        for c in range(count)
    ]


def logits_of(rng: np.random.Generator, count: int, labels: np.ndarray, left: float, ends: int) -> np.ndarray:
    """Return the logits of a network with this share of its channels: classes with a high number are lost first."""
    strength = np.clip(6 * left - 4 * np.arange(count) / count, 0, None)
    logits = rng.normal(size=(len(labels), count))
    logits[np.arange(len(labels)), labels] += strength[labels]
    logits[:, ends] += 9 * np.clip(0.45 - left, 0, None)
    return logits


def study(
    count: int,
    removals: tuple[str, ...] = ("structural",),
    orders: tuple[str, ...] = ("mean_activation", "l1_norm", "random-1", "random-2"),
    seeds: int = 3,
    ks: int = 16,
    repairs: tuple[str, ...] = ("none",),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return curve.csv and class_recall.csv of a study with `count` classes; a repair makes the logits clearer."""
    labels, rows = np.repeat(np.arange(count), INPUTS), []
    for removal, repair in variants(removals, repairs):
        clearer = 1 - 0.2 * REPAIRS.index(repair)
        for place, criterion in enumerate(orders):
            for seed in range(seeds):
                rng = np.random.default_rng([place, seed])
                for k in range(ks):
                    left = (1 - k / ks) ** ((1 + place / 2) * clearer)
                    logits = logits_of(rng, count, labels, left, 3 * seed % count)
                    metrics = metrics_of("classes").measure(logits, labels)
                    row = {"dataset": "digits", "seed": seed, "layer": "conv3", "criterion": criterion}
                    row |= {"removal": removal, "repair": repair, "k": k, "channels_left": ks - k, **metrics}
                    row |= {"params": ks - k, "macs": ks - k}
                    rows.append(row | {"compression_ratio": ks / (ks - k), "theoretical_speedup": ks / (ks - k)})
    text = pd.DataFrame([{name: as_text(value) for name, value in row.items()} for row in rows])
    inputs = {str(seed): np.bincount(labels) for seed in range(seeds)}
    recalls = class_recall(text, inputs, names_of(count)).astype({"seed": int, "k": int})
    return pd.DataFrame(rows)[list(without_class_counts(text))], recalls
