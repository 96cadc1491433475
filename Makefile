# Everything a newcomer types. `make demo` and `make test` need only Python 3.11 (with venv), git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-slow check lint types floors format lock lock-check simulate simulate-long kill-loop bench clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "syncd needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

setup: $(STAMP)  ## create .venv with everything, by hash

demo: $(STAMP)   ## run the main job against a local sandbox and tell what happens; ARGS="--seed 7 --keep"
	$(BIN)/syncd demo $(ARGS)

test: $(STAMP)   ## lint, types, floors and the tests that take less than five minutes
	$(MAKE) --no-print-directory lint types floors
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-slow: $(STAMP) ## the slow proofs: kill -9 loops, long property runs
	$(BIN)/python -m pytest -m slow --timeout 1800 $(ARGS)

check: test      ## what every commit must leave green

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

floors: $(STAMP)
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(STAMP) ## let ruff order imports and lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

simulate: $(STAMP) ## 10,000 lives of the whole daemon against faults on virtual time; ARGS="--seed 7"
	$(BIN)/python -m tests.simulation.long --scenarios 10000 $(ARGS)

simulate-long: $(STAMP) ## the same for an hour, deaths at the port calls of days and of each fault, and the planted bugs
	$(BIN)/python -m tests.simulation.long --cpu-seconds 3600 --exhaustive $(ARGS)
	$(BIN)/python -m tests.simulation.planted

CYCLES ?= 300
kill-loop: $(STAMP) ## kill -9 the real process in every situation; CYCLES=300, ARGS="--seed 7"
	$(BIN)/python -m tests.end_to_end.cycles --cycles $(CYCLES) $(ARGS)

bench: $(STAMP)  ## the figures, as ratios against their limits
	$(BIN)/python -m bench $(ARGS)

lock:            ## renew uv.lock and both exports (maintainers; needs uv)
	uv lock
	uv export -q --format requirements-txt --no-emit-project --group dev --no-header -o requirements-dev.txt
	uv export -q --format requirements-txt --no-emit-project --no-default-groups --no-header -o requirements.txt

clean:           ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info
