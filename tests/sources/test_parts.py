"""Sources read in parts: the parts together are the whole, whatever it is; pyarrow is the oracle of files."""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from qtensor.errors import CapacityError, DataError
from qtensor.lowering.storage import CHUNK
from qtensor.row_numbers import ROW
from qtensor.sources import open_table
from qtensor.sources.facts import ColumnFacts
from qtensor.sources.parquet import ParquetSource
from qtensor.sources.parts import MOST_PARTS
from qtensor.sources.table import Table
from qtensor.types import Unsupported
from tests.sources.test_damaged_parquet import with_rows
from tests.storage.decoding import rows_of

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]


@cache
def data(rows: int) -> pa.Table:
    """Numbers, texts with a dictionary and without, decimals, dates, timestamps; a nested column in their midst."""
    numbers = np.arange(rows)
    nulls = numbers % 7 == 3
    day, moment = date(1992, 1, 1), datetime(2020, 1, 1, 12, 30)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "small": pa.array(numbers % 100, pa.int16(), mask=nulls),
            "nested": pa.array([[number] for number in range(rows)], pa.list_(pa.int64())),
            "unsigned": pa.array(numbers * 40_000 % (1 << 32), pa.uint32()),
            "ratio": pa.array(numbers / 7, mask=nulls),
            "price": pa.array([None if n % 5 == 0 else Decimal(n % 10_000).scaleb(-2) for n in range(rows)], pa.decimal128(9, 2)),
            "wide": pa.array([Decimal(n).scaleb(-3) for n in range(rows)], pa.decimal128(30, 3)),
            "day": pa.array([day + timedelta(n % 2_000) for n in range(rows)], pa.date32()),
            "moment": pa.array([moment + timedelta(minutes=n) for n in range(rows)], pa.timestamp("us")),
            "even": pa.array(numbers % 2 == 0, mask=nulls),
            "word": pa.array([None if n % 11 == 0 else f"w{n % 300}" for n in range(rows)], pa.string()),
            "text": pa.array([f"text {n}" for n in range(rows)], pa.string()),
            "kind": pa.array([f"k{n % 5}" for n in range(rows)], pa.string()).dictionary_encode(),
        }
    )


READ = ["id", "small", "unsigned", "ratio", "price", "wide", "day", "moment", "even", "word", "text", "kind"]


def parts_of(table: Table, rows: int) -> list[Table]:
    parts = table.parts(rows)
    assert parts is not None
    return parts


def together(parts: Sequence[Table], names: Sequence[str]) -> pa.Table:
    return pa.concat_tables([rows_of(part, names) for part in parts])


def assert_is_whole(table: Table, parts: Sequence[Table], names: Sequence[str]) -> None:
    assert sum(part.rows for part in parts) == table.rows
    assert all((part.name, part.fields) == (table.name, table.fields) for part in parts)
    assert together(parts, names).equals(rows_of(table, names))


def plain(table: pa.Table) -> pa.Table:
    """The same, texts without dictionaries."""
    types = {"kind": pa.string()}
    return table.cast(pa.schema([(name, types.get(name, table.schema.field(name).type)) for name in table.column_names]))


# --- Parquet ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("group", [10_000, 1 << 20], ids=["groups", "one group"])
@pytest.mark.parametrize("as_integer", [False, True])
def test_parquet(tmp_path: Path, rows: int, group: int, as_integer: bool) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(data(rows), path, row_group_size=group, store_decimal_as_integer=as_integer)
    expected = plain(pq.read_table(path, columns=READ))
    table = open_table("t", path)
    for size in (CHUNK, 25_000):
        parts = parts_of(table, size)
        assert_is_whole(table, parts, READ)
        assert together(parts, READ).equals(expected)
        assert max(part.rows for part in parts) <= (size if group < size else 2 * size)


def test_row_groups_of_different_sizes(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    sizes = [3, 40, 0, 5, 5, 5, 100, 1, 30, 20]
    whole = data(sum(sizes))
    with pq.ParquetWriter(path, whole.schema) as writer:
        start = 0
        for size in sizes:
            writer.write_table(whole.slice(start, size))
            start += size
    table = open_table("t", path)
    assert [part.rows for part in parts_of(table, 20)] == [3, 40, 15, 20, 20, 20, 20, 20, 1, 30, 20]
    assert [part.rows for part in parts_of(table, 50)] == [48, 10, 100, 31, 20]
    assert [part.rows for part in parts_of(table, 1 << 20)] == [sum(sizes)]
    for size in (1, 20, 50, 1 << 20):
        assert_is_whole(table, parts_of(table, size), READ)


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """One row group of 300,000 rows, in many pages."""
    path = tmp_path / "huge.parquet"
    pq.write_table(data(300_000).drop(["nested"]), path, row_group_size=1 << 20, data_page_size=8_192)
    return path


def opened(path: Path) -> int:
    """How many times this process has the file open."""
    return [link.readlink() for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()].count(path)


def test_a_huge_row_group_is_read_once(huge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in their order read on where the last one ended: a column begins once."""
    begun: list[str] = []
    original = pq.ParquetFile.iter_batches

    def record(self: pq.ParquetFile, *arguments: Any, columns: list[str], **options: Any) -> Any:
        begun.extend(columns)
        return original(self, *arguments, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", record)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", None)
    expected = plain(pq.read_table(huge))
    table = open_table("t", huge)
    parts = parts_of(table, CHUNK)
    assert [part.rows for part in parts] == [CHUNK] * 4 + [300_000 - 4 * CHUNK]
    assert begun == []
    assert together(parts, READ).equals(expected)
    assert sorted(begun) == sorted(READ)
    assert opened(huge) == 0
    for part in parts:
        part.forget_all()
    assert together(parts, ["word", "id"]).equals(expected.select(["word", "id"]))
    assert sorted(begun) == sorted([*READ, "word", "id"])


@pytest.mark.parametrize("order", [[2, 0, 4, 1, 3], [4, 3, 2, 1, 0], [0, 2, 4, 0, 1, 1, 2]])
def test_a_huge_row_group_in_any_order(huge: Path, order: list[int]) -> None:
    expected = plain(pq.read_table(huge))
    parts = parts_of(open_table("t", huge), CHUNK)
    for names in (["id", "word"], ["word", "price", "text"], READ):
        for number in order:
            found = rows_of(parts[number], names)
            assert found.equals(expected.select(names).slice(number * CHUNK, CHUNK))
            parts[number].forget_all()


def test_a_huge_row_group_from_many_threads(huge: Path) -> None:
    expected = plain(pq.read_table(huge))
    parts = parts_of(open_table("t", huge), CHUNK)
    found: dict[int, pa.Table] = {}

    def read(number: int) -> None:
        found[number] = rows_of(parts[number], READ)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pa.concat_tables([found[number] for number in range(len(parts))]).equals(expected)


def test_parts_of_parts(huge: Path) -> None:
    for part in parts_of(open_table("t", huge), 2 * CHUNK):
        assert_is_whole(part, parts_of(part, 10_000), ["id", "word"])


def test_parts_have_the_width_of_the_whole(tmp_path: Path, huge: Path) -> None:
    """The first rows are small numbers; the footer of the file says what comes."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": np.arange(50_000), "b": np.arange(50_000) % 100}), path, row_group_size=10_000)
    for parts in (parts_of(open_table("t", path), 10_000), parts_of(open_table("t", huge), CHUNK)):
        columns = [part.columns([0, 1], threads=1) for part in parts]
        widths = {tuple(column.data.dtype for column in row) for row in columns}
        assert len(widths) == 1
        assert {width[1] for width in widths} == {np.dtype(np.int8)}
    first = parts_of(open_table("t", path), 10_000)[0].column(0, threads=1)
    assert (first.data.dtype, first.statistics.minimum, first.statistics.maximum) == (np.int32, 0, 9_999)


@pytest.mark.parametrize("said", [(0, 1), (-(2**62), 2**62)])
def test_a_footer_that_lies_about_a_huge_row_group(huge: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[int, int]) -> None:
    """It costs one more reading from the start, once and not for every part."""
    begun: list[str] = []
    original = pq.ParquetFile.iter_batches

    def record(self: pq.ParquetFile, *arguments: Any, columns: list[str], **options: Any) -> Any:
        begun.extend(columns)
        return original(self, *arguments, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", record)
    monkeypatch.setattr(ParquetSource, "facts", lambda self, index: ColumnFacts(said))
    parts = parts_of(open_table("t", huge), CHUNK)
    assert together(parts, ["id"])["id"].to_pylist() == list(range(300_000))
    assert begun == ["id"] * (2 if said == (0, 1) else 1)
    for number, part in enumerate(parts):
        statistics = part.column(0, threads=1).statistics
        assert (statistics.minimum, statistics.maximum) == (number * CHUNK, min((number + 1) * CHUNK, 300_000) - 1)


def test_a_damaged_piece(huge: Path, tmp_path: Path) -> None:
    """It is an error of the part that has it, and of no other."""
    table = data(300_000).select(["ratio"])
    path = tmp_path / "damaged.parquet"
    pq.write_table(table, path, row_group_size=1 << 20, write_page_checksum=True, compression="none", use_dictionary=False)
    content = path.read_bytes()
    place = content.index(table.column(0).slice(250_000).combine_chunks().drop_null().buffers()[1].to_pybytes()[:64])
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    parts = parts_of(open_table("t", path), CHUNK)
    assert together(parts[:3], ["ratio"]).equals(table.slice(0, 3 * CHUNK))
    for _ in range(2):
        with pytest.raises(DataError, match="CRC checksum verification failed"):
            parts[3].column(0, threads=1)


def test_rows_that_are_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    with_rows(path, 1 << 40)
    with pytest.raises(CapacityError, match=rf"in more than {MOST_PARTS:,} parts of 65,536 rows"):
        open_table("t", path).parts(CHUNK)
    with_rows(path, 1 << 30)
    parts = parts_of(open_table("t", path), CHUNK)
    with pytest.raises(DataError, match="has not the number of rows that the footer says"):
        parts[0].column(0, threads=1)


# --- many files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of 5, 40,000 (in four row groups), 0 and 70,000 rows, whose folders add a number, a date and a text."""
    folder = tmp_path / "files"
    whole = data(110_005)
    keys = [
        "n=1/d=2024-01-01/s=x",
        "n=20/d=2024-01-02/s=__HIVE_DEFAULT_PARTITION__",
        "n=3/d=2023-01-01/s=x",
        "n=4/d=2025-06-01/s=y",
    ]
    start = 0
    for number, (key, rows) in enumerate(zip(keys, [5, 40_000, 0, 70_000], strict=True)):
        place = folder / f"f={number}" / key
        place.mkdir(parents=True)
        pq.write_table(whole.slice(start, rows), place / "t.parquet", row_group_size=10_000 if rows < CHUNK else 1 << 20)
        start += rows
    return folder


@pytest.mark.parametrize("rows", [2_500, 10_000, 15_000, 1 << 20])
def test_files(folder: Path, rows: int) -> None:
    table = open_table("t", folder)
    parts = parts_of(table, rows)
    assert_is_whole(table, parts, [*READ, "f", "n", "d", "s"])
    assert together(parts, READ).equals(plain(data(110_005)).select(READ))
    assert {part.rows for part in parts[:4]} >= ({10_000} if rows == 10_000 else set())


def test_files_of_other_widths(tmp_path: Path) -> None:
    for number, type in enumerate([pa.int64(), pa.int16(), pa.int32()]):
        pq.write_table(pa.table({"a": pa.array([number, None, 100 * number], type)}), tmp_path / f"{number}.parquet")
    table = open_table("t", tmp_path)
    parts = parts_of(table, 3)
    assert_is_whole(table, parts, ["a"])
    assert {part.column(0, threads=1).data.dtype for part in parts} == {np.dtype(np.int16)}


# --- others -------------------------------------------------------------------------------------------------------------------


def arrow_file(path: Path, table: pa.Table, batch: int = 10_000) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return path


MAKERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "arrow": lambda table, folder: table,
    "arrow in chunks": lambda table, folder: pa.concat_tables([table.slice(n, 999) for n in range(0, max(len(table), 1), 999)]),
    "batch": lambda table, folder: table.combine_chunks().to_batches()[0] if len(table) else table,
    "pandas": lambda table, folder: table.drop(["nested"]).to_pandas(),
    "polars": lambda table, folder: pl.from_arrow(table),
    "arrow file": lambda table, folder: arrow_file(folder / "t.arrow", table),
    "numpy": lambda table, folder: {"id": np.arange(len(table)), "text": np.array([f"t{n}" for n in range(len(table))], object)},
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("rows", SIZES)
def test_in_memory_and_arrow_files(tmp_path: Path, kind: str, rows: int) -> None:
    source = MAKERS[kind](data(rows), tmp_path)
    table = open_table("t", source)
    names = [field.name for field in table.fields if field.name != "nested"]
    for size in (CHUNK, 10_000, 12_345):
        parts = parts_of(table, size)
        assert_is_whole(table, parts, names)
        assert max(part.rows for part in parts) <= size
        assert len(parts) == max(1, -(-rows // (10_000 if kind == "arrow file" and size == 12_345 else size))) or size == CHUNK


def test_batches_of_an_arrow_file(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("s", pa.dictionary(pa.int32(), pa.string()))])
    sizes = [7, 0, 100, 3, 3, 1]
    path = tmp_path / "t.arrow"
    words = pa.array(["x", "y", None])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for size in sizes:
            codes = pa.DictionaryArray.from_arrays(pa.array(np.arange(size, dtype=np.int32) % 3), words)
            writer.write_batch(pa.record_batch([pa.array(range(size), pa.int64()), codes], schema=schema))
    table = open_table("t", path)
    parts = parts_of(table, 10)
    assert [part.rows for part in parts] == [7, 100, 7]
    assert_is_whole(table, parts, ["a", "s"])
    assert [part.rows for part in parts_of(parts[2], 4)] == [3, 4]


def test_an_arrow_file_is_not_read_to_find_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = open_table("t", arrow_file(tmp_path / "t.arrow", data(25_000)))
    monkeypatch.setattr(pa.ipc, "open_file", None)
    assert [part.rows for part in parts_of(table, 10_000)] == [10_000, 10_000, 5_000]


def arrow_stream(path: Path, batches: Sequence[pa.RecordBatch], **options: Any) -> Path:
    written = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, batches[0].schema, options=written) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("rows", [1, CHUNK + 1])
def test_arrow_streams(tmp_path: Path, rows: int, compression: str | None) -> None:
    path = arrow_stream(tmp_path / "t.arrows", data(rows).to_batches(max_chunksize=10_000), compression=compression)
    table = open_table("t", path, stream=True)
    for size in (CHUNK, 12_345, 1):
        parts = parts_of(table, size)
        assert max(part.rows for part in parts) <= max(size, 10_000)
        assert_is_whole(table, parts, READ)
        assert together(parts, READ).equals(plain(data(rows)).select(READ))


@pytest.mark.parametrize("deltas", [False, True])
def test_dictionaries_of_arrow_streams(tmp_path: Path, deltas: bool) -> None:
    """Each batch has another dictionary, or one that is longer than the last one."""
    batches = []
    for number in range(5):
        words = [f"w{n}" for n in range(2 * number + 1)] if deltas else [f"v{number}", f"w{number}"]
        codes = pa.array([0, None, len(words) - 1], pa.int32())
        other = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0], pa.int8()), pa.array(["same"]))
        batches.append(
            pa.record_batch({"s": pa.DictionaryArray.from_arrays(codes, pa.array(words)), "o": other, "n": [number] * 3})
        )
    path = arrow_stream(tmp_path / "t.arrows", batches, emit_dictionary_deltas=deltas)
    table = open_table("t", path, stream=True)
    for size in (3, 7, 100):
        parts = parts_of(table, size)
        assert_is_whole(table, parts, ["s", "n", "o"])
        assert together(parts, ["s"])["s"].to_pylist() == [text for batch in batches for text in batch["s"].to_pylist()]
        for part in reversed(parts):
            part.forget_all()
            assert rows_of(part, ["n"]) == rows_of(part, ["s", "n"]).select(["n"])


def test_what_is_behind_a_part_of_a_stream_may_be_damaged(tmp_path: Path) -> None:
    path = arrow_stream(tmp_path / "t.arrows", data(30_000).select(["text"]).to_batches(max_chunksize=10_000))
    content = path.read_bytes()
    place = content.index(b"text 25000")
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    parts = parts_of(open_table("t", path, stream=True), 10_000)
    assert rows_of(parts[0], ["text"])["text"][1].as_py() == "text 1"
    with pytest.raises(DataError, match=r"t\.arrows: cannot be read as an Arrow stream: .*UTF8"):
        rows_of(parts[2], ["text"])


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("stream", [False, True])
def test_damaged_headers_of_arrow_files(tmp_path: Path, stream: bool, seed: int) -> None:
    """They give rows or a DataError; that they are read by Python does not matter."""
    whole = data(900).select(["id", "kind", "small"])
    batches = whole.to_batches(max_chunksize=300)
    path = arrow_stream(tmp_path / "t.arrow", batches) if stream else arrow_file(tmp_path / "t.arrow", whole, 300)
    content = bytearray(path.read_bytes())
    draw = random.Random(seed)
    heads = [found.start() for found in re.finditer(b"\xff\xff\xff\xff", content)] + [len(content) - 400]
    for _ in range(draw.choice([1, 2, 5])):
        content[min(draw.choice(heads) + draw.randrange(400), len(content) - 1)] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    try:
        table = open_table("t", path, stream=True)
        parts = table.parts(300)
    except DataError:
        return
    for part in [table] if parts is None else parts:
        with contextlib.suppress(DataError):
            rows_of(part, [field.name for field in part.fields if not isinstance(field.type, Unsupported)])


@pytest.mark.parametrize("format", ["parquet", "feather", "csv"])
def test_dataset(tmp_path: Path, format: str) -> None:
    whole = data(30_000).drop(["nested", "kind", "unsigned", "wide"])
    names = ["id", "ratio", "word", "text", "key"]
    for number in range(3):
        (tmp_path / f"key={number}").mkdir()
        options = {"row_group_size": 4_000} if format == "parquet" else {}
        path = tmp_path / f"key={number}" / f"t.{format}"
        rows = whole.slice(number * 10_000, 10_000)
        if format == "parquet":
            pq.write_table(rows, path, **options)
        elif format == "feather":
            arrow_file(path, rows)
        else:
            rows.to_pandas().to_csv(path, index=False)
    opened = dataset.dataset(tmp_path, format=format, partitioning="hive")
    table = open_table("t", opened)
    expected = [8_000, 6_000, 6_000, 8_000, 2_000] if format == "parquet" else [10_000] * 3
    assert [part.rows for part in parts_of(table, 8_000)] == expected
    assert_is_whole(table, parts_of(table, 8_000), names)
    with pytest.raises(DataError, match="a filtered Dataset cannot be read"):
        open_table("t", opened.filter(dataset.field("id") > 5))


def test_a_dataset_whose_files_are_others_now(tmp_path: Path) -> None:
    path = arrow_file(tmp_path / "t.feather", pa.table({"a": [1, 2, 3]}))
    table = open_table("t", dataset.dataset(tmp_path, format="feather"))
    arrow_file(path, pa.table({"a": [1, 2]}))
    with pytest.raises(DataError, match="the dataset has 2 rows, but had 3 when it was registered; register it again"):
        table.parts(2)


def test_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(data(1_000), path, row_group_size=100)
    for source in (path, data(1_000), {"id": np.arange(1_000)}):
        table = open_table("t", source)
        for parts in (parts_of(table.numbered, 100), [part.numbered for part in parts_of(table, 100)]):
            assert together(parts, [ROW])[ROW].to_pylist() == list(range(1_000))
    numbers = np.arange(1_000) * 3
    table = Table("t", open_table("t", path)._source, numbers)
    assert together([part.numbered for part in parts_of(table, 100)], [ROW])[ROW].to_pylist() == numbers.tolist()


def test_parts_of_what_changed() -> None:
    arrays = {"a": np.arange(1_000)}
    frame = pd.DataFrame(arrays)
    polars = pl.DataFrame(arrays)
    for source, change in (
        (arrays, lambda: arrays["a"].__setitem__(950, 7)),
        (frame, lambda: frame.__setitem__("a", frame["a"] + 1)),
        (polars, lambda: polars.__setitem__((950, "a"), 7)),
    ):
        parts = parts_of(open_table("t", source), 100)
        assert all(part.column(0, threads=1) is not None and part.is_current() for part in parts)
        change()
        assert not parts[9].is_current()


def test_objects_whose_type_only_all_values_tell() -> None:
    values = [None] * 50 + [1] * 50 + [2.5] * 50
    words = [None] * 100 + ["a"] * 50
    prices = [Decimal("1.5")] * 50 + [Decimal("20")] * 50 + [Decimal("3.25")] * 50
    columns = {name: pd.Series(column, dtype=object) for name, column in (("n", values), ("s", words), ("p", prices))}
    frame = pd.DataFrame({**columns, "c": pd.Categorical(words)})
    table = open_table("t", frame)
    assert_is_whole(table, parts_of(table, 50), ["n", "s", "p", "c"])


def test_memory_is_not_copied() -> None:
    """Parts of a table in memory are slices of it."""
    whole = pa.table({"a": np.arange(1_000_000)})
    before = pa.total_allocated_bytes()
    parts = parts_of(open_table("t", whole), 1_000)
    assert pa.total_allocated_bytes() == before
    assert len(parts) == 1_000
