# Everything a person needs: `make demo` to see it work, `make test` before a change is sent.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The tests convert models, which takes torch: 6 GB. A demonstration does without.
TESTED := $(VENV)/.installed-for-tests
LIBRARY := .demo-library

.PHONY: demo test lint reference screenshots bench clean setup

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mmsearch needs Python 3.11 or newer; run: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $(STAMP)

$(TESTED): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,clip,cpu,langchain,llamaindex,ocr,raw,s3,server,ui]'
	touch $(TESTED)

setup: $(TESTED)

demo: $(STAMP)
	@MMSEARCH=$(BIN)/mmsearch sh scripts/demo.sh $(LIBRARY)

lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The Python API from the docstrings: it imports what it documents, so that it cannot break unseen.
reference: $(TESTED)
	$(BIN)/python scripts/reference.py build/reference

# The pictures of the README, of the pages and the terminal as they are; needs Chromium.
screenshots: $(TESTED)
	$(BIN)/python scripts/screenshots.py docs/images

# Files of tests side by side: they wait for processes and browsers more than they compute.
test: lint reference
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

bench: $(TESTED)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LIBRARY) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
