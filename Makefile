# make digits   run the study on handwritten digits
# make demo     run the study on generated images
# make test     run the linters and the tests
# make docs     write the documentation site to build/site
#
# Each creates the environment .venv first if it is missing; every package is pinned and hashed
# in requirements.lock. CONTRIBUTING.md describes the other targets.

PYTHON ?= python3
# As root on Debian, `make test` and `make test-slurm` install system packages; SYSTEM=no prevents it.
SYSTEM ?= yes
# TORCH=cpu installs PyTorch's CPU build, from PyTorch's index and without hashes.
TORCH ?=
BIN := .venv/bin
CONFIG := config/demo.yaml
# progress bars on a terminal, plain lines in a file
DISPLAY_OPTIONS := $(shell test -t 2 && echo --logger rich || echo --quiet rules host reason)

.PHONY: .venv digits demo docs test test-slurm bench lint docs-config format lock clean

digits: .venv
	$(BIN)/snakemake $(DISPLAY_OPTIONS) --configfile config/digits.yaml

# the same bits on every x86-64 processor with AVX2 (docs/training.md)
demo: export ATEN_CPU_CAPABILITY := avx2
demo: export MKL_CBWR := COMPATIBLE
demo: export ONEDNN_MAX_CPU_ISA := AVX2
demo: .venv
	$(BIN)/snakemake $(DISPLAY_OPTIONS) --configfile $(CONFIG)

test: .venv .venv/ffcv .venv/browser .venv/docs lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Runs a small study on a Slurm of two nodes started here (Debian, as root) while jobs and nodes are killed, and
# on this machine, killing the run at three random moments. MEMAUDIT_KILLS=10 MEMAUDIT_DEMO=1 kills the demo ten times.
test-slurm: .venv
	SYSTEM=$(SYSTEM) $(BIN)/python -m pytest -o addopts=-ra -n 2 --dist loadfile tests/slurm

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict
	@echo "Written: build/site/index.html"

bench: .venv .venv/ffcv
	$(BIN)/python benchmarks/bench.py

lint: .venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --configfile $(CONFIG) --lint
	$(BIN)/mypy

# Regenerates the table of keys in config/README.md and config/schema.json from the configuration model.
docs-config: .venv
	$(BIN)/python -m memaudit.study.schema

format: .venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile workflow

# uv itself is installed from the lock file, by hash. The stamp is written last, so an interrupted
# installation starts over.
.venv: .venv/complete

.venv/complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Python 3.11 or later is required, this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	@test ! -L .venv || { echo "error: .venv is a symbolic link, and its target would be deleted; remove the link"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r .venv/uv.lock
	@awk '/^[a-z]/ { skip = "$(TORCH)" != "" && /^(torch|torchvision|triton|nvidia-.*|cuda-.*)==/ } !skip' \
	  requirements.lock > .venv/hashed.lock
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python .venv/hashed.lock
	$(if $(TORCH),$(BIN)/uv pip install --quiet --no-deps --torch-backend $(TORCH) --python $(BIN)/python \
	  $(shell sed -n 's/^\(torch[a-z]*==[^ ]*\).*/\1/p' requirements.lock))
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

# $(call system_packages,CHECK,PACKAGES): if the shell command CHECK fails, install Debian's PACKAGES.
# apt's output is shown only if CHECK still fails afterwards.
define system_packages
if ! { $(1); } && [ "$(SYSTEM)" != no ] && [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then \
  echo "Installing system packages with apt-get: $(2) (SYSTEM=no skips this)"; \
  { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(2); } \
    > .venv/apt.log 2>&1 || true; \
  { $(1); } || { echo "apt-get did not install them:"; tail -n 20 .venv/apt.log; }; \
fi
endef

# FFCV is compiled against OpenCV and libjpeg-turbo. It is optional: without these libraries, the tests
# that need FFCV are skipped.
FFCV_PACKAGES := libopencv-dev libturbojpeg0-dev pkg-config g++
FFCV_READY := command -v c++ pkg-config > /dev/null && pkg-config --exists opencv4 libturbojpeg

.venv/ffcv: .venv/complete requirements-ffcv.lock
	@$(call system_packages,$(FFCV_READY),$(FFCV_PACKAGES)); \
	if $(FFCV_READY); then \
	  $(BIN)/uv pip install --quiet --require-hashes --no-deps --no-build-isolation \
	    --python $(BIN)/python -r requirements-ffcv.lock && touch $@; \
	else \
	  echo "FFCV is not installed. Install $(FFCV_PACKAGES) (Debian's names), then run: make $@"; \
	fi

# MkDocs, for the documentation site; none of its packages is in requirements.lock in another version.
.venv/docs: .venv/complete requirements-docs.lock
	$(BIN)/uv pip install --quiet --require-hashes --no-deps --python $(BIN)/python \
	  -r requirements-docs.lock
	@touch $@

# The tests of the review page drive Chromium; without it they are skipped.
BROWSER_PACKAGES := chromium chromium-driver
BROWSER_READY := command -v chromium > /dev/null && command -v chromedriver > /dev/null

.venv/browser: .venv/complete
	@$(call system_packages,$(BROWSER_READY),$(BROWSER_PACKAGES)); \
	if $(BROWSER_READY); then touch $@; \
	else echo "Tests of the review page are skipped. Install $(BROWSER_PACKAGES) (Debian's names), then run: make $@"; \
	fi

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate pyproject.toml

lock:
	$(LOCK) --extra dev -o requirements.lock
	$(LOCK) --extra ffcv --constraints requirements.lock -o requirements-ffcv.lock
	$(LOCK) --extra docs --constraints requirements.lock -o requirements-docs.lock

clean:
	rm -rf .venv .snakemake results
