# make study    set up, run a study, print where its figures lie and the numbers that matter
# make test     set up, then the tests
# make figures  set up, then draw the figures of a frozen study (ARCHIVE) anew, without a run (CONFIG: keys of its own)
# make archive  set up, then freeze a study into archive/NAME (without NAME: as its data set is called)
# make compare  tell two studies apart, A and B, each a folder of results/ or archive/
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
ARCHIVE ?= mnist
CONFIG ?=
NAME ?=
A ?=
B ?=
PYTEST_ARGS ?=
DATA ?= data
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(shell cksum requirements.txt | cut -d' ' -f1)

.DELETE_ON_ERROR:
.PHONY: study figures archive compare unlock test lint bench docs clean

study: $(READY)
	@for file in $(STUDY); do \
	  test -f $$file || { echo "STUDY: there is no file $$file; studies lie in config/" >&2; exit 1; }; done
	$(BIN)/snakemake --configfile $(STUDY) --quiet rules --cores $(CORES) $(ARGS)
	@$(if $(filter -n --dry-run --dryrun,$(ARGS)),true,$(BIN)/python) workflow/scripts/show_summary.py --configfile config.yaml $(STUDY) $(ARGS)

figures: $(READY)
	$(BIN)/snakemake figures --cores $(CORES) --quiet rules $(ARGS) --config archive=$(ARCHIVE) $(CONFIG)
	@echo "Figures: results/archive/$(ARCHIVE)/figures/"

archive: $(READY)
	$(BIN)/snakemake $(if $(NAME),archive/$(NAME)/manifest.json,archive) --configfile $(STUDY) --quiet rules --cores $(CORES) $(ARGS)

# As diff does, the script ends with 1 if they differ, which is no error of make's.
compare: $(READY)
	@$(BIN)/python workflow/scripts/compare_studies.py $(A) $(B) || test $$? = 1

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
