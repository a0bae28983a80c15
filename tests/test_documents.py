"""The documents: links and their anchors resolve, and the numbers about MNIST are those of archive/mnist."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from scipy import stats

ARCHIVE = PROJECT / "archive" / "mnist"
README, RESULTS = PROJECT / "README.md", PROJECT / "docs" / "results.md"
MNIST = "## MNIST: the reference study"

# ---- links


def pages():
    """All Markdown files of the project, without what a run or an installation writes."""
    for folder, folders, names in os.walk(PROJECT):
        written = ("results", "data", "scratch") if folder == str(PROJECT) else ("scratch",)
        folders[:] = [name for name in folders if name[0] not in "._" and name not in written]
        yield from (PROJECT / folder / name for name in names if name.endswith(".md"))
    yield PROJECT / "results" / "README.md"


PAGES = sorted(pages())


def without_code(text: str) -> str:
    """The text without fenced, indented and inline code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.M))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings: lower case, punctuation removed, spaces to hyphens, numbered."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    result: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?)[ #]*$", text, re.M):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words.replace("*", "")).replace(" ", "-")
        count = result[anchor] = result.get(anchor, -1) + 1
        if count:
            result[f"{anchor}-{count}"] = 0
    return set(result)


def broken_links(page) -> list[str]:
    """The relative links of a page whose file or anchor does not exist."""
    broken = []
    for link in re.findall(r"\]\(\s*<?([^)\s>]+)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_and_their_anchors_resolve(page):
    assert broken_links(page) == []


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# What `x_1` is, and isn't\n\n## Twice\n\n## Twice\n\n[1](#what-x_1-is-and-isnt) [2](page.md#twice-1)\n\n"
        "    [3](#code-is-not-a-link)\n\n[4](no.md) ![5](no.png) [6](#twice-2)\n"
    )
    assert broken_links(page) == ["no.md", "no.png", "#twice-2"]


def test_every_page_of_the_documentation_is_linked_from_the_readme():
    text = README.read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent == PROJECT / "docs" and f"(docs/{page.name})" not in text] == []


def test_the_readme_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 10_000


# ---- what the pages say of the code


def test_the_layout_names_files_that_exist():
    picture = (PROJECT / "docs" / "method.md").read_text(encoding="utf-8").split("## The layout")[1].split("\n## ")[0]
    upper, lower = re.findall(r"(?:^    .*\n)+", picture, re.M)
    top, inner = re.split(r"^      (?=rules/)", upper, flags=re.M)
    names = [word for line in top.splitlines() for word in line.strip().split("   ")[0].split()]
    assert [name for name in names if not (PROJECT / name).exists()] == []
    below = re.findall(r"^(?:      )?(\w[\w/]*/(?: \w+/)*)", inner, re.M)
    names = [name for line in below for name in line.split()]
    # The lines from archive/ on are at the top level again.
    assert [n for n in names if not (PROJECT / "workflow" / n).exists() and not (PROJECT / n).exists()] == []
    rules = re.search(r"data flow: (.*?);", " ".join(inner.split())).group(1).split(", ")
    known = {f"{name}.smk" for name in [*rules, "common", "layers"]}
    assert known <= set(os.listdir(PROJECT / "workflow" / "rules"))
    package = PROJECT / "workflow" / "scripts" / "prunecurve"
    modules = [name for line in lower.splitlines() for name in line.strip().split("   ")[0].split()]
    assert [name for name in modules if not ((package / name).is_dir() or (package / f"{name}.py").is_file())] == []


def test_tests_that_are_named_exist():
    code = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests").glob("*.py"))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}
    assert [name for name in named if f"def {name}(" not in code] == []


def test_the_criterion_in_the_config_page_is_the_file():
    text = re.sub(r"^    ", "", (PROJECT / "config" / "README.md").read_text(encoding="utf-8"), flags=re.M)
    criterion = PROJECT / "workflow" / "scripts" / "prunecurve" / "ranking" / "criteria" / "l2_norm.py"
    assert criterion.read_text(encoding="utf-8") in text


# ---- the numbers about MNIST

METRICS = ["accuracy", "balanced_accuracy", "auroc"]
ENDS = ["mean", "low", "high"]
P = 128


def interval(values: pd.Series, most: float) -> tuple[float, float, float]:
    """Mean and 95 % Student t interval over networks, limited to [0, most]."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.sem()
    return values.mean(), max(0, values.mean() - half), min(most, values.mean() + half)


def largest_k(one: pd.DataFrame) -> int:
    """The largest K of a ranking up to which no balanced accuracy is more than 0.01 below the unpruned network's."""
    outside = one[one.balanced_accuracy < one.balanced_accuracy[one.k == 0].item() - 0.01 - 1e-12]
    return outside.k.min() - 1 if len(outside) else one.k.max()


@pytest.fixture(scope="module")
def curve():
    """The archive's curve, with the names of the criterion and of the ranking (`random-1`, …)."""
    table = pd.read_csv(ARCHIVE / "curve.csv.xz").rename(columns={"criterion": "ranking"})
    return table.assign(criterion=table["ranking"].str.replace(r"-\d+$", "", regex=True))


@pytest.fixture(scope="module")
def networks(curve):
    """The metrics of each network, by criterion, removal, K and seed: means over its rankings of this criterion."""
    return curve.groupby(["criterion", "removal", "k", "seed"])[METRICS].mean()


@pytest.fixture(scope="module")
def largest(curve):
    """For each criterion, the largest K: mean, low, high."""
    rankings = curve[curve.removal == "structural"].groupby(["criterion", "seed", "ranking"])
    each = rankings[["k", "balanced_accuracy"]].apply(largest_k).groupby(["criterion", "seed"]).mean()
    return {name: interval(values, P - 1) for name, values in each.groupby("criterion")}


@pytest.fixture(scope="module")
def summary():
    return pd.read_csv(ARCHIVE / "summary.csv")


@pytest.fixture(scope="module")
def comparisons():
    return pd.read_csv(ARCHIVE / "comparisons.csv")


def section(text: str, heading: str) -> str:
    """From a heading to the next one of the same level."""
    level = heading.split(" ")[0]
    return re.split(rf"^{level} ", text.split(f"{heading}\n")[1], maxsplit=1, flags=re.M)[0]


def with_interval(values, form: str = ".3f") -> str:
    mean, low, high = (f"{value:{form}}".replace("-", "−") for value in values)
    return f"{mean} [{low}, {high}]"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.0005 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def test_the_tables_about_mnist_are_those_of_the_archive(summary, comparisons, networks, largest):
    text = section(RESULTS.read_text(encoding="utf-8"), MNIST)
    areas, left = (block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.M))
    minus = comparisons.query(
        "removal == 'structural' and quantity == 'balanced_accuracy_area' and baseline == 'random'"
    ).set_index("criterion")
    expected = []
    ordered = summary[summary.removal == "structural"].sort_values("balanced_accuracy_area_mean", ascending=False)
    for _, row in ordered.iterrows():
        cells = [f"`{row.criterion}`"]
        cells += [with_interval(row[[f"{m}_area_{end}" for end in ENDS]]) for m in ("balanced_accuracy", "accuracy")]
        cells.append(with_interval(largest[row.criterion], ".1f"))
        if row.criterion == "random":
            cells += ["–", "–"]
        else:
            one = minus.loc[row.criterion]
            cells += [with_interval(one[ENDS], "+.3f"), f"{p_value(one.p)}, {p_value(one.p_holm)}"]
        expected.append(f"| {' | '.join(cells)} |")
    assert areas[2:] == expected
    shown = [(int(k), int(n)) for n, k in re.findall(r"(\d+) left \(K = (\d+)\)", left[0])]
    assert len(shown) == 4 and all(k + n == P for k, n in shown)
    for line in left[2:]:
        one = networks.balanced_accuracy[line.split("`")[1], "structural"]
        assert line.split(" | ", 1)[1] == " | ".join(with_interval(interval(one[k], 1)) for k, _ in shown) + " |"


@pytest.fixture(scope="module")
def in_text(networks, summary, comparisons, largest):
    """For each criterion, what the text may say of it: (mean, low, high), and numbers without interval."""
    triples: dict[str, list] = {name: [values] for name, values in largest.items()}
    single: dict[str, list] = {name: [] for name in largest}
    grouped = networks.groupby(["criterion", "removal", "k"]).agg(["mean", "sem"])
    t = stats.t.ppf(0.975, networks.index.get_level_values("seed").nunique() - 1)
    for metric in METRICS:
        for (name, *_), mean, sem in grouped[metric].itertuples():
            triples[name].append((mean, max(0, mean - t * sem), min(1, mean + t * sem)))
    for _, row in summary.iterrows():
        for quantity in ("accuracy_area", "balanced_accuracy_area"):
            triples[row.criterion].append([row[f"{quantity}_{end}"] for end in ENDS])
            single[row.criterion].append(row[f"{quantity}_mean"])
    for _, row in comparisons[~comparisons.quantity.str.startswith("largest_k")].iterrows():
        triples[row.criterion].append(row[ENDS].tolist())
        single[row.criterion] += [row.p, row.p_holm]
    controls = summary.iloc[0]
    triples[""] = [[controls[f"control_{metric}_{end}"] for end in ENDS] for metric in METRICS[:2]]
    single[""] = []
    return {name: (values, single[name]) for name, values in triples.items()}


def unsupported(text: str, in_text) -> list[str]:
    """Numbers with an interval, or with three decimals, that are none of the criterion named last before them.

    Before the first criterion of a paragraph they must be the unpruned networks'.
    """
    wrong, number = [], r"[−+]?\d+\.\d+"
    token = re.compile(rf"`([\w-]+)`|({number})\s+\[({number}),\s+({number})\]|(?<![\w.·])([−+]?\d\.\d{{3}})(?!\d)")
    without_tables = re.sub(r"^(\||    ).*$", "", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n|^(?:- |\d\. )", without_tables, flags=re.M):
        criterion = ""
        for name, *texts in token.findall(paragraph):
            if name:
                criterion = name if name in in_text else criterion
                continue
            shown = [text.replace("−", "-").lstrip("+") for text in texts if text]
            triples, single = in_text[criterion]
            allowed = triples if len(shown) == 3 else [[value] for value in single]
            decimals = len(shown[0].partition(".")[2])
            if not any(shown == [f"{value:.{decimals}f}" for value in values] for values in allowed):
                wrong.append(f"{criterion}: {' '.join(shown)}")
    return wrong


def test_the_numbers_in_the_texts_about_mnist_are_those_of_the_archive(in_text):
    for text in (section(RESULTS.read_text(encoding="utf-8"), MNIST), README.read_text(encoding="utf-8")):
        assert unsupported(text, in_text) == []


def test_a_changed_number_in_the_text_is_noticed(in_text):
    text = "`greedy` has 0.954 [0.947, 0.962].\n\nUnpruned: 0.987 [0.984,\n0.990]. `mean_activation`: 0.807."
    assert unsupported(text, in_text) == []
    for old, new in (("0.954", "0.953"), ("0.984", "0.983"), ("0.807", "0.655"), ("greedy", "chip")):
        assert len(unsupported(text.replace(old, new), in_text)) == 1, new


def test_the_other_facts_about_mnist_are_those_of_the_archive(curve, summary, comparisons):
    page = " ".join(RESULTS.read_text(encoding="utf-8").split())
    manifest = json.loads((ARCHIVE / "manifest.json").read_text())
    seeds, criteria = manifest["config"]["seeds"], manifest["config"]["ranking"]["criteria"]

    rankings, removals = curve["ranking"].nunique(), curve.removal.nunique()
    size = f"{rankings} rankings × {removals} removals × {P} K × {len(seeds)} networks = {len(curve):,} evaluations"
    assert size in page
    assert set(criteria) == set(summary.criterion)
    (count,) = comparisons[comparisons.quantity == "balanced_accuracy_area"].comparisons.unique()
    assert f"for all {count} comparisons" in page

    maps = [np.load(ARCHIVE / f"seed{seed}/conv3/activations/test/mean_maps.npy").astype(float) for seed in seeds]
    shares = [1 - one[:, :6, :6].sum() / one.sum() for one in maps]
    assert f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the mean activation" in page

    checks = pd.concat(pd.read_csv(ARCHIVE / f"seed{seed}/conv3/verification.csv") for seed in seeds)
    assert checks.agrees.all()
    assert f"All {len(checks)} comparisons" in page
    assert f"two logits is {checks.max_logit_difference.max() * 1e6:.0f}·10⁻⁶" in page

    shape = pd.read_csv(ARCHIVE / "shape_table.csv").query("criterion == 'mean_activation'").set_index("removal")
    ends = shape.loc["structural"]
    assert set(ends.ends) == {"same"}
    assert f"from K = {ends.constant_from.min():.0f} to {ends.constant_from.max():.0f} on" in page
    assert set(shape.loc["mean_replacement"].ends) == {"different"}

    agreement = pd.read_csv(ARCHIVE / "agreement.csv").query("criterion == 'loss_oracle' and other == 'shapley'")
    assert f"τ = {agreement.kendall_mean.item():.2f}".replace("-", "−") in page
    areas = summary.set_index(["removal", "criterion"]).balanced_accuracy_area_mean
    assert areas["mean_replacement"].idxmax() == "shapley"
    assert areas["zero_weights"].idxmin() == "reversed-mean_activation"
    assert areas["zero_weights"].idxmax() == "taylor_activation"
    of_area = comparisons.query("quantity == 'balanced_accuracy_area' and removal == 'structural'")
    significant = of_area.query("baseline == 'random' and p_holm < 0.05").set_index("criterion")["mean"]
    assert set(significant[significant > 0].index) == {"greedy", "greedy_backward_forward"}
    assert set(significant[significant < 0].index) == {"activation_std", "loss_oracle"}
