"""Criteria compared on the same networks: paired differences, and how alike their rankings are."""

import numpy as np
import pandas as pd

from prunecurve.naming import BASELINES, criterion_of
from prunecurve.statistics.means import CONFIDENCE, VARIANT, by_network

# Areas are means of ratios of counts: a smaller difference is rounding.
ROUNDING = 1e-12
# The largest K within one point is not tested: it is a threshold crossing, whose distribution over networks has
# jumps and ties, so a t-test does not fit it.
QUANTITIES = ("accuracy_area", "balanced_accuracy_area")
# A difference is called one where p, corrected, is below.
LEVEL = 0.05


def paired(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per quantity, removal, repair, criterion and baseline of a curve.csv: criterion − baseline.

    Only curves of the same removal and repair are compared. The mean over networks, standard deviation and uncorrected
    Student t interval of the difference, the p-value of the paired t-test (two-sided), and that value after Holm's
    correction for all comparisons of the quantity, whose number is `comparisons`. p is not defined where the difference
    is the same on every network, and for one network. Without rows if the study has no baseline.
    """
    table, rows = by_network(curve), []
    for quantity in QUANTITIES:
        for variant, group in table.groupby(VARIANT, sort=False):
            # The curve's order of criteria, which is the config's.
            wide = group.pivot(index="seed", columns="criterion", values=quantity)[group["criterion"].unique()]
            keys = group[["dataset", "layer"]].iloc[0].to_dict() | {"quantity": quantity} | dict(zip(VARIANT, variant))
            rows += [
                keys | {"criterion": criterion, "baseline": baseline} | difference(wide[criterion] - wide[baseline])
                for baseline in BASELINES
                for criterion in wide.columns
                if baseline in wide.columns and criterion != baseline
            ]
    columns = ["quantity", *VARIANT, "criterion", "baseline", "p_holm", "comparisons"]
    return corrected(pd.DataFrame(rows), VARIANT) if rows else pd.DataFrame(columns=columns)


def corrected(rows: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    """Return the rows with the columns p_holm and comparisons; a comparison whose p is not defined is counted.

    rows: see `paired`. within: the columns that criterion and baseline have in common.
    """
    from statsmodels.stats.multitest import multipletests

    # Random minus greedy and greedy minus random: one comparison in two rows.
    pairs = [" ".join(sorted(names)) for names in zip(rows["criterion"], rows["baseline"])]
    keys = ["quantity", *within, "pair"]
    tested = rows.assign(pair=pairs)[rows["seeds"] > 1].drop_duplicates(keys)
    p = tested.groupby("quantity")["p"]
    holm = p.transform(lambda each: multipletests(each.fillna(1.0), method="holm")[1]).where(tested["p"].notna())
    tested = tested[keys].assign(p_holm=holm, comparisons=p.transform("size"))
    rows = rows.assign(pair=pairs).merge(tested, "left", keys).drop(columns="pair")
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
    names, pair = rankings["criterion"].unique(), ["criterion", "other"]
    columns: dict[str, pd.Series] = {}
    count = pd.Series(names).map(criterion_of).value_counts()
    scores = rankings.pivot(index=["seed", "channel"], columns="criterion", values="score")[names].groupby("seed")
    for method in ("kendall", "spearman"):
        table = scores.corr(method=method).rename_axis(index=["seed", "first"], columns="second").stack()
        table = table.reset_index(name="value")
        table = table.assign(criterion=table["first"].map(criterion_of), other=table["second"].map(criterion_of))
        # A ranking's correlation with itself is kept where its criterion has no other ranking.
        table = table[(table["first"] != table["second"]) | (table["criterion"].map(count) == 1)]
        networks = table.groupby([*pair, "seed"], sort=False)["value"].mean().groupby(pair, sort=False)
        columns.setdefault("seeds", networks.count())
        columns |= {f"{method}_mean": networks.mean(), f"{method}_std": networks.std()}
    return pd.DataFrame(columns).reset_index()
