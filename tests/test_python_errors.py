"""Whatever is asked, a QTensorError comes and none of Python's: texts that are no texts, deep and large queries, mutilated SQL."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import qtensor
from qtensor.bind import ModelSignature, bind
from qtensor.bind.statements.dispatch import bind_statement, may_be_statement
from qtensor.errors import BindError, CapacityError, DataError, ParseError, QTensorError, UnsupportedError
from qtensor.optimise.driver import optimise
from qtensor.statement import Column, Kind, TableDefinition, View
from qtensor.types import Field, Schema
from tests.bind.catalog import EVERY_TYPE, MODELS

UNTERMINATED = [
    "CREATE TABLE x AS SELECT 'a; SELECT 1", "DESCRIBE SELECT 'a", 'DROP TABLE "t', "SUMMARIZE 'a", "CREATE VIEW v AS SELECT 'a",
    "SHOW 'a", "SELECT 1; SELECT 'a", "EXPLAIN SELECT 'a", "SELECT 1 /* a; b", "INSERT INTO t VALUES ('a", "COPY t TO 'x",
]  # fmt: skip
# Each was an AttributeError, a ValueError or one of sqlglot's own once.
MUTILATED = [
    "SELECT struct_insert{{a: 1, : 2}, a: 3}", "SELECT '%' LIKE '*%' ESCAPE ;", "SELECT * FROM read_csv('x', columns={:'INTEGER'})",
    "SELECT NULL::t, NULL <> 1", "SELECT any_value(ORDER BY 1)", "SELECT count(*) FROM m. 'x' f JOIN m.. d ON f.k = d.k",
    "SELECT sum(1) OVER (ORDER BY 1 ROWS BETWEEN)", "SELECT percentile_cont(0. ) WITHIN GROUP (ORDER BY 1) AS",
]  # fmt: skip
WITH_A_SURROGATE = [
    "SELECT '\ud800'", 'SELECT 1 AS "\ud800"', "SELECT '\ud800' || 'x'", "SELECT \ud800", "-- \ud800\nSELECT 1",
    "SELECT 1 WHERE 'a' LIKE '\udfff'", 'CREATE TABLE "\ud800" (a INTEGER)', "SELECT * FROM 'x\ud800.csv'", "DESCRIBE SELECT '\ud800'",
]  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> qtensor.Connection:
    return qtensor.connect(threads=1)


@pytest.mark.parametrize("query", UNTERMINATED)
def test_what_is_not_closed(connection: qtensor.Connection, query: str) -> None:
    with pytest.raises(ParseError, match=r"is missing|cannot be split"):
        connection.sql(query)


@pytest.mark.parametrize("query", MUTILATED)
def test_mutilated(connection: qtensor.Connection, query: str) -> None:
    with pytest.raises(QTensorError):
        connection.sql(query)


@pytest.mark.parametrize("query", WITH_A_SURROGATE)
def test_half_characters_in_queries(connection: qtensor.Connection, query: str) -> None:
    with pytest.raises(ParseError, match="half of a pair") as caught:
        connection.sql(query)
    str(caught.value).encode()


def test_half_characters_elsewhere(connection: qtensor.Connection) -> None:
    for query, given in (("SELECT ?", ["\ud800"]), ("SELECT $a", {"a": "\ud800"}), ("SELECT 'a' IN ?", [["\ud800"]])):
        with pytest.raises(BindError, match="surrogate"):
            connection.sql(query, given)
    with pytest.raises(DataError, match="whole characters"):
        connection.register("\ud800", {"a": np.array([1])})


@pytest.mark.parametrize("query", [None, 3, b"SELECT 1"])
def test_what_is_no_text(connection: qtensor.Connection, query: Any) -> None:
    with pytest.raises(ParseError, match="a query is a text, not"):
        connection.sql(query)


def test_paths_with_null_characters(connection: qtensor.Connection) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        connection.sql("COPY (SELECT 1) TO 'x\0.csv'")


def test_joins_too_large(connection: qtensor.Connection) -> None:
    tables = ", ".join(f"(VALUES (1), (2), (3), (4), (5)) t{number}(a)" for number in range(30))
    with pytest.raises(CapacityError, match=r"a join leaves [0-9,]+ rows or more"):
        connection.sql(f"SELECT count(*) FROM {tables}").fetchall()


@pytest.mark.parametrize("series", [pd.Series([1], name="a"), pl.Series("a", [1])])
def test_a_series_is_no_table(connection: qtensor.Connection, series: object) -> None:
    with pytest.raises(DataError, match=r"Series, one column without a table: use s.to_frame\(\)"):
        connection.register("s", series)


def test_natural_joins_of_unsupported_columns(connection: qtensor.Connection) -> None:
    one = pa.table({"i": [1], "z": pa.array([[1]])})
    connection.register("one", one).register("other", one)
    with pytest.raises(UnsupportedError, match=r'NATURAL JOIN compares it: leave it out, \(SELECT \* EXCLUDE \("z"\)'):
        connection.sql("SELECT i FROM one NATURAL JOIN other")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT concat_ws(INTERVAL 1 DAY, 'a')", "not an INTERVAL"),
        ("SELECT ntile(INTERVAL 1 DAY) OVER ()", "not an INTERVAL"),
        ("SELECT strftime(1, 'a')", "not an INTEGER"),
        ("SELECT concat_ws(DATE '2020-01-01', 'a')", "not a DATE"),
    ],
)
def test_articles(connection: qtensor.Connection, query: str, says: str) -> None:
    with pytest.raises(BindError, match=says):
        connection.sql(query)


@pytest.mark.parametrize(("kind", "value"), [("HUGEINT", 2**127 - 1), ("HUGEINT", -(10**38))])
def test_numbers_beyond_what_tables_hold(kind: str, value: int) -> None:
    own = qtensor.connect(threads=1)
    own.sql(f"CREATE TABLE h (h {kind})")
    with pytest.raises(QTensorError, match="out of range"):
        own.sql(f"INSERT INTO h VALUES ({value})")
    assert own.sql("SELECT count(*) FROM h").fetchall() == [(0,)]


# --- mutilated SQL of all tests -------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s+|\w+|'(?:[^']|'')*'|\"[^\"]*\"|::|<=|>=|<>|!=|\|\||//|.", re.DOTALL)
_QUERY = re.compile(r"\(?\s*(SELECT|WITH|FROM|VALUES|CREATE|INSERT|UPDATE|DELETE|COPY|DESCRIBE|SUMMARIZE)\s", re.IGNORECASE)
_WORDS = [
    "(",
    ")",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<>",
    "<",
    "||",
    "::",
    "[",
    "]",
    "'",
    '"',
    ";",
    "$",
    "?",
    "@",
    "{",
    "}",
    ":",
    "#",
    "~",
    "!",
    "^",
    "&",
    "0",
    "1",
    "1.5",
    ".5",
    "''",
    "'x'",
    "NULL",
    "DISTINCT",
    "FILTER",
    "OVER",
    "ORDER",
    "BY",
    "GROUP",
    "ALL",
    "ROWS",
    "RANGE",
    "BETWEEN",
    "AND",
    "PRECEDING",
    "CURRENT",
    "UNBOUNDED",
    "WINDOW",
    "QUALIFY",
    "HAVING",
    "WHERE",
    "FROM",
    "SELECT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "AS",
    "IN",
    "NOT",
    "IS",
    "LIKE",
    "ESCAPE",
    "EXISTS",
    "ANY",
    "UNION",
    "EXCEPT",
    "LIMIT",
    "USING",
    "ON",
    "JOIN",
    "NATURAL",
    "INTERVAL",
    "DAY",
    "DATE",
    ":=",
    "->",
    "IGNORE",
    "NULLS",
    "WITHIN",
    "ROLLUP",
    "EXCLUDE",
    "REPLACE",
    "COLUMNS",
    "WITH",
    "RECURSIVE",
    "VALUES",
    "TABLE",
    "LATERAL",
    "EXTRACT",
    "ARRAY",
    "UNNEST",
    "PIVOT",
]


def queries_of_tests() -> list[str]:
    """Texts in the tests that begin as SQL does."""
    found = set()
    for path in sorted(Path(__file__).parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and _QUERY.match(node.value)
                and len(node.value) < 1000
            ):
                found.add(node.value)
    return sorted(found)


class AnyCatalog:
    """Every table that is asked for, with all words of the query as columns of random types."""

    def __init__(self, query: str, chance: random.Random) -> None:
        names = {word.lower(): word for word in re.findall(r"[A-Za-z_]\w*", query)}
        self.fields = tuple(Field(name, chance.choice(list(EVERY_TYPE.values()))) for name in names.values())

    def table(self, name: str) -> Schema | None:
        return self.fields

    def view(self, name: str) -> View | None:
        return None

    def table_names(self) -> Iterable[str]:
        return ()

    def model(self, name: str) -> ModelSignature | None:
        return MODELS.get(name.lower())

    def model_names(self) -> Iterable[str]:
        return MODELS

    def definition(self, name: str) -> TableDefinition | None:
        return TableDefinition(name, tuple(Column(field.name, field.type) for field in self.fields))

    def kind(self, name: str) -> Kind | None:
        return "table"

    def created_names(self) -> Iterable[str]:
        return ()


def mutilated(chance: random.Random, queries: list[str]) -> str:
    """A query with one to four of its tokens dropped, doubled, exchanged or replaced, or cut off."""
    pieces = _TOKEN.findall(chance.choice(queries))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        one, other = (chance.randrange(len(pieces)) for _ in range(2))
        match chance.randrange(6):
            case 0:
                pieces[one] = " "
            case 1:
                pieces.insert(one, f" {chance.choice(_WORDS)} ")
            case 2:
                pieces[one] = f" {chance.choice(_WORDS)} "
            case 3:
                pieces[one], pieces[other] = pieces[other], pieces[one]
            case 4:
                pieces[one] = pieces[other]
            case _:
                pieces = pieces[: max(one, 1)]
    return "".join(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_mutilated_queries_of_all_tests(seed: int) -> None:
    chance, queries = random.Random(seed), queries_of_tests()
    assert len(queries) > 1_000
    outcomes = []
    for _ in range(500):
        query = mutilated(chance, queries)
        catalog = AnyCatalog(query, chance)
        try:
            if not may_be_statement(query) or bind_statement(query, catalog) is None:
                optimise(bind(query, catalog))
            outcomes.append("bound")
        except QTensorError as error:
            str(error).encode()
            outcomes.append("refused")
    assert set(outcomes) == {"bound", "refused"}


class Odd:
    """Of no type that anything takes."""

    def __repr__(self) -> str:  # without an address: it names tests
        return "Odd()"


NO_TEXTS = [None, 5, 2.5, b"x", ["x"], {}, (), Odd(), np.array([1]), True, print]
NO_PATHS = [*NO_TEXTS, "a\0b", "\ud800"]
NO_COUNTS = [-1, 2.5, "x", b"x", [1], {}, Odd(), np.array([1]), print, float("nan")]


@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_names_that_are_no_texts(connection: qtensor.Connection, value: Any) -> None:
    relation = connection.sql("SELECT 1 AS one")
    for call in (
        lambda: connection.register(value, {"a": np.arange(2)}),
        lambda: connection.unregister(value),
        lambda: connection.create_function(value, lambda x: x),
        lambda: connection.remove_function(value),
        lambda: connection.refresh_function(value),
        lambda: connection.sql(value),
        lambda: connection.execute(value),
        lambda: connection.sql("SELECT 1", dialect=value),
        lambda: relation.export_native("folder", value),
        lambda: qtensor.export(value, "x.qta", tables={}),
        lambda: qtensor.export("SELECT 1 AS one", "x.qta", tables={}, dialect=value),
        lambda: qtensor.export("SELECT a FROM t", "x.qta", tables={value: pa.table({"a": [1]})} if value.__hash__ else value),
    ):
        with pytest.raises(QTensorError):
            call()


@pytest.mark.parametrize("value", NO_PATHS, ids=ascii)
def test_paths_that_are_none(connection: qtensor.Connection, value: Any) -> None:
    relation = connection.sql("SELECT 1 AS one")
    for call in (
        lambda: relation.export(value),
        lambda: relation.export_native(value),
        lambda: qtensor.load(value),
        lambda: qtensor.connect(value),
    ):
        with pytest.raises(QTensorError):
            call()


@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
def test_numbers_that_are_none(connection: qtensor.Connection, value: Any, tmp_path: Path) -> None:
    relation = connection.sql("SELECT 1 AS one")
    for call in (
        lambda: relation.fetchmany(value),
        lambda: qtensor.connect(threads=value),
        lambda: qtensor.load(tmp_path / "none.qta", threads=value),
        lambda: qtensor.load(tmp_path / "none.qta", size_limit=value),
        lambda: connection.create_function("f", lambda x: x, inputs=value),
    ):
        with pytest.raises(QTensorError):
            call()
