# `make help` lists the targets.

PYTHON ?= python3
WORKERS ?= 3
ARGS ?=
MINUTES ?= 10
SEED ?=

export PATH := $(CURDIR)/build/tools/bin:$(PATH)

VERSION_VENV := build/$(notdir $(PYTHON))
CHECK = -m pytest -n $(WORKERS) -m 'not services' $(ARGS) tests/unit tests/tables

DEMO_DB := build/demo.db
FUZZ := tests/unit/test_taskfile_fuzz.py tests/unit/test_room.py \
	tests/console/test_damaged_items.py::test_rows_of_any_shape
USE_CASE := build/use-case
CASE_SCRIPTS := use_cases/example_docker
TYPED := pyanamo import-items.py tests/conftest.py tests/support \
	$(wildcard use_cases/*.py use_cases/*/*.py benchmarks/*.py benchmarks/meter/*.py docs/*.py)

.PHONY: help demo use-case dynamodb check versions test coverage chaos bench bench-quick lint types clean
.PHONY: tools venv check-python check-version locale
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12    the Python that makes the environments (default: $(PYTHON))"
	@echo "  ARGS='-k name'       arguments for pytest in make check, test and coverage"
	@echo "  WORKERS=4            how many tests run at once (default: $(WORKERS))"
	@echo "  MINUTES=30 SEED=7    how long make chaos runs, and the seed of its first round"

demo: build/venv/.installed  ## Import and run the demo's tasks, without an AWS account
	rm -f $(DEMO_DB)*
	mkdir -p build
	build/venv/bin/python import-items.py --local $(DEMO_DB) -t Demo -i use_cases/demo/single.txt
	build/venv/bin/python import-items.py --local $(DEMO_DB) -t Demo -i use_cases/demo/nested.txt -n ','
	build/venv/bin/python pyanamo.py --local $(DEMO_DB) -t Demo -i 2 -n 4 -w 60
	build/venv/bin/python -m pyanamo items -t Demo --local $(DEMO_DB)

# The workflow runs with tables in a file, then with tables in DynamoDB: both make the same files.
use-case: tools build/venv/.installed  ## Call the variants of a small cohort, with both kinds of table
	rm -rf $(USE_CASE)
	PYTHON=$(PYTHON) bash $(CASE_SCRIPTS)/make-cohort.sh $(USE_CASE)/cohort
	COHORT=$(USE_CASE)/cohort PYTHON=build/venv/bin/python PYANAMO_LOCAL=$(USE_CASE)/embedded.db \
		bash $(CASE_SCRIPTS)/run-workflow.sh $(USE_CASE)/embedded
	COHORT=$(USE_CASE)/cohort PYTHON=build/venv/bin/python \
		$(PYTHON) -m tests.support.dynamodb_local run \
		bash $(CASE_SCRIPTS)/run-workflow.sh $(USE_CASE)/dynamodb
	diff -r $(USE_CASE)/embedded/results $(USE_CASE)/dynamodb/results
	@echo 'Both runs made the same files.'

dynamodb: tools  ## Run DynamoDB Local until Ctrl-C, and print how to use it
	@$(PYTHON) -m tests.support.dynamodb_local serve

check: lint  ## Run the linters, the unit tests and the tests of the tables on SQLite (a minute)
	.venv-test/bin/python $(CHECK)

versions: lint  ## Run make check with each Python from 3.10 to 3.13 that is found
	@failed=; for python in $$($(PYTHON) -m tests.support.pythons); do \
		$(MAKE) --no-print-directory check-version PYTHON=$$python || failed="$$failed $$python"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

test: tools lint  ## Run the linters and all tests (7 to 13 minutes)
	.venv-test/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Measuring makes processes slower to start, and a few tests notice: only `make test` tells what fails.
coverage: tools .venv-test/.installed  ## Run all tests, and list the lines that none runs
	rm -rf build/coverage
	mkdir -p build/coverage
	-.venv-test/bin/coverage run -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	.venv-test/bin/coverage combine --quiet
	.venv-test/bin/coverage report

chaos: tools .venv-test/.installed  ## Kill, stop and freeze pilots for MINUTES; try many random files
	CHAOS_MINUTES=$(MINUTES) CHAOS_SEED=$(SEED) .venv-test/bin/python -m pytest -p no:xdist \
		-s --timeout=0 tests/slow/test_chaos.py $(FUZZ) $(ARGS)

bench: tools .venv-test/.installed  ## Run the benchmarks, and write benchmarks/README.md (10 minutes)
	.venv-test/bin/python -m benchmarks.bench

bench-quick: tools .venv-test/.installed  ## Run short benchmarks, and check what they count
	.venv-test/bin/python -m benchmarks.bench --quick

lint: .venv-test/.installed types  ## Check style, formatting and types
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

# mypy takes pyanamo.py and the package pyanamo for the same module, so the script is checked as
# text: error messages for it say "<string>".
types: .venv-test/.installed
	.venv-test/bin/mypy $(TYPED)
	.venv-test/bin/mypy -c "$$(cat pyanamo.py)"

clean:  ## Remove what make and the tools made
	rm -rf .venv-test build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- What these need ---

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo "$(PYTHON) is missing or older than 3.10:" \
			"install Python 3.10 or newer, or name one: make PYTHON=..." >&2; exit 1; }

venv: check-python
	@$(PYTHON) -m tests.support.tools venv

tools: check-python  ## Install what is missing: bwa, samtools, Java, DynamoDB Local and others
	@$(PYTHON) -m tests.support.tools
	@$(PYTHON) -m tests.support.dynamodb_local fetch

build/venv/.installed: requirements.txt | venv
	$(PYTHON) -m venv --clear build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv-test/.installed: requirements.txt requirements-unit.txt requirements-dev.txt | venv
	$(PYTHON) -m venv --clear .venv-test
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-unit.txt -r requirements-dev.txt
	@touch $@

$(VERSION_VENV)/.installed: requirements.txt requirements-unit.txt
	$(PYTHON) -m venv --clear $(VERSION_VENV)
	$(VERSION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -r requirements-unit.txt
	@touch $@

# For .ci/run: a locale whose text isn't UTF-8.
locale: tools
	@mkdir -p build/locales
	localedef -i de_DE -f ISO-8859-1 build/locales/de_DE.ISO-8859-1

check-version: $(VERSION_VENV)/.installed
	$(VERSION_VENV)/bin/python $(CHECK)
