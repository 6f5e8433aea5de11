# Each target does all of its own set-up. TORCH_INDEX: another index to take torch from, for other builds of it.
VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH  := $(shell grep '^torch==' constraints.txt)
BIN    := $(VENV)/bin
TORCH_INDEX ?=

.PHONY: demo test lint types check setup clean

demo: setup ## simulate, pre-train, evaluate, fine-tune with age, predict a newborn; ends with one HTML page
	$(BIN)/auricle demo auricle-demo

test: setup ## the test suite; real recordings are used where AURICLE_REAL_DATA names their folder
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "auricle: making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@echo "auricle: installing $(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@echo "auricle: installing auricle and what it needs (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,io,text-offline,wfdb,cluster,dev]'
	@touch $@
	@echo "auricle: ready"

clean:
	rm -rf $(VENV) auricle-demo
