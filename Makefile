# One command from clone to green, the same in CI: make demo, make check, make test, make bench.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
T ?= tests
DEMO ?=
SKERRY_PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench lock clean

demo: $(VENV)/.installed
	$(BIN)/skerry demo $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(T)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/tidy

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

# Exact versions and hashes from the ranges in pyproject.toml.
lock: $(VENV)/bin/python
	$(SKERRY_PIP) 'uv>=0.5'
	$(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate pyproject.toml --all-extras --group dev --group sdk \
	  -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate pyproject.toml --extra all -c requirements-dev.lock \
	  -o requirements.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(SKERRY_PIP) --require-hashes -r requirements.lock
	$(SKERRY_PIP) --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(SKERRY_PIP) --require-hashes -r requirements-dev.lock
	$(SKERRY_PIP) --no-deps --editable .
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .skerry
