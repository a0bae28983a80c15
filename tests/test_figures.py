"""Figures: all tiles and lines are there, files are not empty, the same data give the same bytes."""

import itertools

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from prunecurve import criteria, figures
from prunecurve.comparisons import agreement, paired
from prunecurve.figures import style
from prunecurve.figures.of_shape.shape import caption
from prunecurve.figures.of_network.mean_feature_maps import grid_of
from prunecurve.statistics import summarise

CRITERIA = ("mean_activation", "l1_norm", "random")
# Two draws of random.
ORDERS = ("mean_activation", "l1_norm", "random-1", "random-2")
REMOVALS = ("structural", "zero_weights", "mean_replacement")


def curve(removals=("structural",), seeds=3, ks=9, orders=ORDERS, named=CRITERIA) -> figures.Data:
    rng = np.random.default_rng(0)
    rows = []
    for removal in removals:
        for criterion in orders:
            for seed in range(seeds):
                for k in range(ks):
                    tp, fp = rng.integers(0, 11), rng.integers(0, 91)
                    rows.append(
                        {
                            "dataset": "digits",
                            "seed": seed,
                            "layer": "conv3",
                            "criterion": criterion,
                            "removal": removal,
                            "k": k,
                        }
                        | {"tp": tp, "fn": 10 - tp, "fp": fp, "tn": 90 - fp, "accuracy": (tp + 90 - fp) / 100}
                        | {"recall_same": tp / 10, "recall_different": 1 - fp / 90}
                        | {"predicted_same_rate": (tp + fp) / 100, "auroc": rng.random()}
                        | {"balanced_accuracy": tp / 20 + (90 - fp) / 180, "channels_left": ks - k}
                    )
    return figures.Data(pd.DataFrame(rows), named)


def every_criterion(removals=REMOVALS) -> figures.Data:
    named = (*criteria.names(), "reversed-greedy")
    orders = [name for name in named if name != "random"] + ["random-1", "random-2"]
    return curve(removals, orders=orders, named=named)


def layers() -> figures.Data:
    """Rows of three convolutions of different width."""
    parts = [curve(ks=ks).table.assign(layer=name) for name, ks in (("conv1", 3), ("conv2", 5), ("conv3", 9))]
    table = pd.concat(parts)
    share = table["k"] / table.groupby("layer")["channels_left"].transform("max")
    return figures.Data(table.assign(share_removed=share), CRITERIA)


def rankings(seeds=3) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {"seed": seed, "criterion": order, "channel": channel, "score": rng.random()}
        for seed, order, channel in itertools.product(range(seeds), ORDERS, range(9))
    )


def network(channels=13, dead=2, seeds=1) -> figures.Data:
    rng = np.random.default_rng(1)
    maps = rng.random((channels, 7, 5)).astype(np.float32)
    maps[:dead] = 0
    table = pd.concat(
        pd.DataFrame({"dataset": "digits", "seed": seed, "layer": "conv3", "channel": range(channels)}).assign(
            relu_max=maps.max(axis=(1, 2)),
            relu_mean=maps.mean(axis=(1, 2)),
            rank=np.arange(channels) + 1,
        )
        for seed in range(seeds)
    )
    return figures.Data(table, CRITERIA, maps)


def ranks_alike() -> pd.DataFrame:
    return agreement(rankings()).assign(dataset="digits", layer="conv3")


def of(table) -> figures.Data:
    return figures.Data(table, CRITERIA)


DATA = {
    "of_curve": curve(),
    "of_channels": network(seeds=3),
    "of_network": network(),
    "of_summary": of(summarise(curve(REMOVALS).table)),
    "of_comparisons": of(paired(curve(REMOVALS).table)),
    "of_agreement": of(ranks_alike()),
    "of_shape": curve(REMOVALS, orders=("mean_activation",)),
    "of_sensitivity": layers(),
}


def test_the_figures_of_the_study_are_there():
    assert set(figures.names()) == {
        "accuracy_vs_k",
        "balanced_accuracy_vs_k",
        "class_accuracy_vs_k",
        "activation_levels",
        "mean_feature_maps",
        "mean_feature_maps_shared_scale",
        "areas",
        "paired_differences",
        "rank_agreement",
        "shape",
        "sensitivity",
    }
    assert set(figures.folders()) == set(DATA)


@pytest.mark.parametrize("name", figures.names())
def test_files_are_not_empty_and_the_same_each_time(tmp_path, name):
    for folder in ("one", "two"):
        figure = figures.draw(name, DATA[figures.folder_of(name)])
        figures.save(figure, 60, tmp_path / folder / "a.png", tmp_path / folder / "a.svg")
    pixels = matplotlib.image.imread(tmp_path / "one" / "a.png")
    assert pixels.shape[1] == pytest.approx(style.PAGE_WIDTH * 60, abs=2)
    assert pixels[..., :3].std() > 0.02
    for ending in ("png", "svg"):
        assert (tmp_path / "one" / f"a.{ending}").read_bytes() == (tmp_path / "two" / f"a.{ending}").read_bytes()


@pytest.mark.parametrize("name", figures.of("of_network"))
@pytest.mark.parametrize(("channels", "dead"), [(128, 5), (13, 0), (2, 2)])
def test_mean_feature_maps_have_p_tiles(name, channels, dead):
    data = network(channels, dead)
    ax = figures.draw(name, data).axes[0]
    assert len(ax.images) == channels
    told = [text.get_text() for text in ax.texts]
    assert told[::2] == [str(c) for c in range(channels)]
    assert told[1::2] == [f"r{rank}" for rank in range(1, channels + 1)]
    assert len(ax.patches) == dead
    assert f"({dead})" in ax.get_title(loc="left")
    shown = np.array(ax.images[-1].get_array())
    assert np.isnan(shown).all() if dead == channels else np.array_equal(shown, data.maps[-1])


@pytest.mark.parametrize(("size", "lines"), [((7, 7), 2), ((7, 4), 1), ((6, 8), 0)])
def test_what_pooling_leaves_out_is_marked(size, lines):
    data = network(6, 0)
    data = figures.Data(data.table, data.criteria, np.random.default_rng(0).random((6, *size)))
    ax = figures.draw("mean_feature_maps", data).axes[0]
    assert len(ax.lines) == 6 * lines
    assert ("beyond the white lines" in ax.get_title(loc="left")) is (lines > 0)


def test_scales_are_each_maps_own_or_shared():
    data = network(6, 0)
    own = [image.get_clim() for image in figures.draw("mean_feature_maps", data).axes[0].images]
    assert own == [(float(one.min()), float(one.max())) for one in data.maps]
    shared = {image.get_clim() for image in figures.draw("mean_feature_maps_shared_scale", data).axes[0].images}
    assert shared == {(0.0, float(data.maps.max()))}


@pytest.mark.parametrize(("count", "grid"), [(128, (11, 12)), (64, (8, 8)), (8, (3, 3)), (2, (1, 2)), (1, (1, 1))])
def test_the_grid_is_nearly_square(count, grid):
    assert grid_of(count) == grid


@pytest.mark.parametrize(("metric", "always"), [("accuracy", "0.900"), ("balanced_accuracy", "0.500")])
@pytest.mark.parametrize("removals", [("structural",), ("structural", "zero_weights")])
def test_accuracy_vs_k_shows_every_criterion_the_control_and_k_0(removals, metric, always):
    data = curve(removals)
    axes = figures.draw(f"{metric}_vs_k", data).axes
    assert len(axes) == len(removals)
    for ax, removal in zip(axes, removals):
        lines = {line.get_label(): line for line in ax.lines}
        for criterion in CRITERIA:
            of_criterion = data.table["criterion"].str.startswith(criterion)
            rows = data.table[(data.table["removal"] == removal) & of_criterion]
            assert lines[style.label(criterion)].get_ydata() == pytest.approx(rows.groupby("k")[metric].mean())
        assert len(ax.collections) == len(CRITERIA)
        told = " ".join(text.get_text() for text in ax.texts)
        assert "K = 0" in told and f"always “different”: {always}" in told


def test_class_accuracy_vs_k_has_a_panel_a_criterion_of_four_lines():
    axes = [ax for ax in figures.draw("class_accuracy_vs_k", curve()).axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in axes] == [style.label(c) for c in CRITERIA]
    for ax in axes:
        assert len([line for line in ax.lines if not line.get_label().startswith("_")]) == 4


def test_activation_levels_rise_and_tell_the_dead():
    (ax,) = figures.draw("activation_levels", network(10, 3, seeds=2)).axes
    labelled = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in labelled] == [f"seed {s}: 3 of 10 channels dead" for s in (0, 1)]
    assert all((np.diff(line.get_ydata()) >= 0).all() for line in labelled)


def test_one_network_has_no_band_but_a_line():
    ax = figures.draw("accuracy_vs_k", curve(seeds=1)).axes[0]
    assert np.isfinite(ax.lines[0].get_ydata()).all()


def test_looks_differ_without_colour_and_with_many_names():
    few = style.line_styles(CRITERIA)
    assert len({str(look["linestyle"]) for look in few.values()}) == 3
    many = style.line_styles(tuple(map(str, range(28))))
    assert len({str(look) for look in many.values()}) == 28


def test_accuracy_vs_k_of_many_criteria_has_a_panel_for_each_group_and_removal():
    """Every criterion once, drawn as a line of its own; random and greedy in grey beside the others."""
    data = every_criterion()
    axes = figures.draw("accuracy_vs_k", data).axes
    assert len(axes) == 4 * 3
    coloured = [line.get_label() for ax in axes[::3] for line in ax.lines if line.get_color() in style.COLOURS]
    named = [label for label in coloured if not label.startswith("_")]
    assert sorted(named) == sorted(style.label(name) for name in data.criteria)
    assert [text.get_text() for text in axes[2].get_legend().get_texts()].count("random") == 1
    for ax in axes:
        assert {"random", "greedy"} <= {line.get_label() for line in ax.lines}


def test_class_accuracy_vs_k_of_many_criteria_is_that_of_the_first_removal():
    data = every_criterion()
    figure = figures.draw("class_accuracy_vs_k", data)
    axes = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in axes] == [style.label(name) for name in data.criteria]
    assert "removal: structural" in figure.get_supxlabel()


def test_areas_are_those_of_the_summary_the_best_on_top():
    table = summarise(curve(REMOVALS).table)
    axes = figures.draw("areas", figures.Data(table, CRITERIA)).axes
    first = table[table["removal"] == "structural"].set_index("criterion")["balanced_accuracy_area_mean"].sort_values()
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [style.label(name) for name in first.index]
    shown = [line for line in axes[0].lines if line.get_label() == "structural"]
    assert shown[0].get_xdata() == pytest.approx(first.to_numpy())


def test_paired_differences_are_filled_where_they_stand_after_correction():
    table = paired(curve(seeds=5).table).assign(p_holm=lambda t: np.where(t["criterion"] == "l1_norm", 0.01, 0.5))
    axes = figures.draw("paired_differences", figures.Data(table, CRITERIA)).axes
    assert len(axes) == 2, "random alone is there to compare with"
    marks = [line for line in axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "white" for line in marks] == [True, False]
    row = table.query("quantity == 'balanced_accuracy_area' and criterion == 'l1_norm'").iloc[0]
    assert marks[1].get_xdata()[0] == row["mean"]


def test_rank_agreement_shows_kendall_below_and_spearman_above_the_diagonal():
    table = ranks_alike()
    (image,) = figures.draw("rank_agreement", figures.Data(table, CRITERIA)).axes[0].images
    values, cells = image.get_array(), table.set_index(["criterion", "other"])
    assert values[1, 0] == cells.loc[("l1_norm", "mean_activation"), "kendall_mean"]
    assert values[0, 1] == cells.loc[("mean_activation", "l1_norm"), "spearman_mean"]
    assert values[0, 0] == pytest.approx(1) and values[2, 2] < 1


def three_networks() -> pd.DataFrame:
    """Two that end in always same, from K = 2 and 3 on, and one that gives both answers; worked out by hand."""
    same_rate = {0: [0.1, 0.6, 1.0, 1.0, 1.0], 1: [0.1, 0.2, 0.7, 1.0, 1.0], 2: [0.1, 0.1, 0.1, 0.2, 0.3]}
    recalls = {0: [0.9, 0.9, 1, 1, 1], 1: [0.9, 0.9, 0.9, 1, 1], 2: [0.9, 0.6, 0.4, 0.4, 0.4]}
    rows = []
    for removal, auroc in (("structural", 0.9), ("zero_weights", 0.4)):
        for seed, rates in same_rate.items():
            for k, (rate, same) in enumerate(zip(rates, recalls[seed])):
                different = 1 - (rate - 0.1 * same) / 0.9
                better = 0.1 if removal == "zero_weights" else 0
                rows.append(
                    {"dataset": "d", "layer": "conv3", "criterion": "apoz", "removal": removal, "seed": seed, "k": k}
                    | {"predicted_same_rate": rate, "recall_same": same, "recall_different": different}
                    | {"accuracy": 0.1 * same + 0.9 * different + better, "auroc": auroc}
                    | {"balanced_accuracy": (same + different) / 2}
                )
    return pd.DataFrame(rows)


def test_the_caption_of_the_shape_is_made_from_its_numbers():
    structural, zeroed = caption(three_networks())
    assert "at K = 4, 2 of 3 answer “same” to 99 % or more, from K = 2 to 3 on; 1 of 3 give both answers" in structural
    assert "first to fall below one half: different in 2 of 3, same in 1 of 3" in structural
    assert "flips in 2 of 3, first at K = 1 to 2." in structural
    assert "exceeds balanced accuracy most at K = 2: AUROC 0.90, balanced accuracy 0.50, accuracy 0.10." in structural
    assert "AUROC 0.90)" in structural and "less structural" not in structural
    # Where AUROC is never the higher, nothing is said of it; the area differs by the tenth that was added.
    assert "exceeds" not in zeroed
    assert "less structural’s: accuracy +0.100, balanced accuracy +0.000, AUROC −" in zeroed


def test_the_caption_stays_on_the_page():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = figures.draw("shape", curve(REMOVALS, orders=("mean_activation",)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure._supxlabel.get_window_extent(canvas.get_renderer())
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_an_answer_at_a_single_k_is_shaded():
    rows = three_networks()
    rows.loc[(rows["seed"] == 0) & (rows["k"].isin([2, 3])), "predicted_same_rate"] = 0.5
    ax = figures.draw("shape", figures.Data(rows, ("apoz",))).axes[0]
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_width()) == (3.5, 1)


def test_figures_name_the_layer_and_the_draws_of_random():
    table = curve().table.assign(layer="conv1")
    for name in ("accuracy_vs_k", "class_accuracy_vs_k"):
        (legend,) = figures.draw(name, figures.Data(table, CRITERIA)).legends
        assert legend.get_title().get_text().startswith("digits, conv1: mean of 3 networks")
        assert legend.get_title().get_text().endswith("random: mean of 2 orders a network")


@pytest.mark.parametrize("count", [3, 6])
def test_class_accuracy_vs_k_tells_removals_apart(count):
    """From nine panels on they are smaller, and up to 24 they are those of every removal."""
    named = tuple(name for name in criteria.names() if name != "random")[:count]
    data = curve(REMOVALS, orders=named, named=named)
    titles = [ax.get_title(loc="left") for ax in figures.draw("class_accuracy_vs_k", data).axes if ax.get_visible()]
    assert len(titles) == len(set(titles)) == 3 * count


def test_sensitivity_has_a_line_a_layer_over_the_share_removed():
    axes = figures.draw("sensitivity", layers()).axes
    assert len(axes) == 2 * len(CRITERIA)
    for ax in axes:
        lines = [line for line in ax.lines if not line.get_label().startswith("_")]
        assert [line.get_label() for line in lines] == [
            "conv1 (3 channels)",
            "conv2 (5 channels)",
            "conv3 (9 channels)",
        ]
        assert [line.get_xdata()[-1] for line in lines] == pytest.approx([2 / 3, 4 / 5, 8 / 9])
