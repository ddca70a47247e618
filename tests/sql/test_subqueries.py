"""Subqueries against DuckDB: every kind in every place, over tables with NULLs, duplicates, negative numbers, and no rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines


def table(rows: int, seed: int, columns: str, empty: bool = False) -> pa.Table:
    """Small integers with NULLs; `id` is unique."""
    random = np.random.default_rng(seed)
    data = {name: pa.array(random.integers(-2, 4, rows), pa.int32(), mask=random.random(rows) < 0.2) for name in columns.split()}
    made = pa.table({"id": pa.array(range(rows), pa.int64()), **data})
    return made.slice(0, 0) if empty else made


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines.over(
        threads=2,
        a=table(40, 1, "x y z"),
        b=table(30, 2, "x y").append_column("name", pa.array(["ab", "b", None] * 10, pa.string())),
        c=table(12, 3, "x y"),
        none=table(5, 4, "x y", empty=True),
        one=table(1, 5, "x y"),
    )
    yield made
    made.close()


QUERIES = [
    # scalar
    "SELECT id, (SELECT max(x) FROM b) AS m FROM a",
    "SELECT id, (SELECT x FROM none) AS m, (SELECT count(*) FROM none) AS n FROM a",
    "SELECT id, (SELECT count(*) FROM b WHERE b.x = a.x) AS n FROM a",
    "SELECT id, (SELECT count(*) + 1 FROM b WHERE b.x = a.x AND b.y > 0) AS n FROM a",
    "SELECT id, (SELECT sum(b.y) FROM b WHERE b.x = a.x AND b.y > 0) AS s FROM a",
    "SELECT id, (SELECT sum(b.y) FROM b WHERE b.x < a.x) AS s, (SELECT count(*) FROM b WHERE b.x < a.x) AS n FROM a",
    "SELECT id, (SELECT sum(b.y + a.y) FROM b WHERE b.x = a.x) AS s FROM a",
    "SELECT id, (SELECT a.x + 1) AS s FROM a",
    "SELECT id, (SELECT 7 FROM c WHERE c.id = a.id) AS s FROM a",
    "SELECT id, (SELECT name FROM b WHERE b.id = a.id) AS s FROM a",
    "SELECT id FROM a WHERE x > (SELECT min(x) FROM b WHERE b.y = a.y)",
    "SELECT id FROM a WHERE x = (SELECT max(b.x) FROM b WHERE b.y = a.y) OR y = (SELECT min(x) FROM c)",
    "SELECT id FROM a WHERE (SELECT count(*) FROM b WHERE b.x = a.x) = 0",
    "SELECT id, (SELECT max(x) FROM b WHERE b.y = a.y HAVING count(*) > 4) AS m FROM a",
    "SELECT (SELECT count(*) FROM a) AS n, (SELECT count(*) FROM none) AS m",
    # tuples
    "SELECT id, (x, y) = ANY (SELECT x, y FROM b) AS i, ((x, z)) = ANY (SELECT x, y FROM c) AS j FROM a",
    "SELECT a.id, b.id FROM a JOIN b ON (a.x, a.y) = (b.x, b.y) AND (a.z, 1) > (b.x, a.id)",
    "SELECT id FROM a WHERE (x, (SELECT min(y) FROM b WHERE b.x = a.x)) IN ((1, -2), (2, -1), (NULL, NULL))",
    # aliases of the query around
    "SELECT x + 1 AS k, (SELECT count(*) FROM b WHERE b.x < k) AS n, (SELECT k + count(*) FROM none) AS m FROM a",
    "SELECT x + 1 AS k, (SELECT (SELECT count(*) FROM b WHERE b.x < k + c.x) FROM c WHERE c.id = 1) AS n FROM a",
    "SELECT x AS k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = k) ORDER BY (SELECT count(*) FROM b WHERE b.x > k), id",
    "SELECT x % 2 AS k, sum(y) AS s, (SELECT count(*) FROM b WHERE b.y < s) AS n FROM a GROUP BY k",
    "SELECT x + 1 AS k, k IN (SELECT b.x + k FROM b WHERE b.id < 3) AS i FROM a GROUP BY k",
    "SELECT x % 3 AS k, count(*) FROM a GROUP BY k HAVING EXISTS (SELECT 1 FROM b WHERE b.x = k + 1)",
    "SELECT x % 3 AS k, count(*), EXISTS (SELECT 1 FROM b WHERE b.x = k) FROM a GROUP BY ROLLUP (k)",
    "SELECT count(*) AS x, (SELECT max(y) FROM b WHERE b.x = a.x) AS m FROM a GROUP BY a.x",
    # EXISTS
    "SELECT id FROM a WHERE EXISTS (SELECT * FROM b WHERE b.x = a.x AND b.y > a.y)",
    "SELECT id FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.x = a.x)",
    "SELECT id FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.x = a.x AND b.id <> a.id)",
    "SELECT id, EXISTS (SELECT 1 FROM b WHERE b.x = a.x) AS e, NOT EXISTS (FROM none) AS n FROM a",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x) OR x IS NULL",
    "SELECT id FROM a WHERE EXISTS (SELECT count(*) FROM none WHERE none.x = a.x)",
    "SELECT id FROM a WHERE EXISTS (SELECT x FROM b WHERE b.y = a.y GROUP BY x HAVING count(*) > 1)",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b JOIN c ON b.x = c.x WHERE c.y = a.y AND b.y = a.z)",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b LEFT JOIN c ON b.id = c.id WHERE b.x = a.x AND c.y IS NULL)",
    # IN, ANY, ALL
    "SELECT id FROM a WHERE x IN (SELECT x FROM b WHERE y > 1)",
    "SELECT id FROM a WHERE x NOT IN (SELECT x FROM b WHERE y > 1)",
    "SELECT id FROM a WHERE x NOT IN (SELECT x FROM b WHERE x > 1)",
    "SELECT id FROM a WHERE x NOT IN (SELECT x FROM none)",
    "SELECT id, x IN (SELECT x FROM b) AS i, x NOT IN (SELECT x FROM c WHERE c.y = a.y) AS n FROM a",
    "SELECT id, x IN (SELECT x FROM none) AS i, NULL IN (SELECT x FROM b) AS n, 2 IN (SELECT x FROM c) AS t FROM a",
    "SELECT id FROM a WHERE x IN (SELECT b.x FROM b WHERE b.y = a.y) AND y NOT IN (SELECT c.y FROM c WHERE c.x = a.x)",
    "SELECT id FROM a WHERE x + 1 IN (SELECT y FROM b WHERE b.x < a.z)",
    "SELECT id, x < ANY (SELECT x FROM c) AS l, x >= ALL (SELECT x FROM c WHERE x IS NOT NULL) AS g FROM a",
    "SELECT id, x <> ANY (SELECT x FROM c WHERE c.y = a.y) AS d, x = ALL (SELECT x FROM c WHERE c.y = a.y) AS e FROM a",
    "SELECT id FROM a WHERE x <= ALL (SELECT x FROM none) AND y > ANY (SELECT b.y FROM b WHERE b.x = a.x)",
    "SELECT id FROM b WHERE name IN (SELECT name FROM b WHERE x = 1)",
    # places
    "SELECT x, sum((SELECT max(y) FROM b WHERE b.x = a.x)) AS s FROM a GROUP BY x",
    "SELECT x, count(*) AS n FROM a GROUP BY x HAVING count(*) > (SELECT count(*) FROM c WHERE c.x = a.x)",
    "SELECT (SELECT max(y) FROM b WHERE b.x = a.x) AS m, count(*) AS n FROM a GROUP BY 1",
    "SELECT id FROM a ORDER BY (SELECT count(*) FROM b WHERE b.x = a.x) DESC, id LIMIT 7",
    "SELECT a.id, b.id AS other FROM a JOIN b ON a.x = b.x AND b.y IN (SELECT y FROM c)",
    "SELECT a.id, c.id AS other FROM a LEFT JOIN c ON a.id = c.id AND EXISTS (SELECT 1 FROM b WHERE b.x = c.x)",
    "SELECT id, CASE WHEN x IN (SELECT x FROM c) THEN 'in' WHEN EXISTS (FROM b WHERE b.y = a.y) THEN 'there' END AS w FROM a",
    "SELECT id FROM a WHERE x IN (SELECT x FROM (SELECT x, count(*) AS n FROM b GROUP BY x) WHERE n > 3)",
    # nested
    "SELECT id FROM a WHERE x IN (SELECT x FROM b WHERE y IN (SELECT y FROM c WHERE c.x = b.x))",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND EXISTS (SELECT 1 FROM c WHERE c.y = b.y AND c.x = a.y))",
    "SELECT id, (SELECT max(b.y) FROM b WHERE b.x = (SELECT min(c.x) FROM c WHERE c.y = a.y)) AS m FROM a",
    "SELECT id, (SELECT sum((SELECT count(*) FROM c WHERE c.x = b.x AND c.y <> a.y)) FROM b WHERE b.y = a.y) AS s FROM a",
    # sizes
    "SELECT id FROM one WHERE x = (SELECT max(x) FROM one o WHERE o.id = one.id) OR x IS NULL",
    "SELECT id FROM none WHERE x IN (SELECT x FROM a) OR EXISTS (FROM b WHERE b.x = none.y)",
]


@pytest.mark.parametrize("query", QUERIES)
def test_like_duckdb(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize(
    "query", ["SELECT (SELECT x FROM b) AS x FROM a", "SELECT (SELECT x FROM b WHERE b.y = a.y) AS x FROM a"]
)
def test_two_rows_are_an_error(engines: Engines, query: str) -> None:
    engines.check_refused(query, match="more than one row")


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_sizes(engines: Engines, rows: int) -> None:
    engines.register("large", table(rows, rows, "x y"))
    engines.check("SELECT id FROM large WHERE x IN (SELECT x FROM c) AND y NOT IN (SELECT x FROM b WHERE b.id = large.id)")
    engines.check("SELECT id, (SELECT count(*) FROM large WHERE large.x = a.x AND large.y > 0) AS n FROM a")
