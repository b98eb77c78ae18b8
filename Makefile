# make search   set up, search digits, leave a design in runs/digits
# make test     set up, lint, types, import layers, tests, coverage
# make slow     the tests that take longer
# make presets  fit the presets of devices to configs/measurements again
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= runs/digits

DEVICE_PRESETS := coral_usb coral_dev pixel4_edge_tpu pixel6_edge_tpu

.PHONY: search test slow presets lint format clean

search: $(VENV)/.installed
	$(BIN)/python tools/search.py --flagfile=configs/searches/digits.flags \
		--output_dir=$(OUTPUT)

test: lint
	$(BIN)/python -m pytest --cov -n 2 --dist loadfile

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

presets: $(VENV)/.installed
	for preset in $(DEVICE_PRESETS); do $(BIN)/python tools/calibrate.py \
		--measurements=configs/measurements/published_latencies.csv \
		--accelerator=configs/accelerators/$$preset.yaml \
		--device=$${preset%_edge_tpu} \
		--output=configs/accelerators/$$preset.yaml || exit 1; done

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
