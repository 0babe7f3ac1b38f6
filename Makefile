# The one front door: every command a person or CI runs is a target here. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo dev test soak check format reference lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make .venv and install the locked dependencies

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: install ## Post a signed webhook on this machine and watch its durable run
	@$(BIN)/millrace demo

dev: install ## Start the local stack and leave it running
	@$(BIN)/millrace dev

test: install ## Run every test
	$(BIN)/python -m pytest

soak: install ## Run the long tests: kills, races, floods
	$(BIN)/python -m pytest -m soak -n 0

check: install ## Lint, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: install ## Write docs/settings.md and docs/api.md anew from the code
	$(BIN)/python -m infra.reference

lock: ## Renew requirements/*.txt from pyproject.toml (hashes, no index addresses)
	for extra in local dev bench; do \
	  $(BIN)/uv pip compile pyproject.toml --extra $$extra --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --quiet --output-file requirements/$$extra.txt || exit 1; done

clean: ## Remove what was built here, the local data included
	rm -rf $(VENV) .millrace dist .pytest_cache .mypy_cache .ruff_cache
