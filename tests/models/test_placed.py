"""Where a query calls its models: below joins, once for each combination of arguments, behind cheaper conditions. Rows against
DuckDB, where the model is a macro.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import ExecutionError
from qtensor.lowering.planner import pipelines
from qtensor.optimise.rules import infer_early, infer_once
from tests.oracle import Engines

ORDERS, CUSTOMERS = 20_000, 1_500
MACROS = (
    "CREATE MACRO m(a, b) AS a::DOUBLE * 2 + b::DOUBLE * b::DOUBLE",
    "CREATE MACRO label(a) AS CASE WHEN a::DOUBLE > 10 THEN 'high' WHEN a::DOUBLE <= 10 THEN 'low' END",
    "CREATE MACRO filled(a) AS coalesce(a::DOUBLE, 7) * 3",
    "CREATE MACRO pair(a) AS [a::DOUBLE, a::DOUBLE * 5]",
)
QUERIES = {
    "value of the right side": "SELECT g, avg(m(x, y)) AS s, count(m(x, y)) AS n FROM o JOIN c ON o.ck = c.ck GROUP BY g",
    "value of the left side": "SELECT g, sum(m(x, y)) AS s FROM c JOIN o ON o.ck = c.ck GROUP BY g",
    "of both sides": "SELECT g, sum(m(x, a)) AS s FROM o JOIN c ON o.ck = c.ck GROUP BY g",
    "left join": "SELECT g, count(*) AS n, count(s) AS k, sum(s) AS s "
    "FROM (SELECT g, m(x, y) AS s FROM o LEFT JOIN c ON o.ck = c.ck) GROUP BY g",
    "left join, NULL filled": "SELECT sum(filled(x)) AS s, count(*) AS n FROM o LEFT JOIN c ON o.ck = c.ck",
    "left join, argument never NULL": "SELECT sum(m(coalesce(x, 3), 1)) AS s FROM o LEFT JOIN c ON o.ck = c.ck",
    "full join": "SELECT g, sum(m(x, y)) AS s, count(*) AS n FROM o FULL JOIN c ON o.ck = c.ck GROUP BY g",
    "semi join above": "SELECT sum(m(x, y)) AS s FROM o JOIN c ON o.ck = c.ck WHERE o.g IN (SELECT g FROM few)",
    "condition of one side": "SELECT count(*) AS n, sum(a) AS s FROM o JOIN c ON o.ck = c.ck WHERE m(x, y) > 40 AND a < 3",
    "condition, value again": "SELECT g, sum(m(x, y)) AS s FROM o LEFT JOIN c ON o.ck = c.ck WHERE m(x, y) > 40 AND a < 9 GROUP BY g",
    "condition over a left join": "SELECT count(*) AS n FROM o LEFT JOIN c ON o.ck = c.ck WHERE m(x, y) IS NULL OR a = 1",
    "condition with a model of both sides": "SELECT count(*) AS n FROM o JOIN c ON o.ck = c.ck WHERE m(x, y) + m(a, b) > 100",
    "model of a model": "SELECT g, sum(m(m(x, y), a)) AS s FROM o JOIN c ON o.ck = c.ck GROUP BY g",
    "label": "SELECT label(x) AS l, count(*) AS n FROM o JOIN c ON o.ck = c.ck GROUP BY l",
    "element": "SELECT g, sum(pair(x)[2]) AS s FROM o JOIN c ON o.ck = c.ck GROUP BY g",
    "two joins": "SELECT d.h, sum(m(x, h)) AS s FROM o JOIN c ON o.ck = c.ck JOIN few d ON d.g = o.g GROUP BY d.h",
    "rows": "SELECT o.id, m(x, y) AS s, a FROM o JOIN c ON o.ck = c.ck WHERE a < 3",
    "sorted": "SELECT o.id, x FROM o JOIN c ON o.ck = c.ck ORDER BY m(x, y), o.id LIMIT 40",
    "having": "SELECT x, count(*) AS n FROM o JOIN c ON o.ck = c.ck GROUP BY x HAVING m(x, 1) > 20",
    "few combinations": "SELECT g, sum(m(g, u)) AS s, count(m(g, u)) AS n FROM o GROUP BY g",
    "few combinations, text": "SELECT sum(m(g, length(t))) AS s FROM o WHERE m(g, 2) > 4",
    "few combinations, NULL filled": "SELECT u, sum(filled(u)) AS s, count(*) AS n FROM o GROUP BY u",
    "few combinations, filtered": "SELECT id, label(u) AS l FROM o WHERE a < 4 AND label(u) <> 'low'",
    "few combinations, of a window": "SELECT id, g, m(g, u) AS s, row_number() OVER (PARTITION BY g ORDER BY id) AS r FROM o",
    "union": "SELECT sum(m(g, u)) AS s FROM (SELECT g, u FROM o UNION ALL SELECT g, h FROM few)",
    "common table": "WITH w AS (SELECT g, m(g, u) AS s FROM o) SELECT w.g, sum(w.s + v.s) AS t FROM w JOIN few ON w.g = few.g "
    "JOIN (SELECT g, max(s) AS s FROM w GROUP BY g) v ON v.g = w.g GROUP BY w.g",
    "cheap condition last": "SELECT id FROM o WHERE m(a, b) > 60 AND g = 3",
    "cheap condition last, groups": "SELECT u, count(*) AS n FROM o WHERE m(a, b) > 60 AND g = 3 GROUP BY u",
    "value of few rows": "SELECT id, m(a, b) AS s, t FROM o WHERE id < 300",
    "groups of few rows": "SELECT g, sum(m(a, b)) AS s, count(*) AS n FROM o WHERE id < 300 GROUP BY g",
    "one group of few rows": "SELECT sum(m(a, b)) AS s, count(*) AS n FROM o WHERE id < 300",
    "condition of few rows": "SELECT max(id) AS n FROM o WHERE id < 300 AND m(a, b) > 3",
    "none": "SELECT sum(m(a, b)) AS s, count(*) AS n FROM o WHERE id < 0",
}


@pytest.fixture(scope="module", autouse=True)
def everything_is_worth_it() -> Iterator[None]:
    """Small models over small tables are treated as large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(infer_early, "WORTH", 1)
        patch.setattr(infer_once, "WORTH", 1)
        patch.setattr(pipelines, "WORTH_BRINGING_TOGETHER", 1)
        patch.setattr(pipelines, "THIN_ROWS", 1_000)
        yield


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    random = np.random.default_rng(3)

    def integers(high: int, rows: int, missing: float = 0.0) -> pa.Array:
        return pa.array(random.integers(0, high, rows), mask=random.random(rows) < missing)

    orders = {
        "id": np.arange(ORDERS),
        "ck": integers(2 * CUSTOMERS, ORDERS, 0.1),
        "g": integers(6, ORDERS),
        "u": integers(12, ORDERS, 0.2),
        "a": integers(10, ORDERS).cast("float64"),  # of which combinations are not looked up
        "b": integers(10, ORDERS, 0.1),
        "t": pa.array(np.array(["", "x", "yy"])[random.integers(0, 3, ORDERS)], mask=random.random(ORDERS) < 0.1),
    }
    customers = {"ck": np.arange(CUSTOMERS), "x": integers(20, CUSTOMERS, 0.1), "y": integers(10, CUSTOMERS, 0.1)}
    made = Engines.over(threads=2, o=pa.table(orders), c=pa.table(customers), few=pa.table({"g": [1, 3, 3], "h": [4, 5, 6]}))
    for macro in MACROS:
        made.theirs.execute(macro)
    weights = np.array([2.0, 0.0])
    made.ours.create_function("m", lambda a, b: jnp.stack([a, b]) @ weights + b * b)
    made.ours.create_function(
        "label", lambda a: jnp.argmax(jnp.stack([a * 0 + 20, jnp.stack([a, a]) @ weights])), classes=["low", "high"]
    )
    made.ours.create_function("filled", lambda a: jnp.stack([a, a]) @ (weights * 1.5), null=7)
    made.ours.create_function(
        "pair", lambda a: a * (jnp.eye(2)[0] * (jnp.stack([a, a]) @ weights * 0 + 1) + jnp.array([0.0, 5.0]))
    )
    yield made
    made.close()


@pytest.mark.parametrize("name", QUERIES)
def test_rows(engines: Engines, name: str) -> None:
    assert engines.check(QUERIES[name]).names


def plan_of(engines: Engines, name: str) -> str:
    """The optimised plan of a query, in one line."""
    return re.sub(r"\n[ │]*[├└]─ ", " / ", engines.ours.sql(QUERIES[name]).explain("logical").partition("optimised")[2])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("value of the right side", "Project ck, m(x, y) AS m / Scan c"),
        ("value of the left side", "Project ck, m(x, y) AS m"),
        ("left join", "Project ck, m(x, y) AS m"),
        ("condition of one side", "Filter m(x, y) > 40.0 / Scan c"),
        ("condition, value again", "Project ck, m(x, y) AS m / Filter m(x, y) > 40.0 / Scan c"),
        ("model of a model", "m(m, a)"),
        ("few combinations", "m(g, u) AS result / Aggregate by g, u: / Scan o"),
        ("few combinations, filtered", "label(u) AS result / Aggregate by u: / Scan o"),
        ("cheap condition last", "Filter (g = 3) AND (m(a, b) > 60.0)"),
    ],
)
def test_places(engines: Engines, name: str, shown: str) -> None:
    assert shown in plan_of(engines, name)


@pytest.mark.parametrize("name", ["of both sides", "left join, argument never NULL"])
def test_what_needs_both_sides_stays(engines: Engines, name: str) -> None:
    assert " AS m" not in plan_of(engines, name)


@pytest.mark.parametrize("name", ["value of few rows", "groups of few rows", "one group of few rows", "condition of few rows"])
def test_few_rows_are_brought_together_first(engines: Engines, name: str) -> None:
    first, _, second = engines.ours.sql(QUERIES[name]).explain("physical").partition("pipeline 1")
    assert "compact" in first and "model(" not in first and "model(" in second


def test_rules_see_nothing_of_a_model_that_may_fail(engines: Engines) -> None:
    engines.ours.create_function("whole", lambda a: a + 1, dtype="int8")  # 300 is an error
    text = "SELECT o.id FROM o JOIN (SELECT ck, x * 100 AS z FROM c) AS c ON o.ck = c.ck WHERE c.z < 100 AND whole(c.z) > 0"
    assert len(engines.ours.sql(text).fetchall()) > 0
    with pytest.raises(ExecutionError, match="not a whole number from -128 to 127"):
        engines.ours.sql(text.replace("c.z < 100 AND", "")).fetchall()
