# make install   .venv with genenet and snakemake
# make demo      the main job on the embedded synthetic volume
# make check     while you work: lint, types, and the tests that take seconds; under three minutes
# make test      everything the tests need, then all checks and tests; about half an hour
# make generated  the schema and the tables in docs/ that are made from the config's models
# make docs      the site, docs/_build/html/index.html
# make container  containers/genenet.sif, with Apptainer; see containers/README.md
# make acceptance  the long real-data runs, and their table
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install demo check test lint acceptance generated docs container clean

install: .venv/installed-workflow

demo: install
	snakemake --profile profiles/local

check: lint
	pytest -n 2 --dist loadgroup -m "not (process or slow or docs or browser)" --durations=10 tests/unit

# Five workers for two cores: three of them run the cluster's tests, which wait for Slurm half of the time.
test: lint
	pytest -n 5 --dist loadgroup --hypothesis-profile=full --durations=20 tests/cluster tests/workflow tests/unit

lint: .venv/installed-dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check --compact-diff workflow

acceptance: .venv/installed-dev
	python -m tests.acceptance

generated: .venv/installed-dev
	python docs/generated.py

docs: .venv/installed-docs
	sphinx-build -E -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html is there"

IMAGE ?= containers/genenet.sif
CONTAINER_ARGS ?=
COMMIT ?= $(shell git describe --always --dirty 2> /dev/null || echo unknown)

container:
	@command -v apptainer > /dev/null || command -v singularity > /dev/null || \
		{ echo "make container: neither apptainer nor singularity is on the PATH; load its module, or install it"; exit 1; }
	$$(command -v apptainer || command -v singularity) build --force $(CONTAINER_ARGS) \
		--build-arg "commit=$(COMMIT)" $(IMAGE).new containers/genenet.def
	mv $(IMAGE).new $(IMAGE)
	@echo "$(IMAGE) is there; name it in config.yaml: container: $(IMAGE)"

# A marker is made last, so an interrupted installation is taken up again.
.venv/installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "genenet needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(if $(filter workflow,$*),workflow,workflow$(comma)$*)]"
	@touch $@

comma := ,

clean:
	rm -rf results .snakemake docs/_build
