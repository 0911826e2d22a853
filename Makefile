# `make help` lists what there is. Everything is installed into .venv, once, from uv.lock.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install demo up down check lint unit test test-imaging faults bench clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## Install everything into .venv, and start nothing

demo: $(INSTALLED) ## Compress a catalogue of real photographs on servers of its own, and show what was saved
	@$(BIN)/darkroom demo

up: $(INSTALLED) ## Start Darkroom with its own MongoDB, Redis, S3 and Ray, in .darkroom/
	@$(BIN)/darkroom up --detach

down: $(INSTALLED) ## Stop what `make up` started
	@$(BIN)/darkroom down

check: lint unit ## Check style, types and all that needs no server, in less than two minutes

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(INSTALLED) ## Run the unit tests, and measure how much of the pure code they reach
	$(BIN)/pytest tests/unit -m "not long and not cpu" --numprocesses logical --dist loadfile --cov --cov-report term
	for group in "actors/imaging/*" "cluster/http/*" "deployments/catalogue/*" "actors/queue/*,actors/request/*,actors/worker/*,cluster/mongo/*"; \
		do $(BIN)/coverage report --include="$$group" --format=total || exit; done

test: export PYTHONDONTWRITEBYTECODE = # or each of the many processes would compile our modules again
test: $(INSTALLED) ## Run all tests but the long ones of `make faults`, on real servers
	$(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

test-imaging: $(INSTALLED) ## Run all tests of image work, with every hostile file; before a commit that touches it
	$(BIN)/pytest tests/unit/actors/imaging --numprocesses logical --dist loadfile -m ""

faults: $(INSTALLED) ## Kill and cut everything that there is, at random moments; FAULTS_SEED=7 repeats a run
	$(BIN)/pytest tests/faults tests/unit/actors/imaging/test_hostile.py -m "not brief" -s -rs

bench: $(INSTALLED) ## Measure Darkroom beside its peers; BENCH="throughput --images 200" chooses
	$(BIN)/uv sync --frozen --quiet --inexact --no-install-project --group bench
	$(BIN)/python -m tests.bench $(BENCH)

clean: ## Remove .venv and all caches; data in .darkroom/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage

# uv itself comes from PyPI. Ray starts twice as fast from byte-compiled packages.
$(INSTALLED): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: sudo apt install python3.11 python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "Python 3.11 or 3.12 is needed, and $(PYTHON) is another: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --quiet --compile-bytecode
	@touch $@
