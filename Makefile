# The two commands: `make demo` and `make test`. Both set up .venv by themselves.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := build/installed
# SAM 2 itself, for a test beside it: by name, since its own list of needs would bring other builds.
SAM2 := sam2 iopath portalocker

.PHONY: demo test test-all lint types thorough notebooks lab pictures gpu gpu-wheels tracker-seeds versions clean

demo: .venv/ready
	$(BIN)/memory-attention demo

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m 'not heavy'

# And what takes long: the notebooks in the other backend, trainings that are killed, an empty environment.
test-all: lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd $(INSTALLED) && PYTHONPATH=. ../../$(BIN)/lint-imports --no-cache ../../pyproject.toml

types: $(INSTALLED)
	cd $(INSTALLED) && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p memory_attention

# The folder mapping hides the packages in a checkout, so type checker and import linter see an installed copy.
$(INSTALLED): .venv/ready FORCE
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target $@ .

FORCE:

thorough: .venv/ready
	HYPOTHESIS_PROFILE=thorough OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# Made of notebooks/scripts/ and run, all of them, in some minutes. One thread, so that what did not change comes out
# as it was.
notebooks: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/making.py

# In the browser; what is saved there is written to the script as well.
lab: .venv/lab
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

.venv/lab: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt 'jupyterlab>=4.3'
	touch $@

# The README's picture of the explorer, by the browser that its tests need.
pictures: .venv/ready
	mkdir -p build
	$(BIN)/memory-attention explore --output build/explorer.html
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1200,680 \
		--virtual-time-budget=8000 --screenshot=notebooks/pictures/explorer.png build/explorer.html

# What only a GPU can say, with the machine's own Python and PyTorch; results go to benchmarks/results/.
gpu:
	rm -rf build
	$(PYTHON) benchmarks/gpu_needs.py $(INSTALLED)
	PYTHONPATH=$(INSTALLED) $(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --target $(INSTALLED) .
	PYTHONPATH=$(INSTALLED) HYPOTHESIS_PROFILE=gpu $(PYTHON) -m memory_attention.benchmarks.gpu

# For a machine without a network: what its Python 3.12 may lack beside torch, numpy, transformers, hypothesis, pytest.
gpu-wheels:
	$(PYTHON) -m pip download --quiet --constraint constraints.txt --only-binary :all: --python-version 3.12 \
		--dest wheels setuptools pydantic jaxtyping typer rich pyyaml safetensors

# The bundled tracker is of seed 0; two others say how much a seed matters. About half an hour each, on two cores.
tracker-seeds: .venv/ready
	for seed in 1 2; do \
		$(BIN)/memory-attention train --seed $$seed --output build/seed-$$seed && \
		$(BIN)/memory-attention evaluate --backend accelerated --weights build/seed-$$seed/weights.safetensors \
			--output benchmarks/results/tracker_seed_$$seed.json || exit 1; \
	done

# torch goes first and by its exact version, so that pip takes no other build of it.
.venv/ready: constraints.txt pyproject.toml
	@echo "setting up .venv: this takes some minutes"
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip setuptools
	$(BIN)/pip install --quiet $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[all]'
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --no-deps $(SAM2)
	touch $@

# The suite in a fresh environment for each listed combination of versions; some gigabytes and an hour.
versions: .venv/ready
	HYPOTHESIS_PROFILE=gpu OMP_NUM_THREADS=1 $(BIN)/python -m memory_attention.benchmarks.versions

clean:
	rm -rf .venv build wheels demo-output *.egg-info
