"""CTEs and views that a query reads several times, against DuckDB: computed once, whatever reads them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from qtensor.logical import CommonScan, Plan, With, inputs
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

ROWS = 2_000
GENERATOR = np.random.default_rng(16)
TABLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "g": pa.array([None if at % 11 == 0 else at % 7 for at in range(ROWS)], pa.int32()),
        "v": pa.array(GENERATOR.integers(-50, 50, ROWS), pa.int32()),
        "f": pa.array(GENERATOR.normal(size=ROWS).round(2), pa.float64()),
        "s": pa.array([None if at % 13 == 0 else "abcde"[at % 5] for at in range(ROWS)]),
    }
)
GROUPS = "WITH c AS (SELECT g, s, sum(v) AS v, count(*) AS n FROM t GROUP BY g, s) "
QUERIES = [
    GROUPS + "SELECT x.g, x.v, y.n FROM c AS x JOIN c AS y ON x.g = y.g AND x.s = y.s",
    GROUPS + "SELECT x.g, x.v, y.v FROM c AS x JOIN c AS y ON x.g = y.g WHERE x.s = 'a' AND y.s = 'b'",
    GROUPS + "SELECT x.g, x.v, y.v FROM c AS x LEFT JOIN c AS y ON x.g = y.g AND y.s = 'b' WHERE x.s = 'a'",
    GROUPS + "SELECT * FROM c WHERE v > (SELECT avg(v) FROM c)",
    GROUPS + "SELECT * FROM c AS x WHERE v = (SELECT max(v) FROM c AS y WHERE y.g IS NOT DISTINCT FROM x.g)",
    GROUPS + "SELECT * FROM c AS x WHERE NOT EXISTS (SELECT 1 FROM c AS y WHERE y.g = x.g AND y.n > x.n)",
    GROUPS + "SELECT s FROM c WHERE g = 1 UNION ALL SELECT s FROM c WHERE g = 2 AND v > 0 UNION ALL SELECT min(s) FROM c",
    GROUPS + "SELECT count(*) FROM c UNION ALL SELECT count(*) FROM c WHERE g IS NULL",
    GROUPS + "SELECT s, min(s) OVER (PARTITION BY g ORDER BY s), n FROM c EXCEPT SELECT s, s, n FROM c WHERE g = 3",
    GROUPS + ", d AS (SELECT x.g, x.v + y.v AS w FROM c x JOIN c y USING (g, s)) SELECT a.w, b.w FROM d a JOIN d b USING (g)",
    GROUPS
    + ", d AS (SELECT g, max(v) AS w FROM c GROUP BY g) SELECT * FROM c LEFT JOIN d USING (g) WHERE v < (SELECT max(w) FROM d)",
    GROUPS + "SELECT x.g FROM c AS x, c AS y, c AS z WHERE x.g = y.g AND y.s = z.s AND x.n + y.n > z.n + 20",
    GROUPS + "SELECT g, s FROM c GROUP BY GROUPING SETS ((g), (s), ()) UNION ALL SELECT g, s FROM c",
    "WITH c AS (SELECT * FROM t ORDER BY v, id LIMIT 20) SELECT first(id), last(id) FROM c UNION ALL SELECT min(id), max(id) FROM c",
    "WITH c AS (SELECT max(v) AS m FROM t) SELECT id FROM t, c WHERE v = m UNION ALL SELECT m FROM c",
    "WITH c AS (SELECT max(v) AS m FROM t) SELECT id, (SELECT m FROM c) FROM t WHERE v > (SELECT m FROM c) - 3",
    "WITH c AS (SELECT x.id, x.f, y.s FROM t AS x JOIN t AS y ON x.id = y.id + 1) SELECT a.id, b.s FROM c a JOIN c b ON a.id = b.id * 2",
    "WITH c AS (SELECT g, f FROM t WHERE v > 100 GROUP BY ALL) SELECT * FROM c x JOIN c y USING (g)",
    "WITH c AS (SELECT row_number() OVER (ORDER BY id) AS r, v FROM t) SELECT x.v - y.v FROM c x JOIN c y ON x.r = y.r + 1",
    "WITH c AS (SELECT DISTINCT g, v FROM t), d AS (SELECT g FROM c LEFT JOIN (SELECT g AS h, 1 AS one FROM c) ON g = h) SELECT count(*) FROM d",
    "SELECT id, (WITH c AS (SELECT DISTINCT v FROM t WHERE t.g = o.g) SELECT count(*) FROM c x JOIN c y ON x.v = y.v + 1) FROM t AS o",
    "SELECT g, (WITH c AS (SELECT DISTINCT s FROM t) SELECT count(*) FROM c x, c y WHERE x.s < y.s AND o.g > 1) FROM t AS o WHERE id < 9",
    "WITH c AS MATERIALIZED (SELECT DISTINCT g FROM t) SELECT * FROM c x JOIN c y USING (g)",
    "WITH c AS NOT MATERIALIZED (SELECT DISTINCT g FROM t) SELECT * FROM c x JOIN c y USING (g)",
    "SELECT * FROM sums AS x JOIN sums AS y ON x.g = y.g + 1 WHERE x.total > (SELECT avg(total) FROM sums)",
    "WITH c AS (SELECT avg(f) AS m, g FROM t GROUP BY g) SELECT x.m FROM c x JOIN c y ON x.m = y.m WHERE x.m > 0.001 AND y.g > 1",
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    both = Engines.over(t=TABLE)
    for connection in (both.ours, both.theirs):
        connection.execute("CREATE VIEW sums AS SELECT g, sum(v) AS total FROM t GROUP BY g")
    yield both
    both.close()


@pytest.mark.parametrize("query", QUERIES)
def test_rows(engines: Engines, query: str) -> None:
    engines.check(query)


def scans(plan: Plan) -> int:
    """How often definitions are read."""
    return isinstance(plan, CommonScan) + sum(map(scans, inputs(plan)))


@pytest.mark.parametrize("with_views", [False, True])
def test_a_chain_of_forty_is_as_long_as_that(engines: Engines, with_views: bool) -> None:
    """Each reads the one before twice: that is 2 ** 40 times the first."""
    queries = ["SELECT g, sum(v) AS v FROM t GROUP BY g"]
    queries += [f"SELECT x.g, x.v + y.v - x.v AS v FROM c{at} AS x JOIN c{at} AS y ON x.g = y.g" for at in range(40)]
    last = "SELECT g, v FROM c40 WHERE v > 0"
    if with_views:
        for at, query in enumerate(queries):
            engines.ours.execute(f"CREATE VIEW c{at} AS {query}")
    else:
        last = "WITH " + ", ".join(f"c{at} AS ({query})" for at, query in enumerate(queries)) + last
    relation = engines.ours.sql(last)
    expected = engines.theirs.execute("SELECT g, sum(v) AS v FROM t WHERE g IS NOT NULL GROUP BY g HAVING sum(v) > 0").fetchall()
    assert sorted(relation.fetchall()) == sorted(expected)
    plan = relation.plans()[-1][1]
    assert isinstance(plan, With)
    assert scans(plan) == 80


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_sizes(rows: int) -> None:
    engines = Engines.over(threads=2, t=pa.table({"id": pa.array(range(rows), pa.int64())}))
    engines.check(
        "WITH c AS (SELECT x.id, y.id % 7 AS r FROM t AS x JOIN t AS y ON x.id = y.id + 1) "
        "SELECT count(*), sum(a.r), sum(b.id), max(b.r) FROM c AS a LEFT JOIN c AS b ON a.id = b.id * 2"
    )
    engines.close()
