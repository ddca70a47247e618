"""Damaged Parquet files give pyarrow's rows or an error of qtensor's, and never end the process. pyarrow is the oracle."""

from __future__ import annotations

import base64
import datetime
import io
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import CapacityError, DataError
from qtensor.sources import open_table
from qtensor.sources.footer import read_footer, without_decimals
from qtensor.sources.pipe import read_pipe
from qtensor.sources.thrift import STRUCT, Cursor
from tests.oracle.fuzz_files.doors.parquet import footer_of, with_footer

ROOT = Path(__file__).parents[2]
WORDS = [f"w{number % 13}" for number in range(5_000)]
FILES: dict[str, tuple[pa.Table, dict[str, Any], int]] = {
    "numbers": (pa.table({"i": pa.array(range(100), pa.int64())}), {}, 1),
    "texts": (pa.table({"s": ["a", None, "bcd", "a"]}), {"row_group_size": 3}, 1),
    "delta": (
        pa.table({"s": ["ab", "abc", "b"], "i": [7, 8, None]}),
        {"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY", "i": "DELTA_BINARY_PACKED"}},
        3,
    ),
    "compressed": (
        pa.table({"s": WORDS, "i": [number % 97 for number in range(5_000)]}),
        {"row_group_size": 2_000, "compression": "snappy", "data_page_size": 2_048},
        17,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_bit_flipped(tmp_path: Path, name: str) -> None:
    """A footer of which one bit was another one ended the process in 18 of 1,496 cases."""
    table, options, step = FILES[name]
    path = tmp_path / "whole.parquet"
    pq.write_table(table, path, store_schema=False, **options)
    done = subprocess.run(
        [sys.executable, "-m", "tests.sources.damaged_parquet", path, tmp_path / "damaged.parquet", str(step)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    *wrong, counts = done.stdout.splitlines()
    assert wrong == []
    same, refused = map(int, counts.split())
    assert same + refused == len(range(0, path.stat().st_size * 8, step))
    assert min(same, refused) > 0


def test_a_footer_that_counts_other_rows_than_its_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "count.parquet"
    pq.write_table(pa.table({"i": range(100)}), path, store_schema=False)
    octets = path.read_bytes()
    count = octets.index(b"\x16\xc8\x01\x19", len(octets) - 600)  # the field num_rows of FileMetaData, zigzag, before the groups
    path.write_bytes(octets[: count + 1] + b"\xca\x01" + octets[count + 3 :])
    with pytest.raises(
        DataError, match=r"count.parquet: cannot be read as Parquet: the footer says 101 rows, its row groups 100"
    ):
        open_table("t", path)


def test_minima_and_maxima_that_lie(tmp_path: Path) -> None:
    """They are a guess at the width of the encoded integers, and nothing that rows depend on."""
    path = tmp_path / "lies.parquet"
    pq.write_table(pa.table({"i": [10**12, 5, -(10**12)]}), path, store_schema=False)
    octets = path.read_bytes()
    start = octets.rindex(b"PAR1", 0, -4) if octets.count(b"PAR1") > 2 else octets.index((10**12).to_bytes(8, "little"), 60)
    for value in (10**12, -(10**12)):
        octets = octets[:start] + octets[start:].replace(value.to_bytes(8, "little", signed=True), bytes(8))
    path.write_bytes(octets)
    footer = read_footer(path)
    facts = footer and footer.chunks(0)
    assert facts is not None
    assert facts[0].range() == (0, 0)
    query = f"SELECT min(i), max(i), count(*) FROM '{path}' WHERE i <> 5"
    assert qtensor.connect().sql(query).fetchall() == [(-(10**12), 10**12, 2)]


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"])
def test_texts_without_a_dictionary(tmp_path: Path, encoding: str) -> None:
    """pyarrow reads DELTA_BYTE_ARRAY, but not into dictionaries."""
    path = tmp_path / "delta.parquet"
    texts = [None if number % 7 == 0 else "abc"[number % 3] for number in range(1_000)]
    pq.write_table(pa.table({"s": texts}), path, use_dictionary=False, column_encoding={"s": encoding})
    found = qtensor.connect().sql(f"SELECT s FROM '{path}'").arrow()
    assert found.column(0).to_pylist() == pq.ParquetFile(path).read().column(0).to_pylist() == texts


def test_days_that_nanoseconds_have_no_room_for(tmp_path: Path) -> None:
    """INT96 counts days and nanoseconds of a day, and pyarrow makes nanoseconds since 1970 of both unless told otherwise."""
    path = tmp_path / "int96.parquet"
    moments = [
        datetime.datetime(1, 1, 1),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
        None,
        datetime.datetime(2020, 2, 3),
    ]
    pq.write_table(pa.table({"t": pa.array(moments, pa.timestamp("us"))}), path, use_deprecated_int96_timestamps=True)
    for source in (path, [path]):
        connection = qtensor.connect().register("t", source)
        assert connection.sql("SELECT t FROM t").fetchall() == [(moment,) for moment in moments]


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    octets = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"a\xff")])
    path = tmp_path / "octets.parquet"
    pq.write_table(pa.table({"s": octets}), path)
    for source in (path, pa.table({"s": octets})):
        with pytest.raises(DataError, match='column "s" holds text that is not UTF-8'):
            qtensor.connect().register("t", source).sql("SELECT s FROM t").fetchall()


@pytest.mark.parametrize(
    "octets",
    [
        b"\x1c" * 1_000,  # structures in structures
        b"\x19\x19" * 1_000,  # lists in lists
        b"\x19\xf3" + b"\xff" * 8 + b"\x7f",  # a list of 2^63 bytes
        b"\x18\xff\xff\xff\xff\x0f",  # a string of 4 GiB
        b"\x15" + b"\xff" * 11,  # an integer without end
        b"\x1d\x00",  # a type that there is not
        b"",
    ],
)
def test_bytes_that_are_no_structure(octets: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        Cursor(octets).skip(STRUCT)


def test_a_file_too_short_for_a_footer(tmp_path: Path) -> None:
    path = tmp_path / "short.parquet"
    for octets in (b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1"):
        path.write_bytes(octets)
        assert read_footer(path) is None
        assert without_decimals(path) is None


def with_rows(path: Path, rows: int) -> None:
    """Make the footer of a file with one row group and one column say that these have so many rows."""
    content = path.read_bytes()
    footer, start = footer_of(content)
    (group,) = footer.get(4).values
    (chunk,) = group.get(1).values
    footer.set(3, rows)
    group.set(3, rows)
    chunk.get(3).set(5, rows)
    path.write_bytes(with_footer(content[:start], footer))


@pytest.mark.parametrize("values", [[1, 2, 3], [None, None, 7], ["a", "b", "a"]], ids=["numbers", "nulls", "texts"])
def test_rows_that_are_not_there(tmp_path: Path, values: list[Any]) -> None:
    """No memory is taken for them but their addresses, and numbers that overflow are no Python error."""
    path = tmp_path / "rows.parquet"
    for rows, error, message in (
        ((1 << 30) + 5, DataError, 'column "a" has not the number of rows that the footer says'),
        (1 << 31, CapacityError, "has 2,147,483,648 rows, of which there may be 2,147,483,647"),
        (1 << 60, CapacityError, "has 1,152,921,504,606,846,976 rows"),
        ((1 << 63) - 1, CapacityError, "rows, of which there may be"),
    ):
        pq.write_table(pa.table({"a": values}), path)
        with_rows(path, rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(error, match=message):
            open_table("t", path).column(0, threads=1)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB; numbers take 8 GiB, padding one
    with pytest.raises(CapacityError, match="rows, of which there may be"):
        qtensor.connect().sql(f"SELECT count(*) FROM '{path}'").fetchall()


def roads(path: Path) -> dict[str, Callable[[], object]]:
    """Whichever way a file is read."""
    return {
        "file": lambda: path,
        "list": lambda: [path],
        "folder": lambda: path.parent,
        "pipe": lambda: read_pipe("stdin", io.BytesIO(path.read_bytes())),
    }


@pytest.mark.parametrize("road", ["file", "list", "folder", "pipe"])
def test_row_groups_of_other_lengths(tmp_path: Path, road: str) -> None:
    """Arrow would read on in the next row group, or take memory for a million million rows."""
    path = tmp_path / "groups.parquet"
    for lengths in ((14, 16), (16, 14), (1 << 40, 15), (-1, 31)):
        pq.write_table(pa.table({"a": list(range(30))}), path, row_group_size=15)
        content = path.read_bytes()
        footer, start = footer_of(content)
        for group, rows in zip(footer.get(4).values, lengths, strict=True):
            group.set(3, rows)
        path.write_bytes(with_footer(content[:start], footer))
        with pytest.raises(DataError, match=r"the number of rows that the footer says|the footer says 30 rows, its row groups"):
            open_table("t", roads(path)[road]()).column(0, threads=1)


@pytest.mark.parametrize("road", ["file", "list", "folder", "pipe"])
def test_pages_that_are_not_what_their_checksums_say(tmp_path: Path, road: str) -> None:
    path = tmp_path / "pages.parquet"
    table = pa.table({"a": [float(number) for number in range(100)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = path.read_bytes()
    place = content.index(table.column(0).chunk(0).buffers()[1].to_pybytes()[8:800])
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    with pytest.raises(DataError, match="CRC checksum verification failed"):
        open_table("t", roads(path)[road]()).column(0, threads=1)


def test_more_rows_in_a_pipe_than_a_table_has(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    with_rows(path, 1 << 40)
    with pytest.raises(CapacityError, match="stdin has 1,099,511,627,776 rows, of which there may be 2,147,483,647"):
        read_pipe("stdin", io.BytesIO(path.read_bytes()))


def test_a_footer_without_row_groups_that_cannot_be_followed(tmp_path: Path) -> None:
    """Found by `make fuzz-files`: pyarrow reads no row of it, and its facts were asked for all the same."""
    octets = base64.b64decode(
        "UEFSMRUEFQAVAkwVABUAEgAAABUEGSw1ABgGc2NoZW1hFQIAFQQlAhgBaQAWABkAAAAAAAAAAAAAAAAAAAAAFQIWABYcFh4mACYI"
        "KRwVBBUAFQIAAAAWHBYAJggWHgAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjYuMC4xGRwcAAAAdAAAAFBBUjE="
    )
    (tmp_path / "t.parquet").write_bytes(octets)
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0
    assert qtensor.connect().sql(f"SELECT count(*) FROM '{tmp_path}/t.parquet'").fetchall() == [(0,)]
    assert qtensor.connect().sql(f"SELECT * FROM '{tmp_path}/t.parquet'").fetchall() == []
