# `make demo` runs the study on generated images, `make test` the tests. Either makes the environment
# .venv first when it is missing: everything pinned and hashed in requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
CONFIG := config/demo.yaml

.PHONY: .venv demo test test-slurm bench lint format lock clean

demo: .venv
	$(BIN)/snakemake --configfile $(CONFIG) --quiet rules host reason

test: .venv .venv/ffcv .venv/browser lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# the study on a real Slurm of one node, started here (Debian, as root), and killed at random moments:
# three times a small one; ten times the demo's, in 20 minutes: MEMAUDIT_KILLS=10 MEMAUDIT_DEMO=1 make test-slurm
test-slurm: .venv
	$(BIN)/python -m pytest -o addopts=-ra -n 2 --dist loadfile tests/slurm

# how fast, beside what one would use instead: a table and a figure in benchmarks/results
bench: .venv .venv/ffcv
	$(BIN)/python benchmarks/bench.py

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
	@test ! -L .venv || { echo "error: .venv is a link; what it leads to would be deleted. Remove it"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r .venv/uv.lock
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

# FFCV is compiled here, against OpenCV and libjpeg-turbo. It is optional: where these are missing and
# cannot be installed, one line says what to install, and the rest works all the same.
FFCV_LIBRARIES := libopencv-dev libturbojpeg0-dev pkg-config g++
FFCV_READY := command -v c++ pkg-config > /dev/null && pkg-config --exists opencv4 libturbojpeg

.venv/ffcv: .venv/complete requirements-ffcv.lock
	@if ! { $(FFCV_READY); } && [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then \
	  export DEBIAN_FRONTEND=noninteractive; apt-get update -qq > /dev/null 2>&1; \
	  apt-get install -qq --no-install-recommends $(FFCV_LIBRARIES) > /dev/null 2>&1; fi; \
	if ! { $(FFCV_READY); }; then \
	  echo "FFCV is left out: it needs $(FFCV_LIBRARIES) (Debian's names); then make $@"; \
	else \
	  $(BIN)/uv pip install --quiet --require-hashes --no-deps --no-build-isolation \
	    --python $(BIN)/python -r requirements-ffcv.lock && touch $@; fi

# The tests of the review page drive Chromium; without it they are skipped, and the rest is tested.
BROWSER := chromium chromium-driver
BROWSER_READY := command -v chromium > /dev/null && command -v chromedriver > /dev/null

.venv/browser: .venv/complete
	@if ! { $(BROWSER_READY); } && [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then \
	  export DEBIAN_FRONTEND=noninteractive; apt-get update -qq > /dev/null 2>&1; \
	  apt-get install -qq --no-install-recommends $(BROWSER) > /dev/null 2>&1; fi; \
	if ! { $(BROWSER_READY); }; then \
	  echo "The review page is not tested: that needs $(BROWSER) (Debian's names); then make $@"; \
	else touch $@; fi

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate pyproject.toml

lock:
	$(LOCK) --extra dev -o requirements.lock
	$(LOCK) --extra ffcv --constraints requirements.lock -o requirements-ffcv.lock

clean:
	rm -rf .venv .snakemake results
