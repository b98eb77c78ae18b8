# make search   set up, search digits, leave a design in runs/digits
# make test     set up, lint, types, import layers, tests
# make coverage the same, and how much of the code the tests reach
# make slow     the tests that take longer
# make presets  fit the presets of devices to configs/measurements again
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= runs/digits

.PHONY: search test coverage slow presets lint format clean

search: $(VENV)/.installed
	$(BIN)/python tools/search.py --flagfile=configs/searches/digits.flags \
		--output_dir=$(OUTPUT)

# A worker has all tests of a folder, which share what takes long to set up.
TESTS := $(BIN)/python -m pytest -n 2 --dist loadgroup

test: lint
	$(TESTS)

# Takes 1.6 times the processor time: Python 3.11 traces every line for it.
coverage: lint
	$(TESTS) --cov

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

presets: $(VENV)/.installed
	$(BIN)/python tools/calibrate.py --presets=configs/accelerators

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamps make a second run skip the set-up until setup.py changes.
$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info runs
