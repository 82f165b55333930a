# `make demo` runs the study on generated images, `make test` the tests. Either makes the environment
# .venv first when it is missing: everything pinned and hashed in requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
CONFIG := config/demo.yaml

.PHONY: .venv demo test lint format lock clean

demo: .venv
	$(BIN)/snakemake --configfile $(CONFIG) --quiet rules host reason

test: .venv lint
	$(BIN)/python -m pytest

lint: .venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --configfile $(CONFIG) --lint

format: .venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile workflow

# uv comes into the environment from the same lock file, by its hash; the stamp is written last, so an
# interrupted installation is done anew.
.venv: .venv/complete

.venv/complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Python 3.11 or later is needed, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r .venv/uv.lock
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .snakemake results
