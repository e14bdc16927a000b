# make demo    the sample, refreshed and proven        make test   lint, types, tests
# make ui      Dagster's UI on 127.0.0.1:3000          make bench  speed and memory
# make demo-aws  the same through MariaDB, DynamoDB, S3 and a Redshift stand-in on this machine
# make chaos     faults of every kind, in the long form (some hours on two cores)
# make audit     known weaknesses of the dependencies; needs the network
# make browser   the UI and our pages in Chromium, pictured in build/browser
# make stack     those four systems, until Ctrl-C      make docs   the documentation site
#
# The first of them makes .venv and installs into it; nothing outside this folder is touched.
# After that nothing needs the network.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo ui demo-aws stack test browser docs chaos audit lint bench bench-torture pictures lock clean
.DEFAULT_GOAL := demo

demo: .venv/.demo
	@$(BIN)/etl-assets demo

ui: .venv/.demo
	@$(BIN)/etl-assets demo --no-refresh
	@exec $(BIN)/etl-assets ui

demo-aws: .venv/.dev
	@$(BIN)/python -m etl_assets_tests.standins.stack $(BIN)/etl-assets refresh --on 2017-12-10

stack: .venv/.dev
	@$(BIN)/python -m etl_assets_tests.standins.stack

# Modules of tests on two cores; the servers they need are installed before.
WORKERS ?= 2
test: lint
	@$(BIN)/python -m etl_assets_tests.standins.install
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# Material's notice of its end of life (2027-05-05) is not for readers of a build: its successor
# reads the same mkdocs.yml.
docs: .venv/.dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo 'The site is in build/site/index.html.'

chaos: .venv/.dev
	@$(BIN)/python -m pytest etl_assets_tests/chaos --chaos=long -s

# Ends with 1 when a weakness is known, with 2 when nobody could be asked.
audit: .venv/.dev
	@$(BIN)/python -m etl_assets_tests.chaos.audit

lint: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: .venv/.dev
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.rules

# What dlt, sling and pandas do with the values of docs/torture.md. They are installed into
# var/peers, for which this needs the network.
bench-torture: .venv/.dev
	@$(BIN)/python -m benchmarks.torture

# The UI and our pages in Chromium; what is seen is kept in build/browser. A part of `make test`.
browser: .venv/.dev
	@$(BIN)/python -m etl_assets_tests.standins.install
	@$(BIN)/python -m pytest etl_assets_tests/browser -n $(WORKERS) --dist loadfile

# The same, which renews the pictures in the documentation.
pictures: .venv/.dev
	@$(BIN)/python -m etl_assets_tests.standins.install
	@$(BIN)/python -m pytest etl_assets_tests/browser/test_ui.py --pictures
	@$(BIN)/python scripts/record_rule_change.py

# New versions of everything, within what pyproject.toml allows.
lock: .venv/.dev
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --upgrade --all-extras --python-version 3.11 \
		--no-annotate --no-header --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv var

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed; say which: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo 'Python cannot make virtual environments (Debian: apt-get install python3-venv).'; exit 1; }

.venv/.demo: .venv/bin/python constraints.txt pyproject.toml
	@echo 'Installing into .venv (once; about a minute) …'
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/.dev: .venv/bin/python constraints.txt pyproject.toml
	@echo 'Installing into .venv (once; about a minute) …'
	@$(PIP) --editable '.[aws,demo,dev]'
	@touch $@ .venv/.demo
