"""Consistency of the project: pinned versions, generated documents, the imports between modules, the rule files."""

import ast
import re
import subprocess

import pytest
import yaml
from conftest import PROJECT

PINS = dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)$", (PROJECT / "requirements.txt").read_text().lower(), re.M))
PACKAGE = PROJECT / "workflow" / "scripts" / "prunecurve"

# The levels of the package, lowest first. A module imports only modules of its own level or of lower levels.
LEVELS = [
    {"errors", "machine", "settings", "naming", "provenance", "progress"},
    {"source"},
    {"files", "seeding", "commandline"},
    {"scores", "learned"},
    {"metrics"},
    {"curves", "archive", "checks"},
    {"datasets", "pairs"},
    {"planning", "shared"},
    {"network", "batches"},
    {"training"},
    {"activations"},
    {"cost", "removal"},
    {"examples"},
    {"head"},
    {"losses", "tail"},
    {"orders"},
    {"criteria"},
    {"sweep"},
    {"early"},
    {"surgery"},
    {"verification"},
    {"statistics", "histories"},
    {"comparisons", "shape", "differences"},
    {"summary_text"},
    {"figures"},
    {"config"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def test_every_requirement_is_pinned():
    lines = [line for line in (PROJECT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == len(PINS)


@pytest.mark.parametrize("path", sorted((PROJECT / "workflow" / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_environments_repeat_the_pins(path):
    packages = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
    for package in packages:
        name, version = package.split("==")
        assert PINS[name] == version


def test_every_environment_is_used_and_exists():
    rules = "".join(path.read_text() for path in (PROJECT / "workflow" / "rules").glob("*.smk"))
    used = set(re.findall(r'"\.\./envs/(\w+\.yaml)"', rules))
    assert used == {path.name for path in (PROJECT / "workflow" / "envs").iterdir()}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "prunecurve":
            parts = node.module.split(".")
            for name in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
                assert LEVEL[name] <= LEVEL[own], f"{path.name} imports {name}"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize("args", ["-n --config x=1 y=2", "--config=x=1 -n", "-C x=1"])
def test_make_figures_takes_config_keys_in_one_place(args):
    """A second --config would replace the first, which has the archive."""
    process = make("figures", f"ARGS={args}", "CONFIG=figures={dpi: 90}")
    assert process.returncode != 0
    assert 'make figures: give config keys as CONFIG="KEY=VALUE ...", not in ARGS' in process.stderr
    planned = make("-n", "figures", "ARGS=--configfile a.yaml -n", "CONFIG=figures={dpi: 90}", "CORES=2").stdout
    assert "--cores 2 --configfile a.yaml -n --config archive=mnist figures={dpi: 90}" in planned


def test_make_names_a_missing_variable():
    assert "write STUDY=config/tour.yaml" in make("study", "config/tour.yaml").stderr
    assert "make compare: give both studies, A=FOLDER B=FOLDER" in make("compare").stderr


def test_the_package_does_not_import_snakemake():
    for path in PACKAGE.rglob("*.py"):
        names = {getattr(n, "module", None) or a.name for n in ast.walk(ast.parse(path.read_text()))
                 if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}  # fmt: skip
        assert not any(name.startswith("snakemake") for name in names), path


def test_the_config_is_documented_as_the_schema_has_it():
    from document_config import documented

    text = (PROJECT / "config" / "README.md").read_text()
    assert documented(text) == text, "run make docs"


def test_rules_have_a_script_a_log_and_an_environment_each():
    for path in sorted((PROJECT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name = rule.split(":")[0]
            script = "plot" if name.startswith("plot") else name
            assert (PACKAGE.parent / f"{script}.py").is_file()
            assert f'script("{script}")' in rule and f'code("{script}"' in rule, name
            assert all(f"\n    {directive}:" in rule for directive in ("log", "conda", "params", "output")), name
