"""What a relation gives: the same rows in every shape that people and libraries want them in."""

from __future__ import annotations

import datetime
import html.parser
import math
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import jax
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import DataError, QTensorError
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines
from tests.sql.tables import every_type

ROWS = 300


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines.over(threads=2, t=every_type(ROWS))
    yield made
    made.close()


@pytest.fixture(scope="module")
def everything(engines: Engines) -> qtensor.Relation:
    return engines.ours.sql("SELECT * FROM t ORDER BY id")


def same(left: object, right: object) -> bool:
    """Equal, and NaN equals NaN."""
    return left == right or (isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right))


def assert_rows(found: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert all(same(a, b) for a, b in zip(ours, theirs, strict=True)), (ours, theirs)


def test_arrow(engines: Engines, everything: qtensor.Relation) -> None:
    """Each type as DuckDB hands it to Arrow."""
    table = everything.arrow()
    assert isinstance(table, pa.Table)
    table.validate(full=True)
    expected = engines.theirs.sql("SELECT * FROM t ORDER BY id").to_arrow_table()
    assert table.schema.names == expected.schema.names
    for field, theirs in zip(table.schema, expected.schema, strict=True):
        if field.name != "c":  # DuckDB hands on the dictionary
            assert field.type == theirs.type, field.name
    assert_rows(list(zip(*table.to_pydict().values(), strict=True)), list(zip(*expected.to_pydict().values(), strict=True)))


def test_schema_columns_types(everything: qtensor.Relation) -> None:
    """Known without running the query."""
    assert everything.columns == every_type(0).column_names
    assert everything.schema == everything.arrow().schema
    assert everything.types[:6] == ["BIGINT", "INTEGER", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER"]
    assert everything.types[6:14] == ["BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DOUBLE"]
    assert everything.types[14:18] == ["DECIMAL(9,2)", "DECIMAL(15,4)", "DECIMAL(38,3)", "DATE"]
    assert everything.types[18:] == ["TIMESTAMP", "VARCHAR", "VARCHAR", "VARCHAR", "INTEGER"]


def test_fetchall_and_fetchone(engines: Engines) -> None:
    relation = engines.ours.sql("SELECT id, sum(i64 * 8000), s FROM t GROUP BY id, s ORDER BY id")
    rows = relation.fetchall()
    assert rows == engines.theirs.sql("SELECT id, sum(i64 * 8000), s FROM t GROUP BY id, s ORDER BY id").fetchall()
    assert relation.fetchone() == rows[0]
    assert engines.ours.sql("SELECT id FROM t WHERE FALSE").fetchone() is None
    assert engines.ours.sql("SELECT id FROM t WHERE FALSE").fetchall() == []
    (row,) = engines.ours.sql(
        "SELECT 1, 1.5, 2e0, 'a', TRUE, NULL, DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:01'"
    ).fetchall()
    assert row == (1, Decimal("1.5"), 2.0, "a", True, None, datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 0, 0, 1))
    assert [type(value).__name__ for value in row] == ["int", "Decimal", "float", "str", "bool", "NoneType", "date", "datetime"]


def test_df(engines: Engines, everything: qtensor.Relation) -> None:
    frame = everything.df()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == everything.columns
    assert frame["id"].tolist() == list(range(ROWS))
    assert frame["s"].isna().sum() == engines.theirs.execute("SELECT count(*) - count(s) FROM t").fetchall()[0][0]
    assert frame["y"].dtype == np.float64


def test_pl(everything: qtensor.Relation) -> None:
    frame = everything.pl()
    assert isinstance(frame, pl.DataFrame)
    assert_rows(frame.rows(), everything.fetchall())


def test_numpy(engines: Engines) -> None:
    arrays = engines.ours.sql("SELECT id, y, i8, d, w, day, b, sum(i16) AS h FROM t GROUP BY ALL ORDER BY id").numpy()
    expected = engines.theirs.sql("SELECT i8, d, day, b FROM t ORDER BY id").fetchnumpy()
    assert arrays["id"].dtype == np.int64
    assert arrays["id"].tolist() == list(range(ROWS))
    assert arrays["y"].dtype == np.float64
    assert not isinstance(arrays["y"], np.ma.MaskedArray)
    assert isinstance(arrays["i8"], np.ma.MaskedArray)
    assert arrays["i8"].dtype == np.int8
    assert arrays["d"].dtype == np.float64
    assert arrays["day"].dtype == np.dtype("M8[us]")
    assert arrays["b"].dtype == np.bool_
    assert arrays["w"].tolist() == engines.tables["t"]["w"].to_pylist()
    for name, values in expected.items():
        assert arrays[name].tolist() == values.tolist(), name


def test_jax(engines: Engines) -> None:
    arrays = engines.ours.sql("SELECT id, y, x, f, b IS TRUE AS b, coalesce(i8, 0) AS i FROM t ORDER BY id").jax()
    assert all(isinstance(array, jax.Array) for array in arrays.values())
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "id": "int64",
        "y": "float64",
        "x": "float64",
        "f": "float32",
        "b": "bool",
        "i": "int8",
    }
    assert arrays["id"].tolist() == list(range(ROWS))
    nan = engines.theirs.execute("SELECT count(*) FROM t WHERE x IS NULL OR isnan(x)").fetchall()[0][0]
    assert np.isnan(np.asarray(arrays["x"])).sum() == nan
    with pytest.raises(DataError, match='column "i8" has NULLs, which a JAX array of int8 cannot hold'):
        engines.ours.sql("SELECT i8 FROM t").jax()
    with pytest.raises(DataError, match='column "s" is no number'):
        engines.ours.sql("SELECT s FROM t").jax()


def test_arrow_c_stream(everything: qtensor.Relation) -> None:
    """pyarrow, polars and DuckDB read a relation as they read any table."""
    expected = everything.fetchall()
    assert_rows(list(zip(*pa.table(everything).to_pydict().values(), strict=True)), expected)
    assert_rows(pl.DataFrame(everything).rows(), expected)
    assert_rows(duckdb.sql("SELECT * FROM everything").fetchall(), expected)
    schema = pa.schema([("a", pa.int64())])
    assert pa.RecordBatchReader.from_stream(qtensor.sql("SELECT 1 AS a"), schema).read_all()["a"].to_pylist() == [1]


@pytest.mark.parametrize(
    "query", ["SELECT * FROM t WHERE FALSE", "SELECT g, count(*) FROM t WHERE FALSE GROUP BY g", "SELECT n FROM t"]
)
def test_every_shape_of_nothing(engines: Engines, query: str) -> None:
    relation = engines.ours.sql(query)
    rows = len(engines.theirs.sql(query).fetchall())
    assert relation.arrow().num_rows == rows
    assert relation.df().shape == (rows, len(relation.columns))
    assert relation.pl().shape == (rows, len(relation.columns))
    assert {len(array) for array in relation.numpy().values()} == {rows}
    assert repr(relation)
    assert relation._repr_html_()


def test_columns_of_equal_names() -> None:
    """Kept apart where rows have no names, and nowhere silently dropped."""
    relation = qtensor.sql("SELECT 1 AS a, 2 AS a, 3 AS b")
    assert relation.fetchall() == [(1, 2, 3)]
    assert relation.columns == ["a", "a", "b"]
    assert relation.arrow().num_columns == 3
    assert relation.df().shape == (1, 3)
    for fetch in (relation.numpy, relation.jax, lambda: relation.pl().columns):
        try:
            assert len(fetch()) == 3
        except DataError as error:
            assert '"a"' in str(error)


def test_show_and_repr(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    relation = engines.ours.sql("SELECT g, count(*) AS n FROM t GROUP BY g ORDER BY g")
    relation.show()
    shown = capsys.readouterr().out
    assert shown.rstrip("\n") == repr(relation)
    assert "int32" in shown or "INTEGER" in shown.upper()
    for g, n in relation.fetchall():
        assert any(str(g) in line and str(n) in line for line in shown.splitlines())
    engines.ours.sql("SELECT id FROM t ORDER BY id").show(max_rows=6)
    shown = capsys.readouterr().out
    assert "299" in shown
    assert "150" not in shown
    engines.ours.sql("SELECT * FROM t").show(max_width=60)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_html(engines: Engines) -> None:
    connection = qtensor.connect().register("t", pa.table({"a<b": ["<script>alert(1)</script>", "&", None]}))
    text = connection.sql("SELECT * FROM t")._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    open_tags: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "br":
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Parser().feed(text)
    assert open_tags == []


def test_explain(engines: Engines) -> None:
    relation = engines.ours.sql("select g, sum(i16) from t where day < date '1990-01-01' - interval 1 day group by g")
    assert relation.explain("sql").startswith("SELECT\n  g,\n  SUM(i16)\nFROM t")
    logical = relation.explain("logical")
    assert logical.index("bound") < logical.index("optimised")
    assert "DATE '1989-12-31'" in logical
    physical = relation.explain("physical")
    assert relation.explain() == physical
    assert physical.startswith("pipeline 0: scan t (")
    assert relation.explain("hlo") == relation.hlo()
    assert relation.hlo().startswith("HloModule")
    timings = relation.explain("timings")
    for stage in ("bind", "optimise", "plan", "compile", "run", "fetch"):
        assert stage in timings
    with pytest.raises(QTensorError, match='there is no level "llvm"'):
        relation.explain("llvm")  # type: ignore[arg-type]


def test_the_hlo_names_no_files(engines: Engines) -> None:
    hlo = engines.ours.sql("SELECT sum(i16) FROM t").hlo()
    assert ".py" not in hlo
    assert "metadata" not in hlo


def test_plans(engines: Engines) -> None:
    stages = [rule for rule, _ in engines.ours.sql("SELECT id FROM t WHERE 1 = 1 AND i8 > 0").plans()]
    assert stages == ["bound", "fold_constants", "prune_columns"]
    assert next(rule for rule, _ in engines.ours.sql("SELECT 1").plans()) == "bound"


def test_a_large_result_comes_in_order() -> None:
    rows = 5 * CHUNK
    relation = (
        qtensor.connect(threads=2).register("t", {"a": np.arange(rows), "x": np.arange(rows) / 2}).sql("SELECT x, a FROM t")
    )
    arrays = relation.numpy()
    np.testing.assert_array_equal(arrays["a"], np.arange(rows))
    np.testing.assert_array_equal(arrays["x"], np.arange(rows) / 2)
    assert relation.arrow().num_rows == rows


def test_results_do_not_share_memory_with_anything() -> None:
    arrays = {"a": np.arange(1000), "x": np.arange(1000.0)}
    connection = qtensor.connect().register("t", arrays)
    before = connection.sql("SELECT a, x FROM t").arrow()
    copy = before.to_pydict()
    arrays["a"][:] = 7
    arrays["x"][:] = 7
    assert before.to_pydict() == copy
    assert connection.sql("SELECT DISTINCT a, x FROM t").fetchall() == [(7, 7.0)]
    assert before.to_pydict() == copy
