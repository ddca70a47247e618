"""Settings of all tests: JAX at its strictest, hypothesis reproducible, caches of their own."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
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
# all. Which ones is another turn with each state of the repository, so that in time every case runs.
SAMPLED = {
    "tests/sql/test_windows.py": 24,
    "tests/sql/test_sets.py": 14,
    "tests/sql/test_joins.py": 16,
    "tests/sql/test_joins.py::test_rows_after_a_few_groups": 2,
    "tests/sql/test_joins.py::test_rows_after_more_than_two_chunks": 1,
    "tests/sql/test_correlation.py": 14,
    "tests/sql/test_subqueries.py": 3,
    "tests/sql/test_aggregate_functions.py": 16,
    "tests/sql/test_grouping_sets.py": 8,
    "tests/sql/test_functions_texts.py": 4,
    "tests/sql/test_functions_dates.py": 4,
    "tests/sql/test_functions_numbers.py": 4,
    "tests/sql/test_text_levels.py": 5,
    "tests/sql/test_aggregates.py": 6,
    "tests/sql/test_queries.py": 5,
    "tests/sql/test_expressions.py": 6,
    "tests/sql/test_extremes.py": 4,
    "tests/sql/test_sizes.py": 4,
    "tests/gradients/test_models.py::test_as_plain_jax": 7,
    "tests/gradients/test_models.py::test_classes_are_expected_counts": 6,
    "tests/gradients/test_models.py::test_keras_as_its_tape": 2,
    "tests/gradients/test_models.py::test_scores_before_a_softmax": 2,
    "tests/gradients/test_parameters.py::test_as_differences_of_the_engine": 12,
    "tests/gradients/test_parameters.py::test_softened_as_written_by_hand": 8,
    "tests/gradients/test_parameters.py::test_refused_at_its_place": 6,
    "tests/sql/test_string_agg.py": 2,
    "tests/sql/test_sweeps.py::test_as_by_duckdb": 6,
    "tests/sql/test_sweeps.py::test_several_shares": 3,
    "tests/aot/test_any_rows.py": 5,
    "tests/bench/test_inference.py::test_star_schemas": 4,
    "tests/lowering/test_equal_rows.py": 4,
    "tests/lowering/test_sinks.py": 4,
    "tests/models/test_import.py": 4,
    "tests/models/test_labels.py::test_as_by_duckdb": 3,
    "tests/models/test_operators.py": 10,
    "tests/models/test_sklearn.py": 30,
    "tests/models/test_sklearn_texts.py": 4,
    "tests/models/test_trees.py": 10,
    "tests/models/test_placed.py::test_rows": 4,
    "tests/models/test_score_lists.py::test_values": 6,
    "tests/models/test_dependence.py::test_functions": 3,
    "tests/sources/test_passed_on.py::test_rows": 3,
    "tests/sources/test_passed_on.py::test_files": 5,
    "tests/models/test_onnx.py": 12,
    "tests/models/test_tflite.py::test_as_by_the_interpreter": 3,
    "tests/models/test_text.py::test_layers": 6,
    "tests/models/test_text.py::test_functions": 6,
    "tests/models/test_layers.py::test_network_equals_keras": 4,
    "tests/models/test_layers.py::test_queries_of_any_number_of_rows": 3,
    "tests/tpch/test_exports.py": 5,
    "tests/sql/test_lateral.py::test_lateral": 11,
    "tests/sql/test_lateral.py::test_queries": 5,
    "tests/oracle/test_fuzz_files.py::test_inputs_of_model_files": 3,
    "tests/optimise/test_goldens.py::test_rows": 6,
    "tests/optimise/test_goldens.py::test_rows_without_optimiser": 8,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the plans of tests/goldens anew")
    parser.addoption("--thorough", action="store_true", help="run every case of the large grids, not a sample of them")
    parser.addoption(
        "--turn", type=int, help="which sample of the large grids to run; by itself a number made of what is committed"
    )


def turn_of(config: pytest.Config) -> int:
    """The number of the sample: the same wherever the same files are committed."""
    given: int | None = config.getoption("--turn")
    if given is not None:
        return given
    git = ["git", "-C", str(config.rootpath), "rev-parse", "HEAD^{tree}"]
    try:
        return int(subprocess.run(git, capture_output=True, check=True, text=True).stdout, 16) % 10_000
    except (OSError, subprocess.CalledProcessError):
        return 0


def pytest_report_header(config: pytest.Config) -> str:
    return (
        "every case of the large grids"
        if config.getoption("--thorough")
        else f"sample of the large grids: --turn={turn_of(config)}"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test of the large grids, keep one case in so many, and one at least."""
    if config.getoption("--thorough"):
        return
    turn = turn_of(config)
    tests = [item.nodeid.split("[")[0] for item in items]
    sizes = Counter(tests)
    seen: Counter[str] = Counter()
    kept, dropped = [], []
    for test, item in zip(tests, items, strict=True):
        every = min(SAMPLED.get(test, SAMPLED.get(test.split("::")[0], 1)), sizes[test])
        (kept if seen[test] % every == turn % every else dropped).append(item)
        seen[test] += 1
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier run or the user's own work has cached must not decide whether a test passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTENSOR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("QTENSOR_TRUST", str(tmp_path_factory.mktemp("trust")))
        patch.setenv("QTENSOR_VERIFY", "1")
        yield
