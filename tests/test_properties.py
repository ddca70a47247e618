"""Random queries over random small tables: what DuckDB says, and what must hold whatever anyone says.

The same 500 queries each time; `make fuzz` asks others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.checks import Checker, random_case
from tests.oracle.minimise import reproducer

BATCH = 10
# Batches of each kind. A case of `partitions` asks two queries, one of `plain` asks its query twice.
BATCHES = {
    "rows": 8,
    "groups": 6,
    "joins": 5,
    "subqueries": 5,
    "windows": 4,
    "sets": 3,
    "ctes": 3,
    "distinct": 4,
    "partitions": 6,
    "plain": 1,
}


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
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
