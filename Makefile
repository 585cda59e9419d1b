# One command from clone to green, the same in CI: make demo, make check, make test, make bench.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
T ?= tests
# One worker per core; a file stays in one worker, for its fixtures are dear.
JOBS ?= -n auto --dist loadfile
DEMO ?=
SKERRY_PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench lock clean

demo: $(VENV)/.installed
	$(BIN)/skerry demo $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(JOBS) $(T)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/tidy

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

# Exact versions and hashes from the ranges in pyproject.toml. tf-keras asks for tensorflow; tensorflow-cpu is
# the same modules in half the bytes, so that demand is overridden, and pip takes the lock as it is. openvino
# asks for its telemetry; it does as well without, and so do we. ai-edge-litert asks for a backport of what 3.11 has.
lock: $(VENV)/bin/python
	$(SKERRY_PIP) 'uv>=0.5'
	printf '%s; python_version < "3"\n' tensorflow openvino-telemetry backports-strenum | \
	$(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate --override /dev/stdin pyproject.toml --all-extras --group dev --group sdk \
	  -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate pyproject.toml --extra all -c requirements-dev.lock \
	  -o requirements.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(SKERRY_PIP) --no-deps --require-hashes -r requirements.lock
	$(SKERRY_PIP) --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(SKERRY_PIP) --no-deps --require-hashes -r requirements-dev.lock
	$(SKERRY_PIP) --no-deps --editable .
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .skerry
