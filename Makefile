# Needs make and a Python >= 3.11. Everything else is installed into .venv, in the versions of constraints.txt.
#
#   make demo         train a classifier, run the headline query as one XLA module, time it beside its rivals
#   make test         format, lint, types, import contracts, tests
#   make core         the tests of what depends on Python and jax, for another Python:
#                     make core PYTHON=python3.13 VENV=.venv-3.13
#   make thorough     the same with every case of the large grids, of which make test takes a sample
#   make fuzz         random queries against DuckDB, partitions and plain plans: SECONDS=600, SEED=n the same ones again
#   make fuzz-files   files of strangers, mutated, through every door by which files come in: SECONDS=600, SEED=n, DOOR=qta for one
#   make slt FILES=   run files of sqllogictest, or all below a folder: what passes, is wrong, accepted, refused or unsupported, and why;
#                     ORACLE=duckdb compares with DuckDB itself, SECONDS=n bounds each file, REASONS=n shows more reasons
#   make lint         only the first four of these
#   make house        every module with its one job
#   make bench-seed   the whole of the seed's benchmark (its Spark part needs Java)
#   make bench-aot    exported queries: native library, Python artifact, session, TensorFlow (the native part needs g++)
#   make bench-models models in queries, beside their libraries, ONNX Runtime and DuckDB with a UDF
#   make bench-stream tables larger than memory, TPC-H at scale 10 with 4 GB, beside DuckDB with the same limit
#   make tpch         all 22 queries of TPC-H at scale 1, rows compared with DuckDB, and timed
#   make clean        remove what these made
#
# PYTHON=/path/to/python chooses the interpreter that .venv is made with.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# One .venv serves all targets: two installations must not write into it at once, whatever -j says.
.NOTPARALLEL:
.PHONY: help demo test lint house bench-seed bench-aot bench-models bench-stream tpch core thorough fuzz fuzz-files slt clean FORCE

VENV := .venv
BIN := $(VENV)/bin
# What could differ with another version of Python, JAX or NumPy: compiling, caching, models, each kind of query, and what keeps
# strangers' files apart (MLIR, processes, limits of memory).
CORE := tests/aot/test_slimming.py tests/aot/test_any_rows.py tests/aot/test_loaded.py tests/aot/test_whitelist.py \
	tests/aot/test_isolation.py tests/aot/test_trust.py $(addprefix tests/models/test_,import.py wide.py operators.py layers.py text.py trees.py outputs.py jax_function.py) \
	tests/repository/test_jaxlib_miscompile.py tests/sql/test_joins.py tests/sql/test_windows.py tests/sql/test_sets.py tests/sql/test_aggregate_functions.py \
	tests/storage $(addprefix tests/sources/test_,parquet.py ipc.py table.py damaged_parquet.py damaged_arrow.py) tests/run/test_caching.py tests/test_one_module.py tests/results/test_relation.py tests/run/test_threads.py tests/tpch
# Two makes started side by side wait here for each other, where the system has flock.
LOCK := $(if $(shell command -v flock 2>/dev/null),flock .make.lock)
# A .venv that came along when the folder was copied is made anew.
STALE := $(if $(filter $(CURDIR),$(shell cat $(VENV)/.made-in 2>/dev/null)),,FORCE)

export PYTHON
export PYTHONNOUSERSITE := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2
unexport PYTHONPATH
unexport PYTHONHOME

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed-demo
	$(BIN)/python bench/seed.py --light

bench-seed: $(VENV)/.installed-bench
	$(BIN)/python bench/seed.py

bench-aot: $(VENV)/.installed-bench
	$(BIN)/python bench/aot.py

bench-models: $(VENV)/.installed-bench
	$(BIN)/python bench/models.py

bench-stream: $(VENV)/.installed-bench
	$(BIN)/python bench/stream.py

tpch: $(VENV)/.installed-bench
	$(BIN)/python bench/tpch_all.py

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

core: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal $(CORE)

thorough: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --thorough

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.oracle.fuzz --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(if $(FULL),--full)

fuzz-files: $(VENV)/.installed-dev
	$(BIN)/python -m tests.oracle.fuzz_files --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(if $(DOOR),--door $(DOOR))

slt: $(VENV)/.installed-dev
	$(BIN)/python -m tests.oracle.slt $(if $(ORACLE),--oracle $(ORACLE)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(REASONS),--reasons $(REASONS)) $(FILES)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

house: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.repository.house

clean:
	rm -rf $(VENV) .venv-* .make.lock build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an installation cut short is taken up again.
$(VENV)/.installed-%: pyproject.toml constraints.txt .ci/install $(STALE)
	@$(LOCK) .ci/install $(VENV) $*

FORCE:
