"""Frozen studies are complete, match what was run and suffice for every figure; differences between two studies."""

import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT, Study
from prunecurve import provenance
from prunecurve.statistics.shared_images import shared_images
from prunecurve.archive.differences import differences
from prunecurve.archive import archive
from prunecurve.naming import criterion_of
from prunecurve.errors import StudyError
from prunecurve.arrays import save_array
from prunecurve.tables import read_rows, write_rows
from prunecurve.statistics.means import read_table

IDENTITY = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]


def cloned(folder, to) -> Study:
    """Return a real git clone of a folder without its results. All files of a clone have about the same time."""
    for words in (["init", "-q"], ["add", "-A"], [*IDENTITY, "commit", "-q", "-m", "a study"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", str(folder), str(to)], check=True)
    return Study.at(to)


def compare(a, b) -> subprocess.CompletedProcess[str]:
    script = PROJECT / "workflow" / "scripts" / "compare_studies.py"
    return subprocess.run([sys.executable, script, a, b], capture_output=True, text=True)


@pytest.fixture(scope="module")
def frozen(finished, tmp_path_factory) -> Study:
    """A finished study and its archive."""
    folder = tmp_path_factory.mktemp("frozen") / "study"
    shutil.copytree(finished.folder, folder, symlinks=True)
    study = Study.at(folder)
    study.run("archive/tiny/manifest.json")
    return study


@pytest.fixture
def archived(frozen, tmp_path):
    """A copy of only the archive."""
    return shutil.copytree(frozen.folder / "archive" / "tiny", tmp_path / "archive" / "tiny")


# ---- freezing


def test_the_manifest_lists_every_file_with_its_checksum_and_the_origin(frozen):
    folder = frozen.folder / "archive" / "tiny"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {
        p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"
    }
    assert set(manifest["files"]) == set(files) >= {"curve.csv", "summary.csv", "seed0/conv3/ranking/l1_norm.csv"}
    for name, path in files.items():
        assert not path.is_symlink()
        content = path.read_bytes()
        assert manifest["files"][name] == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        if name.endswith(".csv"):
            assert read_table(path).equals(read_table(frozen.path(name))) and b"#" not in content, "without its seal"
        else:
            assert content == frozen.path(name).read_bytes()
    assert manifest["config"]["seeds"] == [0] and manifest["config"]["study"] == "digits"
    assert not {"data_dir", "overwrite"} & set(manifest["config"])
    assert manifest["data"] == [], "published data"
    assert manifest["frozen"]["versions"]["numpy"] == np.__version__
    assert os.uname().nodename not in json.dumps({**manifest, "files": {}})
    assert frozen.plan("archive/tiny/manifest.json") == {}


def test_damaged_files_are_not_frozen_and_the_old_archive_is_kept(tmp_path):
    root, folder = tmp_path / "results", tmp_path / "archive" / "x"
    root.mkdir()
    facts = {"config": {}, "frozen": {"commit": ""}}
    write_rows(root / "ranking.csv", [{"order": 0, "channel": 1}, {"order": 1, "channel": 0}])
    save_array(root / "maps.npy", np.arange(8))
    archive.freeze(root, ["ranking.csv", "maps.npy"], facts, folder)
    for name in ("ranking.csv", "maps.npy"):
        whole = (root / name).read_bytes()
        middle = len(whole) // 2
        (root / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(StudyError, match=f"{name} is (damaged|empty)"):
            archive.freeze(root, ["ranking.csv", "maps.npy"], facts, folder)
        (root / name).write_bytes(whole)
    assert set(archive.checked(folder)["files"]) == {"ranking.csv", "maps.npy"}


def test_links_are_resolved_large_tables_compressed_and_an_old_archive_replaced(tmp_path):
    root, folder = tmp_path / "results", tmp_path / "archive" / "x"
    (root / "seed0").mkdir(parents=True)
    table = "k,loss\n" + "".join(f"{k},0.5\n" for k in range(200_000))
    (tmp_path / "cached").write_text(table)
    (root / "curve.csv").symlink_to(tmp_path / "cached")
    (root / "seed0" / "training.csv").write_text("epoch\n1\n")
    (folder.parent / ".unfinished-x").mkdir(parents=True)
    folder.mkdir()
    (folder / "of_before.csv").write_text("gone")
    archive.freeze(root, ["curve.csv", "seed0/training.csv"], {"config": {}, "frozen": {"commit": ""}}, folder)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "curve.csv.xz",
        "manifest.json",
        "seed0/training.csv",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["x"]
    assert lzma.decompress((folder / "curve.csv.xz").read_bytes()).decode() == table
    manifest = archive.checked(folder)
    assert archive.held(folder, manifest, "curve.csv") == str(folder / "curve.csv.xz")
    assert archive.held(folder, manifest, "sensitivity.csv") is None


# ---- what is not frozen


OTHER = ("--config", "overwrite=true", "training={epochs: 7}")
REFUSED = "training.epochs: results/digits/{} was made with 2; the config says 7"


@pytest.fixture
def thawed(frozen, tmp_path):
    """A copy of the finished study with its archive."""
    shutil.copytree(frozen.folder, tmp_path / "study", symlinks=True)
    return Study.at(tmp_path / "study")


def refused(study: Study, *arguments: str) -> str:
    """Check that freezing fails and creates no archive; return the output."""
    output = study.run("archive/new/manifest.json", *arguments, succeed=False).stdout
    assert not (study.folder / "archive" / "new").exists()
    return output


def test_results_of_other_settings_are_not_frozen_without_the_trigger_of_parameters(thawed):
    assert REFUSED.format("agreement.csv") in refused(thawed, *OTHER, "--rerun-triggers", "mtime")
    # Without overwrite=true, the run stops before the first job.
    assert "digits would be replaced" in refused(thawed, *OTHER[::2], "--rerun-triggers", "mtime")


def test_results_of_other_settings_are_not_frozen_after_touch(thawed):
    thawed.run("--touch", *OTHER)
    assert set(thawed.plan("archive/new/manifest.json", *OTHER)) == {"freeze"}
    assert REFUSED.format("agreement.csv") in refused(thawed, *OTHER)


def test_results_of_other_code_and_files_of_unknown_origin_are_not_frozen(thawed):
    with (thawed.folder / "workflow" / "scripts" / "train.py").open("a") as file:
        file.write("EDITED = True\n")
    output = refused(thawed, "--rerun-triggers", "mtime")
    assert re.search(r"code of train with \S+: results/digits/\S+ was made with \w{16}; the code is now \w{16}", output)
    (thawed.path("curve.csv.settings")).unlink()
    output = refused(thawed, "--rerun-triggers", "mtime", "--allowed-rules", "freeze")
    assert "results/digits/curve.csv does not say which settings it was made with" in output


def test_one_row_of_other_settings_is_not_frozen(thawed):
    """A file of one K holds only a checksum of its settings; the curve names the file."""
    row = thawed.path("seed0/conv3/sweep/l1_norm/structural/k5.csv")
    rows, times = read_rows(row), row.stat()
    provenance.start(["training.epochs: 7"])
    write_rows(row, rows, brief=True)
    provenance.stop()
    os.utime(row, ns=(times.st_atime_ns, times.st_mtime_ns))
    thawed.path("curve.csv").unlink()
    output = refused(thawed, "--rerun-triggers", "mtime")
    named = row.relative_to(thawed.folder)
    assert f"file of other settings than the rest: results/digits/curve.csv was made with {named}\n" in output, output


def test_an_edited_table_is_not_frozen(thawed):
    curve = thawed.path("curve.csv")
    curve.write_text(curve.read_text().replace("0.", "1.", 1))
    before = archive.checked(thawed.folder / "archive" / "tiny")
    only = ("--allowed-rules", "freeze", "--forcerun", "freeze")
    output = thawed.run("archive/tiny/manifest.json", *only, succeed=False).stdout
    assert "results/digits/curve.csv was changed after it was written" in output
    assert archive.checked(thawed.folder / "archive" / "tiny") == before, "the old archive is kept"


def test_freezing_warns_if_git_does_not_identify_the_code(thawed):
    output = thawed.run("archive/other/manifest.json").stdout
    assert "no git commit here: the manifest does not say which version of the code computed these results" in output
    clone = cloned(thawed.folder, thawed.folder.parent / "clone")
    shutil.copytree(thawed.folder / "results", clone.folder / "results", symlinks=True)
    shutil.copytree(thawed.folder / ".snakemake", clone.folder / ".snakemake")
    (clone.folder / "workflow" / "new.txt").write_text("")
    output = clone.run("archive/new/manifest.json", "--rerun-triggers", "params").stdout
    assert "no git commit" not in output, output
    assert re.search(r"files changed since commit \w{9}: 1; the manifest lists them", output), output


# ---- which archive is replaced


def test_without_an_explicit_name_only_the_same_study_replaces_an_archive(thawed):
    thawed.run("archive")
    assert archive.checked(thawed.folder / "archive" / "digits")["study"] == "digits"
    thawed.run("archive", "--forcerun", "freeze")
    fewer = ("--config", "overwrite=true", "ranking={criteria: [mean_activation]}")
    output = thawed.run("archive", *fewer, succeed=False).stdout
    assert (
        "archive/digits holds a different study and is not replaced. Name an archive to write: make archive NAME"
        in output
    )
    assert len(archive.checked(thawed.folder / "archive" / "digits")["config"]["ranking"]["criteria"]) == 2
    assert "freeze" in thawed.plan("archive/digits/manifest.json", *fewer), (
        "with an explicit name, the archive is replaced"
    )
    clone = cloned(thawed.folder, thawed.folder.parent / "clone")
    shutil.copytree(thawed.folder / "results", clone.folder / "results", symlinks=True)
    assert "archive/digits is committed to git and is not replaced" in clone.run("archive", succeed=False).stdout


# ---- drawing figures from an archive


def test_a_fresh_clone_redraws_every_figure_and_plans_nothing_else(frozen, finished, tmp_path):
    """The figures have the same bytes as those of the run. All files of the clone have about the same time."""
    source = Study(tmp_path / "source", "seeds: [3, 4]\ndataset: mnist\n")
    shutil.copytree(frozen.folder / "archive", source.folder / "archive")
    clone = cloned(source.folder, tmp_path / "clone")
    for targets in (["figures"], []):
        planned = {"summarise", "plot", "plot_network", *(targets or ["complete"])}
        assert set(clone.plan(*targets, "--config", "archive=tiny")) == planned
    clone.run("figures", "--config", "archive=tiny")
    drawn = sorted((clone.folder / "results" / "archive" / "tiny" / "figures").iterdir())
    assert [path.name for path in drawn] == sorted(path.name for path in finished.path("figures").iterdir())
    for path in drawn:
        assert path.read_bytes() == finished.path(f"figures/{path.name}").read_bytes(), path.name
    assert clone.plan("figures", "--config", "archive=tiny") == {}
    assert not list((clone.folder / "results").rglob("*.npy"))


def test_fewer_criteria_and_another_resolution_are_drawn_and_missing_results_refused(frozen):
    fewer = ["figures", "--config", "archive=tiny", "figures={dpi: 60}", "ranking={criteria: [mean_activation]}"]
    assert set(frozen.plan(*fewer)) == {"summarise", "plot", "plot_network", "figures"}
    frozen.run("results/archive/tiny/figures/areas.svg", *fewer[1:])
    drawn = (frozen.folder / "results" / "archive" / "tiny" / "figures" / "areas.svg").read_text()
    assert drawn.count("<use") < frozen.path("figures/areas.svg").read_text().count("<use")
    # The archive has the config of the study, so with it there is nothing to run.
    assert frozen.plan("results/digits/curve.csv", "--config", "archive=tiny") == {}
    output = frozen.run(
        *("-n", "figures", "--config", "archive=tiny", "seeds=[0, 1]", "training={epochs: 3}", "dataset=mnist"),
        *("ranking={criteria: [l1_norm, greedy]}",),
        succeed=False,
    ).stdout
    assert "Traceback" not in output
    for line in (
        "archive: tiny holds a different study",
        "dataset: asked for: mnist; the archive holds: digits",
        "seeds: asked for: [0, 1]; the archive holds: [0]",
        "training.epochs: asked for: 3; the archive holds: 2",
        "ranking.criteria: asked for: [l1_norm, greedy]; the archive holds: [mean_activation, l1_norm]",
    ):
        assert line in output
    more = "ranking={criteria: [l1_norm, mean_activation]}"
    output = frozen.run("-n", "figures", "--config", "archive=tiny", more, succeed=False).stdout
    assert "; the archive holds: [mean_activation, l1_norm]" in output


def changed(archived):
    (archived / "curve.csv").write_text((archived / "curve.csv").read_text().replace("0", "1", 1))


def linked_folder(archived):
    (archived / "seed0").rename(archived.parent / "elsewhere")
    (archived / "seed0").symlink_to("../elsewhere")


def with_manifest(edit):
    def damage(archived):
        path = archived / "manifest.json"
        path.write_text(edit(path.read_text()))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            changed,
            r"curve\.csv was changed: it does not match its checksum in manifest\.json; restore it \(git checkout",
        ),
        (lambda a: (a / "summary.csv").unlink(), r"summary\.csv is missing; restore it"),
        (linked_folder, r"names seed0/\S+, which is not a file in this archive"),
        (with_manifest(lambda t: t.replace('"curve.csv"', '"../curve.csv"')), r"names \.\./curve\.csv, which is not"),
        (with_manifest(lambda t: t.replace('"curve.csv"', '"/etc/passwd"')), r"names /etc/passwd, which is not"),
        (with_manifest(lambda t: '{"files": {}, "config": 3}'), r"manifest\.json is not a manifest"),
        (lambda a: (a / "manifest.json").unlink(), r"there is no .*manifest\.json; archives here: none"),
    ],
)
def test_a_changed_archive_is_refused(archived, damage, message):
    archive.checked(archived)
    damage(archived)
    with pytest.raises(StudyError, match=message):
        archive.checked(archived)


# ---- comparing two studies


def test_a_study_and_its_archive_are_the_same(frozen):
    result = compare(frozen.path(""), frozen.folder / "archive" / "tiny")
    assert result.returncode == 0, result.stdout + result.stderr
    files = json.loads((frozen.folder / "archive" / "tiny" / "manifest.json").read_text())["files"]
    assert f"{len(files)} of {len(files)} files in both studies have the same content." in result.stdout


def test_which_numbers_differ_and_by_how_much(frozen, archived):
    table = pd.read_csv(archived / "curve.csv")
    table.loc[3, "accuracy"] += 0.25
    table.loc[4, "accuracy"] -= 0.5
    table.drop(index=15).to_csv(archived / "curve.csv", index=False)
    rows = read_rows(archived / "seed0/conv3/ranking/l1_norm.csv", sealed=False)
    rows[0]["channel"], rows[1]["channel"] = rows[1]["channel"], rows[0]["channel"]
    write_rows(archived / "seed0/conv3/ranking/l1_norm.csv", rows, sealed=False)
    maps = archived / "seed0/conv3/activations/test/mean_maps.npy"
    save_array(maps, np.load(maps) + np.float32(2))
    (archived / "shape.csv").unlink()
    assert compare(frozen.path(""), archived).returncode == 2, "the files do not match the manifest"
    (archived / "manifest.json").unlink()
    result = compare(frozen.path(""), archived)
    assert result.returncode == 1
    for line in (
        "accuracy: 2 of 15 rows differ, by at most 0.5 (seed 0, layer conv3, criterion mean_activation, removal",
        "rows only in A: 1 (first: seed 0, layer conv3, criterion l1_norm, removal structural, repair none, k 7)",
        "channel: 2 of 8 rows differ, by at most",
        "392 of 392 numbers differ, by at most 2",
        "Files only in A: 1 (first: shape.csv)",
    ):
        assert line in result.stdout, result.stdout
    assert compare(archived, archived).returncode == 0
    assert compare(archived, archived / "nothing").returncode == 2


def test_every_table_of_a_study_equals_itself(tmp_path):
    """The rows of a table are matched by columns that identify them, also where networks and splits are paired."""
    rng = np.random.default_rng(0)
    index = {seed: np.stack([np.repeat([0, 1, 2], 5), rng.permutation(15)], axis=1) for seed in (0, 1, 2)}
    write_rows(tmp_path / "shared_images.csv", shared_images(index, "digits"), sealed=False)
    assert differences(tmp_path, tmp_path) == {"shared_images.csv": []}


def test_a_table_without_repairs_equals_one_whose_repairs_are_none(tmp_path):
    """Archives of older versions do not have the column. Rows of another repair are rows of their own."""
    one = {"seed": 0, "criterion": "apoz", "removal": "structural"}
    tables = {
        "old": [one | {"k": 0, "accuracy": 0.9}],
        "new": [one | {"repair": "none", "k": 0, "accuracy": 0.9}],
        "more": [one | {"repair": repair, "k": 0, "accuracy": 0.9} for repair in ("none", "refit")],
    }
    for name, rows in tables.items():
        write_rows(tmp_path / name / "curve.csv", rows, sealed=False)
    assert differences(tmp_path / "old", tmp_path / "new") == {"curve.csv": []}
    (line,) = differences(tmp_path / "old", tmp_path / "more")["curve.csv"]
    assert line.startswith("rows only in B: 1 (first: seed 0, criterion apoz, removal structural, repair refit, k 0")


# ---- the reference study


MNIST = PROJECT / "archive" / "mnist"


def test_the_reference_study_is_complete(tmp_path):
    """At least five networks, every criterion of its config and every K, in at most 10 MB."""
    manifest = archive.checked(MNIST)
    config = manifest["config"]
    assert sum(path.stat().st_size for path in MNIST.rglob("*")) <= 10_000_000
    assert len(config["seeds"]) >= 5 and config["dataset"] == "mnist"
    curve = pd.read_csv(archive.held(MNIST, manifest, "curve.csv"))
    ranked_by = set(config["ranking"]["criteria"])
    assert set(curve["criterion"].map(criterion_of)) == ranked_by and len(ranked_by) >= 18
    assert (curve.groupby(["seed", "criterion", "removal"])["k"].agg(lambda k: list(k) == list(range(128)))).all()
    assert set(curve["removal"]) == {"structural", "zero_weights", "mean_replacement"}
    assert manifest["frozen"]["commit"] and not manifest["frozen"]["changed_since_commit"]
    for seed in config["seeds"]:
        verification = pd.read_csv(MNIST / f"seed{seed}/conv3/verification.csv")
        assert len(verification) and verification["agrees"].all()


def test_the_reference_studys_figures_need_no_run(tmp_path):
    source = Study(tmp_path / "source", yaml.safe_dump({"dataset": "digits"}))
    shutil.copytree(MNIST, source.folder / "archive" / "mnist")
    clone = cloned(source.folder, tmp_path / "clone")
    planned = clone.plan("figures", "--config", "archive=mnist")
    assert set(planned) == {"summarise", "plot", "plot_network", "figures"}
    assert planned["plot_network"] == 2 and planned["plot"] >= 8
    # One figure of each kind, and the summary, are drawn too, because the archive can be of an older version.
    results = "results/archive/mnist"
    figures = (f"{results}/figures/{name}.png" for name in ("areas", "mean_feature_maps_conv3_seed0"))
    clone.run("summary", *figures, "--config", "archive=mnist")
    assert "greedy_backward_forward" in (clone.folder / results / "summary.txt").read_text()
