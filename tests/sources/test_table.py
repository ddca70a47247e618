"""Tables: what they cache, and how they notice that their source is not what it was."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtensor.errors import DataError
from qtensor.lowering.storage import CHUNK, EncodedColumn, Layout, encode_column
from qtensor.sources import open_table
from qtensor.sources.table import Table
from qtensor.types import BIGINT, Field


class CountingSource:
    """Two columns of consecutive numbers; remembers what it was asked for."""

    fields = (Field("a", BIGINT), Field("b", BIGINT))
    rows = 3

    def __init__(self) -> None:
        self.reads: list[tuple[int, ...]] = []

    def read(self, indices: Any, layout: Layout) -> list[EncodedColumn]:
        self.reads.append(tuple(indices))
        return [encode_column("x", pa.array([index, 1, 2]), BIGINT, layout) for index in indices]

    def is_current(self, indices: Any) -> bool:
        return set(indices) == {0, 1}


def test_columns_are_read_once_and_together() -> None:
    source = CountingSource()
    table = Table("t", source)
    assert source.reads == []
    first, second, again = table.columns([1, 0, 1], threads=2)
    assert first is again
    assert (first.data[0, 0, 0], second.data[0, 0, 0]) == (1, 0)
    assert table.column(0, threads=2) is second
    assert source.reads == [(1, 0)]
    assert table.is_current()


def test_threads_share_what_is_read() -> None:
    source = CountingSource()
    table = Table("t", source)
    with ThreadPoolExecutor(8) as pool:
        columns = list(pool.map(lambda _: table.column(0, threads=1), range(32)))
    assert len({id(column) for column in columns}) == 1
    assert source.reads == [(0,)]


def test_identities_differ_and_grow() -> None:
    data = {"a": np.arange(3)}
    identities = [open_table("t", data).identity for _ in range(3)]
    assert identities == sorted(set(identities))


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": np.arange(20_000.0),
            "text": ["x", None] * 10_000,
            "object": pd.Series(["x", None] * 10_000, dtype=object),
            "nullable": pd.array([1, None] * 10_000, dtype="Int64"),
            "category": pd.Categorical(["u", "v"] * 10_000),
            "moment": pd.date_range("2020", periods=20_000, freq="h"),
        }
    )


def rename(data: pd.DataFrame) -> None:
    data.columns = ["n", *data.columns[1:]]


def append_a_row(data: pd.DataFrame) -> None:
    data.loc[20_000] = data.loc[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.__setitem__("number", data["number"] + 1),
        lambda data: data.__setitem__("number", data["number"].astype(int)),
        lambda data: data.iloc.__setitem__((15_000, 0), -0.5),
        lambda data: data.iloc.__setitem__((0, 0), -0.0),
        lambda data: data.iloc.__setitem__((0, 0), None),
        lambda data: data.loc.__setitem__((19_999, "text"), "y"),
        lambda data: data.loc.__setitem__((19_999, "object"), "y"),
        lambda data: data.loc.__setitem__((0, "nullable"), None),
        lambda data: data.loc.__setitem__((0, "nullable"), 7),
        lambda data: data.loc.__setitem__((0, "category"), "v"),
        lambda data: data.loc.__setitem__((0, "moment"), pd.NaT),
        lambda data: data.insert(0, "new", 1),
        lambda data: data.pop("text"),
        append_a_row,
        rename,
    ],
)
def test_a_dataframe_that_changed(change: Callable[[pd.DataFrame], None]) -> None:
    data = frame()
    table = open_table("t", data)
    assert table.is_current()
    table.columns(range(6), threads=1)
    assert table.is_current()
    change(data)
    assert not table.is_current()


def test_a_dataframe_that_changed_where_nothing_was_read() -> None:
    data = frame()
    table = open_table("t", data)
    table.column(5, threads=1)
    data.iloc[0, 0] = 100.0
    assert table.is_current()
    assert table.column(0, threads=1).data[0, 0, 0] == 100.0
    data.iloc[0, 0] = 101.0
    assert not table.is_current()


def test_a_table_keeps_what_it_read() -> None:
    """The other layout of a column comes from the same snapshot, not from what has taken its place."""
    rows = 8 * CHUNK
    data = {"a": np.arange(rows)}
    table = open_table("t", data)
    table.column(0, threads=1)
    data["a"][0] = 77
    column = table.column(0, threads=2)
    assert column.data.shape[0] == 2
    assert column.data[0, 0, 0] == 0
    assert not table.is_current()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["float"].__setitem__(9_999, 1.0),
        lambda data: data["float"].__setitem__(0, -0.0),
        lambda data: data["text"].__setitem__(3, "zzz"),
        lambda data: data["object"].__setitem__(3, "zzz"),
        lambda data: data["masked"].__setitem__(3, np.ma.masked),
        lambda data: data["masked"].__setitem__(3, 50),
        lambda data: data["strided"].__setitem__(9_999, 50),
        lambda data: data.__setitem__("float", np.zeros(10_000, np.float32)),
        lambda data: data.__setitem__("masked", np.ma.getdata(data["masked"])),
        lambda data: data.__setitem__("more", np.zeros(10_000)),
        lambda data: data.pop("text"),
        lambda data: data.update({key: values[:-1] for key, values in data.items()}),
    ],
)
def test_a_dict_of_arrays_that_changed(change: Callable[[dict[str, Any]], None]) -> None:
    data = {
        "float": np.where(np.arange(10_000) % 2 == 0, 0.0, np.nan),
        "text": np.array(["xyz"] * 10_000),
        "object": np.array(["x", None] * 5_000, object),
        "masked": np.ma.masked_array(np.arange(10_000), mask=False),
        "strided": np.zeros(20_000, np.int8)[::2],
    }
    table = open_table("t", data)
    table.columns(range(5), threads=1)
    assert table.is_current()
    change(data)
    assert not table.is_current()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.__setitem__((0, "a"), 5),
        lambda data: data.__setitem__((1, "s"), "other"),
        lambda data: data.extend(data.clone()),
        lambda data: data.insert_column(0, pl.Series("new", [1, 2, 3])),
        lambda data: data.replace_column(0, pl.Series("a", [1.5, 2.5, 3.5])),
    ],
)
def test_a_polars_frame_that_changed(change: Callable[[pl.DataFrame], None]) -> None:
    data = pl.DataFrame({"a": [1, 2, 3], "s": ["x", None, "a string too long to be stored inline"], "b": [True, None, False]})
    table = open_table("t", data)
    table.columns(range(3), threads=1)
    assert table.is_current()
    change(data)
    assert not table.is_current()
    assert table.column(0, threads=1).data[0, 0, :3].tolist() == [1, 2, 3]


def test_a_file_that_changed(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": [4, 5, 6]}), path)
    table = open_table("t", path)
    table.column(0, threads=1)
    assert table.is_current()
    pq.write_table(pa.table({"a": [1, 2, 3, 4], "b": [4, 5, 6, 7]}), path)
    assert not table.is_current()
    with pytest.raises(DataError, match=r"data\.parquet: the file has changed since it was registered; register it again"):
        table.column(1, threads=1)
    path.unlink()
    assert not table.is_current()
