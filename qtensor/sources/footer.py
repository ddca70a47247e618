"""What is read of a Parquet footer without pyarrow: facts of its column chunks, and a copy that calls decimals integers.

pyarrow's accessors of column chunks end the process over a damaged footer (an exception of C++ that Cython does not expect), so
the facts are taken from the bytes. Of a footer that is not of the expected form there are none; the data is read all the same.

Arrow has no way to read DECIMAL columns of physical type INT32 and INT64 but as 128-bit values, which costs a conversion,
four times the memory traffic, and the way back to 64 bits. So the reader is given a footer without the annotations that
make these integers decimals; everything else in it stays, byte for byte.

Source: Apache Parquet, parquet.thrift (FileMetaData, SchemaElement, LogicalType, RowGroup, ColumnMetaData, Statistics).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.sources.thrift import I32, STRUCT, Cursor

_MAGIC = b"PAR1"
_END = len(_MAGIC) + 4  # the footer's length and the magic bytes close the file
_NOT_EXPECTED = (IndexError, ValueError, OSError)

# Field numbers of FileMetaData and of SchemaElement, and values of the latter.
_SCHEMA, _ROW_GROUPS = 2, 4
_PHYSICAL, _CONVERTED, _SCALE, _PRECISION, _LOGICAL = 1, 6, 7, 8, 10
_INT32, _INT64 = 1, 2
_CONVERTED_DECIMAL = 5
_LOGICAL_DECIMAL = 5

# Field numbers of RowGroup, ColumnChunk, ColumnMetaData and Statistics; the latter has two ways to write minima and maxima.
_COLUMNS = 1
_META_DATA = 3
_ENCODINGS, _UNCOMPRESSED_SIZE, _STATISTICS = 2, 6, 12
_OLD_MAXIMUM, _OLD_MINIMUM, _NULLS, _MAXIMUM, _MINIMUM = 1, 2, 3, 5, 6

_SIGNED, _UNSIGNED = {4: "<i", 8: "<q"}, {4: "<I", 8: "<Q"}


@dataclass(frozen=True)
class ChunkFacts:
    """What a footer says of one column in one row group; nothing of it is to be trusted.

    uncompressed: bytes. encodings: as Parquet numbers them. minimum, maximum: as they are written, None where they are not.
    in_order: whether these are least and greatest in the order of the column's type; the old ones may be in that of signed
    numbers. nulls: how many; None where that is not written.
    """

    uncompressed: int
    encodings: frozenset[int]
    minimum: bytes | None = None
    maximum: bytes | None = None
    in_order: bool = False
    nulls: int | None = None

    def range(self, signed: bool = True) -> tuple[int, int] | None:
        """Minimum and maximum of a column of integers of 32 or 64 bits; None where they are not there, or are none."""
        if self.minimum is None or self.maximum is None or len(self.minimum) != len(self.maximum):
            return None
        form = (_SIGNED if signed else _UNSIGNED).get(len(self.minimum))
        if form is None or not (signed or self.in_order):
            return None
        low, high = struct.unpack(form, self.minimum)[0], struct.unpack(form, self.maximum)[0]
        return (low, high) if low <= high else None


class Footer:
    """A footer, gone through once; the facts of a column are read when they are asked for."""

    def __init__(self, octets: bytes) -> None:
        """Raises IndexError, ValueError: the footer is not of the expected form."""
        self._octets = octets
        self._places: list[list[int]] = []  # of each row group: where the column chunks begin
        cursor = Cursor(octets)
        for number, type in cursor.fields():
            if number == _ROW_GROUPS:
                for _ in cursor.elements(STRUCT):
                    self._places.append(_places_of_chunks(cursor))
            else:
                cursor.skip(type)

    def chunks(self, leaf: int) -> list[ChunkFacts] | None:
        """The facts of column number `leaf`, by row group; a nested column has several numbers. None where there are none."""
        try:
            return [_read_column_chunk(Cursor(self._octets, places[leaf])) for places in self._places]
        except _NOT_EXPECTED:
            return None


def read_footer(path: Path) -> Footer | None:
    """The footer of the Parquet file at `path`; None when it is not of the expected form."""
    try:
        return Footer(_footer(path))
    except _NOT_EXPECTED:
        return None


def _places_of_chunks(cursor: Cursor) -> list[int]:
    """Where the column chunks of a row group begin."""
    places: list[int] = []
    for number, type in cursor.fields():
        if number == _COLUMNS:
            for _ in cursor.elements(STRUCT):
                places.append(cursor.position)
                cursor.skip(STRUCT)
        else:
            cursor.skip(type)
    return places


def _read_column_chunk(cursor: Cursor) -> ChunkFacts:
    facts = None
    for number, type in cursor.fields():
        if number == _META_DATA:
            facts = _read_meta_data(cursor)
        else:
            cursor.skip(type)
    if facts is None:
        raise ValueError("a column chunk without meta data")
    return facts


def _read_meta_data(cursor: Cursor) -> ChunkFacts:
    facts = ChunkFacts(0, frozenset())
    for number, type in cursor.fields():
        if number == _ENCODINGS:
            facts = replace(facts, encodings=frozenset(cursor.integer() for _ in cursor.elements(I32)))
        elif number == _UNCOMPRESSED_SIZE:
            facts = replace(facts, uncompressed=cursor.integer())
        elif number == _STATISTICS:
            facts = _with_statistics(facts, cursor)
        else:
            cursor.skip(type)
    return facts


def _with_statistics(facts: ChunkFacts, cursor: Cursor) -> ChunkFacts:
    limits: dict[int, bytes] = {}
    nulls = None
    for number, type in cursor.fields():
        if number in (_OLD_MAXIMUM, _OLD_MINIMUM, _MAXIMUM, _MINIMUM):
            limits[number] = cursor.binary()
        elif number == _NULLS:
            nulls = cursor.integer()
        else:
            cursor.skip(type)
    in_order = _MINIMUM in limits and _MAXIMUM in limits
    minimum, maximum = (_MINIMUM, _MAXIMUM) if in_order else (_OLD_MINIMUM, _OLD_MAXIMUM)
    return replace(facts, minimum=limits.get(minimum), maximum=limits.get(maximum), in_order=in_order, nulls=nulls)


def without_decimals(path: Path) -> pq.FileMetaData | None:
    """The metadata of the Parquet file at `path` with DECIMAL columns stored as INT32 or INT64 declared as such integers.

    None when the footer is not of the expected form: then read the file as it is.
    """
    try:
        footer = _rewritten(_footer(path))
        return pq.read_metadata(pa.BufferReader(_MAGIC + footer + struct.pack("<I", len(footer)) + _MAGIC))
    except (*_NOT_EXPECTED, pa.ArrowException):
        return None


def _footer(path: Path) -> bytes:
    """The footer's bytes. Raises OSError; ValueError: the file does not end with one (it is encrypted, say)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END, 0))
        end = file.read(_END)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != _MAGIC or length > size - _END:
            raise ValueError("no footer")
        file.seek(size - _END - length)
        return file.read(length)


def _rewritten(footer: bytes) -> bytes:
    """A FileMetaData struct, the elements of its schema rewritten."""
    cursor = Cursor(footer)
    for number, type in cursor.fields():
        if number == _SCHEMA:
            count = cursor.elements(STRUCT)
            parts = [footer[: cursor.position]]
            parts += [_rewritten_element(cursor) for _ in count]
            return b"".join(parts) + footer[cursor.position :]
        cursor.skip(type)
    raise ValueError("no schema")


class _Field(NamedTuple):
    """A field of a struct; its value is the bytes [start, end)."""

    type: int
    start: int
    end: int


def _rewritten_element(cursor: Cursor) -> bytes:
    """A SchemaElement without what makes it a decimal, if it is one over INT32 or INT64."""
    footer, start = cursor.octets, cursor.position
    fields: dict[int, _Field] = {}
    for number, type in cursor.fields():
        begin = cursor.position
        cursor.skip(type)
        fields[number] = _Field(type, begin, cursor.position)
    if not _is_integer_decimal(footer, fields):
        return footer[start : cursor.position]
    parts = []
    last = 0
    for number, field in fields.items():  # numbers are below 16, so that the distance to the last one fits the header
        if number not in (_CONVERTED, _SCALE, _PRECISION, _LOGICAL):
            parts += [bytes([(number - last) << 4 | field.type]), footer[field.start : field.end]]
            last = number
    return b"".join(parts) + b"\x00"


def _is_integer_decimal(footer: bytes, fields: dict[int, _Field]) -> bool:
    """Whether a SchemaElement of these fields is a decimal over INT32 or INT64."""
    physical, converted, logical = fields.get(_PHYSICAL), fields.get(_CONVERTED), fields.get(_LOGICAL)
    if physical is None or Cursor(footer, physical.start).integer() not in (_INT32, _INT64):
        return False
    if converted is not None and Cursor(footer, converted.start).integer() == _CONVERTED_DECIMAL:
        return True
    return logical is not None and next(Cursor(footer, logical.start).fields(), (0, 0))[0] == _LOGICAL_DECIMAL
