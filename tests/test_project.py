"""Consistency of the project: pinned versions, generated documents, the rule files."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT

PINS = dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)$", (PROJECT / "requirements.txt").read_text().lower(), re.M))
PACKAGE = PROJECT / "workflow" / "scripts" / "prunecurve"


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


def test_the_documents_of_the_config_are_current():
    from document_config import FOR_EDITORS, documented, schema

    text = (PROJECT / "config" / "README.md").read_text(encoding="utf-8")
    assert documented(text) == text, "run make docs"
    assert FOR_EDITORS.read_text(encoding="utf-8") == schema(), "run make docs"


@pytest.mark.parametrize("study", [PROJECT / "config.yaml", *(PROJECT / "config").glob("*.yaml")], ids=lambda p: p.name)
def test_editors_check_a_study_with_the_schema(study):
    """The schema is checked with jsonschema, which knows nothing of the code."""
    import jsonschema

    text = study.read_text(encoding="utf-8")
    schema = study.parent / re.match(r"# yaml-language-server: \$schema=(\S+)\n", text).group(1)
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    validator.check_schema(validator.schema)
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    for wrong, key in (({"datset": 1}, []), ({"training": {"epochs": 0}}, ["training", "epochs"])):
        assert [list(error.absolute_path) for error in validator.iter_errors(wrong)] == [key]


# Scripts that people call, and no rule.
BY_HAND = {"compare_studies", "document_config"}


def rules_of(path: Path) -> dict[str, tuple[str, str]]:
    """Return the rule that each rule of a file is derived from (else its own name) and its text, by its name."""
    start = r"^(?:rule|checkpoint|use rule (\w+) as) (\w+)(?: with)?:$"
    parts = re.split(start, path.read_text(encoding="utf-8"), flags=re.M)
    return {name: (base or name, text) for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3])}


def test_rules_have_a_script_a_log_and_an_environment_each():
    scripts = set()
    for path in sorted((PROJECT / "workflow" / "rules").glob("*.smk")):
        for name, (base, text) in rules_of(path).items():
            needed = {"log", "params", "output"} | ({"conda"} if base == name else set())
            assert needed <= set(re.findall(r"^ {4}(\w+):$", text, re.M)), name
            scripts.add(base)
            assert (PACKAGE.parent / f"{base}.py").is_file(), name
            assert base != name or (f'command("{base}")' in text and f'code("{base}"' in text), name
    assert scripts == {path.stem for path in PACKAGE.parent.glob("*.py")} - BY_HAND
