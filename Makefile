# Everything sets itself up in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
COMPILED := setup.py $(wildcard emomusic/model/int8/kernel/*)

.PHONY: compose studio test install install-dev evaluate benchmark clean

compose: $(VENV)/.installed  ## Compose one 16-bar clip for each quadrant into out/
	$(BIN)/emomusic quadrants --out out

studio: $(VENV)/.installed  ## Compose in the browser
	$(BIN)/python app.py

test: $(VENV)/.installed-dev  ## ruff, mypy, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

evaluate: $(VENV)/.installed-dev  ## First draws of every quadrant before the judges
	$(BIN)/emomusic evaluate --source datasets/raw --count 25 --out evaluation

benchmark: $(VENV)/.installed  ## Speed, into benchmarks/results
	$(BIN)/python -m benchmarks --out benchmarks/results --wait 60

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emomusic needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS) $(COMPILED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml $(CONSTRAINTS)
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache
