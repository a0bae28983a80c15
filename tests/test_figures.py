"""Figures: all tiles and lines are drawn, files are not empty, the same data give the same bytes."""

import dataclasses
import html
import itertools
import subprocess
import sys

import jinja2
import matplotlib.image
import numpy as np
import pandas as pd
import plot
import pytest
from conftest import PROJECT, environment
from matplotlib.font_manager import fontManager
from prunecurve.ranking import criteria
from prunecurve import figures
from prunecurve.statistics.comparisons import agreement, paired
from prunecurve.figures import style
from prunecurve.figures.agreement.rank_agreement import similar_together
from prunecurve.plan.text import METHODS
from prunecurve.arrays import save_array
from prunecurve.sweep.removal import REPAIRS
from prunecurve.tables import write_rows, write_table
from prunecurve.statistics.sensitivity import sensitivity_table
from prunecurve.statistics.means import mean_curves, summarise
from invented import names_of, retrained, study, study_of_pairs
from prunecurve.data.tasks.classes.metrics import answers
from test_shape import three_networks

CRITERIA = ("mean_activation", "l1_norm", "random")
# Two draws of random.
ORDERS = ("mean_activation", "l1_norm", "random-1", "random-2")
REMOVALS = ("structural", "zero_weights", "mean_replacement")


def curve(removals=("structural",), seeds=3, ks=9, orders=ORDERS, named=CRITERIA, repairs=("none",)) -> figures.Data:
    return figures.Data(study_of_pairs(orders, removals, seeds, ks, repairs), named)


def means(removals=("structural",), **study) -> figures.Data:
    data = curve(removals, **study)
    return figures.Data(mean_curves(data.table), data.criteria)


def many_criteria(count=20, removals=REMOVALS, seeds=3, repairs=("none",)) -> figures.Data:
    """Return data of `count` criteria: greedy, reversed ones, two unknown ones, as a user may add, and random."""
    reversed_ones = [f"reversed-{name}" for name in criteria.names() if name != "random"]
    names = ["greedy", *reversed_ones[:2], *criteria.names(), *reversed_ones[2:], "my_own", "my_other"]
    names = [name for name in dict.fromkeys(names) if name != "random"][: count - 1]
    return means(
        removals, orders=[*names, "random-1", "random-2"], named=(*names, "random"), seeds=seeds, repairs=repairs
    )


def layers() -> figures.Data:
    """Return rows of three convolutions with different numbers of channels."""
    parts = [curve(ks=ks).table.assign(layer=name) for name, ks in (("conv1", 3), ("conv2", 5), ("conv3", 9))]
    table = pd.concat(parts)
    share = table["k"] / table.groupby("layer")["channels_left"].transform("max")
    return figures.Data(table.assign(share_removed=share), CRITERIA)


def network(channels=13, dead=2, seeds=1) -> figures.Data:
    rng = np.random.default_rng(1)
    maps = rng.random((channels, 7, 5)).astype(np.float32)
    maps[:dead] = 0
    table = pd.concat(
        pd.DataFrame({"dataset": "digits", "seed": seed, "layer": "conv3", "channel": range(channels)}).assign(
            relu_max=maps.max(axis=(1, 2)),
            relu_mean=maps.mean(axis=(1, 2)),
            order=np.arange(channels)[::-1],
        )
        for seed in range(seeds)
    )
    return figures.Data(table, CRITERIA, maps)


def ranks_alike() -> pd.DataFrame:
    keys = itertools.product(range(3), ORDERS, range(9))
    rankings = pd.DataFrame(keys, columns=["seed", "criterion", "channel"])
    scores = np.random.default_rng(2).random(len(rankings))
    return agreement(rankings.assign(score=scores)).assign(dataset="digits", layer="conv3")


def planned(seeds: int = 3) -> figures.Data:
    """The tables of two plans for three layers, with two random orders per network."""
    rng = np.random.default_rng(0)
    methods = [("unpruned", 0), ("plan", 0), ("uniform", 0)]
    methods += [(f"{name}_random", draw) for name in ("plan", "uniform") for draw in (1, 2)]
    rows = [
        {"dataset": "digits", "seed": seed, "budget": "macs", "value": value, "method": method, "repair": repair}
        | {"draw": draw, "criterion": "random" if draw else "l1_norm", "params_share": 0.6}
        | {"macs_share": 1 if method == "unpruned" else value}
        | {"predicted_balanced_accuracy": np.nan if draw or repair == "none" else 0.8}
        | {"balanced_accuracy": rng.uniform(0.5, 1)}
        for value in (0.5, 0.25)
        for seed in range(seeds)
        for method, draw in methods
        for repair in ("none", "refit_bias")
    ]
    layers = [
        {"dataset": "digits", "seed": seed, "budget": "macs", "value": value, "method": method, "layer": f"conv{i}"}
        | {"channels": 8 * i, "k": k, "share_removed": k / (8 * i)}
        for value in (0.5, 0.25)
        for seed in range(seeds)
        for method, ks in (("plan", (1, 2 + seed, 9)), ("uniform", (2, 4, 6)))
        for i, k in enumerate(ks, 1)
    ]
    return figures.Data(pd.DataFrame(rows), (), layers=pd.DataFrame(layers))


def of(table) -> figures.Data:
    return figures.Data(table, CRITERIA)


DATA = {
    "curve_mean": means(),
    "channels": network(seeds=3),
    "network": network(),
    "summary": of(summarise(curve(REMOVALS).table)),
    "comparisons": of(paired(curve(REMOVALS).table)),
    "agreement": of(ranks_alike()),
    "shape": curve(REMOVALS, orders=("mean_activation",)),
    "sensitivity": layers(),
    "plan": planned(),
    "recovery": figures.Data(retrained(), ()),
}


@pytest.mark.parametrize("name", figures.FOLDERS)
def test_files_are_not_empty_and_the_same_each_time(tmp_path, name):
    for folder in ("one", "two"):
        figure = figures.draw(name, DATA[figures.folder_of(name)])
        figures.save(figure, 60, tmp_path / folder / "a.png", tmp_path / folder / "a.svg")
    pixels = matplotlib.image.imread(tmp_path / "one" / "a.png")
    assert pixels.shape[1] == pytest.approx(style.PAGE_WIDTH * 60, abs=2)
    assert pixels[..., :3].std() > 0.02
    for ending in ("png", "svg"):
        assert (tmp_path / "one" / f"a.{ending}").read_bytes() == (tmp_path / "two" / f"a.{ending}").read_bytes()


@pytest.mark.parametrize("name", figures.FOLDERS)
def test_a_warning_is_written_across_the_figure(name):
    data = DATA[figures.folder_of(name)]
    figure = figures.draw(name, dataclasses.replace(data, warning="WARNING: " + "these networks learned nothing " * 3))
    figure.draw_without_rendering()
    (text,) = [text for text in figure.texts if text.get_text().startswith("WARNING: ")]
    low, high = text.get_window_extent().transformed(figure.transFigure.inverted()).get_points()
    assert (low > -0.01).all() and (high < 1.01).all() and high[0] - low[0] > 0.3


HOSTILE_RC = """
savefig.bbox: tight
lines.marker: o
text.usetex: true
font.family: serif
font.sans-serif: DejaVu Serif
axes.formatter.use_locale: true
axes.grid: true
figure.facecolor: yellow
svg.id: mine
timezone: Asia/Tokyo
"""


def drawn_in(folder, **variables: str) -> list[bytes]:
    """Return the bytes of a figure that the script draws in this folder, as PNG and SVG, with these variables."""
    data, figure = folder.parent / "curve_mean.csv", folder / "figure"
    if not data.exists():
        write_table(data, means().table)
    folder.mkdir(exist_ok=True)
    clean = {name: value for name, value in environment().items() if not name.startswith("MPL")}
    subprocess.run(
        [
            *(sys.executable, PROJECT / "workflow" / "scripts" / "plot.py", "--figure", "balanced_accuracy_vs_k"),
            *("--data", data, "--criteria", *CRITERIA, "--dpi", "60"),
            *("--png", figure.with_suffix(".png"), "--svg", figure.with_suffix(".svg")),
        ],
        cwd=folder,
        env=clean | variables,
        check=True,
    )
    return [figure.with_suffix(ending).read_bytes() for ending in (".png", ".svg")]


def test_figures_use_the_fonts_of_matplotlib_alone():
    """Another version of DejaVu Sans in the system, or a font cache that names one, would change the size of texts."""
    assert all(font.fname.startswith(str(matplotlib.get_data_path())) for font in fontManager.ttflist)


def test_nothing_of_the_callers_environment_enters_a_figure(tmp_path):
    """A notebook's backend, a user's matplotlibrc in each place that is read, locale, time, order of sets."""
    expected = drawn_in(tmp_path / "clean")
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    rc = hostile / "matplotlibrc"
    rc.write_text(HOSTILE_RC)
    assert drawn_in(hostile) == expected
    variables = {"LC_ALL": "C", "LANG": "de_DE.UTF-8", "PYTHONUTF8": "0", "TZ": "Asia/Tokyo", "MPLBACKEND": "none-such"}
    assert drawn_in(tmp_path / "config", MPLCONFIGDIR=str(hostile), **variables) == expected
    variables = {"SOURCE_DATE_EPOCH": "86400", "PYTHONHASHSEED": "7", "DISPLAY": ":99"}
    assert drawn_in(tmp_path / "notebook", MATPLOTLIBRC=str(rc), **variables) == expected
    rc.write_bytes(b"font.family: \xff\xfe")
    assert drawn_in(hostile) == drawn_in(tmp_path / "elsewhere", MPLCONFIGDIR=str(hostile)) == expected


@pytest.mark.parametrize("name", figures.of("network"))
@pytest.mark.parametrize("maps_order", figures.MAPS_ORDERS)
@pytest.mark.parametrize(("channels", "dead"), [(128, 5), (13, 0), (2, 2)])
def test_mean_feature_maps_have_p_tiles_in_the_order_asked_for(name, maps_order, channels, dead):
    """Tiles are numbered as in the ranking's column `order`: 0 is removed first. Here this is the last channel."""
    data = dataclasses.replace(network(channels, dead), maps_order=maps_order)
    ax = figures.draw(name, data).axes[0]
    assert len(ax.images) == channels
    texts = [text.get_text() for text in ax.texts]
    numbers = list(range(channels)) if maps_order == "channel" else list(range(channels))[::-1]
    assert texts[::2] == [str(channel) for channel in numbers]
    assert texts[1::2] == [f"#{channels - 1 - channel}" for channel in numbers]
    assert len(ax.patches) == dead
    title = ax.get_title(loc="left")
    assert f"tiles in {maps_order} order" in title and f"{style.DEAD} ({dead} of {channels})" in title
    assert "removes n channels before this one, so it is removed for every K > n" in title
    shown = np.array(ax.images[-1].get_array())
    assert np.isnan(shown).all() if numbers[-1] < dead else np.array_equal(shown, data.maps[numbers[-1]])
    rows = len({image.get_extent()[3] for image in ax.images})
    assert (rows, -(-channels // rows)) == {128: (11, 12), 13: (4, 4), 2: (1, 2)}[channels], "nearly a square"


@pytest.mark.parametrize(("size", "lines"), [((7, 7), 2), ((7, 4), 1), ((6, 8), 0)])
def test_what_pooling_leaves_out_is_marked(size, lines):
    data = dataclasses.replace(network(6, 0), maps=np.random.default_rng(0).random((6, *size)))
    ax = figures.draw("mean_feature_maps", data).axes[0]
    assert [image.get_clim() for image in ax.images] == [(one.min(), one.max()) for one in data.maps]
    images = figures.draw("mean_feature_maps_shared_scale", data).axes[0].images
    assert {image.get_clim() for image in images} == {(0.0, data.maps.max())}
    assert len(ax.lines) == 6 * lines
    assert ("beyond the white lines" in ax.get_title(loc="left")) is (lines > 0)


def lines_of(ax) -> dict:
    """Return the lines of a panel by label, without the edges of bands."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize(
    ("metric", "always"), [("accuracy", "always “different”: 0.900"), ("balanced_accuracy", "constant answer: 0.500")]
)
@pytest.mark.parametrize("removals", [("structural",), ("structural", "zero_weights")])
def test_accuracy_vs_k_shows_every_criterion_its_band_and_the_controls(removals, metric, always):
    data = curve(removals)
    figure = figures.draw(f"{metric}_vs_k", means(removals))
    axes, title = figure.axes, "digits, conv3: mean of 3 networks (seeds), band: 95 % Student t interval; "
    assert figure.get_suptitle() == f"{title}random: mean of 2 orders per network"
    assert len(axes) == len(removals)
    for ax, removal in zip(axes, removals):
        lines = lines_of(ax)
        for criterion in CRITERIA:
            of_criterion = data.table["criterion"].str.startswith(criterion)
            rows = data.table[(data.table["removal"] == removal) & of_criterion]
            assert lines[style.label(criterion)].get_ydata() == pytest.approx(rows.groupby("k")[metric].mean())
        assert len(ax.collections) == len(CRITERIA)
        # The data are random, so the criteria differ even at K = 0.
        unpruned = next(iter(lines.values())).get_ydata()[0]
        assert list(lines)[-2:] == [always, f"unpruned (K = 0): {unpruned:.3f}"]


@pytest.mark.parametrize(("count", "removals", "seeds"), [(1, 1, 1), (4, 2, 10), (6, 3, 3), (26, 2, 3)])
def test_accuracy_vs_k_of_any_number_of_criteria(count, removals, seeds):
    """Up to four criteria share one panel. More: the large panel has only means, and small panels show the bands."""
    data = many_criteria(count, REMOVALS[:removals], seeds)
    axes = figures.draw("balanced_accuracy_vs_k", data).axes
    large, small = axes[:removals], axes[removals:]
    in_detail = 0 if count <= 4 else removals if count * removals <= 24 else 1
    assert len(small) == in_detail * count
    for ax in large:
        names = [text.get_text() for text in ax.get_legend().get_texts()][:-2]
        assert sorted(names) == sorted(style.label(name) for name in data.criteria)
        heights = [lines_of(ax)[name].get_ydata() for name in names]
        areas = [np.trapezoid(height) for height in heights]
        assert areas == sorted(areas, reverse=True), "the legend has the order of the lines, highest first"
        assert len(ax.collections) == (count if count <= 4 else 0)
        for name in data.criteria:
            line, look = lines_of(ax)[style.label(name)], style.criterion_look(name)
            assert (line.get_color(), line.get_marker()) == (look["color"], look["marker"])
    for ax in small:
        assert len(ax.collections) == 1, "one band"
        own = style.criterion_look(ax.get_title(loc="left").replace(" ", "_"))["color"]
        assert own in {line.get_color() for line in ax.lines}
        thin = {line.get_color() for line in ax.lines if line.get_linewidth() == 0.6}
        assert {style.GREY, style.BLACK} <= thin | {own}, "random and greedy for reference"


# What panels and legends call structural removal with each repair.
WORDS = {
    "none": "structural",
    "bias": "structural, biases fitted",
    "refit": "structural, readers refitted",
    "refit_bias": "structural, readers refitted, biases fitted",
}


@pytest.mark.parametrize("repairs", [("none", "refit_bias"), REPAIRS, ("bias",)])
def test_accuracy_vs_k_has_a_panel_per_repair_with_its_unpruned_network(repairs):
    data = curve(repairs=repairs)
    figure = figures.draw("accuracy_vs_k", means(repairs=repairs))
    assert [part.get_suptitle() for part in figure.subfigs] == [f"removal: {WORDS[repair]}" for repair in repairs]
    for ax, repair in zip(figure.axes, repairs):
        rows = data.table[(data.table["repair"] == repair) & (data.table["criterion"] == "l1_norm")]
        assert lines_of(ax)["l1 norm"].get_ydata() == pytest.approx(rows.groupby("k")["accuracy"].mean())
        assert list(lines_of(ax))[-1].startswith("unpruned, biases fitted\n(K" if "bias" in repair else "unpruned (K")
    assert len({ax.get_ylim() for ax in figure.axes}) == 1, "panels of one removal can be compared"


def test_the_small_panels_show_a_criterion_with_each_repair():
    """Instead of the lines of the baselines."""
    data = many_criteria(6, REMOVALS[:2], repairs=("none", "refit_bias"))
    figure = figures.draw("balanced_accuracy_vs_k", data)
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles[3:] == [
        "removal: structural, each criterion alone;\ndotted: as it is; solid: readers refitted, biases fitted",
        "removal: zero weights, each criterion alone; thin lines: random (grey), greedy (black)",
    ]
    one = figures.draw("accuracy_vs_k", many_criteria(6, ("structural",), repairs=("bias",))).subfigs[1]
    assert one.get_suptitle().startswith("removal: structural, biases fitted, each criterion alone; thin lines")
    for ax in figure.axes[3:9]:
        criterion = ax.get_title(loc="left").replace(" ", "_")
        rows = data.table[(data.table["criterion"] == criterion) & (data.table["removal"] == "structural")]
        lines = [line for line in ax.lines if line.get_label() != "_edge"]
        for line, repair in zip(lines, ("none", "refit_bias")):
            expected = rows.loc[rows["repair"] == repair, "balanced_accuracy_mean"].to_numpy()
            assert line.get_ydata() == pytest.approx(expected)
            assert (line.get_linestyle() == "-") is (repair == "refit_bias")
            assert line.get_color() == style.criterion_look(criterion)["color"]
        assert len(ax.collections) == 2, "a band for each"


@pytest.mark.parametrize("repairs", [("none", "refit_bias"), REPAIRS])
@pytest.mark.parametrize("name", ["areas", "paired_differences"])
def test_each_repair_has_a_shape_that_the_legend_names(name, repairs):
    table = (summarise if name == "areas" else paired)(curve(REMOVALS, repairs=repairs).table)
    figure = figures.draw(name, of(table))
    words = [*(WORDS[repair] for repair in repairs), "zero weights", "mean replacement"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == words
    shapes = [handle.get_marker() for handle in legend.legend_handles]
    assert len(set(shapes)) == len(words)
    quantity = "balanced_accuracy_area"
    column, rows = ("mean", table[table["quantity"] == quantity]) if name != "areas" else (f"{quantity}_mean", table)
    rows = rows[(rows["repair"] == "refit_bias") & (rows["criterion"] == "l1_norm")]
    marks = [line for line in figure.axes[0].lines if line.get_marker() == shapes[len(repairs) - 1]]
    at = {line.get_ydata()[0]: line.get_xdata()[0] for line in marks}
    assert rows[column].item() in [pytest.approx(x) for x in at.values()]
    heights = sorted(line.get_ydata()[0] for line in figure.axes[0].lines if line.get_marker() in shapes)
    assert min(np.diff(heights)) > 0.1, "no two marks of a panel lie on each other"


@pytest.mark.parametrize("count", [0, 3, 10])
def test_class_accuracy_vs_k_has_a_panel_per_criterion_and_repair(count):
    repairs = ("none", "bias", "refit_bias")
    data = of_classes(count, repairs=repairs) if count else means(repairs=repairs)
    axes = figures.draw("class_accuracy_vs_k", data).axes[:9]
    titles = [" ".join(ax.get_title(loc="left").split()) for ax in axes]
    assert titles == [f"{style.label(name)} {WORDS[repair]}" for name in CRITERIA for repair in repairs]
    if not count:
        rows = data.table[(data.table["criterion"] == "l1_norm") & (data.table["repair"] == "refit_bias")]
        assert lines_of(axes[5])["recall of same"].get_ydata() == pytest.approx(rows["recall_same_mean"].to_numpy())


def test_areas_are_those_of_the_summary_with_the_best_on_top():
    table = summarise(curve(REMOVALS).table)
    ax = figures.draw("areas", of(table)).axes[0]
    first = table[table["removal"] == "structural"].set_index("criterion")["balanced_accuracy_area_mean"].sort_values()
    assert [text.get_text() for text in ax.get_yticklabels()] == [style.label(name) for name in first.index]
    shown = [(line.get_xdata()[0], line.get_color()) for line in ax.lines if line.get_marker() == "o"]
    assert sorted(shown) == [(first[name], style.criterion_look(name)["color"]) for name in first.index]


def test_looks_differ_with_and_without_colour():
    declared = set(style.CRITERIA) | set(style.BASELINE_LOOKS)
    looks = [style.criterion_look(name) for name in criteria.allowed() if name.removeprefix("reversed-") in declared]
    assert len({str(look) for look in looks}) == len(looks)
    assert len({str({k: v for k, v in look.items() if k != "color"}) for look in looks}) == len(looks)
    default = ("mean_activation", "conv_abs_mean", "l1_norm", "taylor_activation", "greedy", "random")
    assert len({style.criterion_look(name)["color"] for name in default}) == len(default)
    assert style.criterion_look("my_own") == style.criterion_look("my_own") not in looks
    assert declared <= set(criteria.names())
    many = style.line_looks([str(i) for i in range(32)])
    assert len({str(look) for look in many.values()}) == 32


@pytest.mark.parametrize("last", [2, 63])
@pytest.mark.parametrize("name", ["accuracy_vs_k", "shape", "areas", "activation_levels"])
def test_ticks_of_k_are_integers(name, last):
    data = {
        "accuracy_vs_k": lambda: means(ks=last + 1),
        "shape": lambda: curve(REMOVALS, ks=last + 1, orders=("mean_activation",)),
        "areas": lambda: of(summarise(curve(ks=last + 1).table)),
        "activation_levels": lambda: network(last + 1, seeds=2),
    }
    figure = figures.draw(name, data[name]())
    figure.draw_without_rendering()
    axes = [ax for ax in figure.axes if name != "areas" or "largest K" in ax.get_title()]
    ticks = [text.get_text() for ax in axes for text in ax.get_xticklabels()]
    assert ticks and all(tick.lstrip("−").isdigit() for tick in ticks if tick)


@pytest.mark.parametrize(("count", "removals"), [(3, 3), (20, 1)])
def test_class_accuracy_vs_k_of_several_removals(count, removals):
    """More than 24 panels are those of the first removal alone."""
    figure = figures.draw("class_accuracy_vs_k", many_criteria(count))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(set(titles)) == len(titles) == removals * count
    assert ("removal: structural" in figure.get_supxlabel()) is (removals == 1)


def test_class_accuracy_vs_k_has_a_panel_per_criterion_of_four_lines_and_two_bands():
    axes = figures.draw("class_accuracy_vs_k", means()).axes
    assert [ax.get_title(loc="left") for ax in axes] == [style.label(c) for c in CRITERIA]
    lines = ["recall of different", "recall of same", "share predicted same", "share truly same"]
    assert all(list(lines_of(ax)) == lines and len(ax.collections) == 2 for ax in axes)


def test_activation_levels_are_sorted_and_dead_channels_marked():
    figure = figures.draw("activation_levels", network(10, 3, seeds=2))
    lines = lines_of(figure.axes[0])
    assert list(lines) == [f"seed {s}: 3 of 10 dead" for s in (0, 1)]
    assert all((np.diff(line.get_ydata()) >= 0).all() for line in lines.values())
    assert figure.legends[0].get_title().get_text().endswith(style.DEAD)


def test_paired_differences_are_sorted_and_filled_where_they_hold_after_correction():
    table = paired(curve(seeds=5).table).assign(p_holm=lambda t: np.where(t["criterion"] == "l1_norm", 0.01, 0.5))
    axes = figures.draw("paired_differences", of(table)).axes
    assert len(axes) == 2, "the only baseline is random"
    assert axes[0].get_title() == "area under\nbalanced accuracy:\ncriterion minus random"
    assert axes[0].get_xlabel() == "← worse    better →"
    mean = table.query("quantity == 'balanced_accuracy_area'").set_index("criterion")["mean"]
    labels = [text.get_text() for text in axes[0].get_yticklabels()]
    assert labels == [style.label(name) for name in mean.sort_values().index]
    marks = {line.get_xdata()[0]: line.get_markerfacecolor() for line in axes[0].lines if line.get_marker() == "o"}
    assert {x: face != "white" for x, face in marks.items()} == {x: name == "l1_norm" for name, x in mean.items()}


def test_rank_agreement_shows_kendall_below_and_spearman_above_the_diagonal():
    table = ranks_alike()
    ax = figures.draw("rank_agreement", of(table)).axes[0]
    values, cells = ax.images[0].get_array(), table.set_index(["criterion", "other"])
    names = [text.get_text().replace(" ", "_") for text in ax.get_yticklabels()]
    assert sorted(names) == sorted(CRITERIA)
    for row, column in itertools.product(range(3), repeat=2):
        name = "kendall_mean" if row >= column else "spearman_mean"
        assert values[row, column] == pytest.approx(100 * cells.loc[(names[row], names[column]), name])
    assert [text.get_text() for text in ax.texts].count("100") == 2, (
        "all criteria except random agree fully with themselves"
    )


def test_similar_criteria_are_neighbours():
    """Two groups, interleaved in the config, and one criterion whose scores are all equal."""
    names = ["a1", "b1", "a2", "b2", "a3", "none"]
    table = pd.DataFrame(0.0, names, names)
    for one, other in itertools.product(names[:5], repeat=2):
        table.loc[one, other] = 1 if one == other else 0.8 if one[0] == other[0] else -0.3
    table.loc["none"] = table["none"] = np.nan
    order = similar_together(table)
    assert "".join(name[0] for name in order if name != "none") in ("aaabb", "bbaaa")
    assert similar_together(table.iloc[:2, :2]) == ["a1", "b1"]


def test_the_shape_has_three_short_lines_that_stay_on_the_page():
    """Even where the networks give all three kinds of answers at the largest K."""
    rows = pd.concat(three_networks().assign(removal=removal) for removal in REMOVALS)
    ends = rows.query("seed == 1 and k > 2").index
    rows.loc[ends, "predicted_same_rate"] = 0.0
    figure = figures.draw("shape", figures.Data(rows, ("apoz",)))
    assert [len(ax.lines) for ax in figure.axes] == [3] * 3 + [4] * 3, "one network above, all below"
    assert len(figure.get_supxlabel().split("\n")) == 3
    figure.draw_without_rendering()
    box = figure._supxlabel.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_an_answer_at_a_single_k_is_shaded():
    rows = three_networks()
    rows.loc[(rows["seed"] == 0) & (rows["k"].isin([2, 3])), "predicted_same_rate"] = 0.5
    ax = figures.draw("shape", figures.Data(rows, ("apoz",))).axes[0]
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_width()) == (3.5, 1)


def test_sensitivity_has_a_line_per_layer_over_the_share_removed():
    data = layers()
    # matplotlib would leave a name that begins with an underscore out of the legend.
    table = data.table.assign(layer=data.table["layer"].replace("conv2", "_conv"))
    figure = figures.draw("sensitivity", dataclasses.replace(data, table=table))
    labels = ["conv1 (3 channels)", "layer _conv (5 channels)", "conv3 (9 channels)", "always “different”"]
    assert len(figure.axes) == 2 * len(CRITERIA)
    for ax in figure.axes:
        assert list(lines_of(ax))[:3] == labels[:3] and len(ax.collections) == 3
        ends = [line.get_xdata()[-1] for line in list(lines_of(ax).values())[:3]]
        assert ends == pytest.approx([2 / 3, 4 / 5, 8 / 9])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == labels
    # Each repair has panels of its own.
    repaired = table.assign(repair="refit", balanced_accuracy=1.0)
    figure = figures.draw("sensitivity", dataclasses.replace(data, table=pd.concat([table, repaired])))
    titles = [f"order of {style.label(name)}, {words}" for words in ("as it is", "refitted") for name in CRITERIA]
    assert [ax.get_title(loc="left") for ax in figure.axes[1::2]] == titles
    for ax, title in zip(figure.axes[1::2], titles):
        first = next(iter(lines_of(ax).values()))
        assert (first.get_ydata() == 1).all() == title.endswith("refitted")


def test_the_lines_of_several_layers_have_no_bands():
    """The bands of more than four would cover each other and the lines."""
    one = layers().table.query("layer == 'conv3'")
    table = pd.concat([one.assign(layer=f"stage{i}.0.conv1.convolution") for i in range(5)])
    figure = figures.draw("sensitivity", of(table))
    assert not any(ax.collections for ax in figure.axes)
    assert "interval" not in figure.legends[0].get_title().get_text()
    with style.applied():
        figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1, "its columns fit on the page"


def test_sensitivity_of_many_layers_is_a_heat_map():
    """One row per layer in the order of the network; the colour is the accuracy of the last evaluated K up to there."""
    names = [f"layer{i}" for i in range(11, 0, -1)]
    few = layers().table.query("layer == 'conv3'")
    table = pd.concat(few.assign(layer=name) for name in names)
    figure = figures.draw("sensitivity", of(table))
    axes, (legend,) = figure.axes[:-1], figure.legends
    assert "not comparable between layers of different numbers of channels" in legend.get_title().get_text()
    assert [ax.get_title(loc="left") for ax in axes] == [f"order of {style.label(name)}, as it is" for name in CRITERIA]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [f"{name} (9)" for name in names]
    (mesh,) = axes[0].collections
    shown = np.asarray(mesh.get_array()).reshape(len(names), -1)
    means = mean_curves(few).query("criterion == 'mean_activation'")["balanced_accuracy_mean"].to_numpy()
    assert shown[3] == pytest.approx(means)
    edges = np.asarray(mesh.get_coordinates()[0, :, 0])
    assert edges == pytest.approx(np.arange(10) / 9), "each K reaches to the next"
    assert figure.axes[-1].get_ylabel() == "balanced accuracy", "the colour bar"
    marks = axes[0].lines[0].get_xdata()
    expected = sensitivity_table(table).query("criterion == 'mean_activation'")["share_removed_mean"]
    assert list(marks) == pytest.approx(list(expected))
    # Beyond the largest evaluated K, 4 of 9 channels, nothing is known. It reaches to the next K.
    (mesh,) = figures.draw("sensitivity", of(table[table["k"] <= 4])).axes[0].collections
    unknown = np.isnan(np.ma.filled(mesh.get_array(), np.nan)).reshape(len(names), -1)
    edges = np.asarray(mesh.get_coordinates()[0, :, 0])
    assert edges[-2:] == pytest.approx([5 / 9, 1]) and unknown.sum(axis=1).tolist() == [1] * len(names)


def test_plot_numbers_tiles_as_in_the_ranking(tmp_path, monkeypatch):
    """`order` 0 in the ranking is removed first. With --maps-order pruning, its tile is the first one."""
    data, drawn = network(3, 0), []
    write_rows(tmp_path / "channels.csv", data.table[["channel", "relu_max", "relu_mean"]].to_dict("records"))
    ranking = [{"order": order, "channel": channel, "score": 0.5} for order, channel in enumerate((2, 0, 1))]
    write_rows(tmp_path / "ranking.csv", ranking)
    save_array(tmp_path / "maps.npy", data.maps)
    monkeypatch.setattr(figures, "save", lambda figure, *_: drawn.append(figure))
    words = ["--figure", "mean_feature_maps", "--criteria", "apoz", "--data", str(tmp_path / "channels.csv")]
    words += ["--maps", "d", "0", "conv3", str(tmp_path / "maps.npy"), str(tmp_path / "ranking.csv")]
    words += ["--png", "a.png", "--svg", "a.svg"]
    for extra, texts in (([], ["0", "#1", "1", "#2", "2", "#0"]), (["pruning"], ["2", "#0", "0", "#1", "1", "#2"])):
        plot.work(plot.options().parse_args(words + ["--maps-order", *extra] * bool(extra)))
        assert [text.get_text() for text in drawn[-1].axes[0].texts] == texts


@pytest.mark.parametrize("name", [*figures.FOLDERS, "a_new_figure"])
def test_every_figure_has_a_text_in_the_report(name):
    """That of a new figure is its name, so that adding it takes one file."""
    template = jinja2.Template((PROJECT / "workflow/report/figure.rst").read_text(), undefined=jinja2.StrictUndefined)
    text = template.render(snakemake={"wildcards": {"figure": name, "study": "digits"}}).strip()
    assert text == "The figure a new figure." if name == "a_new_figure" else len(text) > 15


def of_classes(count: int, **options) -> figures.Data:
    """Return the data of class_accuracy_vs_k for a study with so many classes."""
    table, recalls = study(count, ks=9, **options)
    return figures.Data(mean_curves(table, "classes"), CRITERIA, task="classes", recalls=recalls)


def shape_of_classes(count: int) -> figures.Data:
    table, _ = study(count, removals=REMOVALS, orders=("mean_activation",), ks=9)
    shown, _ = answers(table, names_of(count))
    return figures.Data(table.assign(answer=shown), ("mean_activation",), task="classes")


@pytest.mark.parametrize("count", [2, 30])
@pytest.mark.parametrize("name", ["class_accuracy_vs_k", "accuracy_vs_k", "balanced_accuracy_vs_k", "shape"])
def test_figures_of_classes_say_images_and_fit_on_the_page(tmp_path, count, name, recwarn):
    figure = figures.draw(name, shape_of_classes(count) if name == "shape" else of_classes(count))
    figures.save(figure, 60, tmp_path / "a.png", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "pairs" not in text and "same" not in text.replace("the same network", "")
    assert "images" in text or name == "class_accuracy_vs_k"
    assert not [str(w.message) for w in recwarn if "constrained" in str(w.message)]


# Names that matplotlib would read as formulas or leave out, and one that its font cannot draw.
ODD = ["$", "$$", "$\\frac{$", "_x", "a_b^2", "Größe", "猫"]


@pytest.mark.parametrize("name", ["class_accuracy_vs_k", "shape"])
@pytest.mark.parametrize("count", [4, 7])
@pytest.mark.filterwarnings("error:.*Glyph.*:UserWarning")
def test_class_names_are_drawn_as_they_are(tmp_path, name, count):
    names = [*ODD[: count - 1], ODD[-1]]
    shown = [*names[:-1], f"class {count - 1}"]
    if name == "shape":
        data = shape_of_classes(count)
        # The network of each seed gives one answer: the last classes.
        answers = count - 1 - data.table["seed"]
        table = data.table.assign(most_frequent_answer=answers, answer=answers.map(dict(enumerate(names))))
        data = dataclasses.replace(data, table=table.assign(most_frequent_share=1.0))
        expected = [f"answers “{shown[-1]}” to 99 % or more<", *(f"“{each}”" for each in shown[-3:])]
    else:
        data = of_classes(count)
        data = dataclasses.replace(data, recalls=data.recalls.assign(name=data.recalls["class"].map(names.__getitem__)))
        expected = [f">{'recall of ' if count == 4 else ''}{each}<" for each in shown]
    figures.save(figures.draw(name, data), 60, tmp_path / "a.png", tmp_path / "a.svg")
    text = html.unescape((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert [each for each in expected if each not in text] == [] and ODD[-1] not in text


@pytest.mark.parametrize(("count", "named"), [(10, True), (30, False)])
def test_many_classes_are_a_heat_map_with_one_row_each(count, named):
    data = of_classes(count)
    *axes, bar = figures.draw("class_accuracy_vs_k", data).axes
    assert len(axes) == len(CRITERIA) and bar.get_ylabel() == "recall"
    (mesh,) = axes[0].collections
    colours = np.asarray(mesh.get_array()).reshape(count, 9)
    rows = data.recalls[data.recalls["criterion"] == "mean_activation"]
    recall = rows.groupby(["class", "k"])["recall"].mean().unstack().to_numpy()
    order = np.arange(count) if named else np.argsort(-recall.mean(axis=1), kind="stable")
    assert colours == pytest.approx(recall[order])
    labels = [text.get_text() for text in axes[0].get_yticklabels()]
    assert labels == ([name if len(name) <= 12 else f"{name[:11]}…" for name in names_of(count)] if named else [])
    most = data.recalls.query("answers >= 0.5 and criterion == 'mean_activation'")
    dots = [(k, list(order)[int(row)]) for k, row in zip(*axes[0].lines[0].get_data())]
    assert set(dots) == set(zip(most["k"], most["class"])) and len(most), "the answer of the majority in any network"
    # The columns of the first and the last K are whole.
    assert [ax.get_xlim() for ax in axes] == [(-0.5, 8.5)] * len(axes)


def test_a_panel_without_dots_is_as_wide_as_one_with_dots():
    data = of_classes(10)
    data = dataclasses.replace(data, criteria=CRITERIA[:2], recalls=data.recalls.assign(answers=0.1))
    figure = figures.draw("class_accuracy_vs_k", data)
    with style.applied():
        figure.draw_without_rendering()
    assert min(ax.get_position().width for ax in figure.axes[:2]) > 0.3


def test_a_few_classes_are_lines_and_the_constant_answer_is_in_the_legend():
    data = of_classes(3)
    ax = figures.draw("class_accuracy_vs_k", data).axes[0]
    rows = data.recalls[data.recalls["criterion"] == "mean_activation"]
    for label, name in enumerate(names_of(3)):
        expected = rows[rows["class"] == label].groupby("k")["recall"].mean()
        assert lines_of(ax)[f"recall of {name}"].get_ydata() == pytest.approx(expected)
    lines = lines_of(figures.draw("accuracy_vs_k", of_classes(10)).axes[0])
    assert "always the largest class: 0.100" in lines
    lines = lines_of(figures.draw("balanced_accuracy_vs_k", of_classes(10)).axes[0])
    assert "constant answer: 0.100" in lines


def test_plans_are_lines_over_the_macs_and_a_row_per_layer_in_the_order_of_the_network():
    data = planned()
    figure = figures.draw("plan", data)
    scores, shares = figure.axes
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:2] == ["readers refitted, biases fitted", "as it is"] and set(METHODS.values()) < set(names)
    # Four methods, each repaired and as it is, from the unpruned network to the smallest budget.
    lines = [line.get_xydata() for line in scores.get_lines() if len(line.get_xdata()) == 3]
    means = data.table.groupby(["method", "repair", "macs_share"])["balanced_accuracy"].mean()
    methods = [name for name in METHODS if name != "unpruned"]
    pairs = [(method, repair) for method in methods for repair in ("none", "refit_bias")]
    # The table has the unpruned network for each budget.
    unpruned = data.table[data.table["value"] == 0.5].query("method == 'unpruned'").groupby("repair")
    unpruned = unpruned["balanced_accuracy"].mean()
    expected = [
        [(1, unpruned[repair]), *((share, means.loc[method, repair, share]) for share in (0.5, 0.25))]
        for method, repair in pairs
    ]
    assert len(lines) == 8
    for line in expected:
        assert any(np.allclose(line, drawn) for drawn in lines)
    assert [text.get_text() for text in shares.get_yticklabels()] == ["conv1 (8)", "conv2 (16)", "conv3 (24)"]
    assert list(shares.get_yticks()) == [2, 1, 0], "the first layer on top"
    predicted = [line for line in scores.get_lines() if line.get_marker() == "v"]
    assert [line.get_ydata()[0] for line in predicted] == pytest.approx([0.8] * 4), "of the plans and uniform ratios"
    plan = next(line for line in shares.get_lines() if line.get_label() == "macs 0.5")
    assert plan.get_xdata() == pytest.approx([7 / 8, 13 / 16, 15 / 24])
    assert len(figures.draw("plan", planned(seeds=1)).axes) == 2
