"""Random queries over random small tables: what DuckDB says, and what must hold whatever anyone says."""

from __future__ import annotations

import os
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings

import qtensor
from tests.oracle import Engines, sort_key
from tests.queries import conditions, group_queries, row_queries, tables

EXAMPLES = 50
# Each step of shrinking compiles a query: minutes, for a failure that is often plain to see. The profile `explore` does shrink.
PHASES = list(Phase) if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else [Phase.explicit, Phase.generate]


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines.over()


@settings(max_examples=EXAMPLES, phases=PHASES)
@given(tables(), row_queries())
def test_rows(engines: Engines, table: pa.Table, query: str) -> None:
    engines.register("t", table)
    engines.check(query, signed_zeros=False)


@settings(max_examples=EXAMPLES, phases=PHASES)
@given(tables(), group_queries())
def test_groups(engines: Engines, table: pa.Table, query: str) -> None:
    engines.register("t", table)
    engines.check(query, signed_zeros=False)


@settings(max_examples=EXAMPLES // 2, phases=PHASES)
@given(tables(), conditions())
def test_a_condition_is_true_false_or_null(engines: Engines, table: pa.Table, condition: str) -> None:
    """Ternary logic partitioning: each row is in exactly one of three parts. And WHERE agrees with CASE and with FILTER.

    Source: Rigger and Su, Finding Bugs in Database Systems via Query Partitioning, OOPSLA 2020.
    """
    connection = engines.ours.register("t", table)

    def rows(query: str) -> list[tuple[object, ...]]:
        return connection.sql(query).fetchall()

    parts = [f"({condition})", f"(NOT ({condition}))", f"(({condition}) IS NULL)"]
    selected = [rows(f"SELECT id, s, i FROM t WHERE {part}") for part in parts]
    together = sorted((row for part in selected for row in part), key=sort_key)
    assert together == sorted(rows("SELECT id, s, i FROM t"), key=sort_key)
    counted = rows(
        f"SELECT {', '.join(f'count(*) FILTER (WHERE {part}), count(CASE WHEN {part} THEN 1 END)' for part in parts)} FROM t"
    )
    assert counted == [tuple(len(part) for part in selected for _ in range(2))]
    assert Counter(row[0] for row in rows(f"SELECT {condition} AS c FROM t")) == Counter(
        {truth: len(part) for truth, part in zip((True, False, None), selected, strict=True) if part}
    )


@settings(max_examples=EXAMPLES // 5, phases=PHASES)
@given(tables(), group_queries())
def test_the_optimiser_changes_no_answer(table: pa.Table, query: str) -> None:
    optimised = Engines.over(t=table).check(query, signed_zeros=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qtensor.optimizer.RULES", ())
        plain = qtensor.connect().register("t", table).sql(query)
        assert [title for title, _ in plain.plans()] == ["bound"]
        assert Counter(map(repr, plain.fetchall())) == Counter(map(repr, optimised.rows))
