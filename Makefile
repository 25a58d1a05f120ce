# `make` alone lists what there is. A fresh machine needs git, make and Python 3.10 or later with venv.
PYTHON ?= python3
# one notebook instead of all, by the start of its name: make notebooks ONLY=03
ONLY ?=
# seconds that one cell may take; the full profile on a CPU needs more
CELL_TIMEOUT ?= 3600
# more options for JupyterLab, such as LAB_FLAGS="--no-browser --port 9999"
LAB_FLAGS ?=
# Colab's Python, for make test-colab; pyenv may have it. Where there is none, the default: 3.11 and 3.12 will do
COLAB_PYTHON ?= $(or $(shell PYENV_VERSION=3.13 python3.13 -c 'import sys; print(sys.executable)' 2> /dev/null),$(PYTHON))
VENV := .venv
BIN := $(VENV)/bin
COLAB := .venv-colab
SITE := .venv-site
FRAMEWORKS := jax keras paddle mxnet
APPENDIX := notebooks/frameworks

# the oldest Python, by its minor version, that a target can do with
CHECK = import sys; sys.exit(sys.version_info < (3, $(1)) and "Python 3.$(1) or later is needed, and $(PYTHON) is \
	%d.%d: name another one, as in make $(2) PYTHON=python3.12" % sys.version_info[:2])

.PHONY: help setup chapter lab test test-browser test-colab lint format notebooks site stamp requirements clean
.PHONY: check-mxnet frameworks-data frameworks-notebooks frameworks-results test-frameworks
.PHONY: $(FRAMEWORKS:%=setup-%) $(FRAMEWORKS:%=test-%)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' Makefile | while IFS='	' read -r name what; do \
		printf '  make %-22s%s\n' "$$name" "$$what"; done
	@echo "  make setup-NAME, test-NAME  the same for one other framework: $(FRAMEWORKS)"

setup: $(VENV)/.installed ## make .venv and install everything there; seconds when nothing has changed

# The stamp file is written last and removed first: an install that was interrupted starts again from an empty .venv,
# one that is only out of date is brought up to date.
$(VENV)/.installed: requirements.txt pyproject.toml
	@[ -e $@ ] || $(PYTHON) -c '$(call CHECK,10,setup)'
	@[ -e $@ ] || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --editable .
	@touch $@

chapter: setup ## run every notebook from top to bottom; executed copies and pages go to build/
	@NIN_PROFILE=$${NIN_PROFILE:-quick} $(BIN)/python tools/chapter.py --only "$(ONLY)" --cell-timeout $(CELL_TIMEOUT)

lab: setup ## open JupyterLab on notebooks/
	$(BIN)/python -m jupyterlab notebooks $(LAB_FLAGS)

test: lint ## ruff, the unit tests, then every notebook's outputs, on the smoke profile
	$(BIN)/pytest --nbval

# A chromium that is there is taken; root on Debian gets Debian's; everyone else gets Playwright's own, in their cache.
test-browser: setup ## run every notebook in JupyterLab, in a browser; screenshots go to build/screenshots/
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement tests/browser/requirements.txt
	@command -v chromium > /dev/null || [ -x /usr/bin/chromium ] || \
		if [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then \
			apt-get update -qq && apt-get install -y -qq chromium; \
		else $(BIN)/playwright install chromium; fi
	$(BIN)/python -m pytest tests/browser

test-colab: $(COLAB)/.installed ## every notebook as on Colab: its versions, and nin_helpers from the set-up cell
	$(COLAB)/bin/python -m pytest --override-ini addopts= --noconftest --verbose --disable-warnings tests/colab

# The stamp file lists what is there without nin_helpers: to this the tests return.
$(COLAB)/.installed: tests/colab/requirements.txt
	$(COLAB_PYTHON) -m venv --clear $(COLAB)
	$(COLAB)/bin/python -m pip install --disable-pip-version-check --quiet uv
	$(COLAB)/bin/uv pip install --python $(COLAB)/bin/python --requirement tests/colab/requirements.txt
	$(COLAB)/bin/uv pip freeze --python $(COLAB)/bin/python > $@

# The appendix: each framework has an environment and a kernel of its own, for they cannot share one.
frameworks-data: build/frameworks/pytorch.safetensors ## record what PyTorch's network does, for the others to follow

build/frameworks/pytorch.safetensors: $(APPENDIX)/reference.py | setup
	$(BIN)/python $(APPENDIX)/reference.py

$(FRAMEWORKS:%=setup-%): setup-%: .venv-%/.installed frameworks-data

.venv-%/.installed: $(APPENDIX)/requirements-%.txt | setup
	@[ -e $@ ] || $(PYTHON) -c '$(call CHECK,11,setup-$*)'
	@[ -e $@ ] || $(PYTHON) -m venv --clear .venv-$*
	@rm -f $@
	.venv-$*/bin/python -m pip install --disable-pip-version-check --requirement $<
	.venv-$*/bin/python -m ipykernel install --prefix $(VENV) --name nin-$* --display-name "NiN in $*"
	@touch $@

# MXNet ends with Python 3.11, and its Linux wheel leaves two libraries to the system.
.venv-mxnet/.installed: | check-mxnet
check-mxnet:
	@[ -e .venv-mxnet/.installed ] || $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12) and \
		"MXNet needs Python 3.11: name one, as in make setup-mxnet PYTHON=python3.11")'
	@[ -e .venv-mxnet/.installed ] || [ "$$(uname -sm)" != "Linux x86_64" ] || $(PYTHON) -c 'import ctypes; \
		[ctypes.CDLL(name) for name in ("libgomp.so.1", "libquadmath.so.0")]' 2> /dev/null || \
		{ echo "MXNet needs libgomp and libquadmath: apt-get install libgomp1 libquadmath0" >&2; exit 1; }

$(FRAMEWORKS:%=test-%): test-%: setup-%
	NIN_FRAMEWORK=$* PYTHONPATH=$(APPENDIX) .venv-$*/bin/python -m pytest --noconftest tests/frameworks
	.venv-$*/bin/python -m pytest --noconftest --nbval --nbval-current-env $(APPENDIX)/nin_in_$*.ipynb

test-frameworks: $(FRAMEWORKS:%=test-%) ## make an environment for each other framework, and test the network there

frameworks-notebooks: $(FRAMEWORKS:%=setup-%) ## execute the appendix's notebooks in place (ONLY=nin_in_jax for one)
	@$(BIN)/python tools/chapter.py --frameworks --only "$(ONLY)" --cell-timeout $(CELL_TIMEOUT)

frameworks-results: $(FRAMEWORKS:%=setup-%) ## train and time all five in turns, into results/frameworks.json
	$(BIN)/python $(APPENDIX)/compare.py

lint: setup ## ruff alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## format the code; how the notebooks' cells are laid out is theirs to say
	$(BIN)/ruff check --fix nin_helpers benchmarks site tests tools
	$(BIN)/ruff format nin_helpers benchmarks site tests tools

notebooks: setup ## execute notebooks/*.md into the committed notebooks/*.ipynb (ONLY=03 for one)
	@$(BIN)/python tools/exercises.py
	@NIN_PROFILE=$${NIN_PROFILE:-quick} $(BIN)/python tools/chapter.py --in-place --only "$(ONLY)" \
		--cell-timeout $(CELL_TIMEOUT)

# Nothing is executed, so this needs Sphinx, in an environment of its own, and not PyTorch.
site: $(SITE)/.installed ## build the notebooks as pages to read, in build/site, and check their links
	@rm -rf build/site build/site-source
	@mkdir -p build/site-source/$(APPENDIX)
	@cp -R images results site/index.md build/site-source
	@cp notebooks/[0-9][0-9]_*.ipynb build/site-source/notebooks
	@cp $(APPENDIX)/*.ipynb build/site-source/$(APPENDIX)
	@PYTHONPATH=tools $(SITE)/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir site \
		--doctree-dir build/site-source/.doctrees build/site-source build/site
	@$(SITE)/bin/python tools/check_site.py build/site

$(SITE)/.installed: site/requirements.txt
	@[ -e $@ ] || $(PYTHON) -c '$(call CHECK,11,site)'
	@[ -e $@ ] || $(PYTHON) -m venv --clear $(SITE)
	@rm -f $@
	$(SITE)/bin/python -m pip install --disable-pip-version-check --requirement site/requirements.txt
	@touch $@

stamp: setup ## write the repository's address, set in pyproject.toml, into the README and the notebooks
	@$(BIN)/python tools/stamp.py

# What torch needs for NVIDIA's GPUs is left out: torch names those versions itself, and a CPU-only torch needs none.
requirements: setup ## pin the newest versions that work together, for every Python from 3.10
	@$(BIN)/python -m pip install --quiet uv
	@mkdir -p build
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --only-binary :all: --extra dev --upgrade \
		--no-annotate --no-header pyproject.toml --output-file build/resolved.txt
	@{ sed -n '/^#/p' requirements.txt; grep -Ev '^(cuda|nvidia|triton)' build/resolved.txt; } > build/requirements.txt
	@mv build/requirements.txt requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: --constraint requirements.txt \
		--no-annotate --no-header site/requirements.in --output-file build/site.txt
	@{ sed -n '/^#/p' site/requirements.txt; cat build/site.txt; } > build/requirements.txt
	@mv build/requirements.txt site/requirements.txt

clean: ## remove every .venv, build/ and what running the notebooks has written
	rm -rf $(VENV) .venv-* build notebooks/runs notebooks/.ipynb_checkpoints
