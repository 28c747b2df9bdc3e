# What a person does with Aerial, one command each. `make` alone lists them. Needs: make, Python 3.11 to 3.13 with venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PY := .venv/bin/python
WORKERS ?= 2
# The order of the tests and their chance: one order for everybody; `make test SEED=$$RANDOM` tries another.
SEED ?= 1
MINUTES ?= 60
CONFIG ?= config.yaml
# Requirements and pins: when one of these changes, the next target that needs it installs again.
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed

.PHONY: help setup setup-dev run demo test fuzz soak lint bench constraints clean distclean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

# First usable Python wins; PYTHON=/path/to/python overrides. The answer names what to install when there is none.
.venv/bin/python:
	@set +e; found=; for try in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	    command -v "$$try" >/dev/null 2>&1 || continue; \
	    "$$try" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
	    found=$$try; \
	    "$$try" -c 'import venv, ensurepip' 2>/dev/null && break; \
	    novenv=$$try; found=; \
	done; \
	if [ -z "$$found" ]; then \
	    if [ -n "$${novenv:-}" ]; then echo "$$novenv has no venv module. Install it: apt-get install python3-venv" >&2; \
	    else echo "Python 3.11, 3.12 or 3.13 is needed. Install it: apt-get install python3 python3-venv" >&2; fi; \
	    exit 1; \
	fi; \
	echo "making .venv with $$found"; "$$found" -m venv .venv || { rm -rf .venv; exit 1; }

$(RUNTIME): requirements.txt constraints.txt | .venv/bin/python
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

setup: $(RUNTIME) ## make .venv and install what the services need

setup-dev: $(DEV) ## the same, and what tests and checks need

run: $(RUNTIME) ## start both services on config.yaml (CONFIG=other.yaml), until Ctrl-C
	@exec $(PY) -m pair run "$(CONFIG)"

demo: $(RUNTIME) ## show everything with a sample guide and test pictures, nothing is kept
	@exec $(PY) -m pair demo

test: $(DEV) ## run all tests (PYTEST_ARGS="-k guide" for some of them)
	@for program in ffmpeg ffprobe xmllint; do command -v $$program >/dev/null || missing="$${missing:-} $$program"; done; \
	if [ -n "$${missing:-}" ]; then \
	    echo "missing:$$missing; tests that need them are skipped. Install them: apt-get install ffmpeg libxml2-utils xmltv-util nginx-light" >&2; \
	fi; \
	exec $(PY) -m pytest -n $(WORKERS) -m "not slow" -p randomly --randomly-seed=$(SEED) $(PYTEST_ARGS)

fuzz: $(DEV) ## look for new failing examples, and the long runs (minutes to an hour)
	@HYPOTHESIS_PROFILE=search $(PY) -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: $(DEV) ## style, types and the rules about who may import whom
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	@if grep -q '^\[tool.importlinter\]' pyproject.toml || [ -f .importlinter ]; then PYTHONPATH=. .venv/bin/lint-imports; fi

soak: $(DEV) ## the relay for an hour of zapping and failures; memory flat, nothing left (MINUTES=8 for less)
	@exec $(PY) -m tests.soak.relay --minutes $(MINUTES)

bench: $(DEV) ## measure the promises; every benchmark that can be run alone
	@ran=; for file in benchmarks/*.py; do \
	    [ -f "$$file" ] && grep -q '__main__' "$$file" || continue; \
	    ran=yes; echo "== $$file"; $(PY) -m "benchmarks.$$(basename "$$file" .py)"; \
	done; [ -n "$$ran" ] || { echo "no benchmark that can be run alone in benchmarks/" >&2; exit 1; }

constraints: $(DEV) ## write constraints.txt anew from the requirements (needs the package index)
	@{ echo "# The exact version of everything that requirements.txt and requirements-dev.txt bring along, for Python 3.11"; \
	   echo "# to 3.13 on Linux and macOS. Made by \`make constraints\`; not edited by hand."; \
	   .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	       --no-emit-index-url --no-emit-find-links requirements-dev.txt; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean: ## remove caches and what tests leave
	@find . -path ./.venv -prune -o -path ./data -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage constraints.txt.new

distclean: clean ## also remove .venv; ./data stays
	@rm -rf .venv
