# make study       set up, run a study, print its summary
# make test        set up, then the tests
# make extras      set up, then install libraries with which more tests run: networks as people have them
# make test-quick  set up, then the tests that do not run Snakemake
# make test-oldest install the oldest Snakemake that works (OLDEST) in .venv-oldest, then test with it
# make figures     set up, then draw the figures of a frozen study (ARCHIVE) without running it (CONFIG: more config keys)
# make archive     set up, then freeze a study in archive/NAME (default NAME: the name of the study)
# make compare     list the differences between two studies, A and B, each a folder of results/ or archive/
# make unlock      remove Snakemake's lock after a kill or a power cut, so that the next make study continues
# make lint        set up, then ruff, mypy, import-linter, snakefmt and snakemake --lint
# make bench       set up, then run the benchmarks against alternatives (half an hour; DATA: the folder with MNIST)
# make docs        set up, then write the table in config/README.md and the schema of the config for editors
# make clean       delete .venv and .venv-oldest (results are kept)
#
# STUDY is a config file whose values replace those of config.yaml, or several of them:
# STUDY="config/mnist.yaml config/all_criteria.yaml".
# ARGS is passed to snakemake; CORES is the number of cores that it may use.
#
#   make study STUDY=config/mnist.yaml ARGS="--config data_dir=FOLDER" CORES=4

PYTHON ?= python3
CORES ?= all
STUDY ?= config.yaml
ARGS ?=
ARCHIVE ?= mnist
CONFIG ?=
NAME ?=
A ?=
B ?=
PYTEST_ARGS ?=
OLDEST ?= 9.22.0
DATA ?= data
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(shell cksum requirements.txt | cut -d' ' -f1)

# A config file is a value of STUDY, not a target.
ifneq ($(filter %.yaml,$(MAKECMDGOALS)),)
$(error write STUDY=$(filter %.yaml,$(MAKECMDGOALS)))
endif
# A second --config would replace the first, which has the archive.
ifneq ($(and $(filter figures,$(MAKECMDGOALS)),$(filter --config --config=% -C,$(ARGS))),)
$(error make figures: give config keys as CONFIG="KEY=VALUE ...", not in ARGS)
endif
ifneq ($(filter compare,$(MAKECMDGOALS)),)
$(if $(and $(A),$(B)),,$(error make compare: give both studies, A=FOLDER B=FOLDER))
endif

# Python then would not find the package beside a script.
unexport PYTHONSAFEPATH

.DELETE_ON_ERROR:
.PHONY: study figures archive compare unlock test extras test-quick test-oldest lint bench docs clean

study: $(READY)
	@for file in $(STUDY); do \
	  test -f $$file || { echo "STUDY: there is no file $$file; studies are in config/" >&2; exit 1; }; done
	$(BIN)/snakemake all summary --configfile $(STUDY) --cores $(CORES) $(ARGS)

figures: $(READY)
	$(BIN)/snakemake figures summary --cores $(CORES) $(ARGS) --config archive=$(ARCHIVE) $(CONFIG)

archive: $(READY)
	$(BIN)/snakemake $(if $(NAME),archive/$(NAME)/manifest.json,archive) --configfile $(STUDY) --cores $(CORES) $(ARGS)

# As with diff, exit status 1 means that the studies differ. This is not an error for make.
compare: $(READY)
	@$(BIN)/python workflow/scripts/compare_studies.py $(A) $(B) || test $$? = 1

unlock: $(READY)
	$(BIN)/snakemake --unlock --configfile $(STUDY) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

extras: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt

test-quick: $(READY)
	$(BIN)/python -m pytest -m "not snakemake" $(PYTEST_ARGS)

# What the workflow uses of Snakemake: plans, runs, checkpoints, archives, modules, reports.
test-oldest:
	$(MAKE) VENV=.venv-oldest .venv-oldest/$(notdir $(READY))
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check snakemake==$(OLDEST)
	.venv-oldest/bin/python -m pytest tests/test_workflow.py tests/test_archive.py tests/test_plan.py $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=workflow/scripts $(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: $(READY)
	$(BIN)/python benchmarks/bench.py --data-dir $(DATA) $(BENCH_ARGS)

docs: $(READY)
	$(BIN)/python workflow/scripts/document_config.py

# The name of the target contains the checksum of requirements.txt: if a version changes, everything is installed again.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"prunecurve needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	rm -f $(VENV)/ready-* && touch $@

clean:
	rm -rf $(VENV) .venv-oldest
