"""Statements through `sql` and `execute`: several in one text, their answers, and what queries made before see of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import BindError, DataError, ExecutionError, UnsupportedError
from qtensor.statement import TableDefinition
from tests.oracle import Engines
from tests.statements.scripts import check_statement, check_tables, refused


def test_several_statements(engines: Engines) -> None:
    check_statement(engines, "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2); -- and\n SELECT sum(a) AS s FROM t;")
    check_statement(engines, "INSERT INTO t VALUES (3); UPDATE t SET a = a * 2; DELETE FROM t WHERE a = $1;", [4])
    check_statement(engines, "SELECT ';' AS a; SELECT 2 AS b")
    check_statement(engines, "CREATE VIEW v AS SELECT a FROM t; -- a comment; and nothing more")
    refused(engines, "INSERT INTO t VALUES (10); INSERT INTO t VALUES ('x'); INSERT INTO t VALUES (11)")
    refused(engines, "INSERT INTO t VALUES (12); SELECT CAST('x' AS INTEGER); INSERT INTO t VALUES (13)")
    check_tables(engines)


def test_a_caret_under_one_of_several(engines: Engines) -> None:
    with pytest.raises(BindError) as caught:
        engines.ours.sql("SELECT 1;\nSELECT 2; SELECT\n  nope; SELECT 3")
    assert str(caught.value).splitlines()[1:3] == ["    nope", "    ^^^^"]


def test_what_is_answered(engines: Engines) -> None:
    ours = engines.ours
    created = ours.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert (created.columns, created.types, created.fetchall()) == (["Count"], ["BIGINT"], [(1,)])
    assert created.fetchall() == [(1,)]
    assert created.fetchone() == (1,)
    assert created.arrow().to_pydict() == {"Count": [1]}
    assert created.schema == pa.schema([("Count", pa.int64())])
    assert created.df()["Count"].tolist() == [1]
    assert "Count" in repr(created)
    assert ours.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert ours.execute("DROP TABLE t").columns == ["Success"]
    for refusal in (
        created.explain,
        created.hlo,
        created.plans,
        lambda: created.export("a.qta"),
        lambda: created.export_native("a"),
    ):
        with pytest.raises(UnsupportedError, match="a statement that has run cannot be"):
            refusal()


def test_queries_see_what_statements_did(engines: Engines) -> None:
    ours = engines.ours
    ours.sql("CREATE TABLE t AS SELECT 1 AS a")
    relation = ours.sql("SELECT sum(a) AS s FROM t")
    assert relation.fetchall() == [(1,)]
    ours.sql("INSERT INTO t VALUES (2), (1000000)")
    assert relation.fetchall() == [(1000003,)]
    ours.sql("DELETE FROM t WHERE a > 1")
    assert relation.fetchall() == [(1,)]
    ours.sql("CREATE OR REPLACE TABLE t AS SELECT 2.5 AS a")
    assert ours.sql("SELECT sum(a) AS s FROM t").types == ["DECIMAL(38,1)"]
    ours.sql("DROP TABLE t")
    with pytest.raises(BindError, match='no table "t"'):
        relation.fetchall()


def test_hints_know_created_tables_and_views(engines: Engines) -> None:
    engines.ours.sql("CREATE TABLE customers (a INTEGER); CREATE VIEW regions AS SELECT 1 AS a")
    for statement, hint in [
        ("SELECT * FROM custmers", "customers"),
        ("SELECT * FROM region", "regions"),
        ("INSERT INTO custmers VALUES (1)", "customers"),
        ("DROP VIEW regons", "regions"),
        ("UPDATE customers SET aa = 1", "a"),
    ]:
        with pytest.raises(BindError, match=f'Did you mean "{hint}"'):
            engines.ours.sql(statement)


def test_statements_cannot_be_exported(tmp_path) -> None:
    with pytest.raises(UnsupportedError, match="INSERT begins a statement, and a query is needed"):
        qtensor.export("INSERT INTO t VALUES (1)", tmp_path / "a.qta", tables={"t": pa.table({"a": [1]})})


def test_the_default_connection_and_models_in_statements() -> None:
    rows = qtensor.sql(
        "CREATE OR REPLACE TABLE scored_here AS SELECT a, twice(a) AS b FROM given",
        given=pa.table({"a": [1.5, None]}),
        twice=lambda a: a * 2,
    )
    assert rows.fetchall() == [(2,)]
    assert qtensor.sql("FROM scored_here").fetchall() == [(1.5, 3.0), (None, None)]
    assert qtensor.sql("DROP TABLE scored_here; SELECT 1 AS a").fetchall() == [(1,)]


def test_threads(engines: Engines) -> None:
    """Each statement sees all that were done before it, and none half done."""
    ours = engines.ours
    ours.sql("CREATE TABLE t (a INTEGER, b INTEGER)")

    def work(number: int) -> int:
        ours.sql("INSERT INTO t VALUES (?, 0)", [number])
        ours.sql("UPDATE t SET b = b + 1")
        ((rows, least),) = ours.sql("SELECT count(*), min(b) FROM t").fetchall()
        return rows if least >= 0 else -1

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(work, range(8)))
    assert max(seen) == 8
    assert ours.sql("SELECT count(*), max(b) FROM t").fetchall() == [(8, 8)]


def test_a_table_that_changed_meanwhile_is_not_overwritten(engines: Engines) -> None:
    ours = engines.ours
    ours.sql("CREATE TABLE t (a INTEGER)")
    registry = ours._registry
    old = registry.created("t")
    assert old is not None
    ours.sql("INSERT INTO t VALUES (1)")
    with pytest.raises(DataError, match="changed while a statement was about to change it"):
        registry.replace(old, old)
    assert isinstance(old.definition, TableDefinition)


def test_a_closed_connection(engines: Engines) -> None:
    connection = qtensor.connect()
    connection.close()
    with pytest.raises(DataError, match="closed"):
        connection.sql("CREATE TABLE t (a INTEGER)")


def test_a_query_that_only_looks_like_a_statement(engines: Engines) -> None:
    assert engines.ours.sql("WITH z AS (SELECT 'DELETE FROM t' AS a) SELECT a FROM z WHERE $x", {"x": True}).fetchall() == [
        ("DELETE FROM t",)
    ]
    with pytest.raises(ExecutionError):
        engines.ours.sql("WITH z AS (SELECT 'UPDATE' AS a) SELECT CAST(a AS INTEGER) FROM z").fetchall()
