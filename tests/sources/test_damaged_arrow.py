"""Damaged data in Arrow's format: refused whichever way it comes. In processes of their own where it would end the process."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset

import qtensor
from qtensor.errors import CapacityError, DataError
from qtensor.sources import open_table
from qtensor.sources.arrow import reader_of
from qtensor.sources.pipe import read_pipe
from tests.oracle.fuzz_files.flatbuffers import footer_numbers, messages_of, replaced
from tests.oracle.fuzz_files.harness import Child, Limits

TEXTS = pa.table({"s": ["one", "two", None, "three"]})
CODES = pa.table({"k": pa.array(["x", "y", "x", "y"]).dictionary_encode()})
NUMBERS = pa.table({"i": [1, 2, None, 4]})
OFFSETS = struct.pack("<5i", 0, 3, 6, 6, 11)
KEYS = struct.pack("<4i", 0, 1, 0, 1)

# What is written, which bytes of it are others, and what is said of that.
DAMAGE: dict[str, tuple[pa.Table, bytes, bytes, str]] = {
    "an offset beyond the texts": (TEXTS, OFFSETS, struct.pack("<5i", 0, 3, 6, 6, 1 << 30), "offset"),
    "offsets that go back": (TEXTS, OFFSETS, struct.pack("<5i", 0, 3, 1 << 28, 6, 11), "[Oo]ffset"),
    "a code that there is not": (CODES, KEYS, struct.pack("<4i", 0, 1, 0, 1 << 28), "codes of texts that its dictionary"),
    "a code below zero": (CODES, KEYS, struct.pack("<4i", 0, 1, 0, -5), "codes of texts that its dictionary"),
}


def stream_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def with_rows(table: pa.Table, rows: int) -> bytes:
    """A stream whose last message, a record batch, says another number of rows wherever it says one."""
    content = stream_of(table)
    longs = [number for number in messages_of(content)[-1].numbers if number.width == 8]
    said = [number for number in longs if struct.unpack_from("<q", content, number.position) == (table.num_rows,)]
    assert len(said) >= 2  # the batch's, and its only column's
    for number in said:
        content = replaced(content, number, rows)
    return content


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child("arrow", Limits(seconds=30)) as child:
        yield child


@pytest.mark.parametrize("road", ["piped", "t.arrow"])
@pytest.mark.parametrize("name", DAMAGE)
def test_bytes_that_arrow_believes(child: Child, name: str, road: str) -> None:
    table, right, wrong, message = DAMAGE[name]
    content = stream_of(table)
    assert child.judged({road: content}).outcome == "same"
    assert content.count(right) == 1
    verdict = child.judged({road: content.replace(right, wrong)})
    assert verdict.outcome == "refused", verdict
    assert verdict.message.startswith("DataError")
    assert road == "t.arrow" or re.search(message, verdict.message)


@pytest.mark.parametrize("table", [TEXTS, NUMBERS, CODES], ids=["texts", "numbers", "codes"])
@pytest.mark.parametrize("more", [5, 1_000, 1 << 40, (1 << 63) - 1, -1])
def test_rows_that_are_not_there(child: Child, table: pa.Table, more: int) -> None:
    content = with_rows(table, more)
    assert content != stream_of(table)
    for road in ("piped", "t.arrow"):
        verdict = child.judged({road: content})
        assert verdict.outcome == "refused", verdict


def test_tables_in_memory_that_are_damaged() -> None:
    """What somebody else read from a stream, and passes on."""
    (texts,) = TEXTS.column("s").chunks
    offsets = np.array([0, 3, 1 << 28, 6, 11], np.int32)
    damaged = pa.Array.from_buffers(pa.string(), 4, [texts.buffers()[0], pa.py_buffer(offsets), texts.buffers()[2]])
    whole = pa.table({"i": [1, 2, 3, 4], "s": damaged})
    batch = whole.to_batches()[0]
    for source in (whole, batch, pa.RecordBatchReader.from_batches(whole.schema, [batch]), dataset.dataset(whole)):
        connection = qtensor.connect().register("t", source)
        assert connection.sql("SELECT sum(i) FROM t").fetchall() == [(10,)]  # of the other column nothing is asked
        with pytest.raises(DataError, match='column "s" is damaged: Offset invariant failure'):
            connection.sql("SELECT s FROM t").fetchall()


def test_the_first_rows_of_a_damaged_table() -> None:
    offsets = np.arange(100_001, dtype=np.int32)
    offsets[3] = 1 << 30
    texts = pa.Array.from_buffers(pa.string(), 100_000, [None, pa.py_buffer(offsets), pa.py_buffer(b"x" * 100_000)])
    with pytest.raises(DataError, match='column "s" is damaged'):
        qtensor.connect().register("t", pa.table({"s": texts})).sql("SELECT s FROM t LIMIT 2").fetchall()


def test_a_reader_is_read_as_it_is() -> None:
    """Through Arrow's C structures the sizes of its buffers would be lost, and with them what tells that it is damaged."""
    reader = pa.ipc.open_stream(io.BytesIO(with_rows(NUMBERS, 1_000)))
    assert reader_of(reader) is reader
    with pytest.raises(DataError, match=r"t: its Arrow stream cannot be read: .*uffer #"):
        open_table("t", reader)


def test_more_rows_than_memory_has_room_for() -> None:
    content = with_rows(pa.table({"n": pa.nulls(4)}), 1 << 40)
    table = open_table("t", read_pipe("stdin", io.BytesIO(content)))
    with pytest.raises(CapacityError, match=r"t has 1,099,511,627,776 rows, of which there may be 2,147,483,647"):
        table.column(0, 1)


def test_numbers_of_a_footer(tmp_path: Path, child: Child) -> None:
    """Every number of a small file's footer, made another one."""
    path = tmp_path / "t.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, CODES.schema) as writer:
        writer.write_table(CODES)
    content = path.read_bytes()
    outcomes = [
        child.judged({"t.arrow": replaced(content, number, value)}).outcome
        for number in footer_numbers(content)
        for value in (0, -1, 8, 1 << 30, -(1 << 31), 1 << 62)
    ]
    assert set(outcomes) <= {"same", "refused"}
    assert outcomes.count("refused") > len(outcomes) / 2


def test_a_length_that_no_stream_has(child: Child) -> None:
    """Python's own files raise an OverflowError for it."""
    content = stream_of(NUMBERS)
    message = messages_of(content)[-1]
    verdict = child.judged({"piped": replaced(content, message.numbers[0], (1 << 63) - 20)})
    assert verdict.outcome == "refused", verdict
    assert verdict.message.startswith("DataError: t: its Arrow stream cannot be read: byte string is too large")


@pytest.mark.parametrize("road", ["file", "table", "dictionary"])
def test_views_of_nulls_may_be_anything(tmp_path: Path, road: str) -> None:
    """Found by `make fuzz-files`: Arrow validates no view of a NULL, and its cast to text follows it out of the column."""
    words = ["short", None, "a text that is longer than a view", None, ""]
    valid, views, *texts = pa.array(words, pa.string_view()).buffers()
    spoiled = np.frombuffer(views, np.int32).reshape(-1, 4).copy()
    spoiled[[1, 3]] = [[-33024, 255, 7, 2**31 - 1], [2**31 - 1, 0, 99, -5]]
    column = pa.Array.from_buffers(pa.string_view(), len(words), [valid, pa.py_buffer(spoiled), *texts])
    column.validate(full=True)
    if road == "dictionary":
        column = pa.DictionaryArray.from_arrays(pa.array(range(len(words)), pa.int8()), column)
    table = pa.table({"s": column})
    connection = qtensor.connect()
    if road == "file":
        with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        connection.register("t", tmp_path / "t.arrow")
    else:
        connection.register("t", table)
    assert connection.sql("SELECT s FROM t").fetchall() == [(word,) for word in words]
    assert connection.sql("SELECT max(s), count(s) FROM t").fetchall() == [("short", 3)]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """Found by `make fuzz-files`: Arrow's reader of streams takes any name."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("name_here", pa.int64())])) as writer:
        writer.write_batch(pa.record_batch({"name_here": [1]}))
    damaged = sink.getvalue().replace(b"name_here", b"name_\xff\x9cre")
    with pytest.raises(DataError, match="not UTF-8"):
        open_table("t", read_pipe("stdin", io.BytesIO(damaged)))
    (tmp_path / "t.arrows").write_bytes(damaged)
    with pytest.raises(DataError, match=r"UTF-8|utf-8"):
        qtensor.connect().register("t", tmp_path / "t.arrows")
    with pytest.raises(DataError, match=r"UTF-8|utf-8"):
        qtensor.connect().register("t", pa.ipc.open_stream(io.BytesIO(damaged)))
