"""Everything that can be registered: what is read from it, and what is refused."""

from __future__ import annotations

import datetime
import gzip
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from qtensor.errors import DataError
from qtensor.lowering.storage import ResultColumn, decode_column
from qtensor.sources import open_table
from qtensor.sources.table import Table


def contents(table: Table, threads: int = 2) -> dict[str, list[Any]]:
    """Everything in `table`, by way of its encoded columns."""
    result = {}
    for field, column in zip(table.fields, table.columns(range(len(table.fields)), threads), strict=True):
        valid = None if column.valid is None else column.valid.reshape(-1)[: table.rows]
        data = column.data.reshape(-1)[: table.rows]
        result[field.name] = decode_column(ResultColumn(column.type, data, None, valid, column.dictionary)).to_pylist()
    return result


def types(table: Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.fields}


ARROW = pa.table(
    {
        "id": pa.array([3, 1, None], pa.int32()),
        "name": pa.array(["b", None, "a"]),
        "price": pa.array([Decimal("1.50"), Decimal("-2.25"), None], pa.decimal128(15, 2)),
        "day": pa.array([datetime.date(2020, 1, 2), None, datetime.date(1969, 12, 31)]),
        "ratio": pa.array([0.5, float("inf"), None]),
        "kind": pa.array(["y", "x", "y"]).dictionary_encode(),
    }
)
EXPECTED = ARROW.set_column(5, "kind", ARROW["kind"].cast(pa.string())).to_pydict()


class Stream:
    """An object of a library that qtensor has never heard of."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Batch:
    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._batch.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    "source",
    [
        ARROW,
        ARROW.to_batches()[0],
        pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches(max_chunksize=2)),
        pyarrow.dataset.dataset(ARROW),
        Stream(ARROW),
        Batch(ARROW.to_batches()[0]),
        pl.from_arrow(ARROW),
        pl.from_arrow(ARROW).lazy(),  # type: ignore[union-attr]
        ARROW.to_pandas(types_mapper=pd.ArrowDtype),
        duckdb.arrow(ARROW.set_column(5, "kind", ARROW["kind"].cast(pa.string()))),
    ],
    ids=lambda source: type(source).__name__,
)
def test_arrow_in_every_disguise(source: object) -> None:
    table = open_table("t", source)
    assert table.rows == 3
    assert types(table) == {
        "id": "INTEGER",
        "name": "VARCHAR",
        "price": "DECIMAL(15,2)",
        "day": "DATE",
        "ratio": "DOUBLE",
        "kind": "VARCHAR",
    }
    assert contents(table) == EXPECTED
    assert contents(table, threads=1) == EXPECTED
    assert table.is_current()


def test_pandas_reads_as_duckdb_reads_it() -> None:
    frame = pd.DataFrame(
        {
            "float": [1.5, float("nan"), -0.0],
            "integer": np.array([1, 2, 3], np.uint8),
            "text": ["b", None, "a"],
            "object": pd.Series(["x", float("nan"), None], dtype=object),
            "nullable": pd.array([1, None, 3], dtype="Int16"),
            "truth": pd.array([True, None, False], dtype="boolean"),
            "moment": pd.to_datetime(["2020-01-01 12:00", None, "1960-01-01 00:00"]),
            "category": pd.Categorical(["v", "u", None], categories=["v", "w", "u"]),
            "decimal": pd.Series([Decimal("1.5"), None, Decimal("-2.5")], dtype=object),
        },
    ).set_index(pd.Index(["some", "index", "ignored"]))
    table = open_table("t", frame)
    result = contents(table)
    for name in set(frame) - {"category", "decimal"}:
        expected = duckdb.sql(f'SELECT "{name}" FROM frame')
        assert result[name] == [row[0] for row in expected.fetchall()], name
        assert types(table)[name] == str(expected.types[0]), name
    assert result["category"] == ["v", "u", None]
    assert result["decimal"] == [Decimal("1.5"), None, Decimal("-2.5")]
    assert types(table)["decimal"] == "DECIMAL(2,1)"


def test_numpy_reads_as_duckdb_reads_it() -> None:
    arrays = {
        "float": np.array([1.0, np.nan, np.inf], np.float32),
        "strided": np.arange(6, dtype=np.int16)[::2],
        "truth": np.array([True, False, True]),
        "text": np.array(["x", "yy", ""]),
        "object": np.array(["x", None, "z"], object),
        "masked": np.ma.masked_array([1, 2, 3], mask=[False, True, False]),
        "moment": np.array(["2020-01-01T00:00:01", "NaT", "1960-01-01"], "M8[ms]"),
    }
    table = open_table("t", arrays)
    result = contents(table)
    for name in arrays:
        expected = [row[0] for row in duckdb.sql(f'SELECT "{name}" FROM arrays').fetchall()]
        assert result[name] == expected, name


def test_numpy_dates_and_foreign_byte_order() -> None:
    arrays = {
        "day": np.array(["2020-01-01", "NaT"], "M8[D]"),
        "big": np.array([1, 2], ">i4"),
        "half": np.array([0.5, np.nan], np.float16),
        **{unit: np.array(["1969-12-31T23:59:59", "NaT"], f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")},
    }
    table = open_table("t", arrays)
    moment = [datetime.datetime(1969, 12, 31, 23, 59, 59), None]
    expected = {"day": [datetime.date(2020, 1, 1), None], "big": [1, 2], "half": [0.5, None]}
    assert contents(table) == expected | dict.fromkeys(("s", "ms", "us", "ns"), moment)
    assert types(table)["day"] == "DATE"
    assert types(table)["half"] == "FLOAT"
    assert types(table)["ns"] == "TIMESTAMP"


def test_nothing_is_imported_for_a_dict_of_arrays() -> None:
    code = (
        "import sys, types, numpy as np\n"
        "sys.modules['qtensor'] = types.ModuleType('qtensor')\n"  # without what the package's front imports
        "sys.modules['qtensor'].__path__ = ['qtensor']\n"
        "from qtensor.sources import open_table\n"
        "open_table('t', {'a': np.arange(3)}).column(0, 1)\n"
        "assert not {'pandas', 'polars', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


@pytest.mark.parametrize("source", [pd.DataFrame({"a": []}), {"a": np.array([])}, pa.table({"a": pa.array([], pa.float64())})])
def test_no_rows(source: object) -> None:
    table = open_table("t", source)
    assert table.rows == 0
    assert table.column(0, 2).data.shape == (1, 1, 64)
    assert list(contents(table).values()) == [[]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "^t is a builtins.int; a table can be a pandas or polars DataFrame, a pyarrow Table.* __arrow_c_stream__"),
        ([1, 2], "^t is a builtins.list; a table can be"),
        (pa.array([1]), "^t: its Arrow array cannot be read: .*non-struct type int64"),
        (pa.chunked_array([[1]]), "^t: its Arrow stream cannot be read: .*non-struct type int64"),
        ({"a": [1]}, '^t: column "a" is list; it must be a one-dimensional NumPy array'),
        ({"a": np.zeros((2, 2))}, '^t: column "a" is 2-dimensional; it must be a one-dimensional NumPy array'),
        ({"a": np.zeros(2), "b": np.zeros(3)}, '^t: columns must have equal numbers of rows, but "a" has 2, "b" has 3'),
        ({1: np.zeros(2)}, "^t: the key 1 is not a string"),
        ("nowhere.parquet", "^nowhere.parquet: no such file"),
        (Path("nowhere.csv"), "^nowhere.csv: no such file"),
        ("nowhere/*.parquet", "^nowhere/.*: there is no such Parquet file"),
    ],
)
def test_refused(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_table("t", source)


def test_broken_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(10_000)}), whole)
    for name, octets, message in [
        ("empty.parquet", b"", "cannot be read as Parquet: .*0 bytes"),
        ("garbage.parquet", b"garbage" * 100, "cannot be read as Parquet: .*magic bytes"),
        ("truncated.parquet", whole.read_bytes()[:-10], "cannot be read as Parquet"),
        ("latin.csv", "a\n\u00e4\n".encode("latin-1") * 2, "is not UTF-8: byte 0xe4 in line 2"),
        ("not.csv.gz", b"a,b\n1,2\n", "cannot be read as CSV"),
        ("table.txt", b"a\n1\n", r"the name must end in \.parquet, \.csv, .*, \.feather or \.ipc"),
        ("garbage.arrow", b"garbage" * 100, "is neither a file nor a stream in Arrow's format"),
        ("empty.ipc", b"", "is neither a file nor a stream in Arrow's format"),
        ("short.feather", b"ARROW1\0\0\xff", "cannot be read as an Arrow file"),
        ("short.arrows", b"\xff\xff\xff\xff\x10", "cannot be read as an Arrow stream"),
    ]:
        (tmp_path / name).write_bytes(octets)
        with pytest.raises(DataError, match=f"{name}: {message}"):
            open_table("t", str(tmp_path / name))


def test_parquet_whose_pages_are_damaged(tmp_path: Path) -> None:
    """The footer is sound, and so the file opens; the error comes with the first query, and names the file."""
    path = tmp_path / "damaged.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(10_000)}), path, compression="zstd")
    octets = bytearray(path.read_bytes())
    octets[4:100] = bytes(96)
    path.write_bytes(octets)
    table = open_table("t", path)
    with pytest.raises(DataError, match=r"damaged.parquet: cannot be read as Parquet"):
        table.column(0, 2)


def test_csv(tmp_path: Path) -> None:
    text = 'id,name,day,price,flag\n1,"a, b",2020-01-02,1.5,true\n2,,2021-01-01,,false\n,"",1969-12-31,-3,\n'
    plain, packed = tmp_path / "data.csv", tmp_path / "data.csv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        table = open_table("t", str(path))
        assert list(types(table).values()) == ["BIGINT", "VARCHAR", "DATE", "DOUBLE", "BOOLEAN"]
        rows = list(zip(*contents(table).values(), strict=True))
        assert rows == duckdb.sql(f"SELECT * FROM '{path}'").fetchall()
        assert table.is_current()
        path.write_bytes(path.read_bytes() + b"\n")
        assert not table.is_current()


def test_folders_and_patterns(tmp_path: Path) -> None:
    for year in (2020, 2021):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        pq.write_table(pa.table({"a": [year, year + 1]}), folder / "part.parquet")
    (tmp_path / "notes.txt").write_text("not data")
    expected = {"a": [2020, 2021, 2021, 2022], "year": [2020, 2020, 2021, 2021]}
    for source in (tmp_path, f"{tmp_path}/*/*.parquet"):
        table = open_table("t", source)
        assert contents(table) == expected
        assert table.is_current()
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "year=2020" / "part.parquet")
    assert not table.is_current()
