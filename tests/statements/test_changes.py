"""DELETE, UPDATE and TRUNCATE, with DuckDB as the oracle."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import BindError
from tests.oracle import Engines
from tests.statements.scripts import check_script, check_statement

TABLE = """
    CREATE TABLE t (a INTEGER, b VARCHAR, c DOUBLE)
    INSERT INTO t VALUES (1, 'x', 1.5), (2, NULL, 2.5), (NULL, 'x', NULL), (4, 'y', 'nan'), (1, 'z', -0.0), (2, NULL, 2.5)
    CREATE TABLE u AS SELECT * FROM (VALUES (1, 'one'), (2, 'two'), (NULL, 'none')) AS v(a, name)
    CREATE TABLE e (a INTEGER, b VARCHAR)
"""

SCRIPTS = {
    "delete": """
        DELETE FROM t WHERE a = 3
        DELETE FROM t WHERE a > 3 OR b = 'z'
        DELETE FROM t WHERE b = 'y' AND NULL
        DELETE FROM t AS q WHERE q.a + 1 = (SELECT min(a) + 1 FROM u WHERE u.a = q.a)
        DELETE FROM e WHERE a = 1
        fails: DELETE FROM t WHERE nope = 1
        fails: DELETE FROM nope WHERE a = 1
        fails: DELETE FROM t WHERE sum(a) > 1
        fails: DELETE FROM t WHERE CAST(b AS INTEGER) = 1
        DELETE FROM t WHERE a IS NULL
        DELETE FROM t
        DELETE FROM t
    """,
    "delete_with_others": """
        DELETE FROM t WHERE a NOT IN (SELECT a FROM u WHERE a IS NOT NULL)
        DELETE FROM t WHERE EXISTS (SELECT 1 FROM t AS o WHERE o.a = t.a AND o.c > t.c)
        DELETE FROM t USING u WHERE t.a = u.a AND name = 'two'
        WITH z AS (SELECT 'x' AS b) DELETE FROM t WHERE b IN (FROM z)
        TRUNCATE u
        TRUNCATE TABLE e
    """,
    "update": """
        UPDATE t SET c = c * 2 WHERE a = 1
        UPDATE t SET a = a + 1, c = a, b = b || '!'
        UPDATE t SET b = 17 WHERE b IS NULL
        UPDATE t SET b = CASE WHEN a > 2 THEN upper(b) END, c = '2.25' WHERE c IS NOT NULL
        UPDATE t SET (a, b) = (c, a) WHERE a = 5
        UPDATE t SET c = DEFAULT WHERE b IS NULL
        UPDATE t AS q SET a = 100 WHERE q.a IS NULL
        UPDATE t SET a = (SELECT max(a) FROM t) + a
        UPDATE e SET a = 1
        UPDATE t SET a = 0 WHERE false
        fails: UPDATE t SET nope = 1
        fails: UPDATE t SET a = 1, a = 2
        fails: UPDATE t SET t.a = 1
        fails: UPDATE t SET a = 'abc'
        fails: UPDATE t SET a = a + 2147483647 WHERE a IS NOT NULL
        fails: UPDATE t SET a = DATE '2020-01-01'
        fails: UPDATE t SET a = sum(a)
        fails: UPDATE t SET a = row_number() OVER ()
        fails: UPDATE nope SET a = 1
        fails: UPDATE t SET
        fails: UPDATE t SET (a, b) = (1, 2, 3)
    """,
    "update_from": """
        UPDATE t SET b = u.name FROM u WHERE t.a = u.a
        UPDATE t SET b = name || k FROM u, (SELECT 2 AS k) AS w WHERE t.a = u.a AND u.a = w.k
        WITH z AS (SELECT 4 AS a, 9.5 AS c) UPDATE t SET c = z.c FROM z WHERE z.a = t.a
        UPDATE t SET c = n FROM (SELECT a, count(*) AS n FROM t GROUP BY a) AS g WHERE g.a = t.a
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(engines: Engines, name: str) -> None:
    check_script(engines, TABLE + SCRIPTS[name])


def test_of_several_partners_one_counts(engines: Engines) -> None:
    check_script(engines, TABLE)
    engines.ours.sql("INSERT INTO u VALUES (1, 'uno')")
    assert engines.ours.sql("UPDATE t SET b = name FROM u WHERE t.a = u.a AND t.c = 1.5").fetchall() == [(1,)]
    ((name,),) = engines.ours.sql("SELECT b FROM t WHERE c = 1.5").fetchall()
    assert name in ("one", "uno")
    assert engines.ours.sql("DELETE FROM t USING u WHERE t.a = u.a AND t.c = 1.5").fetchall() == [(1,)]


@pytest.mark.parametrize("rows", [70_000, 290_000])
def test_large(engines: Engines, rows: int) -> None:
    """More than one chunk, and more than one share."""
    engines.register("source", pa.table({"x": np.arange(rows)}))
    for statement in (
        "CREATE TABLE t AS SELECT x, x % 10 AS g, x / 4 AS q FROM source",
        "DELETE FROM t WHERE g = 3 OR x > 69000 AND x % 2 = 0",
        "UPDATE t SET q = -q, g = g + 100 WHERE x % 3 = 0",
        "INSERT INTO t SELECT x, 7, 0.5 FROM t WHERE g = 100",
    ):
        check_statement(engines, statement)
    found, expected = engines.ours.sql("FROM t").arrow(), engines.theirs.sql("FROM t").to_arrow_table()
    assert found.to_pydict() == expected.to_pydict()


def test_carets(engines: Engines) -> None:
    engines.ours.sql("CREATE TABLE t (a INTEGER, b VARCHAR)")
    for statement, marked in [
        ("UPDATE t SET a = 1, nope = 2", "nope"),
        ("UPDATE t SET a = DATE '2020-01-01'", "DATE '2020-01-01'"),
        ("DELETE FROM t WHERE upper(nope) = 'X'", "nope"),
        ("INSERT INTO t (b, nope) VALUES (1, 2)", "nope"),
        ("INSERT INTO t SELECT 1, b, 3 FROM t", "SELECT 1, b, 3 FROM t"),
        ("INSERT INTO t SELECT DATE '2020-01-01', b FROM t", "DATE '2020-01-01'"),
    ]:
        with pytest.raises(BindError) as caught:
            engines.ours.sql(statement)
        lines = str(caught.value).splitlines()
        carets = next(line for line in lines if set(line.strip()) == {"^"})
        assert carets == " " * (2 + statement.index(marked)) + "^" * len(marked)
