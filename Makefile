# Each target does all of its own set-up. TORCH_INDEX: another index to take torch from, for other builds of it.
VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH  := $(shell grep '^torch==' constraints.txt)
BIN    := $(VENV)/bin
TORCH_INDEX ?=

.PHONY: demo test lint types docs dist check setup clean

demo: setup ## simulate, pre-train, evaluate, fine-tune with age, predict a newborn; ends with one HTML page
	$(BIN)/auricle demo auricle-demo

# Two processes with one thread each: the suite's tensors are too small for two threads to share. Bytecode is kept,
# whatever the shell says of it: the tests start hundreds of processes.
test: setup ## the test suite; real recordings are used where AURICLE_REAL_DATA names their folder
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# The notice that is switched off advertises another program.
docs: setup ## the site, into site/: no network, and a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "auricle: the site: site/index.html"

dist: ## sdist and wheel, into dist/, tried in an empty environment
	deploy/check_dist.sh $(PYTHON)

check: lint types docs test dist

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "auricle: making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@echo "auricle: installing $(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@echo "auricle: installing auricle and what it needs (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,io,text-offline,wfdb,cluster,fhir,serve,export,docs,dev]'
	@touch $@
	@echo "auricle: ready"

clean:
	rm -rf $(VENV) auricle-demo site
