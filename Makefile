# make search   set up, search digits, leave a design in runs/digits
# make test     set up, lint, types, import layers, tests
# make coverage the same, and how much of the code the tests reach
# make slow     the tests that take longer
# make presets  fit the presets of devices to configs/measurements again
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= runs/digits

PRESETS := configs/accelerators
MEASURED := configs/measurements
CALIBRATE := $(BIN)/python tools/calibrate.py \
	--measurements=$(MEASURED)/published_latencies.csv,$(MEASURED)/edge_tpu_latencies.csv

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
	$(CALIBRATE) --device=coral_usb,coral_dev \
		--accelerator=$(PRESETS)/coral_usb.yaml,$(PRESETS)/coral_dev.yaml \
		--output=$(PRESETS)/coral_usb.yaml,$(PRESETS)/coral_dev.yaml \
		--constants=activation_width,inference_us,link
	$(CALIBRATE) --device=coral_pcie --constants=link \
		--accelerator=$(PRESETS)/coral_pcie.yaml \
		--output=$(PRESETS)/coral_pcie.yaml
	$(CALIBRATE) --device=coral_pcie_float \
		--constants=ring_width,link,output,inference_us \
		--accelerator=$(PRESETS)/coral_pcie_float.yaml \
		--output=$(PRESETS)/coral_pcie_float.yaml
	for device in pixel4 pixel6; do $(CALIBRATE) --device=$$device \
		--constants=activation_width \
		--accelerator=$(PRESETS)/$${device}_edge_tpu.yaml \
		--output=$(PRESETS)/$${device}_edge_tpu.yaml || exit 1; done

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
