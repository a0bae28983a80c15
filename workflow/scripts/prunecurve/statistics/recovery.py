"""What retraining adds: means over networks, and whether numbers before retraining predict those after it."""

import itertools
from typing import TypeAlias

import pandas as pd

from prunecurve.data import tasks
from prunecurve.naming import BASELINES, shortened
from prunecurve.statistics.comparisons import LEVEL, corrected, difference
from prunecurve.statistics.means import SIZES, over_networks
from prunecurve.statistics.text import REPAIRS, means_over, networks_text, number
from prunecurve.text import text_table, wrapped

METRIC = "balanced_accuracy"
# The starts of retrainings, and the networks that are trained from scratch, as in texts and figures.
STARTS = {"none": REPAIRS["none"], "refit_bias": "repaired"}
SCRATCH = {"scratch": "from scratch, same epochs", "scratch_same_compute": "from scratch, same compute"}
GROUP = ["dataset", "layer", "criterion", "k", "channels_left", "start", "epochs"]
# Two trainings whose orders of the criteria are compared.
PAIR = ["start", "epochs", "other_start", "other_epochs"]
RANDOM = BASELINES[0]
UNPRUNED = "unpruned"
# A start and a number of epochs.
State: TypeAlias = tuple[str, float]
# A mean over draws can equal another criterion's value, apart from the rounding of sums.
DECIMALS = 12
# A longer name of a criterion is cut.
NAME_WIDTH = 24


def recovery_table(recovery: pd.DataFrame, task: str = tasks.DEFAULT) -> pd.DataFrame:
    """Return one row per criterion, K, start and number of epochs of a recovery.csv, in its order: means over networks.

    Columns: GROUP; seeds (networks) and draws (orders of each network, averaged before anything else); learning_rate;
    NAME_mean, NAME_low and NAME_high (95 % Student t) of each metric of the task; its `constants`; params and macs.
    """
    metrics = tasks.metrics_of(task)
    constants = metrics.constants(recovery)
    rows = recovery.assign(**constants)
    group = rows.groupby(GROUP, sort=False)
    counts = pd.DataFrame({"seeds": group["seed"].nunique(), "draws": group["order"].nunique()})
    means = over_networks(rows, GROUP, {name: ends for name, ends in metrics.METRICS.items() if name in rows})
    others = [group[["learning_rate"]].first(), means, group[list(constants)].mean(), group[SIZES[:2]].first()]
    return pd.concat([counts, *others], axis=1).reset_index()


def scores(recovery: pd.DataFrame) -> pd.DataFrame:
    """Return balanced accuracy by seed, K and criterion (rows), and by start and epochs (columns): means over draws."""
    rows = recovery[recovery["start"].isin(list(STARTS)) & (recovery["criterion"] != UNPRUNED)]
    keys = ["seed", "k", "criterion", "start", "epochs"]
    means = rows.groupby(keys, sort=False)[METRIC].mean().unstack(["start", "epochs"])
    # In the config's order of criteria, which the table has.
    return means.round(DECIMALS).sort_index(axis=1).reindex(list(rows["criterion"].unique()), level="criterion")


def _pairs(states: list[State]) -> list[tuple[State, State]]:
    """Return the states that are compared: before retraining with all others, and both starts after equal epochs."""
    before = [state for state in states if state[1] == 0]
    pairs = [(state, other) for state in before for other in states if other not in before[: before.index(state) + 1]]
    return pairs + [pair for pair in itertools.combinations(states, 2) if pair[0][1] == pair[1][1] > 0]


def agreement(recovery: pd.DataFrame) -> pd.DataFrame:
    """Return Kendall's τ_b between two orders of the criteria by balanced accuracy: over networks, for each K.

    Columns: PAIR; criteria, how many there are; k, empty in the rows about the mean over K; ks, the number of K;
    tau_mean, tau_low, tau_high (95 % Student t). τ is not defined in a network where all criteria are equal: it then
    has no mean at this K, which is left out of the mean over K. Without rows for fewer than two criteria.
    """
    from scipy.stats import kendalltau

    table, rows, keys = scores(recovery), [], [*PAIR, "criteria"]
    columns = [*keys, "k", "ks", "tau_mean", "tau_low", "tau_high"]
    if table.index.get_level_values("criterion").nunique() < 2:
        return pd.DataFrame(columns=columns)
    for (seed, k), of_criteria in table.groupby(level=["seed", "k"]):
        for state, other in _pairs(list(table)):
            tau = kendalltau(of_criteria[state], of_criteria[other]).statistic
            rows.append(
                {"seed": seed, "k": k, **dict(zip(PAIR, (*state, *other))), "criteria": len(of_criteria), "tau": tau}
            )
    taus = pd.DataFrame(rows)
    by_k = over_networks(taus, [*keys, "k"], {"tau": (-1, 1)}).reset_index().assign(ks=1)
    defined = taus[taus.groupby([*keys, "k"])["tau"].transform("count") == taus["seed"].nunique()]
    over_k = over_networks(defined, keys, {"tau": (-1, 1)})
    over_k = over_k.assign(ks=defined.groupby(keys, sort=False)["k"].nunique()).reset_index()
    return pd.concat([by_k, over_k]).reindex(columns=columns).astype({"k": "Int64"})


def against_random(recovery: pd.DataFrame) -> pd.DataFrame:
    """Return one row per start, number of epochs and criterion: its mean over K minus that of random, as of `paired`.

    p_holm is corrected for all comparisons of the table. Without rows if the study has no random order.
    """
    means = scores(recovery).groupby(level=["seed", "criterion"], sort=False).mean().unstack("seed")
    criteria = list(means.index)
    columns = ["quantity", "start", "epochs", "criterion", "baseline"]
    rows = [
        {
            **dict(zip(columns, (METRIC, *state, criterion, RANDOM))),
            **difference((means.loc[criterion] - means.loc[RANDOM])[state]),
        }
        for state in scores(recovery)
        for criterion in criteria
        if RANDOM in criteria and criterion != RANDOM
    ]
    return corrected(pd.DataFrame(rows), ["start", "epochs"]) if rows else pd.DataFrame(columns=[*columns, "p_holm"])


# ---- the text


def epochs_text(epochs: float) -> str:
    """Return a number of epochs: `1/4`, `4`."""
    return "1/4" if epochs == 0.25 else f"{epochs:g}"


def state_text(start: str, epochs: float) -> str:
    """Return a start and the epochs of its retraining: `repaired, 1/4 epochs`."""
    return STARTS[start] + (f", {epochs_text(epochs)} epoch{'' if epochs == 1 else 's'}" if epochs else "")


def recovery_text(
    recovery: pd.DataFrame, rates: pd.DataFrame, figures: str, task: str = tasks.DEFAULT, warning: str = ""
) -> str:
    """Return the text about a recovery.csv and its learning rates, the result of `repair.learning_rates.chosen_rates`.

    figures: where the study's figures are. warning: of `histories.warning_of`, the first line.
    """
    dataset, layer = recovery[["dataset", "layer"]].iloc[0]
    seeds, ks = recovery["seed"].nunique(), ", ".join(map(str, scores(recovery).index.unique("k").sort_values()))
    constant = tasks.metrics_of(task).constants(recovery).get("constant_balanced_accuracy", pd.Series([0.5]))
    inputs = tasks.inputs_of(task).INPUTS
    blocks = [
        *([wrapped(warning)] if warning else []),
        wrapped(f"{dataset}, {layer}: smaller networks, retrained as they are and repaired. {means_over(seeds)}"),
        _rates(rates, inputs),
        f"Balanced accuracy on the test {inputs} over epochs of retraining, mean over K = {ks}\n{_means(recovery)}",
        _from_scratch(recovery),
        _agreement(agreement(recovery)),
        "\n".join(map(wrapped, _beats_random(against_random(recovery)))),
        f"A constant answer has balanced accuracy {float(constant.mean()):.3f}.\nFigures: {figures}",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _rates(rates: pd.DataFrame, inputs: str) -> str:
    """Return a line per start: balanced accuracy with each learning rate, and a star at the chosen one."""
    tried = rates["learning_rate"].unique()
    lines = [["start", "epochs", *(f"{rate:g}" for rate in tried)]]
    for start, rows in rates.groupby("start", sort=False):
        cells = [f"{row[METRIC]:.4f}{'*' if row['chosen'] else ' '}" for row in rows.to_dict("records")]
        name = (STARTS | {"scratch": "from scratch"})[str(start)]
        lines.append([name, epochs_text(rows["epochs"].iloc[0]), *cells])
    title = (
        f"Learning rates (* chosen): balanced accuracy on the validation {inputs} at K = {rates['k'].iloc[0]}, order "
        f"of the first criterion; {networks_text(int(rates['seeds'].max()))}"
    )
    return f"{wrapped(title)}\n{text_table(lines, ['left', 'right'])}"


def _means(recovery: pd.DataFrame) -> str:
    """Return a line per criterion: the mean over K and networks of each start and number of epochs."""
    means = (
        scores(recovery)
        .groupby(level=["seed", "criterion"], sort=False)
        .mean()
        .groupby(level="criterion", sort=False)
        .mean()
    )
    states = list(means)
    header = [[""], ["criterion"]]
    for start, epochs in states:
        header[0].append(STARTS[start] if not epochs else "")
        header[1].append(epochs_text(epochs))
    cells = [[shortened(str(name), NAME_WIDTH), *(f"{value:.3f}" for value in row)] for name, row in means.iterrows()]
    unpruned = recovery[recovery["criterion"] == UNPRUNED].groupby("epochs")[METRIC].mean()
    control = [UNPRUNED, *(f"{value:.3f}" for value in unpruned), *[""] * len(unpruned)]
    spread = ["highest minus lowest", *(f"{value:.3f}" for value in means.max() - means.min())]
    return text_table([*header, *cells, *([spread] if len(cells) > 1 else []), control], ["left", "right"])


def _from_scratch(recovery: pd.DataFrame) -> str:
    """Return the mean over K of the networks that were trained from scratch."""
    rows = recovery[recovery["start"].isin(list(SCRATCH))]
    means = over_networks(
        rows.groupby(["start", "seed"], sort=False)[METRIC].mean().reset_index(), ["start"], {METRIC: (0, 1)}
    )
    words = []
    for start, row in means.iterrows():
        epochs = rows.loc[rows["start"] == start, "epochs"]
        spent = " to ".join(dict.fromkeys(f"{each:.3g}" for each in (epochs.min(), epochs.max())))
        words.append(f"{SCRATCH[str(start)]} ({spent}) {number(row, 3, prefix=f'{METRIC}_')}")
    return wrapped(f"Networks of the same widths, mean over the same K: {'; '.join(words)}.")


def _agreement(table: pd.DataFrame) -> str:
    """Return Kendall's τ: a line for each pair of `agreement`, a column for each K and the mean over them."""
    if table.empty:
        return ""
    ks = [int(k) for k in table["k"].dropna().unique()]
    lines = [["", "", *(f"K = {k}" for k in ks), "mean over K"]]
    for names, rows in table.groupby(PAIR, sort=False):
        means = rows.dropna(subset="k").set_index("k")["tau_mean"].reindex(ks)
        cells = ["-" if pd.isna(tau) else f"{tau:+.2f}".replace("-", "−") for tau in means]
        over_k = [number(row, 2, "+", "tau_") for row in rows[rows["k"].isna()].to_dict("records")] or ["-"]
        lines.append([state_text(*names[:2]), state_text(*names[2:]), *cells, *over_k])
    count = int(table["criteria"].iloc[0])
    notes = (
        f"Kendall's τ_b between two orders of the {count} criteria by balanced accuracy, per network and K, mean over "
        f"networks; random is the mean of its orders. With {count} criteria, one exchanged pair changes τ by "
        f"{4 / (count * (count - 1)):.2f}. Where criteria differ by less than the noise of a training, τ is near 0 "
        "whatever the truth is: the lines that compare both starts after the same epochs show how well the order after "
        "retraining repeats. -: not defined, because all criteria are equal in a network."
    )
    title = "Does the cheap number predict the expensive one?"
    return f"{title}\n{text_table(lines, ['left', 'left', 'right'])}\n{wrapped(notes)}"


def _beats_random(table: pd.DataFrame) -> list[str]:
    """Return a sentence per start and number of epochs: which criteria beat random, of the rows of `against_random`."""
    if table.empty:
        return ["The study has no random orders to compare with (ranking.criteria)."]
    if (table["seeds"] < 2).any():
        return ["One network cannot show whether a criterion beats random orders."]
    lines = [
        "Criteria that beat random (mean over K, on the same networks, after Holm's correction for "
        f"{int(table['comparisons'].iloc[0])} comparisons):"
    ]
    for (start, epochs), rows in table.groupby(["start", "epochs"], sort=False):
        better = rows.loc[(rows["p_holm"] < LEVEL) & (rows["mean"] > 0), "criterion"]
        best = rows.loc[rows["mean"].idxmax()]
        largest = f"largest difference: {best['criterion']} {number(best, digits=3, sign='+')}"
        lines.append(f"{state_text(start, epochs)}: {', '.join(better) or 'none'} ({largest}).")
    return lines
