"""How many rows the record batches of an Arrow file have, by their headers alone: pyarrow reads columns to say it.

The headers are FlatBuffers. Nothing of them is believed: what is outside of the bytes there are is an error of Python's.

Source: Apache Arrow, File.fbs (Footer, Block) and Message.fbs (Message, RecordBatch); FlatBuffers, Internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"ARROW1"
_CONTINUED = -1  # before the size of a header; files of Arrow 0.14 and before do without
_RECORD_BATCHES = 3  # field numbers, of Footer,
_HEADER_TYPE, _HEADER = 1, 2  # of Message,
_LENGTH = 0  # and of RecordBatch
_RECORD_BATCH = 3  # a MessageHeader
_BLOCK = struct.Struct("<qi4xq")  # where a message is, how long its header is, how long its body
_LARGEST_HEADER = 1 << 28


def batch_lengths(path: Path) -> list[int] | None:
    """The number of rows of each record batch of the file; None when it is not of the expected form."""
    try:
        with path.open("rb") as file:
            return [_length(file, place, size) for place, size in _blocks(_footer(file))]
    except (OSError, ValueError, IndexError, OverflowError, struct.error):
        return None


def _footer(file: BinaryIO) -> bytes:
    size = file.seek(0, 2)
    end = len(_MAGIC) + 4
    file.seek(max(size - end, 0))
    octets = file.read(end)
    length = struct.unpack_from("<i", octets)[0]
    if octets[4:] != _MAGIC or not 0 < length <= size - end:
        raise ValueError("no footer")
    file.seek(size - end - length)
    return file.read(length)


def _blocks(footer: bytes) -> Iterator[tuple[int, int]]:
    """Where the record batches are, and how long their headers."""
    vector = _pointed(footer, _field(footer, _root(footer), _RECORD_BATCHES))
    count = struct.unpack_from("<I", footer, vector)[0]
    if count > (len(footer) - vector) // _BLOCK.size:
        raise ValueError("a vector longer than the bytes there are")
    for number in range(count):
        place, size, _ = _BLOCK.unpack_from(footer, vector + 4 + number * _BLOCK.size)
        yield place, size


def _length(file: BinaryIO, place: int, size: int) -> int:
    """The number of rows of the record batch whose message is at `place`."""
    if place < 0 or not 8 <= size <= _LARGEST_HEADER:
        raise ValueError("no header")
    file.seek(place)
    octets = file.read(size)
    message = octets[8:] if struct.unpack_from("<i", octets)[0] == _CONTINUED else octets[4:]
    root = _root(message)
    if message[_present(_field(message, root, _HEADER_TYPE))] != _RECORD_BATCH:
        raise ValueError("no record batch")
    field = _field(message, _pointed(message, _field(message, root, _HEADER)), _LENGTH)
    length: int = 0 if field is None else struct.unpack_from("<q", message, field)[0]
    if length < 0:
        raise ValueError("fewer rows than none")
    return length


def _root(octets: bytes) -> int:
    return _pointed(octets, 0)


def _field(octets: bytes, table: int, number: int) -> int | None:
    """Where a table has a field; None if it has its default."""
    entries = table - struct.unpack_from("<i", octets, table)[0]
    if entries < 0:
        raise ValueError("a table whose fields are nowhere")
    size = struct.unpack_from("<H", octets, entries)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", octets, entries + place)[0] if place < size else 0
    return table + offset if offset else None


def _pointed(octets: bytes, place: int | None) -> int:
    """What the field at `place` points to."""
    found: int = _present(place) + struct.unpack_from("<I", octets, _present(place))[0]
    return found


def _present(place: int | None) -> int:
    if place is None:
        raise ValueError("a field that must be there")
    return place
