# Tiphys: everything a developer or a CI job does. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TIPHYS_HOME ?= $(CURDIR)/.tiphys
PYTEST := $(BIN)/python -m pytest
# Comparisons with the real server, and what is to hold of both servers.
REAL_TESTS := $(wildcard tests/devcluster/*_real.py tests/devcluster/*/*_real.py) $(patsubst %,tests/devcluster/test_%.py,access workloads nodesim sequences charts)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-zA-Z0-9_-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The environment is remade only when a lock, the package description or the installer changes.
$(STAMP): locks/uv.txt locks/core.txt locks/helm.txt locks/dev.txt pyproject.toml scripts/bootstrap
	@scripts/bootstrap $(VENV)
	@touch $@

.PHONY: install
install: $(STAMP) ## Install Tiphys and its development tools into .venv (about 190 MB of wheels)

.PHONY: up
up: $(STAMP) ## Start the embedded cluster and Tiphys, deploy the example, say what to type next
	@$(BIN)/tiphys up

.PHONY: down
down: ## Stop what `make up` started (PURGE=1 removes its data too)
	@if [ -x $(BIN)/tiphys ]; then $(BIN)/tiphys down $(if $(PURGE),--purge); else echo "nothing is installed, so nothing runs"; fi

.PHONY: test
test: $(STAMP) ## Unit, conformance, property, meta and embedded end-to-end tests
	@$(PYTEST) -q -n 2 --dist loadfile tests/unit tests/conformance tests/property tests/meta
	@$(PYTEST) -q -n 2 --dist loadfile tests/devcluster tests/e2e --cluster=embedded

.PHONY: check
check: $(STAMP) ## Format, lint, types, import contracts, generated files
	@scripts/check

.PHONY: fix
fix: $(STAMP) ## Format and mend what can be mended
	@$(BIN)/ruff check -q --fix . || true
	@$(BIN)/ruff format -q .
	@$(BIN)/python scripts/gen_docs.py
	@$(BIN)/python scripts/gen_crds.py
	@$(BIN)/python scripts/gen_cli_docs.py
	@$(BIN)/python scripts/gen_layout.py
	@$(BIN)/python scripts/gen_differences.py
	@$(BIN)/python scripts/gen_cluster_differences.py
	@$(BIN)/python scripts/gen_benchmarks.py

.PHONY: realcluster
realcluster: $(STAMP) ## Build a real kube-apiserver for tests (needs Go 1.26; ten minutes the first time)
	@$(BIN)/python tests/realcluster/build.py

.PHONY: test-real
test-real: realcluster ## End-to-end and comparison tests on the real API server
	@$(PYTEST) -q -n 2 --dist loadfile tests/e2e $(REAL_TESTS) --cluster=real

.PHONY: random
random: realcluster ## Write OBJECTS=2000 random objects (SEED=1) to the embedded cluster and to the real API server alike
	@TIPHYS_RANDOM_OBJECTS=$(or $(OBJECTS),2000) TIPHYS_RANDOM_SEED=$(or $(SEED),1) $(PYTEST) -q -s tests/devcluster/random --cluster=real

.PHONY: load
load: $(STAMP) ## Load the embedded cluster for MINUTES=10 and check it (REAL=1: rates beside a real kube-apiserver too)
	@$(BIN)/python -m scripts.load_devcluster --minutes $(or $(MINUTES),10) $(if $(REAL),--real)

.PHONY: bench
bench: realcluster ## Ten minutes of benchmarks on the real API server (ENGINE=tiphys,argocd), then the tables of docs/benchmarks.md
	@$(BIN)/python -m bench --selection --save --engine $(or $(ENGINE),tiphys) >/dev/null
	@$(BIN)/python scripts/gen_benchmarks.py

.PHONY: clean
clean: ## Remove the environment and caches (not the data of `make up`)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis
