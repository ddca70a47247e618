"""Parameters that are lists, and scalars of NumPy and pandas: taken as DuckDB takes them, or refused in words."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

import qtensor
from qtensor.errors import ArtifactError, BindError, UnsupportedError
from tests.oracle import Engines

TABLE = """
    SELECT * FROM (VALUES ('a', 1, DATE '2020-01-01', 1.5, 1.5::DOUBLE), ('b', 2, DATE '2020-01-02', 2.5, 2.5),
        (NULL, NULL, NULL, NULL, NULL)) v(s, i, d, x, f)
"""
DAY = datetime.date(2020, 1, 1)


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines.over(threads=1, t=duckdb.sql(TABLE).to_arrow_table())
    yield made
    made.close()


def answer(relation: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and rows of what `execute` gave."""
    return [column[0] for column in relation.description], relation.fetchall()


QUANTIFIED = "i = ANY($1), i <> ALL($1), i > ALL($1), i > SOME($1), NOT (i = ANY($1)), i = ALL($1), i <= ANY($1), i = ANY $1"


@pytest.mark.parametrize("values", [[1, 2], [1], [1, None], [], [None], [7, 8, 1], None, [3_000_000_000], [2.0], [True]], ids=str)
def test_a_list_as_duckdb_compares_it(engines: Engines, values: object) -> None:
    """NULLs in the list and beside it, in all forms; IN does not see a NULL in a list, ANY and ALL do."""
    for query in ("SELECT i IN $1, i NOT IN $1, i + 1 IN $1 FROM t", f"SELECT {QUANTIFIED} FROM t"):
        assert answer(engines.ours.execute(query, [values])) == answer(engines.theirs.execute(query, [values]))


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("SELECT s IN ? FROM t", [["a", None]]),
        ("SELECT s FROM t WHERE s IN ?", [("a", "c")]),
        ("SELECT s FROM t WHERE s NOT IN $names", {"names": ["a"]}),
        ("SELECT x IN ?, f IN ?, f IN ? FROM t", [[Decimal("1.5")], [2.5, float("nan")], [1]]),
        ("SELECT d IN ?, d = ANY(?) FROM t", [[DAY], [datetime.datetime(2020, 1, 2), None]]),
        ("SELECT i IN ? FROM t", [np.array([1, 5])]),
        ("SELECT i IN ? FROM t", [[1, 2.5]]),
        ("SELECT count(*) FROM t WHERE i = ANY(?) AND x < ?", [[1, 2], 2]),
        ("SELECT NULL IN ?, 1 IN ?, 1 IN ?", [[1], [None], [None, 1]]),
        ("SELECT i IN [1, 2], i IN [i, NULL], 3 IN [1, NULL], i NOT IN [2, NULL], i IN [7, x::INTEGER] FROM t", []),
    ],
)
def test_lists_of_other_types(engines: Engines, query: str, parameters: Any) -> None:
    assert answer(engines.ours.execute(query, parameters)) == answer(engines.theirs.execute(query, parameters))


@pytest.mark.parametrize(
    ("query", "parameters", "message"),
    [
        ("SELECT ?", [[1]], r"\$1 is a list, which stands only after IN"),
        ("SELECT i IN (?) FROM t", [[1]], r"\$1 is a list, which stands only after IN"),
        ("SELECT i = ? FROM t", [[1]], r"\$1 is a list, which stands only after IN"),
        ("SELECT i IN ? FROM t", [1], r"\$1 is a list here, not an INTEGER"),
        ("SELECT i = ANY(?) FROM t", [1], r"\$1 is a list here, not an INTEGER"),
        ("SELECT d IN ? FROM t", [["2020-01-01"]], "a list cannot compare a VARCHAR with a DATE"),
        ("SELECT s = ANY(?) FROM t", [[1]], "a list cannot compare a VARCHAR with a INTEGER"),
        ("SELECT i IN ['1'] FROM t", [], "a list cannot compare a VARCHAR with a INTEGER"),
        ("SELECT i IN ? FROM t", [[[1]]], r"parameter \$1: a list has no SQL type"),
        ("SELECT i IN ? FROM t", [[1], [2]], r"\$2"),
        ("SELECT i IN ?, i IN ? FROM t", [[1]], r"no value was given for the parameter \$2"),
    ],
)
def test_lists_that_do_not_fit(engines: Engines, query: str, parameters: list[object], message: str) -> None:
    with pytest.raises(BindError, match=message):
        engines.ours.sql(query, parameters)
    with pytest.raises(UnsupportedError, match="IN without a query or a list in parentheses"):
        engines.ours.sql("SELECT i IN s FROM t")


def test_long_lists_are_not_mistaken_for_one_another(engines: Engines) -> None:
    """NumPy prints long arrays with dots in the middle."""
    query, numbers = "SELECT count(*) FROM (VALUES (5000), (200000)) v(a) WHERE a IN ?", np.arange(100_000)
    for start, stop in ((0, 3_000), (4_000, 6_000), (0, 3_000)):
        wanted = [(int(start <= 5_000 < stop),)]
        assert engines.ours.sql(query, [numbers[start:stop]]).fetchall() == wanted
    changing = np.arange(4_000, 6_000)
    relation = engines.ours.sql(query, [changing])
    changing[:] = 0
    assert relation.fetchall() == [(1,)]
    scalars = [2]
    relation = engines.ours.sql("SELECT ? + 1", scalars)
    scalars[0] = 5
    assert relation.fetchall() == [(3,)]


def test_an_artifact_keeps_its_lists(tmp_path: Path) -> None:
    connection = qtensor.connect(threads=1).register("t", {"i": np.arange(5)})
    connection.sql("SELECT i FROM t WHERE i IN $1 AND i > $2", [[1, 3], 2]).export(tmp_path / "q.qta")
    artifact = qtensor.load(tmp_path / "q.qta")
    assert artifact({"i": np.arange(5)[::-1]}).to_pydict() == {"i": [3]}
    assert artifact({"i": np.arange(5)[::-1]}, **{"2": 0}).to_pydict() == {"i": [3, 1]}
    with pytest.raises(ArtifactError, match='no parameter "1"'):
        artifact({"i": np.arange(5)}, **{"1": [1]})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (np.bool_(True), True),
        (np.int8(-3), -3),
        (np.int64(2**40), 2**40),
        (np.uint64(7), 7),
        (np.float32(1.5), 1.5),
        (np.float64(1.1), 1.1),
        (np.str_("x"), "x"),
        (np.array(3), 3),
        (np.datetime64("2020-01-01"), DAY),
        (np.datetime64("2020-01"), DAY),
        (np.datetime64("2020"), DAY),
        (np.datetime64("2020-01-01T10", "h"), datetime.datetime(2020, 1, 1, 10)),
        (np.datetime64("2020-01-01T10:20:30.5", "ms"), datetime.datetime(2020, 1, 1, 10, 20, 30, 500_000)),
        (np.datetime64("1960-01-01T10:20:30.000001", "ns"), datetime.datetime(1960, 1, 1, 10, 20, 30, 1)),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2020-01-01"), datetime.datetime(2020, 1, 1)),
        (DAY, DAY),
        (Decimal("1.50"), Decimal("1.50")),
        (None, None),
    ],
    ids=repr,
)
def test_scalars(engines: Engines, given: object, meant: object) -> None:
    """NumPy's and pandas' scalars, of which DuckDB takes some, are the Python values that they are for."""
    query = "SELECT typeof(?), ?"
    assert engines.ours.sql(query, [given, given]).fetchall() == engines.theirs.execute(query, [meant, meant]).fetchall()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.datetime64("2020-01-01T00:00:00.000000001"), "parts of a microsecond"),
        (np.datetime64(10**17, "Y"), "out of range of DATE"),
        (np.datetime64(2**61, "h"), "out of range of TIMESTAMP"),
        (np.timedelta64(1, "D"), "pass a datetime.timedelta"),
        (pd.Timestamp("2020-01-01", tz="UTC"), "has a time zone"),
        (datetime.time(1), "a time has no SQL type"),
        (b"x", "a bytes has no SQL type"),
        ({"a": 1}, "a dict has no SQL type"),
        (pd.Series([1]), "a Series has no SQL type"),
        (np.zeros((2, 2)), "a ndarray has no SQL type"),
        (1j, "a complex has no SQL type"),
    ],
    ids=repr,
)
def test_values_without_a_type(engines: Engines, given: object, message: str) -> None:
    with pytest.raises(BindError, match=rf"parameter \$1: .*{message}"):
        engines.ours.sql("SELECT ?", [given])
