"""COLUMNS in the list of SELECT, as in DuckDB; and what stands for several arguments of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import jax.numpy as jnp
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import BindError, UnsupportedError

TABLE = pa.table(
    {
        "id": [1, 2, 3, 4],
        "f1": [1.0, None, 3.0, 4.5],
        "F2": [10, 20, None, 40],
        "af": [5, 6, 7, 8],
        "g": ["a", "b", "a", None],
        "f.x y": [True, False, None, True],
    }
)
OTHER = pa.table({"id": [1, 2, 9], "f1": [7.0, 8.0, 9.0], "w": [1, 2, 3]})


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with qtensor.connect(threads=1) as opened:
        opened.register("t", TABLE).register("o", OTHER)
        opened.create_function("sum2", lambda a, b: a + 100 * b)
        opened.create_function("sum3", lambda a, b, c: a + 100 * b + 10_000 * c)
        opened.create_function("pair", lambda a, b: jnp.stack([a, b]))
        yield opened


@pytest.fixture(scope="module")
def oracle() -> Iterator[Any]:
    with duckdb.connect() as opened:
        opened.register("t", TABLE)
        opened.register("o", OTHER)
        yield opened


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COLUMNS('f') FROM t ORDER BY id",
        "SELECT COLUMNS('^f'), COLUMNS('(?i)^F2$'), id FROM t ORDER BY id",
        "SELECT COLUMNS(*) FROM t ORDER BY ALL",
        "SELECT COLUMNS(t.*) FROM t ORDER BY id",
        "SELECT COLUMNS(* EXCLUDE (g, id)) FROM t ORDER BY t.id",
        "SELECT COLUMNS(* REPLACE (id + 1 AS id)) FROM t ORDER BY t.id",
        "SELECT COLUMNS(['af', 'F1', 'af']) FROM t ORDER BY id",
        "SELECT COLUMNS('f1|af') + 1 FROM t ORDER BY id",
        "SELECT COLUMNS('f1|af') * COLUMNS('f1|af') AS squared FROM t ORDER BY id",
        "SELECT min(COLUMNS(*)), max(COLUMNS(* EXCLUDE (g))) AS m FROM t",
        "SELECT g, avg(COLUMNS('^(id|af)$')) FROM t GROUP BY g ORDER BY g",
        "SELECT count(COLUMNS(*)) FROM t HAVING count(*) > 1",
        "SELECT sum(COLUMNS('af|id')) OVER (ORDER BY id) FROM t ORDER BY id",
        "SELECT coalesce(COLUMNS(['f1', 'f2']), 0) FROM t ORDER BY id",
        "SELECT COLUMNS('f1') FROM t JOIN o USING (id) ORDER BY id",
        "SELECT COLUMNS(o.*), t.id FROM t JOIN o ON t.id = o.id ORDER BY t.id",
        "SELECT COLUMNS('id') FROM t FULL JOIN o USING (id) ORDER BY 1",
        "SELECT (SELECT max(COLUMNS('w')) FROM o) AS m, COLUMNS('af') FROM t ORDER BY id",
        "SELECT CASE WHEN id > 2 THEN COLUMNS('f1|af') END FROM t ORDER BY id",
    ],
)
def test_columns_in_select(connection: Any, oracle: Any, query: str) -> None:
    found, expected = connection.sql(query), oracle.sql(query)
    assert found.fetchall() == expected.fetchall()
    assert [name.lower() for name in found.columns] == [name.lower() for name in expected.columns]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT COLUMNS('nothing') FROM t", "the name of no column matches 'nothing'"),
        ("SELECT COLUMNS('[') FROM t", "no regular expression: Invalid regular expression"),
        ("SELECT COLUMNS(['f1', 'zz']) FROM t", 'COLUMNS: no column "zz"'),
        ("SELECT COLUMNS([f1]) FROM t", "COLUMNS takes names in quotes"),
        ("SELECT COLUMNS(f1) FROM t", "COLUMNS takes a pattern in quotes"),
        ("SELECT COLUMNS('f')", "there is no FROM"),
        ("SELECT COLUMNS('f1') + COLUMNS('af') FROM t", "write them alike"),
        ("SELECT sum2(COLUMNS('af|id'), 1) FROM t", 'the model "sum2" takes 2 arguments, not 3'),
        ("SELECT sum2(COLUMNS('id|g')) FROM t", "text column into a model: g is a VARCHAR"),
        ("SELECT sum2(z.*) FROM t", 'no table "z" in FROM'),
        ("SELECT sum2(a := COLUMNS('af|id'), b := 1) FROM t", 'the input "a" of the model "sum2" takes 1 value, not 2'),
    ],
)
def test_errors_of_columns(connection: Any, query: str, message: str) -> None:
    with pytest.raises(BindError, match=message.replace("(", r"\(")):
        connection.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM t WHERE COLUMNS('id') > 1",
        "SELECT greatest(*COLUMNS('id|af')) FROM t",
        "SELECT id FROM t ORDER BY COLUMNS('f1')",
    ],
)
def test_columns_elsewhere_are_not_supported(connection: Any, query: str) -> None:
    with pytest.raises(UnsupportedError, match=r"COLUMNS (outside the list of SELECT|as the arguments)"):
        connection.sql(query)


@pytest.mark.parametrize(
    ("call", "written_out"),
    [
        ("sum2(COLUMNS('^(id|af)$'))", "sum2(id, af)"),
        ("sum2(*COLUMNS('^(id|af)$'))", "sum2(id, af)"),
        ("sum3(COLUMNS('^(id|af)$'), F2)", "sum3(id, af, F2)"),
        ("sum3(* EXCLUDE (g, f1, 'f.x y'))", "sum3(id, F2, af)"),
        ("sum3(t.* EXCLUDE (g, f1, F2))", 'sum3(id, af, "f.x y")'),
        ("sum2(* EXCLUDE (g, F2, af, id))", 'sum2(f1, "f.x y")'),
        ("sum3([id, af], f1)", "sum3(id, af, f1)"),
        ("sum3((id, af, f1))", "sum3(id, af, f1)"),
        ("sum2(pair(id, f1))", "sum2(id, f1)"),
        ("sum3(id, pair(af, f1))", "sum3(id, af, f1)"),
        ("sum2(b := [af], a := COLUMNS('^id'))", "sum2(id, af)"),
        ("sum2(COLUMNS(* EXCLUDE (g, f1, F2, 'f.x y') REPLACE (af * 2 AS af)))", "sum2(id, af * 2)"),
    ],
)
def test_several_arguments_at_once(connection: Any, call: str, written_out: str) -> None:
    call = call.replace("'f.x y'", '"f.x y"')
    for query in (
        "SELECT id, {m} AS m FROM t ORDER BY id",
        "SELECT sum({m}) AS m FROM t WHERE {m} > 102",
        "SELECT count(*) AS n, {m} AS m FROM t GROUP BY m ORDER BY m",
    ):
        found = connection.sql(query.format(m=call)).fetchall()
        assert found == connection.sql(query.format(m=written_out)).fetchall()
        assert found
