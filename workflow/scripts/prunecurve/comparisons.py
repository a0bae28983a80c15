"""Criteria against each other on the same networks: paired differences, and how alike their rankings are."""

import numpy as np
import pandas as pd

from prunecurve.naming import BASELINES, criterion_of
from prunecurve.statistics import CONFIDENCE, networks

# Areas are means of ratios of counts: what differs by less is the same but for rounding.
NOTHING = 1e-12
QUANTITIES = ("accuracy_area", "balanced_accuracy_area", "largest_k_accuracy", "largest_k_balanced_accuracy")


def paired(curve: pd.DataFrame) -> pd.DataFrame:
    """A row for each quantity, removal, criterion and baseline of a curve.csv: criterion − baseline over networks.

    The mean, standard deviation and uncorrected Student t interval of the difference, the p-value of the paired
    t-test (two-sided), and that value after Holm's correction for all comparisons of the quantity, whose number is
    `comparisons`. Where the difference is the same on every network there is no spread to test against, and no p.
    """
    table = networks(curve)
    rows = []
    for quantity in QUANTITIES:
        for removal, group in table.groupby("removal", sort=False):
            # The curve's order of criteria, which is the config's.
            wide = group.pivot(index="seed", columns="criterion", values=quantity)[group["criterion"].unique()]
            rows += [
                group[["dataset", "layer"]].iloc[0].to_dict()
                | {"quantity": quantity, "removal": removal}
                | {"criterion": criterion, "baseline": baseline}
                | _difference(wide[criterion] - wide[baseline])
                for baseline in BASELINES
                for criterion in wide.columns
                if baseline in wide.columns and criterion != baseline
            ]
    found = pd.DataFrame(rows)
    return _corrected(found) if len(found) else found


def _corrected(found: pd.DataFrame) -> pd.DataFrame:
    """With the columns p_holm and comparisons; one that has no p for want of spread counts among the comparisons."""
    from statsmodels.stats.multitest import multipletests

    # Random less greedy is greedy less random: one comparison in two rows.
    one, other = (
        (found["criterion"] == criterion) & (found["baseline"] == baseline)
        for criterion, baseline in (BASELINES, reversed(BASELINES))
    )
    p = found[~one & (found["seeds"] > 1)].groupby("quantity")["p"]
    found = found.assign(
        p_holm=p.transform(lambda each: multipletests(each.fillna(1.0), method="holm")[1]).where(found["p"].notna()),
        comparisons=p.transform("size"),
    )
    found.loc[one, ["p_holm", "comparisons"]] = found.loc[other, ["p_holm", "comparisons"]].to_numpy()
    return found.assign(comparisons=found["comparisons"].fillna(0).astype(int))


def _difference(values: pd.Series) -> dict[str, float]:
    from scipy import stats

    values = values.dropna()
    row = {"seeds": len(values), "mean": values.mean(), "std": values.std(ddof=1), "low": np.nan, "high": np.nan}
    if len(values) < 2:
        return row | {"p": np.nan}
    if np.ptp(values) < NOTHING:
        # Two orders that are the same on every network don't differ.
        return row | {"low": values.iloc[0], "high": values.iloc[0], "p": 1.0 if abs(row["mean"]) < NOTHING else np.nan}
    test = stats.ttest_1samp(values, 0)
    ends = test.confidence_interval(CONFIDENCE)
    return row | {"low": ends.low, "high": ends.high, "p": test.pvalue}


def agreement(rankings: pd.DataFrame) -> pd.DataFrame:
    """A row for each two criteria: Kendall's τ_b and Spearman's ρ of their scores, mean and std over networks.

    rankings: columns seed, criterion, channel, score. Equal scores count as ties, not as the order that channel numbers
    give them. For `random` the correlations of its draws are averaged; those with itself are of two different draws.
    """
    found = []
    for seed, one in rankings.groupby("seed", sort=False):
        scores = one.pivot(index="channel", columns="criterion", values="score")[one["criterion"].unique()]
        for method in ("kendall", "spearman"):
            table = (
                scores.corr(method=method)
                .rename_axis(index="first", columns="second")
                .stack()
                .reset_index(name="value")
            )
            first, second = table["first"].map(criterion_of), table["second"].map(criterion_of)
            alone = first.map(first.value_counts()) == scores.shape[1]
            table = table.assign(of=first, other=second)[(table["first"] != table["second"]) | alone]
            found.append(
                table.groupby(["of", "other"], sort=False, as_index=False)["value"]
                .mean()
                .assign(seed=seed, method=method)
            )
    every = pd.concat(found)
    rows = every.groupby(["of", "other", "method"], sort=False)["value"].agg(["mean", "std", "count"]).unstack("method")
    rows.columns = [f"{method}_{name}" for name, method in rows.columns]
    rows = rows.reset_index().rename(columns={"of": "criterion", "kendall_count": "seeds"})
    return rows[
        ["criterion", "other", "seeds", *(f"{m}_{s}" for m in ("kendall", "spearman") for s in ("mean", "std"))]
    ]
