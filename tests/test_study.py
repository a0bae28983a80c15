"""What a study consists of, by its config and the layers of its network."""

import json

import pandas as pd
import pytest
from conftest import PROJECT
from prunecurve import provenance
from prunecurve.archive import archive
from prunecurve.config.layers import Layers
from prunecurve.config.check import check
from prunecurve.config.settings import of_archive
from prunecurve.errors import StudyError
from prunecurve.study import EarlierResults, Frozen, Options, Settings, Study, archived_config, archived_files, flags
from prunecurve.study.paths import CALIBRATION, split_files
from prunecurve.sweep.k_batches import from_words
from prunecurve.tables import write_table


def study(**config) -> Study:
    """Return a study of the built-in network."""
    return Study(
        check({"network": {"channels": [4, 6, 8], "hidden": [12]}} | config), lambda: pytest.fail("not needed")
    )


# A network of a user: numpy evaluates what follows its last layer.
TABLE = [
    {"layer": "a", "kind": "Conv2d", "group": "0", "channels": "8", "backend": "torch", "refused": ""},
    {"layer": "b.c", "kind": "Conv2d", "group": "1", "channels": "40", "backend": "numpy", "refused": ""},
    {
        "layer": "d",
        "kind": "Conv2d",
        "group": "2",
        "channels": "5",
        "backend": "torch",
        "refused": "reaches the output",
    },
]


def of_user(rows=TABLE, **config) -> Study:
    config = {"task": "classes", "network": {"factory": "net.py:net"}, "layer": "b.c"} | config
    return Study(check(config), lambda: Layers.read(rows))


def test_rankings_layers_and_rows_of_the_built_in_network():
    one = study(seeds=[3], ranking={"criteria": ["l1_norm", "random"], "random_draws": 2}, sweep={"ks": [2, 5]})
    assert one.rankings == ["l1_norm", "random-1", "random-2"] and one.layer == "conv3"
    assert one.sensitivity_layers == one.plan_layers == ["conv1", "conv2", "conv3"]
    assert one.rows([3], ["l1_norm"], ["structural"], "conv3") == [
        f"results/digits/seed3/conv3/sweep/l1_norm/structural/k{k}.csv" for k in (0, 2, 5)
    ]
    with pytest.raises(StudyError, match="layer: linear2 is the output layer"):
        one.rows([3], ["l1_norm"], ["structural"], "linear2")


def test_only_torch_reads_the_network_and_the_images_in_evaluations():
    one = of_user()
    assert one.if_torch("a", ["model.pt"]) == ["model.pt"] and one.if_torch("b.c", ["model.pt"]) == []
    assert one.partial_sums("b.c", "structural") and one.partial_sums("a", "structural") == []
    assert not of_user(sweep={"ks_per_job": 40}).partial_sums("b.c", "structural")
    assert one.partial_sums("b.c", "structural+refit") == []
    options = Options(one).torch()
    network = json.loads(options[options.index("--network") + 1])
    assert network == {"factory": "net.py:net", "arguments": {}, "leaf_modules": []}
    assert one.modules("greedy", "a") == ["ranking.criteria.greedy", "ranking.torch_losses"]
    assert one.modules("reversed-l1_norm", "b.c") == ["ranking.criteria.l1_norm"]


def test_the_verification_needs_its_own_k_if_the_study_does_not_evaluate_them():
    """A job each in numpy; one for all in torch."""
    few = {"sweep": {"ks": [0, 20]}, "verification": {"drawn_ks": 0}}
    assert of_user(**few).verified_ks(0, "b.c", "l1_norm", "structural") == {
        str(k): [k] for k in (0, 1, 10, 20, 30, 39)
    }
    assert of_user(**few).verified_ks(0, "a", "l1_norm", "structural") == {"0": [0], "verified": [1, 2, 4, 6, 7]}
    assert of_user(**few).ks_of_job("verified", 0, "a", "l1_norm", "structural") == [1, 2, 4, 6, 7]
    assert of_user(**few).ks_of_job("33", 0, "b.c", "l1_norm", "structural") == [33]
    for name in ("3-9", "verified"):
        with pytest.raises(StudyError, match=f"k{name}: the study has no evaluation job of b.c"):
            of_user(**few).ks_of_job(name, 0, "b.c", "l1_norm", "structural")
    many = of_user(sweep={"ks_per_job": 16})
    assert list(many.k_batches("b.c")) == ["0-15", "16-31", "32-39"]
    assert set(many.verified_ks(0, "b.c", "l1_norm", "structural")) <= set(many.k_batches("b.c"))
    assert from_words(Options(many).k_words("b.c")) == many.k_batches("b.c")
    assert from_words(Options(of_user()).k_words("b.c")) == {str(k): [k] for k in range(40)}


def test_a_job_repairs_all_k_of_a_ranking():
    one = of_user(
        sweep={"repairs": ["none", "bias", "refit_bias"], "removals": ["zero_weights", "structural"], "ks": 3}
    )
    assert one.variants == ["zero_weights", "structural", "structural+bias", "structural+refit_bias"]
    repaired, verified = "structural+refit_bias", [0, 1, 10, 20, 30, 39]
    folder = "results/digits/seed5/b.c/sweep/l1_norm"
    assert one.rows([5], ["l1_norm"], one.variants[1::2], "b.c") == [
        *(f"{folder}/structural/k{k}.csv" for k in (0, 20, 39)),
        f"{folder}/structural+refit_bias/k0-39.csv",
    ]
    assert one.ks_of_job("0-39", 5, "b.c", "l1_norm", repaired) == [0, 20, 39]
    by_job = one.verified_ks(5, "b.c", "l1_norm", repaired)
    assert set(by_job) == {"0-39", "verified"} and set(verified) <= {k for ks in by_job.values() for k in ks}
    assert [path.rpartition("/")[2] for path in one.calibration("b.c", repaired)] == [
        *("moments.npy", "features.npy", "labels.npy", "shares.npy")
    ]
    assert one.calibration("a", repaired)[4:] == [split_files("train")[0], f"{CALIBRATION}/inputs.npy"]
    assert one.calibration("a", "structural") == []
    assert one.modules_of_evaluation("a", repaired)[1:] == ["sweep.backends.torch_backend", "sweep.repair"]


def test_settings_name_what_a_result_depends_on():
    one = of_user(
        seeds=[0, 1], training={"require": 0.7, "epochs": 3}, network={"factory": "net.py:net", "weights": "w{seed}.pt"}
    )
    settings = Settings(one, code=["code of net.py:net: 1"], weights={0: "77"})
    assert {"code of net.py:net: 1", "content of network.weights: 77"} <= set(settings.training(0))
    assert not [line for line in settings.training(0) if line.startswith("training.")]
    assert "training.epochs: 3" in Settings(study(training={"epochs": 3})).training(0)
    built_in = Settings(study())
    assert not [line for line in built_in.keys("training") if "require" in line]
    assert built_in.keys("layer", "sweep.ks") == ["layer: conv3", "sweep.ks: all"]
    assert built_in.seeds([2], "plan.macs") == ["seeds: [2]", "plan.macs: [0.5]"]
    assert "ranking.random_draws: 2" in built_in.rankings(["apoz", "random"], [0])
    assert "ranking.random_draws: 2" not in built_in.rankings(["apoz"], [0], "layer")


def test_an_option_with_a_list_has_several_values():
    assert flags(batch_size=3, seeds=[0, 1], classes=[]) == ["--batch-size", 3, "--seeds", 0, 1, "--classes"]


def test_tables_and_figures_that_a_study_has():
    assert "paired_differences" in study().study_figures([0, 1]) and "paired_differences" not in study().study_figures(
        [0]
    )
    assert not {"sensitivity", "plan"} & set(study().study_figures([0, 1]))
    assert archived_files(study(), lambda name: name == "plan.csv")[:8] == [
        *("agreement.csv", "channels.csv", "comparisons.csv", "curve.csv", "plan.csv", "plan_layers.csv"),
        *("shape.csv", "shape_table.csv"),
    ]
    files = archived_files(of_user(seeds=[0]), lambda name: False)
    assert "class_recall.csv" in files and "seed{seed}/b.c/ranking/{criterion}.csv" in files
    assert not {"comparisons.csv", "shared_images.csv", "plan_layers.csv"} & set(files)
    assert archived_config(of_user(sweep={"ks": 2}))["sweep"]["ks"] == [0, 39], "an archive has no table of the layers"


def test_an_archive_lends_its_files_but_what_follows_from_the_curve_is_made_again():
    folder = PROJECT / "archive" / "mnist"
    config = check({"dataset": "mnist", "study": "own", "seeds": [0, 1, 2, 3, 4]})
    one = Study(config, lambda: None, Frozen(folder, archive.checked(folder)))
    assert one.table(one.drawn, "curve.csv").startswith(f"{folder}/curve.csv")
    assert one.table(one.drawn, "summary.csv") == "results/archive/mnist/summary.csv"
    assert one.table("own", "curve.csv") == "results/own/curve.csv"
    assert one.history(one.drawn) == f"{folder}/seed{{seed}}/training.csv" and one.history("own").startswith(
        "results/own/"
    )
    with pytest.raises(StudyError, match=r"does not contain plan\.csv"):
        one.table(one.drawn, "plan.csv")
    histories = [one.history(one.drawn).format(seed=seed) for seed in one.seeds]
    assert one.below_requirement(histories) == []
    one.config["training"]["require"] = 0.999
    assert len(one.below_requirement([*histories, "nowhere.csv"])) == 5
    assert one.in_words() == "study own: mnist, pairs, built-in network, layer last, 5 networks"


def test_a_plan_is_not_replaced_without_a_word(tmp_path, monkeypatch):
    """The curve of the same study has no repairs, so its settings do not have the keys of repairs."""
    monkeypatch.chdir(tmp_path)
    tables = {"curve": ["seeds: [0]", "training.epochs: 8"], "plan": ["repair.inputs: 4000", "plan.macs: [0.5]"]}
    for name, lines in tables.items():
        provenance.start(lines)
        write_table(f"results/digits/{name}.csv", pd.DataFrame({"k": [0]}))
    provenance.stop()

    def replaced(*written: str, **config) -> list[str]:
        one = study(seeds=[0], **config)
        earlier = EarlierResults(one, [])
        return earlier.replaced_by(written, earlier.replaced(one.layers), one.layers, awaited=False)

    fewer = {"repair": {"inputs": 1000}}
    assert replaced("results/digits/plan.csv", **fewer) == ["repair.inputs: 4000; asked for: 1000"]
    assert replaced("results/digits/curve.csv", **fewer) == []
    assert replaced("results/digits/plan.csv", plan={"macs": [0.5, 0.3]}) == []
    assert replaced("results/digits/plan.csv", plan={"macs": 0.3}) == ["plan.macs: [0.5]; asked for: [0.3]"]
    assert replaced("results/digits/curve.csv", plan={"macs": 0.3}) == []
    epochs = ["training.epochs: 8; asked for: 9"]
    assert replaced("results/digits/plan.csv", training={"epochs": 9}) == epochs


def test_an_archive_of_an_older_version_has_no_repairs():
    frozen = check({"plan": {"macs": 0.7}, "sweep": {"repairs": ["none"]}})
    old = {
        name: {key: value for key, value in part.items() if key not in ("repair", "repairs")}
        for name, part in frozen.items()
        if isinstance(part, dict)
    }
    config = of_archive({**frozen, **old, "plan": {**old["plan"], "macs": 0.7}}, {})
    assert config["sweep"]["repairs"] == config["sensitivity"]["repairs"] == ["none"]
    assert config["plan"]["repair"] == "none" and config["plan"]["macs"] == [0.7]
