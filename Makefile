# Two commands matter: `make demo` and `make test`. Both set up what they need, on a fresh Debian or Ubuntu with
# Python 3.11 or newer. Nothing is installed outside this folder, except system packages that are named first.

SHELL := /bin/sh
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .boot/bin/uv)
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy
export UV_COMPILE_BYTECODE := 1
ARGS ?=
ONLY ?=

.PHONY: demo test lint bench nightly lock clean
.DELETE_ON_ERROR:

demo: .venv/.demo  ## run the whole loop on all flights of 2013
	@.venv/bin/millstream demo $(ARGS)

test: .venv/.dev chromium  ## run the tests
	@.venv/bin/python -m pytest $(ARGS)

lint: .venv/.dev  ## style, types and import contracts
	@.venv/bin/ruff check --no-cache src tests benchmarks examples
	@.venv/bin/ruff format --no-cache --check src tests benchmarks examples
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: .venv/.dev .venv/.peers  ## measure against the bare limits; ONLY=name runs one
	@ONLY="$(ONLY)" .venv/bin/python -m benchmarks.run

nightly: .venv/.dev chromium  ## the tests and the long runs
	@MILLSTREAM_NEW_EXAMPLES=1 .venv/bin/python -m pytest -m "nightly or not nightly" $(ARGS)

lock: $(UV)  ## pin every requirement with its hashes
	@$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 \
		--extra demo pyproject.toml -o requirements/demo.txt
	@$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 \
		--extra dlt --extra examples --extra holidays --extra lab --extra objects --extra suites --extra xgboost --group dev pyproject.toml -o requirements/dev.txt
	@$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 \
		pyproject.toml -o requirements/base.txt
	@$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 \
		requirements/peers.in -o requirements/peers.txt

clean:  ## remove what the commands above made
	rm -rf .venv .boot millstream-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# --- set-up ---------------------------------------------------------------------------------------------------

# uv from PATH, else from a venv, else into a plain folder (Debian splits venv and pip out of Python).
.boot/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "millstream needs Python 3.11 or newer; '$(PYTHON)' is not. Set PYTHON=..." >&2; exit 1; }
	@rm -rf .boot
	@if $(PYTHON) -m venv .boot >/dev/null 2>&1 && .boot/bin/python -m pip install -q uv; then :; \
	else rm -rf .boot; \
		if $(PYTHON) -m pip --version >/dev/null 2>&1 && $(PYTHON) -m pip install -q --target .boot uv; then :; \
		else rm -rf .boot; \
			if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO="sudo -n"; fi; \
			echo "installing python3-venv ..." >&2; \
			{ $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq python3-venv; } >/dev/null 2>&1 \
				&& $(PYTHON) -m venv .boot && .boot/bin/python -m pip install -q uv \
				|| { rm -rf .boot; echo "no way to install packages: run 'sudo apt-get install -y python3-venv' and try again" >&2; exit 1; }; \
		fi; \
	fi

.venv/bin/python: | $(UV)
	@$(UV) venv -q --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv

.venv/.demo: requirements/demo.txt pyproject.toml | .venv/bin/python libgomp
	@[ -e .venv/.dev ] || { echo "installing Millstream and its demo ..." >&2; \
		$(UV) pip install -q --python .venv/bin/python --no-deps --require-hashes -r requirements/demo.txt; }
	@$(UV) pip install -q --python .venv/bin/python --no-deps -e .
	@.venv/bin/python -m compileall -q src || true
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python libgomp
	@echo "installing Millstream and its tests ..." >&2
	@$(UV) pip install -q --python .venv/bin/python --no-deps --require-hashes -r requirements/dev.txt
	@$(UV) pip install -q --python .venv/bin/python --no-deps -e .
	@touch $@ .venv/.demo

# What the benchmarks compare with has an environment of its own: it must not decide what Millstream is installed with.
.venv/.peers: requirements/peers.txt | .venv/bin/python
	@echo "installing what the benchmarks compare with ..." >&2
	@$(UV) venv -q --allow-existing --python .venv/bin/python .venv/peers
	@$(UV) pip install -q --python .venv/peers/bin/python --no-deps --require-hashes -r requirements/peers.txt
	@touch $@

# LightGBM needs OpenMP's runtime, which no package of the registry brings in a place it looks.
.PHONY: libgomp chromium
libgomp: | .venv/bin/python
	@.venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || sh scripts/system-package libgomp1

# The page is tested in a real browser.
chromium:
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || sh scripts/system-package chromium
