"""The settings that artifacts carry: from inputs to outputs, through every kind of file, complete and unchanged."""

import functools
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from prunecurve.ranking import criteria
from prunecurve import provenance
from prunecurve.data import tasks
from prunecurve.config.check import check
from prunecurve.config.model import KEYS, change_of
from prunecurve.config.settings import data_settings, replaced, settings
from prunecurve.errors import StudyError
from prunecurve.arrays import load_array, save_array
from prunecurve.tables import read_rows, write_rows, write_table
from prunecurve.provenance import SEPARATOR, settings_of
from prunecurve.statistics.means import read_table

LINES = st.lists(
    st.tuples(st.from_regex(r"[a-z][a-z_.]{,20}", fullmatch=True), st.from_regex(r"[\w\[\], .+-]{1,9}", fullmatch=True))
    .map(SEPARATOR.join)
    .filter(str.isascii),
    unique=True,
    max_size=8,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_job():
    yield
    provenance.stop()


def job(own, read=lambda: None, write=lambda: None):
    """A job with its own settings: reads, writes, ends."""
    provenance.start(own)
    read()
    write()
    provenance.stop()


# ---- through files


@given(
    array=arrays.arrays(
        st.sampled_from([np.float32, np.uint8, np.int64]), arrays.array_shapes(max_dims=3), elements=st.integers(0, 200)
    ),
    lines=LINES,
)
def test_an_array_carries_its_settings_and_is_read_unchanged(tmp_path_factory, array, lines):
    path = tmp_path_factory.mktemp("array") / "a.npy"
    job(lines, write=lambda: save_array(path, array))
    assert settings_of(path) == sorted(lines)
    for mapped in (False, True):
        assert np.array_equal(load_array(path, mapped=mapped), array)


@given(lines=LINES, cells=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")), min_size=1))
def test_a_sealed_table_carries_its_settings_and_is_read_unchanged(tmp_path_factory, lines, cells):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows = [{"place": str(place), "cell": cell} for place, cell in enumerate(cells)]
    job(lines, write=lambda: write_rows(path, rows))
    assert settings_of(path) == sorted(lines)
    assert read_rows(path) == rows


def test_settings_go_from_inputs_to_outputs_of_every_kind(tmp_path):
    """Two networks, their rankings in sealed tables, a plain table of all, a table made from that."""
    for seed, epochs in ((0, 5), (1, 6)):
        job([f"training.epochs: {epochs}"], write=lambda seed=seed: save_array(tmp_path / f"w{seed}.npy", np.arange(3)))
        job(
            ["ranking.split: val"],
            read=lambda seed=seed: load_array(tmp_path / f"w{seed}.npy"),
            write=lambda seed=seed: write_rows(tmp_path / f"r{seed}.csv", [{"channel": 1}, {"channel": 0}]),
        )
    one = ["ranking.split: val", "training.epochs: 5"]
    assert settings_of(tmp_path / "r0.csv") == one
    job(
        ["seeds: [0, 1]"],
        read=lambda: [read_rows(tmp_path / f"r{seed}.csv") for seed in (0, 1)],
        write=lambda: write_rows(tmp_path / "all.csv", [{"seed": 0}, {"seed": 1}], sealed=False),
    )
    # Networks of two recipes: both stand there.
    both = sorted([*one, "training.epochs: 6", "seeds: [0, 1]"])
    assert settings_of(tmp_path / "all.csv") == both
    assert (tmp_path / "all.csv").read_text() == "seed\n0\n1\n", "other programs read a plain table"
    assert yaml.safe_load((tmp_path / "all.csv.settings").read_text())["seeds"] == [0, 1]
    frame = pd.DataFrame({"mean": [0.5]})
    job([], read=lambda: read_table(tmp_path / "all.csv"), write=lambda: write_table(tmp_path / "mean.csv", frame))
    assert settings_of(tmp_path / "mean.csv") == both
    # A script that is run by hand: its files are read all the same.
    for sealed in (False, True):
        write_rows(tmp_path / "own.csv", [{"x": 1}], sealed=sealed)
        assert settings_of(tmp_path / "own.csv") == [] and not (tmp_path / "own.csv.settings").exists()
        assert (tmp_path / "own.csv").read_text().startswith("x\n1\n#\tcrc32 " if sealed else "x\n1\n")


def test_brief_files_must_have_the_settings_of_a_full_one(tmp_path):
    """Of the thousands of files of a sweep, one per curve has the settings, and the others a checksum of them."""

    def sweep(k: int, *, epochs: int = 8, job_of_rows: bool = True) -> None:
        own = ["code of eval_pruned: 0123", f"training.epochs: {epochs}"]
        rows = [{"k": k, "loss": 0.5}]
        write = functools.partial(write_rows, tmp_path / f"k{k}.csv", rows, brief=k > 0)
        job(own, write=write) if job_of_rows else write()

    def gathered() -> list[str]:
        paths = [tmp_path / f"k{k}.csv" for k in range(3)]
        job([], lambda: [read_rows(path) for path in paths], lambda: write_rows(tmp_path / "c.csv", rows, sealed=False))
        return settings_of(tmp_path / "c.csv")

    rows, full = [{"k": 0}], ["code of eval_pruned: 0123", "training.epochs: 8"]
    for k in range(3):
        sweep(k)
    assert settings_of(tmp_path / "k0.csv") == full
    assert (tmp_path / "k1.csv").stat().st_size < 60
    assert gathered() == full
    for wrong in ({"epochs": 9}, {"job_of_rows": False}):
        sweep(2, **wrong)
        assert gathered() == [*full[:1], f"file of other settings than the rest: {tmp_path / 'k2.csv'}", *full[1:]]
    sweep(2)
    sweep(0, epochs=9)
    other = f"file of other settings than the rest: {tmp_path / 'k1.csv'}"
    assert gathered() == [full[0], other, "training.epochs: 9"]


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "plain.csv"])
def test_a_setting_that_was_edited_is_found(tmp_path, name):
    job(["training.epochs: 1"], write=lambda: save_array(tmp_path / "a.npy", np.arange(4)))
    job(["training.epochs: 1"], write=lambda: write_rows(tmp_path / "a.csv", [{"x": 1}]))
    job(["training.epochs: 1"], write=lambda: write_rows(tmp_path / "plain.csv", [{"x": 1}], sealed=False))
    path = tmp_path / name
    if name == "plain.csv":
        path.write_text("x\n2\n")
    else:
        path.write_bytes(path.read_bytes().replace(b"epochs: 1", b"epochs: 7"))
    with pytest.raises(StudyError, match=rf"{name} (is damaged|was changed after it was written)"):
        settings_of(path)


# ---- of a config


def test_the_settings_of_a_config_are_its_keys_resolved():
    lines = settings(check({"training": {"epochs": 3}, "sweep": {"ks": [5, 2]}}))
    assert lines["training.epochs"] == "training.epochs: 3"
    assert lines["layer"] == "layer: conv3"
    assert lines["sweep.ks"] == "sweep.ks: [0, 2, 5]"
    every = check({"sweep": {"ks": list(range(64))}})
    assert settings(every)["sweep.ks"] == settings(check({}))["sweep.ks"] == "sweep.ks: all"
    # Those of a user's network have no effect on the built-in one.
    users = {"network.arguments", "network.weights", "network.leaf_modules"}
    assert set(lines) == {key for key in KEYS if "properties" not in KEYS[key] and change_of(key) != "none"} - users


@pytest.mark.parametrize(
    ("finished", "asked", "lines"),
    [
        ({}, {}, []),
        ({}, {"seeds": [0, 1, 2, 7]}, []),
        ({}, {"seeds": [0, 1]}, ["seeds: [0, 1, 2]; asked for: [0, 1]"]),
        ({"ranking": {"criteria": ["apoz"]}}, {"ranking": {"criteria": ["apoz", "l1_norm"]}}, []),
        # The figures of the shape and of the mean maps are those of the first criterion.
        (
            {"ranking": {"criteria": ["apoz", "random"]}},
            {"ranking": {"criteria": ["random", "apoz"]}},
            ["ranking.criteria: [apoz, random]; asked for: [random, apoz]"],
        ),
        ({"sweep": {"ks": [3]}}, {}, []),
        ({}, {"sweep": {"ks": [3]}}, ["sweep.ks: all; asked for: [0, 3]"]),
        ({"sweep": {"ks": [3]}}, {"sweep": {"ks": [2]}}, ["sweep.ks: [0, 3]; asked for: [0, 2]"]),
        ({}, {"ranking": {"random_draws": 4}}, []),
        ({"sensitivity": {"layers": ["conv1"]}}, {"sensitivity": {"layers": ["conv1", "conv3"]}}, []),
        ({"plan": {"random_draws": 2}}, {"plan": {"random_draws": 3}}, []),
        ({}, {"plan": {"macs": 0.7}}, ["plan.macs: [0.5]; asked for: [0.7]"]),
        ({}, {"plan": {"macs": [0.7, 0.5], "tolerance": 0.1}}, []),
        (
            {"recovery": {"ks": [2]}},
            {"recovery": {"ks": [5, 2]}, "layer": "conv2"},
            ["layer: conv3; asked for: conv2"],
        ),
        (
            {"recovery": {"ks": [16, 5]}},
            {"layer": "conv3"},
            ["recovery.ks: [5, 16]; asked for: [16, 32, 48, 56, 60, 63]"],
        ),
        (
            {},
            {"training": {"epochs": 9}, "threads": 2},
            ["threads: 1; asked for: 2", "training.epochs: 8; asked for: 9"],
        ),
        ({}, {"figures": {"dpi": 90}, "study": "digits"}, []),
    ],
)
def test_what_a_run_would_replace_in_a_finished_study(finished, asked, lines):
    carried = {key: line for key, line in settings(check(finished)).items() if not key.startswith("figures")}
    assert replaced([*carried.values(), "code of train: 0123"], check(asked), []) == lines


def test_with_disjoint_images_seeds_are_added_at_the_end_only():
    carried = list(settings(check({"seeds": [0, 1], "images": {"disjoint": True}})).values())
    for seeds, lines in (([0, 1, 2], 0), ([2, 0, 1], 1), ([1, 0], 1)):
        asked = check({"seeds": seeds, "images": {"disjoint": True}})
        assert len(replaced(carried, asked, [])) == lines, seeds


def test_other_images_replace_a_finished_study():
    config = check({})
    lines = list(settings(config).values())
    other = ["data_dir: its images are not those of the finished study"]
    for carried, data in (("", "ab"), ("ab", "cd"), ("ab", "")):
        assert replaced([*lines, *data_settings(carried)], config, data_settings(data)) == other
    assert replaced([*lines, *data_settings("ab")], config, data_settings("ab")) == []
    assert replaced([], config, data_settings("ab")) == [], "there is no finished study"


def test_every_key_that_changes_a_result_is_carried_by_it():
    rules = "".join(path.read_text() for path in (PROJECT / "workflow" / "rules").rglob("*.smk"))
    rules += (PROJECT / "workflow" / "scripts" / "prunecurve" / "study" / "settings.py").read_text()
    calls = re.findall(r"(?:settings|self)\.\w+\(([^()]*(?:\([^()]*\)[^()]*)*)\)", rules)
    named = {word for call in calls for word in re.findall(r'"([a-z_.]+)"', call)} | {"seeds", "images"}
    named |= {key for name in tasks.names() for key in tasks.inputs_of(name).KEYS}
    named |= {f"ranking.{key}" for name in criteria.names() for key in criteria.parameters(name)}
    for key, sub in KEYS.items():
        if "properties" not in sub and change_of(key) != "none":
            sections = {key.rsplit(".", places)[0] for places in range(3)}
            assert sections & named, f"{key}: no rule names it in settings.keys(...)"
