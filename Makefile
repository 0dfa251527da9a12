# Needs Python 3.11+ and nothing else: the first target that needs an environment makes it in .venv, of the releases
# that requirements/locked.txt names, so that it is the same on every day.
# TORCH holds arguments of `pip install`, for example TORCH="torch==2.13.0 --index-url <the CPU builds>".

PYTHON ?= python3
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=
# the releases to install; empty for the newest that setup.py allows
LOCK := requirements/locked.txt

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OFFLINE := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-newest test-min test-upstream lock bench style quality structure cards build clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo
	@echo "  PYTHON=$(PYTHON)  which interpreter makes $(VENV)"
	@echo "  TORCH=$(TORCH)  what is installed for PyTorch"

# one thread: a second one gains little on models this small, and costs a lot where the machine is shared
demo: $(INSTALLED) ## see the checkpoint at work (DEMO_ARGS="--data DIR" adds a task), in demo-output/
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/vqdna demo --output demo-output $(DEMO_ARGS)

test: $(INSTALLED) ## run the fast tests (PYTEST_ARGS="-k codec" to select)
	$(OFFLINE) $(BIN)/python -m pytest -n 2 --dist loadfile tests $(PYTEST_ARGS)

test-slow: $(INSTALLED) ## run the slow tests
	$(OFFLINE) $(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests $(PYTEST_ARGS)

test-newest: ## run the fast tests with the newest libraries setup.py allows, in .venv-newest
	$(MAKE) test VENV=.venv-newest LOCK=

# The oldest Python as well: newer ones lack wheels of these versions. Old libraries ask each other for names that are
# deprecated since, which is reported and does not fail here.
test-min: ## run the fast tests with the oldest libraries setup.py allows, in .venv-min
	PYTEST_ADDOPTS="-W default::FutureWarning:transformers" \
	  $(MAKE) test VENV=.venv-min LOCK=requirements/oldest.txt PYTHON=python3.11

# The wheel of transformers holds no tests: pip fetches its source distribution, which is unpacked in .upstream.
test-upstream: $(INSTALLED) ## run transformers' own common tests over our classes (UPSTREAM=5.24.0: of that release)
	$(BIN)/python -m pip install -q parameterized
	$(OFFLINE) $(BIN)/python -m pytest -c tests/upstream/pytest.ini -n 2 --dist loadscope tests/upstream \
	  $(if $(UPSTREAM),--tests-of $(UPSTREAM)) $(PYTEST_ARGS)

# PyTorch is left to TORCH, and what only its CUDA builds need to them. `make lock` keeps what is pinned already where
# it can; LOCK_ARGS=--upgrade takes the newest of everything.
lock: $(INSTALLED) ## write requirements/*.txt again from setup.py (LOCK_ARGS=--upgrade for newer releases)
	$(BIN)/python -m pip install -q uv
	$(BIN)/python requirements/lock.py --torch "$(firstword $(TORCH))" $(LOCK_ARGS)

# BENCH_ARGS="tokenizer_speed.py" measures one script alone; a directory of another name begins from scratch
bench: $(INSTALLED) ## measure speed and memory (an hour), into benchmarks/RESULTS.md
	$(BIN)/python -m pip install -q vector-quantize-pytorch
	$(BIN)/python benchmarks/run_all.py --work runs/bench $(BENCH_ARGS)

style: $(INSTALLED) ## fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quality: $(INSTALLED) ## check without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

structure: ## measure the package: lines, long files and functions, circles and upward imports, what stands twice
	$(PYTHON) tests/structure.py

cards: $(INSTALLED) ## render model_cards/ from the facts in its sources/
	$(BIN)/python -m vqdna_hf.cards.render model_cards

# an old build/ would bring files that no longer exist into the wheel
build: $(INSTALLED) ## make the sdist and, from it, the wheel
	rm -rf build dist
	$(BIN)/python -m build

clean: ## remove what was made here, except environments
	rm -rf build dist *.egg-info demo-output .pytest_cache .ruff_cache .upstream
	find . -name __pycache__ -not -path './.venv*' -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.py $(LOCK)
	@set -e; \
	if [ ! -x $(BIN)/python ]; then \
	  found=; \
	  for candidate in $(PYTHON) python3.13 python3.12 python3.11; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      found=$$candidate; break; \
	    fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "vqdna_hf needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)" >&2; \
	    echo "and there is no python3.13, python3.12 or python3.11. Install one, or say PYTHON=/path/to/python." >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$found"; \
	  if ! $$found -m venv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "'$$found -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	fi
	@set -e; set -x; \
	if [ -n "$(LOCK)" ]; then \
	  $(BIN)/python -m pip install $(TORCH) -c $(LOCK); \
	  $(BIN)/python -m pip install --no-deps -r $(LOCK); \
	  $(BIN)/python -m pip install --no-deps --no-build-isolation -e .; \
	  $(BIN)/python -m pip check; \
	else \
	  $(BIN)/python -m pip install $(TORCH); \
	  $(BIN)/python -m pip install -e ".[dev]"; \
	fi
	@touch $@
