# The one front door: every command a person or CI runs is a target here. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

STAGE  ?= dev
# Where npm is, the tests also compile and deploy serverless.yml; elsewhere those are skipped, and say so.
DEPLOY := $(if $(shell command -v npm),node_modules/.package-lock.json)

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-bench install-ocr install-code install-deploy demo dev test test-pooler soak check format reference package package-report image-tree image template lint-template deploy lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make .venv with what the local stack needs; the other targets share it

# Packages are byte-compiled at their first import: compiling all of them here would double the time.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

$(VENV)/.installed: requirements/local.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/local.txt
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

install-dev: $(VENV)/.installed-dev ## Add what tests, checks and packaging need

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

install-bench: install install-ocr ## Add the peers that the benchmarks in bench/ measure beside ours
	$(PIP) --require-hashes -r requirements/bench.txt
	@if command -v npm >/dev/null; then npm ci --ignore-scripts --prefix bench/ocr; \
	  else echo "npm is not here, and brings the fonts of bench.ocr: that benchmark will not run; the others do."; fi

install-ocr: $(VENV)/.installed-ocr ## Add what reads documents (0.4 GB)

# Locked whole, so without looking at what rapidocr asks for beside it.
$(VENV)/.installed-ocr: $(VENV)/.installed requirements/ocr.txt functions/ocr/package-lock.json
	$(PIP) --no-deps --require-hashes -r requirements/ocr.txt
	@if command -v npm >/dev/null; then npm ci --ignore-scripts --prefix functions/ocr; \
	else echo "npm is not here: documents are read without the second engine, Tesseract, whose model comes from it."; fi
	@touch $@

SANDBOX := functions/code_sandbox

install-code: $(VENV)/.installed-code $(if $(shell command -v npm),$(SANDBOX)/node_modules/.package-lock.json) ## Add what runs untrusted code (90 MB)
	@if [ -d $(SANDBOX)/node_modules ]; then $(BIN)/python -m functions.code_sandbox.runtimes; \
	  else echo "npm is not here, and brings the interpreters: code will not run; all else does."; fi

$(VENV)/.installed-code: $(VENV)/.installed requirements/code-sandbox.txt
	$(PIP) --require-hashes -r requirements/code-sandbox.txt
	@touch $@

$(SANDBOX)/node_modules/.package-lock.json: $(SANDBOX)/package.json $(SANDBOX)/package-lock.json
	npm ci --ignore-scripts --prefix $(SANDBOX)
	@touch $@

install-deploy: node_modules/.package-lock.json ## Install what compiles and deploys serverless.yml (needs Node)

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts
	@touch $@

demo: install ## Post a signed webhook on this machine and watch its durable run
	@$(BIN)/millrace demo

dev: install ## Start the local stack and leave it running
	@$(BIN)/millrace dev

test: install-dev install-ocr install-code $(DEPLOY) ## Run the tests
	$(BIN)/python -m pytest

test-pooler: install-dev install-ocr install-code ## Run the database's tests once more, through a real PgBouncer
	$(BIN)/python -m pytest -m pooler -n 0 tests/test_pooler.py

soak: install-dev install-ocr install-code ## Run the long tests: kills, races, floods
	$(BIN)/python -m pytest -m soak -n 0

check: install-dev install-ocr install-code ## Lint, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: install-dev ## Write anew what is made from the code: docs/settings.md, docs/api.md, what a review expects
	$(BIN)/python -m infra.reference
	$(BIN)/python -m infra.review.snapshot

package: install-dev install-code ## Build a zip per function to dist/packages; TARGET=arm64, x86_64 or host (default: the first two)
	@$(BIN)/millrace package $(if $(TARGET),--target $(TARGET))

package-report: install-dev install-code ## Build for this machine and time each function's cold import
	@$(BIN)/millrace package --measure

image-tree: install-dev install-ocr ## Gather the files of the functions that are images in dist/images; TARGET as above
	@$(BIN)/python -m infra.image $(if $(TARGET),--target $(TARGET))

image: ## Build the image of FUNCTION (default: ocr-worker) with Docker, for TARGET (arm64 or amd64)
	docker build --platform linux/$(or $(TARGET),arm64) --file infra/image/Dockerfile --build-arg FUNCTION=$(or $(FUNCTION),ocr-worker) \
	  --build-arg MILLRACE_STORAGE=$(or $(MILLRACE_STORAGE),s3) --tag millrace-$(or $(FUNCTION),ocr-worker) .

template: install-dev install-deploy ## Compile serverless.yml for STAGE to dist/template.json and check it
	@$(BIN)/python -m infra.template --stage $(STAGE)

# W3005: osls writes dependencies down that CloudFormation would find by itself.
lint-template: template ## Lint dist/template.json
	$(BIN)/cfn-lint --template dist/template.json --ignore-checks W3005

deploy: install-dev install-code install-deploy ## Build the packages and deploy them to STAGE: docs/deploy.md says what comes before
	@$(BIN)/millrace package --as-deployed
	@$(BIN)/python -m infra.template --stage $(STAGE) --ready
	node_modules/.bin/osls deploy --stage $(STAGE)

lock: install-dev ## Renew requirements/*.txt from pyproject.toml (hashes, no index addresses)
	for extra in local dev bench; do \
	  $(LOCK) --extra $$extra --output-file requirements/$$extra.txt || exit 1; done
	for capability in ocr code-sandbox; do \
	  $(LOCK) --extra $$capability-worker --constraints requirements/dev.txt --output-file requirements/$$capability.txt || exit 1; done

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

clean: ## Remove what was built here, the local data included
	rm -rf $(VENV) .millrace dist .pytest_cache .mypy_cache .ruff_cache
