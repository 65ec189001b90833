# Two commands for a newcomer: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CODE := infra/smartlearn producers/smartlearn stream_processors/smartlearn dashboard/smartlearn

.DEFAULT_GOAL := help
.PHONY: help run install install-dev servers test test-fast lint format soak bench screenshots schemas constraints env clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## start everything on this machine, with 24 hours of demo history
	@$(BIN)/smartlearn up --demo

install: $(VENV)/.installed ## create .venv with all that `make run` needs

install-dev: $(VENV)/.installed-dev ## create .venv with all that the tests need

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d: set PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (about a minute the first time)"
	@$(PIP) install --constraint constraints.txt --editable '.[local]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) what the tests need"
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

servers: install-dev ## build Kafka and InfluxDB without containers, once, into a cache
	@$(BIN)/smartlearn servers build

test: install-dev ## run every test, on the real thing
	@PYTHON=$(BIN)/python sh tests/system_packages.sh
	$(BIN)/pytest tests/unit tests/property tests/contract -n 2 \
	  --cov=smartlearn.core --cov=smartlearn.stream_processors.domain --cov-report=term:skip-covered --cov-fail-under=95
	$(BIN)/pytest tests/integration tests/chaos tests/browser

test-fast: install-dev ## run the unit and property tests, in seconds
	@$(BIN)/pytest tests/unit tests/property -n 2 -q

lint: install-dev ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE) tests examples benchmarks
	$(BIN)/lint-imports

format: install-dev ## put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: install-dev ## run what takes minutes: long outages, ten minutes of load
	$(BIN)/pytest tests/chaos -m soak

bench: install-dev ## measure beside the peers: [CASES=a,b] [JSON=file] [RUNS=n] [FULL=1]
	$(BIN)/python -m benchmarks $(if $(CASES),--cases $(CASES)) $(if $(JSON),--json $(JSON)) $(if $(RUNS),--runs $(RUNS)) $(if $(FULL),--full)

screenshots: install-dev ## take the pictures of README and docs from a demo
	$(BIN)/pytest tests/browser/test_pages.py -k screenshot
	@mkdir -p docs/images && cp artifacts/screenshots/*.png docs/images/

schemas: install-dev ## write docs/schemas from the models
	$(BIN)/python -m smartlearn.core.schemas docs/schemas

constraints: install-dev ## pin what is installed now
	@{ echo "# Every package of the extras [dev] at the version the tests ran with. 'make constraints' writes this."; \
	   $(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools | grep -v '@ file' ; } > constraints.txt

env: ## write the .env that docker-compose.yml needs, once
	@sh infra/deploy/docker/make-env

clean: ## remove the environment and the local stack's data
	rm -rf $(VENV) .smartlearn artifacts
