"""Criteria compared on the same networks: paired differences, and how alike their rankings are."""

import numpy as np
import pandas as pd

from prunecurve.naming import BASELINES, criterion_of
from prunecurve.statistics.means import CONFIDENCE, by_network

# Areas are means of ratios of counts: a smaller difference is rounding.
ROUNDING = 1e-12
# The largest K within one point is not tested: it is a threshold crossing, whose distribution over networks has
# jumps and ties, so a t-test does not fit it.
QUANTITIES = ("accuracy_area", "balanced_accuracy_area")
# A difference is called one where p, corrected, is below.
LEVEL = 0.05


def paired(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per quantity, removal, criterion and baseline of a curve.csv: criterion − baseline over networks.

    The mean, standard deviation and uncorrected Student t interval of the difference, the p-value of the paired
    t-test (two-sided), and that value after Holm's correction for all comparisons of the quantity, whose number is
    `comparisons`. p is not defined where the difference is the same on every network, and for one network. Empty if
    the study has no baseline.
    """
    table, rows = by_network(curve), []
    for quantity in QUANTITIES:
        for removal, group in table.groupby("removal", sort=False):
            # The curve's order of criteria, which is the config's.
            wide = group.pivot(index="seed", columns="criterion", values=quantity)[group["criterion"].unique()]
            keys = group[["dataset", "layer"]].iloc[0].to_dict() | {"quantity": quantity, "removal": removal}
            rows += [
                keys | {"criterion": criterion, "baseline": baseline} | difference(wide[criterion] - wide[baseline])
                for baseline in BASELINES
                for criterion in wide.columns
                if baseline in wide.columns and criterion != baseline
            ]
    return _corrected(pd.DataFrame(rows)) if rows else pd.DataFrame()


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the columns p_holm and comparisons; a comparison whose p is not defined is counted."""
    from statsmodels.stats.multitest import multipletests

    # Random minus greedy and greedy minus random: one comparison in two rows.
    one, same = (
        (rows["criterion"] == criterion) & (rows["baseline"] == baseline)
        for criterion, baseline in (BASELINES, reversed(BASELINES))
    )
    p = rows[~one & (rows["seeds"] > 1)].groupby("quantity")["p"]
    holm = p.transform(lambda each: multipletests(each.fillna(1.0), method="holm")[1])
    rows = rows.assign(p_holm=holm.where(rows["p"].notna()), comparisons=p.transform("size"))
    rows.loc[one, ["p_holm", "comparisons"]] = rows.loc[same, ["p_holm", "comparisons"]].to_numpy()
    return rows.assign(comparisons=rows["comparisons"].fillna(0).astype(int))


def difference(values: pd.Series) -> dict[str, float]:
    """Return mean, std, Student t interval and p-value (against zero) of a paired difference, one value per network."""
    from scipy import stats

    values = values.dropna()
    row = {"seeds": len(values), "mean": values.mean(), "std": values.std(ddof=1)}
    if len(values) < 2:
        return row | dict.fromkeys(("low", "high", "p"), np.nan)
    if np.ptp(values) < ROUNDING:
        # Two orders that are the same on every network do not differ.
        p = 1.0 if abs(row["mean"]) < ROUNDING else np.nan
        return row | {"low": values.iloc[0], "high": values.iloc[0], "p": p}
    test = stats.ttest_1samp(values, 0)
    ends = test.confidence_interval(CONFIDENCE)
    return row | {"low": ends.low, "high": ends.high, "p": test.pvalue}


def agreement(rankings: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair of criteria: Kendall's τ_b and Spearman's ρ of their scores, mean and std over networks.

    rankings: columns seed, criterion, channel, score. Equal scores count as ties, not as the order that channel numbers
    give them. For `random` the correlations of its draws are averaged; those with itself are of two different draws.
    """
    methods, parts = ("kendall", "spearman"), ("mean", "std")
    correlations = pd.concat(
        _correlations(one, method).assign(seed=seed, method=method)
        for seed, one in rankings.groupby("seed", sort=False)
        for method in methods
    )
    over_networks = correlations.groupby(["criterion", "other", "method"], sort=False)["value"]
    rows = over_networks.agg([*parts, "count"]).unstack("method")
    rows.columns = [f"{method}_{name}" for name, method in rows.columns]
    rows = rows.reset_index().rename(columns={"kendall_count": "seeds"})
    return rows[["criterion", "other", "seeds", *(f"{method}_{part}" for method in methods for part in parts)]]


def _correlations(rankings: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the correlation, `value`, of each `criterion` and `other` on one network; means over draws of random."""
    scores = rankings.pivot(index="channel", columns="criterion", values="score")[rankings["criterion"].unique()]
    table = scores.corr(method=method).rename_axis(index="first", columns="second").stack().reset_index(name="value")
    table = table.assign(criterion=table["first"].map(criterion_of), other=table["second"].map(criterion_of))
    # A ranking's correlation with itself is kept where its criterion has no other ranking.
    alone = table["criterion"].map(table["criterion"].value_counts()) == scores.shape[1]
    table = table[(table["first"] != table["second"]) | alone]
    return table.groupby(["criterion", "other"], sort=False, as_index=False)["value"].mean()
