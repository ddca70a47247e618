"""Results fetched as pandas, NumPy, polars, Python rows and tables of other queries: types and values as DuckDB gives them."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from IPython.core.formatters import DisplayFormatter

import qtensor
from qtensor.errors import DataError, UnsupportedError
from qtensor.results import fetching

COLUMNS = {
    "hugeint": "sum(a) FROM (VALUES (1), (2)) t(a)",
    "hugeint NULL": "sum(a) FROM (VALUES (NULL::INTEGER)) t(a)",
    "hugeint beyond 64 bits": "sum(a) FROM (VALUES (9223372036854775807), (9223372036854775807)) t(a)",
    "hugeint by group": "sum(b) FROM (VALUES (1, 1), (2, NULL), (3, -7)) t(a, b) GROUP BY a ORDER BY a",
    "decimal": "1.57::DECIMAL(9,2)",
    "decimals of many digits": "a::DECIMAL(38,3) FROM (VALUES ('1.57'), ('-1234567890.678'), (NULL)) t(a)",
    "decimals NULL": "a FROM (VALUES (1.5), (NULL)) t(a)",
    "decimals of no row": "1.5 WHERE FALSE",
    "date": "DATE '2020-01-01'",
    "dates NULL": "a FROM (VALUES (DATE '1969-12-31'), (NULL), (DATE '9999-12-31'), (DATE '0001-01-01')) t(a)",
    "timestamp": "TIMESTAMP '2020-01-01 00:00:01'",
    "timestamps NULL": "a FROM (VALUES (TIMESTAMP '9999-12-31 23:59:59.999999'), (NULL), (TIMESTAMP '1500-01-01')) t(a)",
    "boolean": "TRUE",
    "booleans NULL": "a FROM (VALUES (TRUE), (NULL), (FALSE)) t(a)",
    "booleans all NULL": "NULL::BOOLEAN",
    **{name: f"1::{name}" for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "UINTEGER", "UBIGINT")},
    **{
        f"{name} NULL": f"a::{name} FROM (VALUES (1), (NULL)) t(a)"
        for name in ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE")
    },
    "bigints NULL that no double holds": "a FROM (VALUES (9007199254740993), (NULL)) t(a)",
    "float": "1.1::FLOAT",
    "floats NaN and NULL": "a::FLOAT FROM (VALUES ('nan'), (NULL), ('inf')) t(a)",
    "double": "1.1::DOUBLE",
    "text": "'x'",
    "texts NULL": "a FROM (VALUES ('x'), (NULL), ('')) t(a)",
    "null": "NULL",
    "no row": "1 WHERE FALSE",
}


def both(query: str) -> tuple[qtensor.Relation, duckdb.DuckDBPyRelation]:
    return qtensor.connect(threads=1).sql(query), duckdb.connect().sql(query)


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_every_type_as_duckdb_gives_it(column: str) -> None:
    ours, theirs = both(f"SELECT {column}")
    pd.testing.assert_frame_equal(ours.df(), theirs.df(), check_exact=True)
    assert ours.pl().equals(theirs.pl())
    assert ours.pl().schema == theirs.pl().schema
    ((name, found),), ((wanted_name, wanted),) = ours.numpy().items(), theirs.fetchnumpy().items()
    assert (name, found.dtype, type(found)) == (wanted_name, wanted.dtype, type(wanted))
    assert str(found.tolist()) == str(wanted.tolist())  # NaN is no different from NaN
    assert str(ours.fetchall()) == str(theirs.fetchall())


FAR = pa.table(
    {
        "d": pa.array([0, 20_000_000, -800_000, None], pa.int32()).cast(pa.date32()),
        "t": pa.array([1, 9_089_380_396_800_000_000, -63_517_824_000_000_000, None]).cast(pa.timestamp("us")),
    }
)
INFINITE = pa.table(
    {
        "d": pa.array([2**31 - 1, -(2**31) + 1], pa.int32()).cast(pa.date32()),
        "t": pa.array([2**63 - 1, -(2**63) + 1]).cast(pa.timestamp("us")),
    }
)


@pytest.fixture
def far() -> Iterator[tuple[qtensor.Connection, duckdb.DuckDBPyConnection]]:
    ours, theirs = qtensor.connect(threads=1), duckdb.connect()
    for name, table in (("far", FAR), ("infinite", INFINITE)):
        ours.register(name, table)
        theirs.register(name, table)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_far_dates(far: tuple[qtensor.Connection, duckdb.DuckDBPyConnection]) -> None:
    """Beyond the years of Python and of datetime64[ns]: neither wrapped nor an error."""
    ours, theirs = (connection.sql("SELECT d, t FROM far") for connection in far)
    pd.testing.assert_frame_equal(ours.df(), theirs.df())
    for name, wanted in theirs.fetchnumpy().items():
        assert str(ours.numpy()[name].tolist()) == str(wanted.tolist())
    assert ours.fetchall() == theirs.fetchall()
    assert ours.fetchall()[1] == ("56728-02-22", "290000-12-31 00:00:00")
    for text in (repr(ours), ours._repr_html_()):
        assert all(value in text for row in ours.fetchall()[1:3] for value in row)


@pytest.mark.parametrize("format", ["csv", "json"])
def test_far_dates_in_files(far: tuple[qtensor.Connection, duckdb.DuckDBPyConnection], tmp_path: Path, format: str) -> None:
    for name, connection in zip(("ours", "theirs"), far, strict=True):
        connection.execute(f"COPY far TO '{tmp_path / name}.{format}'")
    assert (tmp_path / f"ours.{format}").read_text() == (tmp_path / f"theirs.{format}").read_text()


def test_infinite_dates(far: tuple[qtensor.Connection, duckdb.DuckDBPyConnection]) -> None:
    ours, theirs = (connection.sql("SELECT d, t FROM infinite") for connection in far)
    assert ours.fetchall() == theirs.fetchall()
    with pytest.raises(duckdb.ConversionException):
        theirs.df()
    for fetch in (ours.df, ours.numpy):
        with pytest.raises(DataError, match='column "d" has an infinite date'):
            fetch()
    pd.testing.assert_frame_equal(far[0].sql("SELECT t FROM infinite").df(), far[1].sql("SELECT t FROM infinite").df())


def scores(threads: int = 1) -> qtensor.Connection:
    return qtensor.connect(threads=threads).create_function("m", lambda x: jnp.stack([x, x * 2]), arguments=1)


def test_scores() -> None:
    """A model's scores as DuckDB's arrays; in JAX one matrix, NaN for NULL."""
    connection = scores()
    ours = connection.sql("SELECT CASE WHEN a <> 2 THEN m(a) END AS s FROM (VALUES (1), (2), (3)) t(a)")
    theirs = duckdb.sql("SELECT a::DOUBLE[2] AS s FROM (VALUES ([1, 2]), (NULL), ([3, 6])) t(a)")
    assert ours.types == [str(type) for type in theirs.types] == ["DOUBLE[2]"]
    assert ours.fetchall() == theirs.fetchall()
    for found, wanted in ((ours.df()["s"], theirs.df()["s"]), (ours.numpy()["s"], theirs.fetchnumpy()["s"])):
        assert found.dtype == wanted.dtype == object
        assert [list(found[i]) for i in (0, 2)] == [list(wanted[i]) for i in (0, 2)] == [[1, 2], [3, 6]]
        assert pd.isna(found[1]) is not False
    assert ours.pl().equals(theirs.pl())
    np.testing.assert_array_equal(ours.jax()["s"], [[1, 2], [np.nan, np.nan], [3, 6]])
    assert connection.sql("SELECT m(a) AS s FROM (VALUES (1)) t(a) WHERE a > 1").jax()["s"].shape == (0, 2)


def test_categories() -> None:
    """Ordered, as DuckDB's are, and with all their values; also read from a relation."""
    frame = pd.DataFrame({"c": pd.Categorical(["low", "high", None], ["low", "mid", "high"])})
    answers = []
    for connection in (qtensor.connect(threads=1), duckdb.connect()):
        connection.register("t", frame)
        relation: Any = connection.sql("SELECT c FROM t")
        answers.append((relation.df(), connection.sql("SELECT max(c), typeof(max(c)) FROM relation").fetchall()))
    pd.testing.assert_frame_equal(answers[0][0], answers[1][0])
    assert answers[0][1] == answers[1][1] == [("high", "ENUM('low', 'mid', 'high')")]


def test_frames_and_arrays_can_be_written_to() -> None:
    relation = qtensor.connect(threads=1).sql("SELECT * FROM (VALUES (1, 1.5, TRUE, 7), (2, NULL, NULL, NULL)) t(a, b, c, d)")
    frame = relation.df()
    frame.iloc[0, 0], frame.loc[0, "c"], frame.loc[1, "d"] = 5, False, 8
    assert frame["a"].tolist() == [5, 2]
    assert frame["d"].tolist() == [7, 8]
    arrays = relation.numpy()
    for name in ("a", "b", "d"):
        arrays[name][0] = 9
    assert [arrays[name][0] for name in ("a", "b", "d")] == [9, 9, 9]
    assert relation.fetchall()[0] == (1, pytest.approx(1.5), True, 7)


def test_names_twice() -> None:
    ours, theirs = both("SELECT 1 AS a, 2 AS a, 3 AS A, 4 AS a_1")
    assert list(ours.df()) == list(ours.numpy()) == list(theirs.df()) == ["a", "a_1", "A_2", "a_1_1"]
    connection = qtensor.connect(threads=1)
    doubled = connection.sql("SELECT 1 AS a, 2 AS a")
    assert connection.sql("FROM doubled").columns == duckdb.sql("FROM (SELECT 1 AS a, 2 AS a)").columns
    assert doubled.fetchall() == [(1, 2)]


# --- relations as tables ------------------------------------------------------------------------------------------------------

TYPED = """
    SELECT sum(a) AS h, 1.5::DECIMAL(9,2) AS d, 2::DECIMAL(38,0) AS w, DATE '2020-01-01' AS day, TIMESTAMP '2020-01-01' AS t,
        TRUE AS b, 1::TINYINT AS i8, 1::SMALLINT AS i16, 1::INTEGER AS i32, 1::BIGINT AS i64, 1::UTINYINT AS u8,
        1::USMALLINT AS u16, 1::UINTEGER AS u32, 1::UBIGINT AS u64, 1::FLOAT AS f, 1::DOUBLE AS x, 'a' AS s
    FROM (VALUES (1), (2)) v(a)
"""


@pytest.mark.parametrize("made", ["relation", "table", "view", "relation of a relation"])
def test_types_last_through_tables(made: str) -> None:
    """What typeof says of a column is what it says of the column read from a relation, a table or a view."""
    ours, theirs = qtensor.connect(threads=1), duckdb.connect()
    names = ours.sql(TYPED).columns
    found = []
    for connection in (ours, theirs):
        relation: Any = connection.sql(TYPED)
        if made in ("table", "view"):
            connection.execute(f"CREATE {made} relation AS {TYPED}")
            del relation
        elif made == "relation of a relation":
            base = relation
            relation = connection.sql("SELECT * FROM base")
            assert base is not relation
        asked = ", ".join(f"typeof({name}), {name}" for name in names)
        found.append(connection.sql(f"SELECT {asked} FROM relation").fetchall())
    assert found[0] == found[1]
    assert found[0][0][:2] == ("HUGEINT", 3)


def test_typeof_null() -> None:
    connection = qtensor.connect(threads=1)
    nothing = connection.sql("SELECT NULL AS n")
    found = connection.sql("SELECT typeof(n) FROM nothing").fetchall()
    assert nothing.types == [found[0][0]]
    assert found == duckdb.sql("SELECT typeof(n) FROM (SELECT NULL AS n)").fetchall()


def test_a_relation_follows_its_tables() -> None:
    """Named as a table, too, it is what its query gives now, and not what it gave when it was first named."""
    for connection in (qtensor.connect(threads=1), duckdb.connect()):
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.execute("INSERT INTO t VALUES (1)")
        base: Any = connection.sql("SELECT a + 1 AS a FROM t")
        outer = connection.sql("SELECT sum(a) FROM base")
        assert outer.fetchall() == [(2,)]
        connection.execute("INSERT INTO t VALUES (10)")
        assert outer.fetchall() == [(13,)]
        assert connection.sql("SELECT sum(a) FROM base").fetchall() == [(13,)]
        assert base.fetchall() == [(2,), (11,)]


def test_an_artifact_of_a_relation(tmp_path: Path) -> None:
    """Arrow's DECIMAL(38,0) stands for HUGEINT, which Arrow does not have."""
    connection = qtensor.connect(threads=1)
    sums = connection.sql("SELECT sum(a) AS s FROM (VALUES (1), (2)) t(a) GROUP BY a ORDER BY a")
    connection.sql("SELECT s + 1 AS s, typeof(s) AS t FROM sums").export(tmp_path / "q.qta")
    artifact = qtensor.load(tmp_path / "q.qta")
    for table in (sums, sums.arrow(), {"s": np.array([1, 2])}):
        assert artifact(table).to_pydict() == {"s": [2, 3], "t": ["HUGEINT", "HUGEINT"]}


def test_relations_of_other_connections() -> None:
    one, other = qtensor.connect(threads=1), qtensor.connect(threads=1)
    relation = one.sql("SELECT sum(a) AS s FROM (VALUES (1), (2)) t(a)")
    assert other.sql("SELECT s, typeof(s) FROM relation").fetchall() == [(3, "HUGEINT")]
    assert other.register("r", relation).sql("SELECT s FROM r").fetchall() == [(3,)]
    assert qtensor.sql("SELECT s FROM given", given=relation).fetchall() == [(3,)]
    one.close()
    for name in ("relation", "r"):
        with pytest.raises(DataError, match="used as a table after its connection was closed"):
            other.sql(f"SELECT s FROM {name}").fetchall()
    with pytest.raises(DataError, match="used as a table after its connection was closed"):
        qtensor.sql("SELECT s FROM given", given=relation).fetchall()
    for fetch in (relation.fetchall, relation.fetchone, relation.df, relation.show, relation.__len__):
        with pytest.raises(DataError, match="connection is closed"):
            fetch()
    assert relation.columns == ["s"]


def test_scores_are_no_column_of_a_table() -> None:
    connection = scores()
    relation = connection.sql("SELECT a, m(a) AS s FROM (VALUES (1), (2)) t(a)")
    assert connection.sql("SELECT a FROM relation").fetchall() == [(1,), (2,)]
    with pytest.raises(UnsupportedError, match=r'the column "s" of type DOUBLE\[2\]; call the model in the query that reads it'):
        connection.sql("SELECT s FROM relation").fetchall()
    assert relation.fetchall() == [(1, (1.0, 2.0)), (2, (2.0, 4.0))]


# --- stepping -----------------------------------------------------------------------------------------------------------------

STEPS = [
    (5, ["fetchone"] * 7 + ["fetchall"]),
    (5, ["fetchone", "fetchmany 2", "fetchall", "fetchall", "fetchone", "fetchmany"]),
    (5, ["fetchmany 0", "fetchmany", "fetchmany 3", "fetchone", "fetchone", "fetchall"]),
    (0, ["fetchone", "fetchone", "fetchall", "fetchmany"]),
    (3, ["fetchmany 5", "fetchmany 5", "fetchall"]),
    (5000, ["fetchone", "fetchmany 2046", "fetchmany 3", "fetchmany 4000", "fetchone"]),
]


@pytest.mark.parametrize(("rows", "steps"), STEPS)
def test_stepping(rows: int, steps: list[str]) -> None:
    """fetchone and fetchmany go through one result, as DuckDB's cursor and DB-API do; fetchall gives the rest."""
    table = pa.table({"a": range(rows), "b": [str(number) for number in range(rows)]})
    ours: Any = qtensor.connect(threads=1).register("t", table).sql("SELECT * FROM t")
    theirs: Any = duckdb.connect().register("t", table).execute("SELECT * FROM t")
    for step in steps:
        method, *arguments = step.split()
        numbers = [int(argument) for argument in arguments]
        assert getattr(ours, method)(*numbers) == getattr(theirs, method)(*numbers), step


def test_the_walrus_ends() -> None:
    relation = qtensor.sql("SELECT * FROM (VALUES (1), (2), (3)) t(a) ORDER BY a")
    seen = []
    while row := relation.fetchone():
        seen.append(row)
    assert seen == [(1,), (2,), (3,)]


def test_a_pass_is_of_one_result() -> None:
    """What was begun goes on over the rows of its beginning; all else is computed anew."""
    connection = qtensor.connect(threads=1)
    connection.execute("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a")
    relation = connection.sql("SELECT a FROM t ORDER BY a")
    assert relation.fetchall() == relation.fetchall() == [(1,), (2,)]
    assert relation.fetchone() == (1,)
    connection.execute("INSERT INTO t VALUES (3)")
    assert relation.arrow().num_rows == len(relation) == len(relation.df()) == len(list(relation)) == 3
    assert relation.shape == (3, 1)
    assert relation.fetchall() == [(2,)]
    assert relation.fetchone() is None
    assert connection.execute("INSERT INTO t VALUES (4), (5)").fetchone() == (2,)
    with pytest.raises(DataError, match="the number of rows that fetchmany takes is at least 0, not -1"):
        relation.fetchmany(-1)


def test_stepping_makes_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    python_rows = fetching.python_rows

    def counted(table: pa.Table, schema: Any) -> list[Any]:
        made.append(table.num_rows)
        return python_rows(table, schema)

    monkeypatch.setattr(fetching, "python_rows", counted)
    relation = qtensor.connect(threads=1).register("t", {"a": np.arange(100_000)}).sql("SELECT a FROM t")
    assert [relation.fetchone(), relation.fetchone()] == [(0,), (1,)]
    assert next(iter(relation)) == (0,)
    assert sum(made) == 2 * fetching.ROWS_AT_ONCE
    assert [row[0] for row in relation] == list(range(100_000))
    assert [row[0] for row in relation.fetchall()] == list(range(2, 100_000))


def test_a_notebook_runs_the_query_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = qtensor.connect(threads=1)
    relation = connection.sql("SELECT 1 AS a, '<b>' AS b")
    runs = []
    run = connection._session.run
    monkeypatch.setattr(connection._session, "run", lambda prepared: runs.append(prepared) or run(prepared))
    shown, _ = DisplayFormatter().format(relation)
    assert len(runs) == 1
    assert shown == {"text/plain": repr(relation), "text/html": relation._repr_html_()}


# --- names and what is missing ------------------------------------------------------------------------------------------------


def test_duckdbs_other_names() -> None:
    ours, theirs = both("SELECT 1 AS a, 'x' AS b, sum(1) AS c")
    for name in ("to_df", "fetchdf"):
        pd.testing.assert_frame_equal(getattr(ours, name)(), getattr(theirs, name)())
    assert ours.fetchnumpy().keys() == theirs.fetchnumpy().keys()
    assert ours.to_arrow_table().equals(theirs.to_arrow_table())
    assert ours.fetch_arrow_table().equals(theirs.to_arrow_table())
    assert ours.shape == theirs.shape
    assert len(ours) == len(theirs)
    assert ours.description == [(name, str(type), *rest) for name, type, *rest in theirs.description]
    changed = qtensor.connect(threads=1).execute("CREATE TABLE t AS SELECT 1 AS a")
    assert changed.to_arrow_table().equals(changed.arrow())
    assert changed.df()["Count"].tolist() == [1]


@pytest.mark.parametrize(("library", "method"), [("pandas", "df"), ("polars", "pl")])
def test_what_is_not_installed(library: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    relation = qtensor.sql("SELECT 1 AS a")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataError, match=rf"^{method}\(\) needs {library}, which is not installed: pip install {library}"):
        getattr(relation, method)()


def test_rows_of_dates_near_and_far() -> None:
    """One far date does not make texts of the others."""
    connection = qtensor.connect(threads=1).register("far", FAR)
    (first, *_) = connection.sql("SELECT d, t FROM far").fetchall()
    assert first == (datetime.date(1970, 1, 1), datetime.datetime(1970, 1, 1, 0, 0, 0, 1))
