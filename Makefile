# Every target sets up what it needs: a fresh clone needs nothing but `make demo` or `make test`.
# `uv` is used where it is on PATH, else python3 (>= 3.12) with venv and pip.

BIN := .venv/bin
STAMP := .venv/.installed
UV := $(shell command -v uv 2>/dev/null)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint type docs bench wheelhouse clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP)  ## make .venv and install the tested versions of everything
demo: $(STAMP)  ## from a mocap file to a trained controller, its video, report and ONNX
	$(BIN)/mimic demo $(ARGS)

test: $(STAMP)  ## the default tests (ARGS="-m slow" for the slow ones)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## pyright
	$(BIN)/pyright --pythonpath $(BIN)/python $(ARGS)

docs: $(STAMP)  ## the documentation, into site/ (index.html opens from disk)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet $(ARGS)

bench: $(STAMP)  ## training speed on this machine, beside its raw physics
	$(BIN)/mimic bench speed $(ARGS)

wheelhouse: $(STAMP)  ## all wheels for a machine without a network (OUT, PYTHON, MACHINE, EXTRAS, SPLIT)
	experiments/cluster/wheelhouse.sh

clean:  ## remove .venv, caches and build products; runs stay
	rm -rf .venv build dist site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
ifneq ($(UV),)
	test -x $(BIN)/python || $(UV) venv .venv
	$(UV) pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
else
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  for python in python3.12 python3 python3.13 python3.14; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then \
	      echo "$$python -m venv .venv"; exec $$python -m venv --clear .venv; \
	    fi; \
	  done; \
	  echo "make: Python 3.12 or newer is needed; found $$(python3 --version 2>&1 || echo no python3)." >&2; \
	  echo "      Install it, or install uv (https://docs.astral.sh/uv/), which brings its own." >&2; \
	  exit 1; }
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
endif
	@touch $@
