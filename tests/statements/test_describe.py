"""DESCRIBE, SHOW, SUMMARIZE and EXPLAIN, with DuckDB as the oracle where the answer is not of our own making."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qtensor.errors import BindError, ParseError, UnsupportedError
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor
from tests.statements.scripts import check_script, check_statement, refused

SCRIPT = """
    CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR NOT NULL DEFAULT 'it''s', c DECIMAL(5,2) UNIQUE DEFAULT 1 + 2 * 3, d DATE DEFAULT NULL, UNIQUE (b, d))
    CREATE TABLE s AS SELECT sum(a) AS s, NULL AS n, avg(c) AS m, count(*) AS "k k" FROM t
    CREATE VIEW v (p) AS SELECT a + 1, b FROM t
    DESCRIBE t
    DESC s
    DESCRIBE v
    DESCRIBE TABLE t
    DESCRIBE SELECT a * 2 AS x, upper(b), c FROM t WHERE a > 1
    DESCRIBE (FROM v)
    DESCRIBE SELECT * FROM (SELECT b AS z, c FROM t WHERE a > 1) AS s JOIN v ON z = b ORDER BY ALL LIMIT 1
    DESCRIBE SELECT a, count(*) FROM t GROUP BY a
    DESCRIBE WITH z AS (SELECT 1 AS q) FROM z
    DESCRIBE "T"
    SHOW t
    SHOW TABLES
    fails: DESCRIBE nope
    fails: SHOW nope
    fails: DESCRIBE SELECT nope FROM t
    fails: SUMMARIZE nope
"""


def test_script(engines: Engines) -> None:
    check_script(engines, SCRIPT)


def test_describe_registered_tables_and_files(engines: Engines, tmp_path) -> None:
    engines.register("r", pa.table({"a": pa.array([1], pa.int16()), "d": pa.array([None], pa.date32())}))
    engines.ours.sql(f"COPY r TO '{tmp_path}/r.parquet'")
    for statement in ("DESCRIBE r", "SHOW r", f"DESCRIBE '{tmp_path}/r.parquet'", "SHOW TABLES"):
        check_statement(engines, statement)


def test_parameters(engines: Engines) -> None:
    assert engines.ours.sql("DESCRIBE SELECT $a AS a", {"a": 5}).fetchall()[0][:2] == ("a", "INTEGER")
    assert engines.ours.sql("SUMMARIZE SELECT ? AS a", ["x"]).fetchall()[0][:4] == ("a", "VARCHAR", "x", "x")
    refused(engines, "SUMMARIZE SELECT ? AS a")
    with pytest.raises(BindError, match=r"no parameter \$1"):
        engines.ours.sql("DESCRIBE SELECT 1 AS a", [5])


SUMMARIZED = """
    CREATE TABLE t AS SELECT * FROM (VALUES
    (1, 'a', 2.5, DATE '2020-01-01', true, 1.5::FLOAT, TIMESTAMP '2020-01-01 00:00:00', 2.0::DOUBLE, NULL),
    (5, 'b', 3.5, DATE '2020-01-03', false, 2.5::FLOAT, TIMESTAMP '2020-01-01 12:00:00', 4.0::DOUBLE, NULL),
    (9, NULL, 4.5, DATE '2020-01-05', NULL, 3.5::FLOAT, TIMESTAMP '2020-01-02 00:00:00', NULL, NULL),
    (NULL, 'b', NULL, NULL, true, NULL, NULL, 6.0::DOUBLE, NULL)) AS v(i, s, d, dt, b, f, ts, g, n)
"""


def test_summarize(engines: Engines) -> None:
    """DuckDB estimates quartiles: what is compared has one value at which all of them, or the middle one, must stand."""
    check_statement(engines, " ".join(SUMMARIZED.split()))
    for query in ("SUMMARIZE t", "SUMMARIZE SELECT i, s FROM t WHERE i > 100"):
        expected, found = answer_of_duckdb(engines.theirs, query), answer_of_qtensor(engines.ours.sql(query))
        assert (found.names, found.types) == (expected.names, expected.types)
        for ours, theirs in zip(found.rows, expected.rows, strict=True):
            assert ours[:7] == theirs[:7]
            assert ours[8] == theirs[8]
            assert ours[10:] == theirs[10:]


def test_explain(engines: Engines) -> None:
    ours = engines.ours
    ours.sql("CREATE TABLE t AS SELECT 1 AS a")
    relation = ours.sql("EXPLAIN SELECT a + $b AS c FROM t WHERE a > 0", {"b": 1})
    assert relation.columns == ["explain_key", "explain_value"]
    ((key, text),) = relation.fetchall()
    assert key == "physical_plan"
    assert text == ours.sql("SELECT a + $b AS c FROM t WHERE a > 0", {"b": 1}).explain()
    ((key, text),) = ours.sql("explain analyze SELECT a FROM t").fetchall()
    assert key == "analyzed_plan"
    assert text.startswith("bind ")
    with pytest.raises(BindError, match='no column "nope"'):
        ours.sql("EXPLAIN SELECT nope FROM t")
    with pytest.raises(UnsupportedError, match="DROP begins a statement"):
        ours.sql("EXPLAIN DROP TABLE t")
    assert ours._registry.table_names() == ["t"]


@pytest.mark.parametrize("statement", ["DESCRIBE", "SHOW", "SUMMARIZE", "EXPLAIN", "EXPLAIN ANALYZE;"])
def test_something_is_missing(engines: Engines, statement: str) -> None:
    with pytest.raises(ParseError, match="needs a"):
        engines.ours.sql(statement)


def test_carets(engines: Engines) -> None:
    for statement, word in [
        ("DESCRIBE nope", "nope"),
        ("SHOW nope", "nope"),
        ("SUMMARIZE nope", "nope"),
        ("DESC\nSELECT 1, nope", "nope"),
    ]:
        with pytest.raises(BindError) as caught:
            engines.ours.sql(statement)
        line = statement.splitlines()[-1]
        assert f"  {line}\n  {' ' * line.index(word)}^^^^" in str(caught.value)
    with pytest.raises(UnsupportedError, match="SHOW ALL TABLES"):
        engines.ours.sql("SHOW ALL TABLES")
