# What people run. `make demo` and `make test` need Python 3.11 or newer, and the network once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= build/demo
# What `make test` and `make demo` fetch is kept here; other folders of the user's are not touched.
export STENCILKIT_TEST_CACHE ?= $(CURDIR)/.cache/tests
WORKERS ?= 2
FUZZ_SECONDS ?= 600

.PHONY: help demo setup bare needs test lint unit docs fuzz oracle gate bench table schemas share clean

help:
	@echo "make demo    fetch CPython 3.14.7 and three LLVMs, build stencils with each, compare them"
	@echo "make setup   install what make test needs of a Debian or Ubuntu machine (as root, or with sudo)"
	@echo "make bare    make demo and make unit in fresh roots of Debian 12 and 13 (as root; BARE=test: make test)"
	@echo "make test    lint, types and tests, with one oracle row per dialect and format"
	@echo "make unit    the tests that need no network"
	@echo "make docs    the documentation as a site, in build/docs"
	@echo "make fuzz    coverage-guided fuzzing of every reader, for FUZZ_SECONDS"
	@echo "make oracle  the whole matrix against CPython's own generator"
	@echo "make gate    every CPython with every LLVM of PyPI, under variations, against the ledger"
	@echo "make bench   stencilkit against CPython's own generator, interleaved"
	@echo "make schemas the JSON Schemas in docs/schemas, from the tables of stencilkit/cli/_schemas"
	@echo "make share   the man pages and completion scripts in share, from the help"
	@echo "make table   the support tables of README.md and docs/support.md, from the ledger"
	@echo "make clean   remove everything that was made here"

$(BIN)/stencilkit: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(BIN)/stencilkit
	STENCILKIT_CACHE=$(STENCILKIT_TEST_CACHE)/cache STENCILKIT_DATA=$(STENCILKIT_TEST_CACHE)/data \
		sh -c "$(BIN)/stencilkit fetch 3.14.7 && $(BIN)/stencilkit toolchains install 19 20 21 && $(BIN)/stencilkit build --cpython 3.14.7 --llvm 19..21 --out $(OUT)"

setup:
	@$(PYTHON) .ci/needs.py

# BARE=test runs the whole suite there, after make setup; AS_USER=1 as an ordinary user who has sudo.
bare:
	@$(PYTHON) .ci/bare.py $(foreach suite,$(SUITES),--suite $(suite)) $(if $(AS_USER),--user) $(if $(filter test,$(BARE)),setup test,$(BARE))

needs:
	@$(PYTHON) .ci/needs.py --check

lint: $(BIN)/stencilkit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell *.md docs recipes reproducibility stencilkit tests targets.toml Makefile
	$(BIN)/zizmor --offline --quiet --no-progress --persona=pedantic .github

unit: $(BIN)/stencilkit
	$(BIN)/pytest -m "not network and not oracle and not jit" tests/unit tests/golden tests/property tests/cli

docs: $(BIN)/stencilkit
	$(BIN)/python -m sphinx -q -n -W --keep-going docs build/docs
	@echo "build/docs/index.html"

test: needs lint
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=30 -m "not matrix"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# What a reader does not survive is written to tests/fuzz/corpus, to be fixed and committed.
fuzz: $(BIN)/stencilkit
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.campaign --seconds $(FUZZ_SECONDS) $(FUZZ)

oracle: needs $(BIN)/stencilkit
	$(BIN)/pytest -n $(WORKERS) --dist load --maxschedchunk 1 --durations=30 -m "oracle or matrix"

gate: $(BIN)/stencilkit
	STENCILKIT_CACHE=$(STENCILKIT_TEST_CACHE)/cache STENCILKIT_DATA=$(STENCILKIT_TEST_CACHE)/data \
		sh -c "$(BIN)/stencilkit toolchains install 18 19 20 21 22 && reproducibility/gate --cpython 3.13.15 --cpython 3.14.7 \
		--cpython 3.15.0rc1 --llvm 18..22 --target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu $(GATE)"

bench: $(BIN)/stencilkit
	$(BIN)/python -m tests.bench $(BENCH)
	$(BIN)/python -m tests.bench_identify
	$(BIN)/python -m tests.bench_qualify

schemas: $(BIN)/stencilkit
	$(BIN)/python docs/json_schemas.py

share: $(BIN)/stencilkit
	$(BIN)/python docs/manual_pages.py

table: $(BIN)/stencilkit
	$(BIN)/python docs/support_table.py

clean:
	rm -rf $(VENV) build .cache stencils
