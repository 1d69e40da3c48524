# Everything sets itself up in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
COMPILED := setup.py $(wildcard emomusic/model/int8/kernel/*)

# Without a GPU torch's own index has a build a tenth the size; where that is out of reach, any other does.
TORCH := $(shell sed -n 's/^torch==/torch==/p' $(CONSTRAINTS))
CPU_ONLY := $(if $(shell command -v nvidia-smi),,--index-url https://download.pytorch.org/whl/cpu --retries 0 --timeout 10)
PIP := $(BIN)/pip --quiet --disable-pip-version-check install -c $(CONSTRAINTS)

.PHONY: compose studio test install install-all install-dev evaluate benchmark clean

compose: $(VENV)/.installed  ## Compose one 16-bar clip for each quadrant into out/
	$(BIN)/emomusic quadrants --out out --overwrite

studio: $(VENV)/.installed-studio  ## Compose in the browser
	$(BIN)/python app.py

test: $(VENV)/.installed-dev  ## ruff, mypy, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -f emomusic/studio/*.pyi  # gradio's stubs of our components, which mypy would read
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

install: $(VENV)/.installed  ## What composes and verifies
install-all: $(VENV)/.installed-all  ## And the studio, training and evaluation
install-dev: $(VENV)/.installed-dev

evaluate: $(VENV)/.installed-dev  ## First draws of every quadrant before the judges
	$(BIN)/emomusic evaluate --source datasets/raw --count 25 --out evaluation

benchmark: $(VENV)/.installed-dev  ## Speed, into benchmarks/results
	$(BIN)/python -m benchmarks --out benchmarks/results --wait 60

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emomusic needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS) $(COMPILED)
	$(PIP) -e '.[audio]'
	$(BIN)/python -c 'from emomusic.model.int8.library import is_built; raise SystemExit(not is_built())' || $(MAKE) $(VENV)/.torch
	touch $@

$(VENV)/.installed-studio: $(VENV)/.installed
	$(PIP) -e '.[studio]'
	touch $@

$(VENV)/.torch: $(VENV)/bin/python $(CONSTRAINTS)
	$(PIP) $(CPU_ONLY) $(TORCH) 2>/dev/null || $(PIP) $(TORCH)
	touch $@

$(VENV)/.installed-all: $(VENV)/.installed $(VENV)/.torch
	$(PIP) -e '.[all]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed $(VENV)/.torch
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache
