"""Random queries over random small tables: what DuckDB says, and what must hold whatever anyone says.

The same 500 queries each time; `make fuzz` asks others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.checks import Checker, quick_compiling, random_case
from tests.oracle.minimise import reproducer

BATCH = 10
# Batches of each kind. A case of `partitions` asks two queries, one of `plain` asks its query twice.
BATCHES = {
    "rows": 9,
    "groups": 6,
    "joins": 4,
    "subqueries": 5,
    "windows": 3,
    "sets": 3,
    "ctes": 3,
    "distinct": 5,
    "partitions": 5,
    "plain": 1,
}


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    with pytest.MonkeyPatch.context() as patch, quick_compiling():
        patch.setenv("QTENSOR_CACHE", str(tmp_path_factory.mktemp("quick")))
        checker = Checker()
        yield checker
        checker.close()


@pytest.mark.parametrize(("kind", "batch"), [(kind, batch) for kind, count in BATCHES.items() for batch in range(count)])
def test_random_queries(checker: Checker, kind: str, batch: int) -> None:
    answered, wrong = 0, []
    for seed in range(BATCH * batch, BATCH * (batch + 1)):
        case = random_case(seed, kind)
        finding = checker.check(case)
        answered += finding.outcome == "same"
        if finding.outcome == "different":
            wrong.append(f"seed {seed} of {kind}: {finding.message}\n{reproducer(case)}")
    assert not wrong, "\n\n".join(wrong)
    assert answered > BATCH // 2
