"""A Parquet footer that calls decimals what they are stored as: integers.

Arrow has no way to read DECIMAL columns of physical type INT32 and INT64 but as 128-bit values, which costs a conversion,
four times the memory traffic, and the way back to 64 bits. So the reader is given a footer without the annotations that
make these integers decimals; everything else in it stays, byte for byte.

Source: Apache Parquet, parquet.thrift (FileMetaData, SchemaElement, LogicalType); Apache Thrift, Compact Protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_END = len(_MAGIC) + 4  # the footer's length and the magic bytes close the file

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_FIXED_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}

# Field numbers of FileMetaData and of SchemaElement, and values of the latter.
_SCHEMA = 2
_PHYSICAL, _CONVERTED, _SCALE, _PRECISION, _LOGICAL = 1, 6, 7, 8, 10
_INT32, _INT64 = 1, 2
_CONVERTED_DECIMAL = 5
_LOGICAL_DECIMAL = 5


class _Field(NamedTuple):
    """A field of a struct; its value is the bytes [start, end)."""

    number: int
    type: int
    start: int
    end: int


def without_decimals(path: Path) -> pq.FileMetaData | None:
    """The metadata of the Parquet file at `path` with DECIMAL columns stored as INT32 or INT64 declared as such integers.

    None when the footer is not of the expected form (it is encrypted, say): then read the file as it is.
    """
    try:
        with path.open("rb") as file:
            file.seek(-_END, 2)
            length, magic = struct.unpack("<I4s", file.read(_END))
            if magic != _MAGIC:
                return None
            file.seek(-_END - length, 2)
            footer = _rewritten(file.read(length))
        octets = _MAGIC + footer + struct.pack("<I", len(footer)) + _MAGIC
        return pq.read_metadata(pa.BufferReader(octets))
    except (IndexError, ValueError, StopIteration, OSError, pa.ArrowException):
        return None


def _rewritten(footer: bytes) -> bytes:
    """A FileMetaData struct, the elements of its schema rewritten."""
    schema = next(field for field in _fields(footer, 0) if field.number == _SCHEMA)
    count, position = _list_header(footer, schema.start)
    elements = [footer[:position]]
    for _ in range(count):
        end = _after(footer, position, _STRUCT)
        elements.append(_rewritten_element(footer, position, end))
        position = end
    return b"".join(elements) + footer[position:]


def _rewritten_element(footer: bytes, start: int, end: int) -> bytes:
    """A SchemaElement without what makes it a decimal, if it is one over INT32 or INT64."""
    fields = {field.number: field for field in _fields(footer, start)}
    if _PHYSICAL not in fields or _integer(footer, fields[_PHYSICAL].start) not in (_INT32, _INT64):
        return footer[start:end]
    converted, logical = fields.get(_CONVERTED), fields.get(_LOGICAL)
    is_decimal = (converted is not None and _integer(footer, converted.start) == _CONVERTED_DECIMAL) or (
        logical is not None and next(_fields(footer, logical.start)).number == _LOGICAL_DECIMAL
    )
    if not is_decimal:
        return footer[start:end]
    kept = [field for field in fields.values() if field.number not in (_CONVERTED, _SCALE, _PRECISION, _LOGICAL)]
    parts = []
    last = 0
    for field in kept:  # numbers are below 16, so that the distance to the last one fits the header
        parts += [bytes([(field.number - last) << 4 | field.type]), footer[field.start : field.end]]
        last = field.number
    return b"".join(parts) + b"\x00"


def _fields(octets: bytes, position: int) -> Iterator[_Field]:
    """The fields of the struct that begins at `position`."""
    number = 0
    while header := octets[position]:
        position += 1
        if header >> 4:
            number += header >> 4
        else:
            zigzag, position = _varint(octets, position)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        end = _after(octets, position, header & 15)
        yield _Field(number, header & 15, position, end)
        position = end


def _after(octets: bytes, position: int, type: int) -> int:
    """The position after the value of type `type` at `position`."""
    if type in _FIXED_SIZES:
        return position + _FIXED_SIZES[type]
    if type in (_I16, _I32, _I64):
        return _varint(octets, position)[1]
    if type == _BINARY:
        size, position = _varint(octets, position)
        return position + size
    if type in (_LIST, _SET):
        element = octets[position] & 15
        count, position = _list_header(octets, position)
        for _ in range(count):
            # Alone a boolean is all in its field's header; in a list it is a byte.
            position = position + 1 if element in (_TRUE, _FALSE) else _after(octets, position, element)
        return position
    if type == _STRUCT:
        for field in _fields(octets, position):
            position = field.end
        return position + 1
    raise ValueError(f"unknown Thrift type {type}")


def _list_header(octets: bytes, position: int) -> tuple[int, int]:
    """The number of elements of the list at `position`, and where they begin."""
    short = octets[position] >> 4
    return _varint(octets, position + 1) if short == 15 else (short, position + 1)


def _integer(octets: bytes, position: int) -> int:
    """The zigzag integer at `position`."""
    zigzag, _ = _varint(octets, position)
    return (zigzag >> 1) ^ -(zigzag & 1)


def _varint(octets: bytes, position: int) -> tuple[int, int]:
    """The variable-length integer at `position`, and the position after it."""
    value = shift = 0
    while True:
        octet = octets[position]
        position += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, position
        shift += 7
