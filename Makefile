# make study    set up, run a study, print where its figures lie and the numbers that matter
# make test     set up, then the tests
# make unlock   after a hard kill or a power cut, so that the next make study goes on
# make lint     set up, then ruff and snakefmt
# make bench    set up, then measure against other ways to do the same (half an hour; DATA: the folder that holds MNIST)
# make docs     set up, then write config/README.md's table from the schema
# make clean    delete .venv (results stay)
#
# STUDY is a config that is read over config.yaml; ARGS goes to snakemake; CORES is how many cores it may use
# (several, read one over another: STUDY="config/mnist.yaml config/all_criteria.yaml")
#
#   make study STUDY=config/mnist.yaml ARGS="--config data_dir=FOLDER" CORES=4

PYTHON ?= python3
CORES ?= all
STUDY ?= config.yaml
ARGS ?=
PYTEST_ARGS ?=
DATA ?= data
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(shell cksum requirements.txt | cut -d' ' -f1)

.DELETE_ON_ERROR:
.PHONY: study unlock test lint bench docs clean

study: $(READY)
	@for file in $(STUDY); do \
	  test -f $$file || { echo "STUDY: there is no file $$file; studies lie in config/" >&2; exit 1; }; done
	$(BIN)/snakemake --configfile $(STUDY) --quiet rules --cores $(CORES) $(ARGS)
	@$(if $(filter -n --dry-run --dryrun,$(ARGS)),true,$(BIN)/python) workflow/scripts/show_summary.py --configfile config.yaml $(STUDY) $(ARGS)

unlock: $(READY)
	$(BIN)/snakemake --unlock --configfile $(STUDY) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: $(READY)
	$(BIN)/python benchmarks/bench.py --data-dir $(DATA) $(BENCH_ARGS)

docs: $(READY)
	$(BIN)/python workflow/scripts/document_config.py

# The stamp carries the checksum of requirements.txt: a changed pin installs again, an untouched one never.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"prunecurve needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	rm -f $(VENV)/ready-* && touch $@

clean:
	rm -rf $(VENV)
