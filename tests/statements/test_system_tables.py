"""The numbers of rows, and tables that describe the connection, in DuckDB's names, against DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import BindError, QTensorError, UnsupportedError
from tests.oracle import Engines

ROWIDS = [
    "CREATE TABLE t(a INTEGER, b VARCHAR)",
    "INSERT INTO t VALUES (5,'x'),(7,'y'),(NULL,'z')",
    "SELECT rowid, * FROM t",
    "SELECT * FROM t ORDER BY rowid DESC",
    "SELECT t.rowid, t.* FROM t WHERE rowid >= 1",
    "SELECT rowid + 1 AS n, a FROM t x WHERE x.rowid = 1",
    "SELECT max(rowid), count(*) FROM t",
    "SELECT rowid FROM t, t u",
    "SELECT t.rowid, u.rowid FROM t JOIN t u ON t.rowid = u.rowid + 1 ORDER BY 1",
    "SELECT ROWID FROM t",
    'SELECT "rowid" FROM t',
    "SELECT rowid FROM (SELECT * FROM t)",
    "SELECT rowid FROM (VALUES (1)) v(a)",
    "WITH c AS (SELECT rowid AS r, a FROM t) SELECT * FROM c WHERE r > 0",
    "WITH c AS (SELECT * FROM t) SELECT rowid FROM c",
    "INSERT INTO t VALUES (9, 'w')",
    "SELECT rowid, a FROM t ORDER BY a",
    "UPDATE t SET a = 70 WHERE rowid = 1",
    "SELECT rowid, a FROM t ORDER BY rowid",
    "DELETE FROM t WHERE rowid = 3",
    "SELECT rowid, a FROM t ORDER BY rowid",
    "UPDATE t SET a = rowid",
    "SELECT rowid, a FROM t ORDER BY rowid",
    "CREATE VIEW v AS SELECT * FROM t",
    "SELECT rowid FROM v",
    "CREATE TABLE q AS SELECT * FROM (VALUES ('a'),('b'),('c'),('d'),('e')) v(s)",
    "DELETE FROM q WHERE rowid = 0",
    "DELETE FROM q WHERE rowid = 1",
    "SELECT rowid, s FROM q ORDER BY rowid",
    "UPDATE q SET s = s || rowid WHERE rowid > 2",
    "INSERT INTO q VALUES ('f'), ('g')",
    "DELETE FROM q WHERE s = 'f' OR rowid = 3",
    "SELECT rowid, s FROM q ORDER BY rowid",
    "DELETE FROM q WHERE s = 'g'",
    "INSERT INTO q VALUES ('h')",
    "SELECT rowid, s FROM q ORDER BY rowid",
    "CREATE TABLE own(rowid INTEGER, a INTEGER)",
    "INSERT INTO own VALUES (10, 1)",
    "SELECT rowid, * FROM own",
    "SELECT x.rowid, x.p FROM t AS x(p, q)",
    "SELECT * FROM t AS x(p, q, r)",
    "SELECT a FROM t WHERE rowid IN (SELECT rowid FROM t WHERE a > 0)",
    "SELECT rowid, row_number() OVER (ORDER BY rowid DESC) FROM t ORDER BY 1",
    "SELECT * EXCLUDE (a), rowid FROM t",
    "SELECT t.* FROM t WHERE t.rowid = 0",
    "SELECT COUNT(DISTINCT rowid) FROM t GROUP BY a > 0 ORDER BY 1",
    "SELECT main.t.rowid FROM main.t",
]

DESCRIPTIONS = [
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b DECIMAL(5,2) NOT NULL DEFAULT 1.5, c VARCHAR, d DATE, e TIMESTAMP, f DOUBLE, g BOOLEAN, h HUGEINT, i UTINYINT, j FLOAT)",
    "INSERT INTO t(a) VALUES (1)",
    'CREATE VIEW v AS SELECT a, b AS "b b" FROM t',
    'CREATE TABLE "odd name"(x INTEGER)',
    "SELECT table_catalog, table_schema, table_name, table_type, is_insertable_into, is_typed FROM information_schema.tables ORDER BY table_name",
    "SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type, numeric_precision, numeric_precision_radix, numeric_scale FROM information_schema.columns ORDER BY ALL",
    "SELECT database_name, schema_name, table_name, internal, temporary, has_primary_key, estimated_size, column_count, index_count FROM duckdb_tables() ORDER BY ALL",
    "SELECT table_name, column_name, column_index, internal, column_default, is_nullable, data_type, numeric_precision FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
    "SELECT view_name, column_count, temporary FROM duckdb_views() WHERE NOT internal",
    "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'",
    'DROP TABLE "odd name"',
    "SELECT table_name FROM duckdb_tables()",
    "INSERT INTO t(a) VALUES (2)",
    "SELECT estimated_size FROM duckdb_tables()",
    "SELECT tables.table_name FROM information_schema.tables ORDER BY 1",
    "SELECT d.table_name FROM duckdb_tables() d",
    "SELECT duckdb_tables.table_name FROM duckdb_tables()",
    "SELECT table_name, count(*) FROM Information_Schema.Columns GROUP BY table_name ORDER BY 1",
    "SELECT * FROM duckdb_tables(1)",
    "SELECT * FROM tables",
    "SELECT * FROM information_schema.nothing",
]


@pytest.mark.parametrize("script", [ROWIDS, DESCRIPTIONS], ids=["rowid", "descriptions"])
def test_scripts(script: Sequence[str]) -> None:
    """Statements run in both engines, queries are compared, and what one of them refuses the other refuses too."""
    engines = Engines.over(threads=1, reg=pa.table({"x": [1], "y": ["a"]}))
    engines.theirs.execute("SET threads=1")
    for text in script:
        try:
            engines.theirs.execute(text)
        except duckdb.Error:
            with pytest.raises(QTensorError):
                engines.ours.execute(text)
            continue
        if text.startswith(("SELECT", "WITH")):
            engines.check(text)
        else:
            engines.ours.execute(text)
    engines.close()


def test_rows_of_tables_that_are_registered(tmp_path: Path) -> None:
    """DuckDB has no rowid of what is registered: here it is the place of the row."""
    connection = qtensor.connect(threads=2)
    many = np.arange(200_000) * 7 % 1000
    connection.register("many", {"x": many})
    found = connection.sql("SELECT rowid, x FROM many WHERE x = 3").arrow()
    assert found["rowid"].to_pylist() == np.flatnonzero(many == 3).tolist()
    local = pa.table({"s": ["b", "a", None]})  # noqa: F841
    assert connection.sql("SELECT rowid FROM local ORDER BY s NULLS FIRST").fetchall() == [(2,), (1,), (0,)]
    assert connection.sql("SELECT * FROM local WHERE rowid = 1").fetchall() == [("a",)]
    pq.write_table(pa.table({"x": [1]}), tmp_path / "file.parquet")
    with pytest.raises(BindError, match='no column "rowid"'):
        connection.sql(f"SELECT rowid FROM '{tmp_path / 'file.parquet'}'")
    with pytest.raises(UnsupportedError, match="rowid in a query that is exported"):
        connection.sql("SELECT rowid FROM many").export(tmp_path / "rows.qta")
    connection.close()


def test_a_query_follows_what_the_connection_has() -> None:
    connection = qtensor.connect(threads=1)
    query = "SELECT table_name FROM information_schema.tables ORDER BY 1"
    for name in ("b", "a"):
        connection.execute(f"CREATE TABLE {name}(x INTEGER)")
        assert connection.sql(query).fetchall()[-1] == ("b",)
    assert connection.sql(query).fetchall() == [("a",), ("b",)]
    connection.execute("CREATE VIEW c AS SELECT * FROM a")
    connection.execute("DROP TABLE a")
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'c'"
    assert connection.sql(columns).fetchall() == [(0,)]  # a view of nothing has no columns
    connection.close()
