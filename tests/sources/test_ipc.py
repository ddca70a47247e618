"""Files and streams in Arrow's own format: what is read, when, and how damage is noticed."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import DataError
from qtensor.sources import open_table
from qtensor.sources.ipc import read_ipc_stream

TABLE = pa.table(
    {
        "id": pa.array([3, 1, None, 2], pa.int32()),
        "name": pa.array(["b", None, "a", ""]),
        "price": pa.array([Decimal("1.50"), None, Decimal("-2.25"), Decimal(0)], pa.decimal128(15, 2)),
        "kind": pa.array(["y", "x", "y", None]).dictionary_encode(),
    }
)
QUERIES = [
    "SELECT * FROM t",
    "SELECT kind, sum(price) AS total FROM t WHERE id > 1 GROUP BY kind ORDER BY total",
    "SELECT count(*) FROM t",
]


def written(path: Path, table: pa.Table = TABLE, *, stream: bool = False, batch: int = 3, compression: str | None = None) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=not stream)
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, make(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch)
    return path


def answers(source: object) -> list[Any]:
    connection = qtensor.connect().register("t", source)
    return [connection.sql(query).fetchall() for query in QUERIES]


@pytest.mark.parametrize("suffix", ["arrow", "feather", "ipc", "arrows"])
@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_every_name_and_both_formats(tmp_path: Path, suffix: str, stream: bool) -> None:
    path = written(tmp_path / f"t.{suffix}", stream=stream)
    assert answers(path) == answers(TABLE)
    assert qtensor.sql(f"SELECT sum(id) FROM '{path}'").fetchall() == [(6,)]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("batch", [1, 100])
def test_batches_and_compression(tmp_path: Path, compression: str, batch: int) -> None:
    assert answers(written(tmp_path / "t.arrow", compression=compression, batch=batch)) == answers(TABLE)


def test_no_rows(tmp_path: Path) -> None:
    assert answers(written(tmp_path / "t.arrow", TABLE.slice(0, 0))) == [[], [], [(0,)]]


def test_only_the_columns_of_the_query_are_read(tmp_path: Path) -> None:
    """A column whose bytes are damaged does no harm to queries that do not name it."""
    table = pa.table({"good": np.arange(5_000), "bad": [f"text {number}" for number in range(5_000)]})
    path = written(tmp_path / "t.arrow", table, batch=5_000)
    content = path.read_bytes()
    place = content.index(b"text 100")
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    connection = qtensor.connect().register("t", path)
    assert connection.sql("SELECT max(good) FROM t").fetchall() == [(4_999,)]
    with pytest.raises(DataError, match=r"t\.arrow: cannot be read as an Arrow file: .*UTF8"):
        connection.sql("SELECT bad FROM t LIMIT 1").fetchall()


def test_a_file_that_changed(tmp_path: Path) -> None:
    path = written(tmp_path / "t.arrow")
    table = open_table("t", path)
    connection = qtensor.connect().register("t", path)
    assert connection.sql("SELECT sum(id) FROM t").fetchall() == [(6,)]
    written(path, pa.table({"id": [10, 20]}))
    assert connection.sql("SELECT sum(id) FROM t").fetchall() == [(30,)]
    assert not table.is_current()
    with pytest.raises(DataError, match="the file has changed since it was registered"):
        table.column(0, 1)


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "t.arrow")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read as an Arrow file"):
        open_table("t", path)


def test_streams(tmp_path: Path) -> None:
    content = written(tmp_path / "t.arrows", stream=True).read_bytes()
    assert read_ipc_stream("stdin", io.BytesIO(content)).num_rows == 4
    with pytest.raises(DataError, match="stdin: cannot be read as an Arrow stream"):
        read_ipc_stream("stdin", io.BytesIO(content[:-100]))
