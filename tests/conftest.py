"""Settings of all tests: JAX at its strictest, hypothesis reproducible, caches of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import jax
import pytest

# Silent promotions of dtype and rank are where a lowering that is right by luck hides.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# Files, or tests, with grids of cases that each compile programs of their own: of these one run takes every so many, `--thorough`
# all.
SAMPLED = {
    "tests/sql/test_windows.py": 16,
    "tests/sql/test_sets.py": 10,
    "tests/sql/test_joins.py": 12,
    "tests/sql/test_joins.py::test_rows_after_a_few_groups": 2,
    "tests/sql/test_joins.py::test_rows_after_more_than_two_chunks": 1,
    "tests/sql/test_correlation.py": 10,
    "tests/sql/test_subqueries.py": 3,
    "tests/sql/test_aggregate_functions.py": 12,
    "tests/sql/test_grouping_sets.py": 8,
    "tests/sql/test_functions_texts.py": 4,
    "tests/sql/test_functions_dates.py": 4,
    "tests/sql/test_functions_numbers.py": 4,
    "tests/sql/test_text_levels.py": 5,
    "tests/sql/test_aggregates.py": 4,
    "tests/sql/test_queries.py": 4,
    "tests/sql/test_expressions.py": 3,
    "tests/sql/test_extremes.py": 3,
    "tests/sql/test_sizes.py": 3,
    "tests/sql/test_string_agg.py": 2,
    "tests/aot/test_any_rows.py": 4,
    "tests/lowering/test_equal_rows.py": 3,
    "tests/lowering/test_sinks.py": 3,
    "tests/models/test_import.py": 2,
    "tests/models/test_operators.py": 3,
    "tests/tpch/test_exports.py": 5,
    "tests/sql/test_lateral.py::test_lateral": 11,
    "tests/sql/test_lateral.py::test_queries": 5,
    "tests/test_goldens.py::test_rows": 3,
    "tests/test_goldens.py::test_rows_without_optimiser": 5,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the plans of tests/goldens anew")
    parser.addoption("--thorough", action="store_true", help="run every case of the large grids, not a sample of them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the large grids, keep the first case of each test and then every so many."""
    if config.getoption("--thorough"):
        return
    seen: dict[tuple[str, str], int] = {}
    kept, dropped = [], []
    for item in items:
        file = item.nodeid.split("::")[0]
        test = (file, item.nodeid.split("[")[0].split("::", 1)[1])
        number = seen[test] = seen.get(test, -1) + 1
        (dropped if number % SAMPLED.get("::".join(test), SAMPLED.get(file, 1)) else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier run or the user's own work has cached must not decide whether a test passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTENSOR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("QTENSOR_TRUST", str(tmp_path_factory.mktemp("trust")))
        yield
