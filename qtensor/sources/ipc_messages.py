"""Where the messages of Arrow's formats are and how many rows they have, by their headers alone: pyarrow reads columns to say it.

The headers are FlatBuffers. Nothing of them is believed: what is outside of the bytes there are is an error of Python's.

Source: Apache Arrow, File.fbs (Footer, Block) and Message.fbs (Message, RecordBatch, DictionaryBatch); FlatBuffers, Internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MAGIC = b"ARROW1"
_CONTINUED = -1  # before the size of a header; Arrow 0.14 and before did without
_BLOCK = struct.Struct("<qi4xq")  # where a message is, how long its header is, how long its body
_LARGEST_HEADER = 1 << 28
_NOT_EXPECTED = (OSError, ValueError, IndexError, OverflowError, struct.error)

# Field numbers of Footer, Message, RecordBatch and DictionaryBatch, and values of MessageHeader.
_RECORD_BATCHES = 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_LENGTH = 0
_ID, _IS_DELTA = 0, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


class Message(NamedTuple):
    """Bytes of a stream: a schema, a record batch of `rows` rows, or the dictionary `id`, new or (delta) longer than it was."""

    start: int
    size: int
    rows: int | None = None
    id: int | None = None
    delta: bool = False


def batch_lengths(path: Path) -> list[int] | None:
    """The number of rows of each record batch of a file in Arrow's file format; None when it is not of the expected form."""
    try:
        with path.open("rb") as file:
            return [_batch_length(file, place, size) for place, size in _blocks(_footer(file))]
    except _NOT_EXPECTED:
        return None


def messages(path: Path) -> list[Message] | None:
    """The messages of a file in Arrow's stream format; None when it is not of the expected form."""
    try:
        with path.open("rb") as file:
            return list(_messages(file))
    except _NOT_EXPECTED:
        return None


def _messages(file: BinaryIO) -> Iterator[Message]:
    end = file.seek(0, 2)
    start = 0
    while start < end:
        file.seek(start)
        size = 4
        (length,) = struct.unpack("<i", file.read(4))
        if length == _CONTINUED:
            size = 8
            (length,) = struct.unpack("<i", file.read(4))
        if length == 0:
            return
        if not 0 < length <= _LARGEST_HEADER:
            raise ValueError("no header")
        header = _Header(file.read(length))
        size += length + header.body
        if header.body < 0 or start + size > end:
            raise ValueError("a message longer than the file")
        yield header.message(start, size)
        start += size


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
    vector = _pointed(footer, _field(footer, _pointed(footer, 0), _RECORD_BATCHES))
    count = struct.unpack_from("<I", footer, vector)[0]
    if count > (len(footer) - vector) // _BLOCK.size:
        raise ValueError("a vector longer than the bytes there are")
    for number in range(count):
        place, size, _ = _BLOCK.unpack_from(footer, vector + 4 + number * _BLOCK.size)
        yield place, size


def _batch_length(file: BinaryIO, place: int, size: int) -> int:
    """The number of rows of the record batch whose message is at `place`."""
    if place < 0 or not 8 <= size <= _LARGEST_HEADER:
        raise ValueError("no header")
    file.seek(place)
    octets = file.read(size)
    rows = _Header(octets[8:] if struct.unpack_from("<i", octets)[0] == _CONTINUED else octets[4:]).message(0, 0).rows
    if rows is None:
        raise ValueError("no record batch")
    return rows


class _Header:
    """The table Message. body: how many bytes follow it."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._root = _pointed(octets, 0)
        self.body = self._number("<q", self._root, _BODY_LENGTH)

    def message(self, start: int, size: int) -> Message:
        type = self._number("<B", self._root, _HEADER_TYPE)
        if type not in (_DICTIONARY_BATCH, _RECORD_BATCH):
            return Message(start, size)
        header = _pointed(self._octets, _field(self._octets, self._root, _HEADER))
        if type == _DICTIONARY_BATCH:
            delta = bool(self._number("<B", header, _IS_DELTA))
            return Message(start, size, id=self._number("<q", header, _ID), delta=delta)
        rows = self._number("<q", header, _LENGTH)
        if rows < 0:
            raise ValueError("fewer rows than none")
        return Message(start, size, rows=rows)

    def _number(self, form: str, table: int, field: int) -> int:
        place = _field(self._octets, table, field)
        number: int = 0 if place is None else struct.unpack_from(form, self._octets, place)[0]
        return number


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
    if place is None:
        raise ValueError("a field that must be there")
    found: int = place + struct.unpack_from("<I", octets, place)[0]
    return found
