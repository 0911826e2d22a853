# `make help` lists what there is. Everything is installed into .venv, once, from uv.lock.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo up down test faults lint bench clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED) ## Compress a catalogue of real photographs on servers of its own, and show what was saved
	@$(BIN)/darkroom demo

up: $(INSTALLED) ## Start Darkroom with its own MongoDB, Redis, S3 and Ray, in .darkroom/
	@$(BIN)/darkroom up --detach

down: $(INSTALLED) ## Stop what `make up` started
	@$(BIN)/darkroom down

test: $(INSTALLED) ## Run all tests but the long ones of `make faults`, on real servers
	$(BIN)/pytest

faults: $(INSTALLED) ## Kill and cut everything that there is, at random moments; FAULTS_SEED=7 repeats a run
	$(BIN)/pytest tests/faults -m "not brief" -s -rs

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## Measure Darkroom beside its peers; BENCH="throughput --images 200" chooses
	$(BIN)/uv sync --frozen --quiet --inexact --no-install-project --group bench
	$(BIN)/python -m tests.bench $(BENCH)

clean: ## Remove .venv and all caches; data in .darkroom/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

# uv itself comes from PyPI. Ray starts twice as fast from byte-compiled packages.
$(INSTALLED): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: sudo apt install python3.11 python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "Python 3.11 or 3.12 is needed, and $(PYTHON) is another: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --quiet --compile-bytecode
	@touch $@
