# The two commands: `make pilot` (the whole pipeline and its result) and `make test`.
SHELL := /bin/bash
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup pilot test test-pipeline test-others lint gate lock

help:  ## Lists the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

setup:  ## Creates .venv and installs requirements.lock, unless that is done
	@if ! cmp -s requirements.lock .venv/requirements.lock; then \
		set -e; \
		test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one or say make PYTHON=..." >&2; exit 1; }; \
		test -x .venv/bin/python || "$(PYTHON)" -m venv .venv; \
		.venv/bin/python -m pip install --disable-pip-version-check --quiet -r requirements.lock; \
		cp requirements.lock .venv/requirements.lock; \
	fi

pilot: setup  ## Runs the pipeline with params.yaml and prints real against mixed
	dvc repro
	@python -m stages.evaluate show metrics

lint: setup  ## Style, types and import contracts
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test: lint  ## Lint, then every test, in two processes; pytest -m fast or -m pipeline runs one tier
	@$(MAKE) --no-print-directory --jobs=2 test-others test-pipeline

test-others:
	python -m pytest -m "not pipeline"

test-pipeline:  # its output in one piece, not mingled with that of the others
	@output="$$(python -m pytest -m pipeline 2>&1)"; status=$$?; echo "$$output"; exit $$status

gate: setup  ## Asks whether dvc.lock agrees with code and params; needs no data
	@status="$$(dvc repro --allow-missing --dry 2>&1)"; echo "$$status"; grep -q 'up to date' <<< "$$status"

lock: setup  ## Rewrites requirements.lock from what is installed in .venv
	@{ sed '/^[^#]/,$$d' requirements.lock; \
		pip freeze --local | sed -E 's/^torch==([0-9.]+)\+.*/torch==\1/' | grep -Eiv '^(nvidia|cuda|triton)'; } > .requirements.partial
	@mv .requirements.partial requirements.lock && cp requirements.lock .venv/requirements.lock
