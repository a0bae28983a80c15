"""Criteria and networks compared: paired differences, how alike rankings are, which images networks share."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pandas as pd

from prunecurve.data.splits import SPLITS
from prunecurve.naming import BASELINES, criterion_of
from prunecurve.statistics.means import CONFIDENCE, by_network

# Areas are means of ratios of counts: a smaller difference is rounding.
ROUNDING = 1e-12
# The largest K within one point is not tested: it is a threshold crossing, whose distribution over networks has
# jumps and ties, so a t-test does not fit it.
QUANTITIES = ("accuracy_area", "balanced_accuracy_area")
# A difference is called one where p, corrected, is below.
LEVEL = 0.05
# The images of the same split are compared, and the test images of one network with the training images of another.
COMPARED = (*((split, split) for split in SPLITS), ("test", "train"))


def paired(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per quantity, removal, criterion and baseline of a curve.csv: criterion − baseline over networks.

    The mean, standard deviation and uncorrected Student t interval of the difference, the p-value of the paired
    t-test (two-sided), and that value after Holm's correction for all comparisons of the quantity, whose number is
    `comparisons`. p is not defined where the difference is the same on every network, and for one network. Without
    rows if the study has no baseline.
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
    columns = ["quantity", "removal", "criterion", "baseline", "p_holm", "comparisons"]
    return _corrected(pd.DataFrame(rows)) if rows else pd.DataFrame(columns=columns)


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the columns p_holm and comparisons; a comparison whose p is not defined is counted."""
    from statsmodels.stats.multitest import multipletests

    # Random minus greedy and greedy minus random: one comparison in two rows.
    pairs = [" ".join(sorted(names)) for names in zip(rows["criterion"], rows["baseline"])]
    keys = ["quantity", "removal", "pair"]
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
    names, pair, columns = rankings["criterion"].unique(), ["criterion", "other"], {}
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


def shared_images(index: Mapping[int, np.ndarray], dataset: str) -> list[dict[str, object]]:
    """Return one row for each ordered pair of networks and each comparison of splits.

    index: by seed, int (n, 2): the split of each image of a network, as its index in SPLITS, and the image's number in
    the data set. A row has the number of images of `seed` in `split` (images), how many of them `other` has in
    `other_split` (shared), and their share.
    """
    table = []
    for (seed, own), (other, others) in permutations(index.items(), 2):
        for split, other_split in COMPARED:
            images, compared = (
                rows[rows[:, 0] == SPLITS.index(name), 1] for rows, name in ((own, split), (others, other_split))
            )
            shared = int(np.isin(images, compared).sum())
            row = {"dataset": dataset, "seed": seed, "other": other, "split": split, "other_split": other_split}
            table.append(row | {"images": len(images), "shared": shared, "share": shared / len(images)})
    return table
