# Everything sets up what it needs. A second run starts in seconds.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
DATA ?= .demo

.PHONY: demo test check format lint types imports tests bench soak lock clean

demo: .venv/runtime.stamp
	@$(PY) -m infrastructure.cli demo --data-dir "$(DATA)"

test: .venv/dev.stamp
	@$(PY) -m pytest -n 3 -m "not slow"

check: .venv/dev.stamp format lint types imports tests

format: .venv/dev.stamp
	@$(PY) -m ruff format --check --quiet .

lint: .venv/dev.stamp
	@$(PY) -m ruff check --quiet .

types: .venv/dev.stamp
	@$(PY) -m mypy

imports: .venv/dev.stamp
	@.venv/bin/python -c 'from importlinter.cli import lint_imports_command as main; main()' --no-cache

tests: .venv/dev.stamp
	@$(PY) -m pytest -n 3 -m "not slow"

bench: .venv/dev.stamp
	@$(PY) -m scripts.bench all

soak: .venv/dev.stamp
	@HYPOTHESIS_PROFILE=soak $(PY) -m pytest -n 2 -rP -m "slow or not slow"

# A virtual environment remembers absolute paths, so a moved clone builds a new one.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "creating .venv with $(PYTHON)" >&2
	@rm -rf .venv && "$(PYTHON)" -m venv .venv

.venv/build.stamp: requirements/build.lock | .venv/bin/python
	@$(PIP) install --require-hashes --no-deps -r requirements/build.lock
	@touch $@

.venv/runtime.stamp: requirements/runtime.lock pyproject.toml .venv/build.stamp
	@echo "installing the locked packages (first time only)" >&2
	@$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements/runtime.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements/dev.lock .venv/runtime.stamp
	@echo "installing the locked development packages (first time only)" >&2
	@$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements/dev.lock
	@touch $@

# For maintainers: resolve again. Needs uv on the PATH; writes no index host.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links requirements/build.in -o requirements/build.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra plot pyproject.toml -o requirements/runtime.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --override requirements/overrides.txt -c requirements/runtime.lock --extra dev --extra audit --extra plot pyproject.toml -o requirements/dev.lock

clean:
	rm -rf .venv .demo
