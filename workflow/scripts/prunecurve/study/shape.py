"""Why a curve looks as it does at large K: where a network gives one answer to every pair, and how metrics react.

Nine of ten pairs are different. A network that answers *different* to every pair has an accuracy of 0.90, one that
answers *same* to every pair 0.10, and neither distinguishes any pairs: balanced accuracy is 0.5 for both.
"""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd

from prunecurve.study.statistics import constant_accuracy, normalised_area

# An answer counts as constant if at least this share of the pairs gets it.
CONSTANT = 0.99
CONSTANT_TEXT = f"{CONSTANT:.0%}".replace("%", " %")
# A class counts as lost where its recall is below.
LOST = 0.5
NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
METRICS = tuple(NAMES)
NETWORK = ["dataset", "seed", "layer", "criterion", "removal"]


def answers(predicted_same: pd.Series) -> np.ndarray:
    """The answer of a network at each K: `same` or `different` if it is constant (CONSTANT), else `mixed`."""
    return np.select([predicted_same >= CONSTANT, predicted_same <= 1 - CONSTANT], ["same", "different"], "mixed")


def flips(k: np.ndarray, predicted_same: np.ndarray) -> list[tuple[int, str]]:
    """The K at which the more frequent answer changes, and the new answer."""
    same = predicted_same > 0.5
    return [(int(k[i]), "same" if same[i] else "different") for i in np.flatnonzero(same[1:] != same[:-1]) + 1]


def constant_runs(k: np.ndarray, answer: np.ndarray) -> list[tuple[int, int, str]]:
    """The ranges of K, first and last, with a constant answer, and that answer."""
    starts = np.flatnonzero(np.append(True, answer[1:] != answer[:-1]))
    ends = np.append(starts[1:], len(answer)) - 1
    return [(int(k[i]), int(k[j]), str(answer[i])) for i, j in zip(starts, ends) if answer[i] != "mixed"]


def first_lost(lost_at: Mapping[str, float]) -> str:
    """The class with the smaller K; `both` if they are equal, `none` if both are NaN."""
    same, different = (np.inf if np.isnan(lost_at[name]) else lost_at[name] for name in ("same", "different"))
    if same == different:
        return "none" if np.isinf(same) else "both"
    return "same" if same < different else "different"


def facts(curve: pd.DataFrame) -> dict[str, object]:
    """What happens along one network's curve, which has one row per K in rising order.

    flips: how often the more frequent answer changes; flipped_at: where (`93 same, 110 different`). constant_at: the
    ranges of K with a constant answer (`97-99 same`); ends: the answer at the largest K; constant_from: the K from
    which the answer stays constant up to the largest K. lost_first: the class whose recall is the first to fall below
    LOST, with the K of both. gap_k: where AUROC exceeds balanced accuracy most (the scores still order the pairs, the
    threshold is off), with the metrics there and at the largest K.
    """
    k = curve["k"].to_numpy()
    changed = flips(k, curve["predicted_same_rate"].to_numpy())
    answer = answers(curve["predicted_same_rate"])
    runs = constant_runs(k, answer)
    lost = {name: k[(curve[f"recall_{name}"] < LOST).to_numpy()] for name in ("same", "different")}
    lost_at = {name: float(at[0]) if len(at) else np.nan for name, at in lost.items()}
    gap = int((curve["auroc"] - curve["balanced_accuracy"]).to_numpy().argmax())
    return {
        "flips": len(changed),
        "flipped_at": ", ".join(f"{at} {to}" for at, to in changed),
        "constant_at": ", ".join(f"{first}-{last} {what}" for first, last, what in runs),
        "ends": answer[-1],
        "constant_from": np.nan if answer[-1] == "mixed" else runs[-1][0],
        "lost_first": first_lost(lost_at),
        **{f"lost_{name}_at": at for name, at in lost_at.items()},
        "gap_k": int(k[gap]),
        **{f"gap_{metric}": curve[metric].iloc[gap] for metric in METRICS},
        **{f"last_{metric}": curve[metric].iloc[-1] for metric in METRICS},
    }


def table(curve: pd.DataFrame) -> pd.DataFrame:
    """One row of `facts` per network, ranking and removal of a curve.csv."""
    return pd.DataFrame(
        dict(zip(NETWORK, names)) | facts(one.sort_values("k")) for names, one in curve.groupby(NETWORK, sort=False)
    )


def short_lines(curve: pd.DataFrame) -> list[str]:
    """One line per removal: what the networks of one criterion answer at the largest K, and their mean metrics."""
    return [
        f"{_words(removal).capitalize()}, K = {curve['k'].max()}: {_ends(networks)}; mean {_means(networks)}."
        for removal, networks in table(curve).groupby("removal", sort=False)
    ]


def explanation(curve: pd.DataFrame) -> str:
    """A text about one criterion's curves, generated from their numbers: for each removal its sentences as a list."""
    first, networks, areas = curve.iloc[0], table(curve), _areas(curve)
    constant = constant_accuracy(curve).mean()
    text = [
        _wrapped(
            f"Why the curves look as they do at large K: {first['dataset']}, {first['layer']}, channels in the order "
            f"of {_words(first['criterion'])}, {_networks(curve['seed'].nunique())}."
        ),
        _wrapped(
            f"A network that answers “different” to every pair has accuracy {constant:.2f}, one that answers “same” "
            f"{1 - constant:.2f}; both have balanced accuracy 0.50."
        ),
    ]
    for removal, of_removal in networks.groupby("removal", sort=False):
        sentences = _sentences(of_removal, int(curve["k"].max())) + _minus_structural(areas, removal)
        text.append("\n".join([_words(removal).capitalize(), *(_wrapped(f"- {sentence}") for sentence in sentences)]))
    return "\n\n".join(text) + "\n"


def _sentences(networks: pd.DataFrame, last: int) -> list[str]:
    """The explanation of one removal from its rows of `table`; last: the largest K."""
    n, shown = len(networks), networks.iloc[0]
    constant, flipped = networks[networks["ends"] != "mixed"], networks[networks["flips"] > 0]
    sentences = [f"At K = {last}, {_ends(networks)}; mean {_means(networks)}."]
    if len(constant):
        since = _span(constant["constant_from"])
        depending = ", depending on the network," if " to " in since else ""
        sentences.append(f"From K = {since} on{depending} this answer goes to {CONSTANT_TEXT} or more of the pairs.")
    lost = [f"{what} in {len(group)} of {n}" for what, group in networks.groupby("lost_first", sort=False)]
    sentences.append(f"The first class whose recall falls below one half: {', '.join(lost)}.")
    if len(flipped):
        firsts = flipped["flipped_at"].str.extract(r"^(\d+)", expand=False).astype(int)
        sentences.append(f"The more frequent answer changes in {len(flipped)} of {n}, first at K = {_span(firsts)}.")
    if shown["gap_auroc"] > shown["gap_balanced_accuracy"]:
        metrics = ", ".join(f"{NAMES[metric]} {shown[f'gap_{metric}']:.2f}" for metric in reversed(METRICS))
        sentences.append(
            f"In the network of seed {shown['seed']}, AUROC exceeds balanced accuracy most at K = {shown['gap_k']} "
            f"({metrics}): the scores order the pairs better than the answers do."
        )
    return sentences


def _ends(networks: pd.DataFrame) -> str:
    """How many networks give which answer at the largest K: `3 of 5 networks answer “same”, 2 of 5 both`."""
    n, counts = len(networks), networks["ends"].value_counts(sort=False)
    (count, answer), *others = [(c, "both" if end == "mixed" else f"“{end}”") for end, c in counts.items()]
    if n == 1:
        return "the network gives both answers" if answer == "both" else f"the network answers {answer}"
    return ", ".join([f"{count} of {n} networks answer {answer}", *(f"{c} of {n} {end}" for c, end in others)])


def _networks(count: int) -> str:
    return f"{count} networks (seeds)" if count > 1 else "one network (seed)"


def _means(networks: pd.DataFrame) -> str:
    return ", ".join(f"{NAMES[metric]} {networks[f'last_{metric}'].mean():.2f}" for metric in METRICS)


def _areas(curve: pd.DataFrame) -> pd.DataFrame:
    """The area under each metric, one row per removal, the mean over networks."""
    curves = curve.sort_values("k").groupby(["removal", "seed"])
    return (
        pd.DataFrame(
            {m: curves.apply(lambda c, m=m: normalised_area(c["k"].to_numpy(), c[m].to_numpy())) for m in METRICS}
        )
        .groupby("removal")
        .mean()
    )


def _minus_structural(areas: pd.DataFrame, removal: str) -> list[str]:
    if removal == "structural" or "structural" not in areas.index:
        return []
    more = areas.loc[removal] - areas.loc["structural"]
    metrics = ", ".join(f"{NAMES[metric]} {more[metric]:+.3f}".replace("-", "−") for metric in METRICS)
    return [f"Mean area under the curve, minus that of structural removal: {metrics}."]


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="  " if text.startswith("- ") else "")


def _words(name: str) -> str:
    return name.replace("_", " ")
