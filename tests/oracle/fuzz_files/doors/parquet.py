"""Parquet files: footers and page headers changed field by field, and what pages hold damaged behind headers that are right."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.thrift import Structure, changed, structure_at, written

if TYPE_CHECKING:
    import pyarrow as pa

FILE, PIPED, IN_FOLDER = "t.parquet", "piped", "folder/t.parquet"
ROADS = (*[FILE] * 8, PIPED, IN_FOLDER)
MAGIC = b"PAR1"
END = 8  # the footer's length and the magic bytes

# Fields of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and PageHeader.
ROW_GROUPS, COLUMNS, FILE_OFFSET, META_DATA = 4, 1, 2, 3
OFFSETS = (9, 10, 11)  # of data pages, index pages and dictionary pages
PAGE_SIZE, PAGE_CHECKSUM = 3, 4


class ParquetDoor(Door):
    """Read column by column, as queries do; or through a pipe, or as the only file of a folder."""

    def import_libraries(self) -> None:
        import tests.sources.damaged_parquet  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        for name, (table, options) in seeds().items():
            (folder / name).mkdir()
            pq.write_table(table, folder / name / FILE, **{"store_schema": False, **options})

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        return {random.choice(ROADS): self._changed(random, seed[FILE], [other[FILE] for other in others])}

    def _changed(self, random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
        kind = random.random()
        if kind < 0.25:
            return mutated_bytes(random, content, others)
        footer, start = footer_of(content)
        if kind < 0.65:
            return with_footer(content[:start], changed(random, footer))
        return with_changed_page(random, content[:start], footer)

    def answer(self, folder: Path) -> object:
        from qtensor.sources import open_table
        from qtensor.sources.pipe import read_pipe
        from tests.sources.read_columns import columns_of

        if not (folder / PIPED).exists():
            return columns_of(open_table("t", next(folder.iterdir())))
        with (folder / PIPED).open("rb") as pipe:
            return columns_of(open_table("t", read_pipe("stdin", pipe)))

    def expected(self, folder: Path) -> object:
        """What pyarrow reads."""
        from tests.sources.damaged_parquet import rows_of_pyarrow

        (path,) = (path for path in folder.rglob("*") if path.is_file())
        if not path.read_bytes().startswith(MAGIC):
            raise ValueError("no Parquet to who reads a pipe")
        return rows_of_pyarrow(path)

    def same(self, found: Any, expected: Any) -> bool:
        from tests.sources.read_columns import difference

        return not difference(found, expected)


def seeds() -> dict[str, tuple[pa.Table, dict[str, Any]]]:
    """Tables, and how each is written: of every type, encoding, kind of page and compression."""
    import datetime
    from decimal import Decimal

    import pyarrow as pa

    rows = range(40)
    texts = [None if row % 7 == 0 else "abcde"[row % 5] * (row % 4) for row in rows]
    numbers = pa.table({"i": pa.array(rows, pa.int32()), "j": [None if row % 5 == 0 else row * 10**9 for row in rows]})
    days = [datetime.date(1970 + row, 1, 1) for row in rows]
    moments = [datetime.datetime(2000, 1, 1, row % 24) for row in rows]
    others = pa.table(
        {
            "x": [row / 8 for row in rows],
            "f": pa.array([row / 8 for row in rows], pa.float32()),
            "b": [row % 3 == 0 if row % 4 else None for row in rows],
            "d": days,
            "t": moments,
            "p": pa.array([Decimal(row) / 4 for row in rows], pa.decimal128(15, 2)),
            "q": pa.array([Decimal(row) * 10**12 / 4 for row in rows], pa.decimal128(38, 2)),
            "u": pa.array([row * 3 % 256 for row in rows], pa.uint8()),
        }
    )
    nested = pa.table({"l": [[row] * (row % 3) for row in rows], "i": list(rows), "s": [{"a": row} for row in rows]})
    delta = {"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY", "i": "DELTA_BINARY_PACKED"}}
    split = {"use_dictionary": False, "column_encoding": {"x": "BYTE_STREAM_SPLIT", "s": "DELTA_LENGTH_BYTE_ARRAY"}}
    return {
        "numbers": (numbers, {}),
        "texts": (pa.table({"s": texts}), {"row_group_size": 15}),
        "plain": (pa.table({"s": texts, "i": list(rows)}), {"use_dictionary": False, "compression": "none"}),
        "delta": (pa.table({"s": texts, "i": [row * 77 % 13 for row in rows]}), delta),
        "split": (pa.table({"s": texts, "x": [row / 3 for row in rows]}), split),
        "others": (others, {"compression": "gzip"}),
        "stored integers": (others.select(["p", "d", "u"]), {"store_decimal_as_integer": True, "store_schema": True}),
        "pages": (pa.table({"s": texts * 20, "i": list(rows) * 20}), {"data_page_size": 256, "write_page_checksum": True}),
        "pages 2": (pa.table({"s": texts * 20, "i": list(rows) * 20}), {"data_page_size": 256, "data_page_version": "2.0"}),
        "int96": (pa.table({"t": moments}), {"use_deprecated_int96_timestamps": True, "compression": "zstd"}),
        "nested": (nested, {}),
        "dictionaries": (pa.table({"s": pa.array(texts).dictionary_encode()}), {"store_schema": True, "write_page_index": True}),
        "nothing": (pa.table({"i": pa.array([], pa.int64())}), {}),
    }


def footer_of(content: bytes) -> tuple[Structure, int]:
    """The footer of a valid file, and where it begins."""
    start = len(content) - END - int.from_bytes(content[-END:-4], "little")
    return structure_at(content, start)[0], start


def with_footer(before: bytes, footer: Structure) -> bytes:
    octets = written(footer)
    return before + octets + struct.pack("<I", len(octets)) + MAGIC


def with_changed_page(random: Random, body: bytes, footer: Structure) -> bytes:
    """The file after a change of one page: of its header, or of what it holds, whose size and checksum stay right.

    The offsets of the pages behind it in the footer are moved as far as these are.
    """
    pages = list(pages_of(body, footer))
    if not pages:
        return with_footer(mutated_bytes(random, body), footer)
    header, start, content, end = random.choice(pages)
    octets = body[content:end]
    if random.random() < 0.45:
        header = changed(random, header)
    else:
        octets = mutated_bytes(random, octets)
        header.set(PAGE_SIZE, len(octets))
        header.set(PAGE_CHECKSUM, (zlib.crc32(octets) + 2**31) % 2**32 - 2**31)
    new = written(header) + octets
    moved(footer, start, len(new) - (end - start))
    return with_footer(body[:start] + new + body[end:], footer)


def pages_of(body: bytes, footer: Structure) -> list[tuple[Structure, int, int, int]]:
    """Each page's header, where it begins, where its content does, and where that ends. They lie one behind the other."""
    pages = []
    position = len(MAGIC)
    try:
        while position < len(body):
            header, content = structure_at(body, position)
            end = content + header.get(PAGE_SIZE)
            if end > len(body) or header.get(5) is header.get(7) is header.get(8):  # no page at all: indexes begin here
                break
            pages.append((header, position, content, end))
            position = end
    except (ValueError, IndexError, TypeError):
        pass  # indexes are behind the pages
    return pages


def moved(footer: Structure, start: int, by: int) -> None:
    """Add `by` to all offsets in a footer beyond `start`."""
    for group in footer.get(ROW_GROUPS).values:
        for chunk in group.get(COLUMNS).values:
            for structure, numbers in ((chunk, (FILE_OFFSET,)), (chunk.get(META_DATA), OFFSETS)):
                for number in numbers:
                    offset = structure.get(number)
                    if offset is not None and offset > start:
                        structure.set(number, offset + by)


DOOR = ParquetDoor()
