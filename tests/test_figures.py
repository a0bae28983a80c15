"""Figures: all tiles and lines are there, files are not empty, the same data give the same bytes."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from prunecurve import figures
from prunecurve.figures import style
from prunecurve.figures.of_network.mean_feature_maps import grid_of

CRITERIA = ("mean_activation", "l1_norm", "random")


def curve(removals=("structural",), seeds=3, ks=9) -> figures.Data:
    rng = np.random.default_rng(0)
    rows = []
    for removal in removals:
        for criterion in CRITERIA:
            for seed in range(seeds):
                for k in range(ks):
                    tp, fp = rng.integers(0, 11), rng.integers(0, 91)
                    rows.append(
                        {"dataset": "digits", "seed": seed, "criterion": criterion, "removal": removal, "k": k}
                        | {"tp": tp, "fn": 10 - tp, "fp": fp, "tn": 90 - fp, "accuracy": (tp + 90 - fp) / 100}
                        | {"recall_same": tp / 10, "recall_different": 1 - fp / 90}
                        | {"predicted_same_rate": (tp + fp) / 100}
                    )
    return figures.Data(pd.DataFrame(rows), CRITERIA)


def network(channels=13, dead=2, seeds=1) -> figures.Data:
    rng = np.random.default_rng(1)
    maps = rng.random((channels, 7, 5)).astype(np.float32)
    maps[:dead] = 0
    table = pd.concat(
        pd.DataFrame({"dataset": "digits", "seed": seed, "channel": range(channels)}).assign(
            relu_max=maps.max(axis=(1, 2)),
            relu_mean=maps.mean(axis=(1, 2)),
            rank=np.arange(channels) + 1,
        )
        for seed in range(seeds)
    )
    return figures.Data(table, CRITERIA, maps)


DATA = {"of_curve": curve(), "of_channels": network(seeds=3), "of_network": network()}


def test_the_figures_of_the_study_are_there():
    assert set(figures.names()) == {
        "accuracy_vs_k",
        "class_accuracy_vs_k",
        "activation_levels",
        "mean_feature_maps",
        "mean_feature_maps_shared_scale",
    }


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


@pytest.mark.parametrize("removals", [("structural",), ("structural", "zero_weights")])
def test_accuracy_vs_k_shows_every_criterion_the_control_and_k_0(removals):
    data = curve(removals)
    axes = figures.draw("accuracy_vs_k", data).axes
    assert len(axes) == len(removals)
    for ax, removal in zip(axes, removals):
        lines = {line.get_label(): line for line in ax.lines}
        for criterion in CRITERIA:
            rows = data.table[(data.table["removal"] == removal) & (data.table["criterion"] == criterion)]
            assert lines[style.label(criterion)].get_ydata() == pytest.approx(rows.groupby("k")["accuracy"].mean())
        assert len(ax.collections) == len(CRITERIA)
        told = " ".join(text.get_text() for text in ax.texts)
        assert "K = 0" in told and "always “different”: 0.900" in told


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
