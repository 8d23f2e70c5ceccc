# Every target sets up its own .venv, once, and again when pyproject.toml has changed.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check bench build clean

demo: $(READY)  ## a comparison of agents on a simulated market, offline
	$(BIN)/seawall demo

test: $(READY)  ## the default tests; `-m slow` and `-m browser` are for CI
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(READY)  ## style, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## bars per second, as ratios to what a user would pick instead
	$(BIN)/python -m bench

build: $(READY)  ## the wheel, into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Seawall needs Python 3.11 or newer; none is on PATH"; exit 1; }
	@echo "Setting up .venv with $(PYTHON): once, a minute or two"
	@$(PYTHON) -m venv .venv || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	@touch $@
