# `make` alone lists what there is. A fresh machine needs git, make and Python 3.10 or later with venv.
PYTHON ?= python3
# one notebook instead of all, by the start of its name: make notebooks ONLY=03
ONLY ?=
# seconds that one cell may take; the full profile on a CPU needs more
CELL_TIMEOUT ?= 3600
# how many tests run at once; each is made for one thread
JOBS ?= 2
# more options for JupyterLab, such as LAB_FLAGS="--no-browser --port 9999"
LAB_FLAGS ?=
GPU_MINUTES ?= 25
NPM := $(shell command -v npm)
BIN := .venv/bin
CHAPTER = @$(BIN)/python tools/chapter.py --only "$(ONLY)" --cell-timeout $(CELL_TIMEOUT)
APPENDIX := notebooks/frameworks
FRAMEWORKS := jax keras mxnet paddle
# what PyTorch's network does, for the other frameworks to be compared with
REFERENCE := build/frameworks/pytorch.safetensors

.PHONY: help setup chapter lab test test-browser test-colab test-frameworks $(FRAMEWORKS:%=setup-%) $(FRAMEWORKS:%=test-%)
.PHONY: lint format notebooks translations site slides stills stamp requirements gpu-results clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo "  make setup-NAME, test-NAME: the same for one other framework: $(FRAMEWORKS)"

setup: ## make .venv and install everything there; seconds when nothing has changed
	@$(PYTHON) tools/environment.py

chapter: setup ## run every notebook from top to bottom; executed copies and pages go to build/
	$(CHAPTER)

lab: setup ## open JupyterLab on notebooks/
	$(BIN)/python -m jupyterlab notebooks $(LAB_FLAGS)

test: lint ## ruff, the unit tests, then every notebook's outputs, on the smoke profile
	$(BIN)/pytest --nbval --numprocesses $(JOBS) --dist loadfile

test-browser: setup site ## look at the pages and run every notebook in JupyterLab, in a browser; into build/screenshots/
	$(BIN)/uv pip install --python $(BIN)/python --requirement tests/browser/requirements.txt
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/pytest tests/browser

test-colab: setup ## every notebook as on Colab: its versions, and nin_helpers from the set-up cell
	@$(PYTHON) tools/environment.py colab
	.venv-colab/bin/pytest --override-ini addopts= --noconftest --verbose --disable-warnings tests/colab

test-frameworks: $(FRAMEWORKS:%=test-%) ## make an environment for each other framework, and test the network there

$(FRAMEWORKS:%=setup-%): setup-%: setup $(REFERENCE)
	@$(PYTHON) tools/environment.py $*

$(FRAMEWORKS:%=test-%): test-%: setup-%
	NIN_FRAMEWORK=$* PYTHONPATH=$(APPENDIX) .venv-$*/bin/pytest --noconftest tests/frameworks
	$(BIN)/pytest --nbval $(APPENDIX)/nin_in_$*.ipynb

$(REFERENCE): $(addprefix $(APPENDIX)/,reference.py nin_pytorch.py weights.py) $(wildcard nin_helpers/*.py) | setup
	$(BIN)/python $<

lint: setup ## ruff, and Biome where npm is there (in CI always)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(NPM)$(CI),$(MAKE) --silent node_modules && npx biome ci)

node_modules: package-lock.json
	@npm ci --silent && touch $@

format: setup ## format the code; how the notebooks' cells are laid out is theirs to say
	$(BIN)/ruff check --fix --extend-exclude "*.ipynb" .
	$(BIN)/ruff format .
	$(if $(NPM)$(CI),$(MAKE) --silent node_modules && npx biome check --write)

stills: setup ## take the pictures of the instruments that a notebook shows where no script runs
	$(BIN)/uv pip install --python $(BIN)/python --requirement tests/browser/requirements.txt
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python tools/stills.py

notebooks: setup ## execute notebooks/*.md into the committed notebooks/*.ipynb (ONLY=03 for one)
	@$(BIN)/python tools/exercises.py
	$(CHAPTER) --in-place

translations: setup ## bring locale/ up to date with the English notebooks, write notebooks/LANG and README.LANG.md
	@$(BIN)/python tools/translations.py

site: ## build the notebooks as pages to read, in six languages, in build/site, and check them; needs no PyTorch
	@$(PYTHON) tools/environment.py site
	@.venv-site/bin/python tools/build_site.py
	@PYTHONPATH=. .venv-site/bin/python tools/export_networks.py build/site/_static/network
	@.venv-site/bin/python tools/check_site.py build/site

slides: setup ## make slides of notebooks 1 to 4, a file each in build/slides, from their committed outputs
	@$(BIN)/python tools/slides.py

stamp: setup ## write the repository's address, that of its remote on GitHub, into the README and the notebooks
	@$(BIN)/python tools/stamp.py
	@$(BIN)/python tools/translations.py

requirements: setup ## pin the newest versions that work together, for every Python from 3.10
	@$(BIN)/python tools/requirements.py

gpu-results: setup ## measure what a GPU can do in GPU_MINUTES=25, into results/; goes on where it stopped
	$(BIN)/python -m benchmarks.gpu --minutes $(GPU_MINUTES)

clean: ## remove every .venv, build/ and what running the notebooks has written
	rm -rf .venv .venv-* build notebooks/runs notebooks/*/runs notebooks/.ipynb_checkpoints
