"""CREATE VIEW: queries under a name, bound anew at each use; with DuckDB as the oracle."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qtensor.errors import BindError, ExecutionError
from tests.oracle import Engines
from tests.statements.scripts import check_script, check_statement

SCRIPT = """
    CREATE TABLE t AS SELECT * FROM (VALUES (1, 'x'), (2, 'y'), (NULL, 'z')) AS v(a, b)
    CREATE VIEW v AS SELECT a + 1 AS a, b FROM t WHERE a IS NOT NULL
    CREATE VIEW named (p, "q r") AS SELECT a, b, a AS c FROM v
    CREATE TEMP VIEW twice AS SELECT 1 AS a, 2 AS a
    CREATE VIEW IF NOT EXISTS v AS SELECT 1
    SELECT * FROM v ORDER BY a
    SELECT w.a, named.c FROM v AS w JOIN named ON w.a = named.p ORDER BY ALL
    SELECT count(*) FROM v AS w(x, y) WHERE w.x > 2
    WITH v AS (SELECT 7 AS z) SELECT * FROM v
    SELECT (SELECT max(a) FROM v) AS m, a IN (SELECT a FROM v) AS i FROM t ORDER BY ALL
    INSERT INTO t SELECT a + 10, b FROM v
    SELECT sum(a) FROM v
    UPDATE t SET a = 5 WHERE a = (SELECT min(a) FROM v) - 1
    CREATE OR REPLACE VIEW v AS SELECT a * 2 AS a, b FROM t
    SELECT sum(p) FROM named
    fails: CREATE VIEW v AS SELECT 1
    fails: CREATE VIEW t AS SELECT 1
    fails: CREATE OR REPLACE VIEW t AS SELECT 1
    fails: CREATE OR REPLACE TABLE v AS SELECT 1
    fails: CREATE VIEW w AS SELECT * FROM nope
    fails: CREATE VIEW w AS SELECT * FROM w
    fails: CREATE VIEW w (p, q, r) AS SELECT 1, 2
    fails: CREATE VIEW w SELECT 1 AS a, 2 AS b
    fails: CREATE TABLE w SELECT 1 AS a FROM t
    fails: CREATE VIEW w AS 1
    fails: CREATE VIEW w AS SELECT ? AS a
    fails: INSERT INTO v VALUES (1, 'x')
    fails: DELETE FROM v
    DROP VIEW twice
"""


def test_script(engines: Engines) -> None:
    check_script(engines, SCRIPT)


def test_cycles(engines: Engines) -> None:
    """DuckDB makes the cycle and refuses to read it."""
    ours = engines.ours
    ours.sql("CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW w AS SELECT * FROM v")
    for statement, way in [
        ("CREATE OR REPLACE VIEW v AS SELECT * FROM w", "v -> w -> v"),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM v", "v -> v"),
        ("CREATE OR REPLACE VIEW v AS SELECT (SELECT max(a) FROM W) AS a", "v -> w -> v"),
    ]:
        with pytest.raises(BindError, match=f'the view "v" reads itself: {way}'):
            ours.sql(statement)
    assert ours.sql("FROM w").fetchall() == [(1,)]
    ours.sql("CREATE OR REPLACE VIEW v AS WITH v AS (SELECT 2 AS a) FROM v")
    assert ours.sql("FROM w").fetchall() == [(2,)]


def test_what_a_view_read_is_gone(engines: Engines) -> None:
    ours = engines.ours
    ours.sql("CREATE TABLE t (a INTEGER); CREATE VIEW v AS SELECT a, a + 1 AS b FROM t")
    relation = ours.sql("SELECT b FROM v")
    assert relation.fetchall() == []
    ours.sql("DROP TABLE t")
    for use in (relation.fetchall, lambda: ours.sql("SELECT b FROM v")):
        with pytest.raises(BindError) as caught:
            use()
        assert str(caught.value).startswith('in the view "v": no table "t"\n  SELECT a, a + 1 AS b FROM t\n')
    ours.sql("CREATE TABLE t AS SELECT 5 AS a")
    assert relation.fetchall() == [(6,)]


def test_errors_of_rows_are_shown_where_the_view_is_named(engines: Engines) -> None:
    ours = engines.ours
    ours.sql(
        "CREATE TABLE t AS SELECT 2147483647 AS a, 'x' AS s; CREATE VIEW v AS SELECT a + 1 AS b, CAST(s AS DATE) AS d, s FROM t"
    )
    assert ours.sql("SELECT s FROM v").fetchall() == [("x",)]
    for column in "bd":
        query = f"SELECT {column} FROM v AS w"
        with pytest.raises(ExecutionError) as caught:
            ours.sql(query).fetchall()
        assert f"  {query}\n                ^" in str(caught.value)


def test_a_query_notices_a_view_in_place_of_a_variable(engines: Engines) -> None:
    ours = engines.ours
    numbers = pa.table({"a": [1, 2]})
    assert len(numbers)
    relation = ours.sql("SELECT sum(a) AS s FROM numbers")
    assert relation.fetchall() == [(3,)]
    ours.sql("CREATE VIEW numbers AS SELECT 10 AS a")
    assert relation.fetchall() == [(10,)]
    assert ours.sql("SELECT sum(a) AS s FROM numbers").fetchall() == [(10,)]
    ours.sql("CREATE OR REPLACE VIEW numbers AS SELECT 11 AS a")
    assert relation.fetchall() == [(11,)]
    ours.register("numbers", numbers)
    assert relation.fetchall() == [(3,)]


def test_a_view_is_exported_with_its_query(engines: Engines, tmp_path) -> None:
    import qtensor

    ours = engines.ours
    ours.sql("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2; CREATE VIEW v AS SELECT a * 2 AS b FROM t")
    ours.sql("SELECT b + 1 AS c FROM v").export(tmp_path / "v.qta")
    artifact = qtensor.load(tmp_path / "v.qta")
    assert artifact(t=pa.table({"a": pa.array([2, 1], pa.int32())})).to_pydict() == {"c": [5, 3]}


def test_views_in_other_dialects(engines: Engines) -> None:
    engines.ours.sql("CREATE VIEW v AS SELECT IFNULL(NULL, `a`) AS b FROM (SELECT 3 AS `a`) AS x", dialect="mysql")
    assert engines.ours.sql('SELECT "b" FROM v').fetchall() == [(3,)]
    check_statement(engines, "SELECT 1 AS a")
