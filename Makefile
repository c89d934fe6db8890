# What a reader or a contributor runs. It assumes make, Python 3.11 or newer and a package index: no uv,
# no Docker, no database. Every target sets up .venv first; once that is done, setting up does nothing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: demo demo-loan test lint format types bench lock notebooks clean help FORCE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
# pip, quiet: its warnings here are about the index, and an error still stops everything.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# A file's tests stay on one worker, so that what a module sets up is set up once. In the order of the folders, the
# acceptance tests first: the files with few and long tests would else come last, and one worker wait for the other.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

# The first of these that *runs*: a version manager's shim may exist and fail.
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)

demo: $(STAMP) ## Run the reference workflow from start to artifact (sets up .venv the first time)
	@$(BIN)/python -m gatepost.examples.vendor_onboarding

demo-loan: $(STAMP) ## Run the second one: a loan whose scorer fails, and whose process is killed there
	@$(BIN)/python -m gatepost.examples.loan

test: $(STAMP) ## Run every test (PYTEST_ARGS="-x tests/unit" to choose)
	@$(BIN)/pytest $(PYTEST_ARGS)

lint: $(STAMP) ## Check format, rules and the one-way imports between the rooms
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Rewrite the files the way `make lint` wants them
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

types: $(STAMP) ## Check types with mypy and basedpyright, and that neither skipped a room
	@$(BIN)/mypy
	@$(BIN)/python .ci/typecheck.py

notebooks: $(STAMP) ## Run every notebook from top to bottom, and check that none stores its outputs
	@$(BIN)/python .ci/notebooks.py

bench: $(BENCH_STAMP) ## Measure
	@$(BIN)/python -m bench

lock: $(STAMP) ## Pin again everything that constraints.txt pins, at today's versions
	@$(PIP) install -c constraints.txt --group lock
	@$(BIN)/uv pip compile --quiet --system-certs --upgrade --universal --python-version 3.11 --all-extras --group dev --group lock \
		--custom-compile-command "make lock" --output-file constraints.txt pyproject.toml >/dev/null

clean: ## Remove .venv, builds and caches (no database and no run)
	rm -rf $(VENV) build dist src/*.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# The stamp holds the folder it was made in: in a copied or moved checkout the scripts of .venv would
# still run the old one, so everything is made anew there.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif
FORCE:

$(STAMP): pyproject.toml constraints.txt
	@if [ "$$(cat $@ 2>/dev/null)" != '$(CURDIR)' ] || ! $(BIN)/python -c '' 2>/dev/null; then \
		for python in $(PYTHONS); do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
		done; \
		if [ -z "$${found:-}" ]; then \
			echo "Gatepost needs Python 3.11 or newer. Tried: $(PYTHONS). Name yours: make PYTHON=/path/to/python3.12" >&2; exit 1; \
		fi; \
		echo "Setting up $(VENV) with $$("$$found" --version), once; this takes a minute or two."; \
		"$$found" -m venv --clear $(VENV); \
	else \
		echo "Bringing $(VENV) up to date with pyproject.toml and constraints.txt."; \
	fi
	@$(PIP) install --upgrade -c constraints.txt pip
	@$(PIP) install -c constraints.txt --build-constraint constraints.txt -e '.[embedded,service,notices,telemetry,notebook]' --group dev
	@echo '$(CURDIR)' > $@

$(BENCH_STAMP): $(STAMP)
	@$(PIP) install -c constraints.txt --build-constraint constraints.txt -e '.[bench]'
	@touch $@
