"""Bad input: every kind of it has an error of its own that says what is wrong, where, and what to do; and does no harm."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import BindError, DataError, ExecutionError, ModelError, ParseError, QTensorError, UnsupportedError
from tests.oracle import Engines
from tests.sql.tables import every_type


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    lineitem = pa.table({"l_shipdate": [datetime.date(1994, 1, 1)], "l_tax": [0.02]})
    made = Engines.over(t=every_type(300), lineitem=lineitem)
    made.ours.create_function("score", lambda a, b: a + b)
    yield made
    made.close()


def carets(query: str, marked: str) -> str:
    """The two lines that show `marked` in `query`."""
    start = query.index(marked)
    return f"  {query}\n  {' ' * start}{'^' * len(marked)}"


@pytest.mark.parametrize(
    ("query", "message", "marked", "hint"),
    [
        ("SELECT * FROM nowhere", 'no table "nowhere"', "nowhere", ""),
        ("SELECT * FROM lineitm", 'no table "lineitm"', "lineitm", 'Did you mean "lineitem"?'),
        (
            "SELECT * FROM 'nowhere.parquet'",
            'there is no file or folder "nowhere.parquet"',
            "'nowhere.parquet'",
            "Paths are relative to the current folder.",
        ),
        ("SELECT shipdat FROM lineitem", 'no column "shipdat" in lineitem', "shipdat", 'Did you mean "l_shipdate"?'),
        ("SELECT lineitem.tax FROM lineitem", 'no column "tax" in lineitem', "lineitem.tax", 'Did you mean "l_tax"?'),
        ("SELECT q.l_tax FROM lineitem", 'no table "q" in FROM', "q", 'The table in FROM is "lineitem".'),
        ("SELECT scor(1, 2)", 'no function or model "scor"', "scor", 'Did you mean "score"?'),
        ("SELECT score(1)", 'the model "score" takes 2 arguments, not 1', "score(1)", 'Its inputs: "a", "b".'),
        ("SELECT score(1, 2, 3)", 'the model "score" takes 2 arguments, not 3', "score(1, 2, 3)", 'Its inputs: "a", "b".'),
        (
            "SELECT id FROM t WHERE s > 5",
            "a comparison cannot combine VARCHAR and INTEGER",
            "s > 5",
            "Cast one of them explicitly.",
        ),
        ("SELECT s + 1 FROM t", "there is no VARCHAR + INTEGER", "s + 1", ""),
        ("SELECT sum(s) FROM t", "sum takes a number, not VARCHAR", "sum(s)", ""),
        ("SELECT sum(sum(i8)) FROM t", "aggregate function calls cannot be nested", "sum(sum(i8))", ""),
        ("SELECT id FROM t WHERE sum(i8) > 1", "WHERE cannot contain aggregates; HAVING can", "sum(i8) > 1", ""),
        ("SELECT id FROM t ORDER BY 5", "ORDER BY 5 is out of range: SELECT has 1 column", "5", ""),
        ("SELECT g FROM t GROUP BY 7", "GROUP BY 7 is out of range: SELECT has 1 column", "7", ""),
        ("SELECT * FROM t LIMIT -1", "LIMIT cannot be negative", "-1", ""),
        ("SELECT t.* EXCLUDE (nope) FROM t", 'no column "nope" for EXCLUDE', "nope", ""),
    ],
)
def test_names_and_types(engines: Engines, query: str, message: str, marked: str, hint: str) -> None:
    with pytest.raises(BindError) as caught:
        engines.ours.sql(query)
    hint_line = [f"  {hint}"] if hint else []
    # The caret stands under the first occurrence after the SELECT.
    assert str(caught.value) == "\n".join([message, carets(query, marked), *hint_line])


def test_text_into_a_model(engines: Engines) -> None:
    for argument, message in [("s", "text column into a model: s is a VARCHAR"), ("day", 'column into a model: "day" is a DATE')]:
        with pytest.raises(BindError) as caught:
            engines.ours.sql(f"SELECT score(id, {argument}) FROM t")
        assert str(caught.value).startswith(f'{message}, and the arguments of "score" are numbers')


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", 'syntax error at or near "1"'),
        ("SELECT FROM WHERE", 'syntax error at or near "WHERE"'),
        ("SELECT (1", r"a closing \) is missing"),
        ("SELECT 'a", "a closing ' is missing"),
        ("", "there is no statement to run"),
        ("-- nothing", "there is no statement to run"),
        ("SELECT 1 FROM t WHERE", "syntax error"),
        ("SELECT 1 1", "syntax error"),
    ],
)
def test_syntax(engines: Engines, query: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        engines.ours.sql(query)


def test_unknown_dialect(engines: Engines) -> None:
    with pytest.raises(ParseError, match='unknown SQL dialect "klingon"'):
        engines.ours.sql("SELECT 1", dialect="klingon")


@pytest.mark.parametrize(
    ("query", "message", "marked"),
    [
        ("SELECT id // 0 FROM t", "Division by zero", "id // 0"),
        ("SELECT i16 // i8 FROM t", "Division by zero", "i16 // i8"),
        ("SELECT id % (id - id) FROM t", "Division by zero", "id % (id - id)"),
        ("SELECT d % 0 FROM t", "Division by zero", "d % 0"),
        ("SELECT x // 0 FROM t", "Division by zero", "x // 0"),
        ("SELECT i32 + i32 FROM t", "Overflow in addition of INTEGER", "i32 + i32"),
        ("SELECT i8 * i8 FROM t", "Overflow in multiplication of TINYINT", "i8 * i8"),
        ("SELECT u8 - u16 FROM t", "Overflow in subtraction of USMALLINT", "u8 - u16"),
        ("SELECT i64 * i64 FROM t", "Overflow in multiplication of BIGINT", "i64 * i64"),
        ("SELECT i64 + 9223372036854775807 FROM t", "Overflow in addition of BIGINT", "i64 + 9223372036854775807"),
        ("SELECT -i8 FROM t", "Overflow in", "-i8"),
        ("SELECT abs(i32) FROM t", "Overflow in", "abs(i32)"),
        ("SELECT e * e FROM t", r"Overflow in multiplication of DECIMAL\(18,8\)", "e * e"),
        ("SELECT i16::TINYINT FROM t", "Could not convert a value to TINYINT", "i16::TINYINT"),
        ("SELECT i8::UTINYINT FROM t", "Could not convert a value to UTINYINT", "i8::UTINYINT"),
        ("SELECT x::INTEGER FROM t", "Could not convert a value to INTEGER", "x::INTEGER"),
        ("SELECT d::DECIMAL(3, 1) FROM t", r"Could not convert a value to DECIMAL\(3,1\)", "d::DECIMAL(3, 1)"),
        ("SELECT w::INTEGER FROM t", "Could not convert a value to INTEGER", "w::INTEGER"),
        ("SELECT sum(w::DOUBLE) FROM t", "Could not convert a value to DOUBLE", "w::DOUBLE"),
        ("SELECT '2020-02-30'::DATE", "cannot convert '2020-02-30' to DATE", "'2020-02-30'::DATE"),
        ("SELECT id FROM t WHERE day = 'x'", "cannot convert 'x' to DATE", "'x'"),
        ("SELECT max(10 // i8) FROM t GROUP BY g", "Division by zero", "10 // i8"),
        ("SELECT id FROM t ORDER BY 10 // i8", "Division by zero", "10 // i8"),
        ("SELECT 10 // sum(id - id) FROM t", "Division by zero", "10 // sum(id - id)"),
        ("SELECT s LIKE 'a!' ESCAPE '!' FROM t", "escape", "s LIKE 'a!' ESCAPE '!'"),
    ],
)
def test_values_without_a_result(engines: Engines, query: str, message: str, marked: str) -> None:
    """DuckDB refuses them, too."""
    assert carets(query, marked) in engines.check_refused(query, match=message)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT CASE WHEN i8 = 0 THEN 0 ELSE 10 // i8 END FROM t",
        "SELECT CASE WHEN i8 <> 0 THEN 10 % i8 END FROM t",
        "SELECT CASE i8 WHEN 0 THEN NULL ELSE 10 // i8 END FROM t",
        "SELECT CASE WHEN w IN ('10', '-3') THEN w::INTEGER ELSE 0 END FROM t",
        "SELECT CASE WHEN id < 0 THEN CAST('abc' AS INTEGER) ELSE 1 END FROM t",
        "SELECT CASE WHEN id < 0 THEN 2147483647 + 1::INTEGER WHEN id >= 0 THEN 1 END FROM t",
        "SELECT CASE WHEN abs(i32) < 1000 THEN i32 * 1000000::BIGINT * 1000000 ELSE i32 END FROM t WHERE i32 > -2147483648",
        "SELECT coalesce(id, 10 // 0) FROM t",
        "SELECT coalesce(id, CAST('abc' AS INTEGER)) FROM t",
        "SELECT coalesce(i8, 10 // (i16 - i16)) FROM t WHERE i8 IS NOT NULL",
        "SELECT sum(CASE WHEN i8 <> 0 THEN 10 // i8 ELSE 0 END) FROM t",
    ],
)
def test_branches_not_taken_raise_nothing(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 10 // i8 FROM t WHERE i8 <> 0",
        "SELECT 10 // i8 FROM t WHERE i8 <> 0 AND 10 // i8 > 1",
        "SELECT id FROM t WHERE i8 = 0 OR 10 // i8 > 1",
        "SELECT id FROM t WHERE (i8 <> 0 AND 10 // i8 > 1) OR i8 = 5",
        "SELECT id, q FROM (SELECT id, i8, 10 // i8 AS q FROM t WHERE i8 > 0) WHERE q > 1",
        "SELECT w::INTEGER FROM t WHERE w IN ('10', '-3')",
        "SELECT i16::TINYINT FROM t WHERE i16 BETWEEN -128 AND 127",
        "SELECT sum(10 // i8) FROM t WHERE i8 <> 0",
        "SELECT g, sum(10 // i8) FROM t WHERE i8 <> 0 GROUP BY g ORDER BY g",
        "SELECT i8, 10 // i8 FROM (SELECT DISTINCT i8 FROM t WHERE i8 <> 0) ORDER BY i8",
        "SELECT i8, 10 // i8 FROM t GROUP BY i8 HAVING i8 <> 0 ORDER BY i8",
        "SELECT 10 // 0 FROM t WHERE FALSE",
        "SELECT CAST('abc' AS INTEGER) FROM t WHERE FALSE",
        "SELECT 10 // id FROM t WHERE id > 0 ORDER BY id LIMIT 3",
        "SELECT sum(i32 + 1) FROM t WHERE i32 < 1000",
        "SELECT id FROM (SELECT id, 10 // i8 AS unused FROM t)",
    ],
)
def test_rows_filtered_out_raise_nothing(engines: Engines, query: str) -> None:
    engines.check(query)


def test_a_filter_keeps_errors_away_from_its_aggregate(engines: Engines) -> None:
    """Here qtensor answers and DuckDB, which computes the argument for all rows, does not."""
    (row,) = engines.ours.sql("SELECT sum(10 // i8) FILTER (WHERE i8 <> 0) FROM t").fetchall()
    assert row == engines.theirs.execute("SELECT sum(10 // i8) FROM t WHERE i8 <> 0").fetchone()


def test_division_by_zero_of_floats_is_a_value(engines: Engines) -> None:
    engines.check("SELECT 1 / 0, -1 / 0, 0 / 0, 1.5 / 0, x / 0, x % 0.0, i8 / (i16 - i16) FROM t")


def test_everything_unsupported_is_named_at_once(engines: Engines) -> None:
    query = "SELECT kurtosis(x), hash(w) FROM t WHERE COLUMNS(*) > 1"
    with pytest.raises(UnsupportedError) as caught:
        engines.ours.sql(query)
    message = str(caught.value)
    for what in ("the function kurtosis", "the function hash", "COLUMNS outside the list of SELECT"):
        assert f"\n  - {what}\n" in message
    for marked in ("kurtosis(x)", "hash(w)", "COLUMNS(*)"):
        assert any(set(line.strip()) == {"^"} and line.index("^") == 2 + query.index(marked) for line in message.splitlines())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ALTER TABLE t ADD COLUMN a INTEGER", "not supported yet: ALTER statements"),
        ("SELECT 1; PRAGMA t", "not supported yet: PRAGMA statements"),
        ("CREATE INDEX i ON t (id)", "not supported yet: CREATE INDEX"),
        ("SELECT id FROM t TABLESAMPLE 10 PERCENT", "not supported yet: samples of tables"),
        ("SELECT hash(s) FROM t", "not supported yet: the function hash"),
        ("SELECT * FROM range(5)", "not supported yet: the table function range"),
        (
            "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a) SELECT * FROM a",
            "not supported yet: recursive CTEs",
        ),
    ],
)
def test_unsupported(engines: Engines, query: str, message: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        engines.ours.sql(query)
    assert str(caught.value).startswith(message)
    assert "^" in str(caught.value)


def test_the_caret_is_in_the_right_line(engines: Engines) -> None:
    with pytest.raises(BindError) as caught:
        engines.ours.sql("SELECT count(*) FROM t\nWHERE\n\tshipdat > 1\n  AND i8 > 0")
    assert str(caught.value).splitlines()[1:3] == ["   shipdat > 1", "   ^^^^^^^"]


@pytest.mark.parametrize(
    ("query", "parameters", "message"),
    [
        ("SELECT ?", None, r"no value was given for the parameter \$1"),
        ("SELECT ?, ?", [1], r"no value was given for the parameter \$2"),
        ("SELECT ?", [1, 2], r"the query has no parameter \$2, for which a value is given"),
        ("SELECT $a", {"b": 1}, r"no value was given for the parameter \$a"),
        ("SELECT $a", {"a": 1, "b": 1}, r"the query has no parameter \$b, for which a value is given"),
        ("SELECT ?", {"a": 1}, r"no value was given for the parameter \$1"),
        ("SELECT ?", [object()], r"parameter \$1: an object has no SQL type"),
        ("SELECT ?", 5, "parameters are a sequence or a mapping, not an int"),
        ("SELECT ?", "text", "parameters are a sequence or a mapping, not a str"),
        ("SELECT id FROM t WHERE s > ?", [5], "a comparison cannot combine VARCHAR and INTEGER"),
        ("SELECT id FROM t LIMIT ?", [-1], "LIMIT cannot be negative"),
    ],
)
def test_parameters(engines: Engines, query: str, parameters: Any, message: str) -> None:
    with pytest.raises(BindError, match=message):
        engines.ours.sql(query, parameters)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": np.zeros(2), "b": np.zeros(3)}, "columns must have equal numbers of rows"),
        (42, "t is a builtins.int; a table can be"),
        ("nowhere.parquet", "nowhere.parquet: no such file"),
    ],
)
def test_data_that_is_no_table(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        qtensor.connect().register("t", source)


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "cannot be read as Parquet: .*0 bytes"),
        (b"garbage" * 100, "cannot be read as Parquet"),
        ("truncated", "cannot be read as Parquet"),
        ("pages", "cannot be read as Parquet"),
    ],
)
def test_parquet_that_is_damaged(tmp_path: Path, octets: bytes | str, message: str) -> None:
    """Also where the footer is sound and the damage is found by the query; also where the query names the file itself."""
    path = tmp_path / "damaged.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(10_000)}), path, compression="zstd")
    whole = path.read_bytes()
    if octets == "truncated":
        octets = whole[: len(whole) // 2]
    elif octets == "pages":
        octets = whole[:4] + bytes(96) + whole[100:]
    assert isinstance(octets, bytes)
    path.write_bytes(octets)
    with pytest.raises(DataError, match=f"damaged.parquet: {message}"):
        qtensor.connect().register("t", str(path)).sql("SELECT sum(a) FROM t").fetchall()
    with pytest.raises(DataError, match=f"damaged.parquet: {message}"):
        qtensor.connect().sql(f"SELECT sum(a) FROM '{path}'").fetchall()


def test_unregistering_what_is_not_there() -> None:
    connection = qtensor.connect()
    with pytest.raises(DataError, match='no table "t" is registered'):
        connection.unregister("t")
    with pytest.raises(DataError, match='no function "f" is registered'):
        connection.remove_function("f")
    with pytest.raises(DataError, match="threads must be at least 1, not -1"):
        qtensor.connect(threads=-1)
    with pytest.raises(ModelError, match="expected a function"):
        connection.create_function("f", 42)


def test_the_connection_works_after_every_error(engines: Engines) -> None:
    for query in ["SELEC", "SELECT nope FROM t", "SELECT hash(x) FROM t", "SELECT 10 // i8 FROM t", "SELECT w::INTEGER FROM t"]:
        with pytest.raises(QTensorError):
            engines.ours.sql(query).fetchall()
        engines.check("SELECT count(*), sum(i8) FROM t")


def test_an_error_is_raised_each_time_and_only_by_its_rows(engines: Engines) -> None:
    relation = engines.ours.sql("SELECT 10 // i8 FROM t")
    for _ in range(2):
        with pytest.raises(ExecutionError, match="Division by zero"):
            relation.arrow()
    engines.check("SELECT 10 // i8 FROM t WHERE i8 > 0")
