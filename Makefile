# Everything a person or CI does, by one name each. `make setup` is implied by all of them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: setup run demo down fmt check test test-unit test-conformance test-system bench lock clean help
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## create .venv with the locked dependencies

run: $(STAMP) ## start the shop (Ctrl-C stops it)
	$(BIN)/hanse up systems/shop

demo: $(STAMP) ## order things in a running shop and say what happened
	$(BIN)/python -m systems.shop.demo

down: $(STAMP) ## stop a shop that runs in the background
	$(BIN)/hanse down systems/shop

fmt: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(STAMP) ## lint, types, floors, architecture, unit tests; no servers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/architecture tests/unit

test: $(STAMP) ## all tests, with real servers and real processes
	$(BIN)/pytest tests

test-unit: $(STAMP)
	$(BIN)/pytest -q tests/unit

test-conformance: $(STAMP)
	$(BIN)/pytest -q tests/conformance

test-system: $(STAMP)
	$(BIN)/pytest -q tests/system

$(VENV)/.bench: $(STAMP) requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(VENV)/.bench ## measure against named peers and print the ratios (one: make bench ID=B11)
	$(BIN)/python -m bench $(ID)

lock: ## resolve the dependencies anew and write the locked files
	$(BIN)/python -m pip install --quiet uv
	for group in runtime dev bench; do \
	  case $$group in runtime) flag= ;; *) flag="--group $$group" ;; esac; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --upgrade $$flag pyproject.toml -o requirements/$$group.txt; \
	done

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
