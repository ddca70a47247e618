"""Where numbers stand in the flatbuffers of Arrow's format, by their meaning: for changes that leave all else as it is.

Source: Apache Arrow, Message.fbs, Schema.fbs and File.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tests.oracle.fuzz_files.mutations import NUMBERS

CONTINUATION = b"\xff\xff\xff\xff"
MAGIC = b"ARROW1"
SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3  # what a message's header is

_FORMS = {1: "<b", 2: "<h", 4: "<i", 8: "<q"}


class Number(NamedTuple):
    """A number of `width` bytes at `position`."""

    position: int
    width: int


class Message(NamedTuple):
    """A message: where it begins, its numbers, and its body [body, end)."""

    start: int
    numbers: list[Number]
    body: int
    end: int


def messages_of(content: bytes) -> list[Message]:
    """The messages of a valid stream, or of a file up to its footer, one behind the other."""
    position = 8 if content.startswith(MAGIC) else 0
    found = []
    while content[position : position + 4] == CONTINUATION:
        size = _at(content, Number(position + 4, 4))
        if size == 0:
            break
        length = _scalar(content, _root(content, position + 8), 3, 8)
        body = position + 8 + size
        end = body + (0 if length is None else _at(content, length))
        numbers = [*_present(length), *_message(content, position + 8), Number(position + 4, 4)]
        found.append(Message(position, numbers, body, end))
        position = end
    return found


def footer_numbers(content: bytes) -> list[Number]:
    """The numbers of a file's footer: the blocks' offsets and lengths, and the footer's own length."""
    length = Number(len(content) - 10, 4)
    footer = _root(content, len(content) - 10 - _at(content, length))
    blocks = [number for field in (2, 3) for start, size in [_vector(content, footer, field)] for number in _blocks(start, size)]
    return [*blocks, length]


def changed_number(random: Random, content: bytes, numbers: list[Number]) -> bytes:
    """One of the numbers becomes another: near it, at the border of what a length can be, or one of the others."""
    chosen = random.choice(numbers)
    value = _at(content, chosen)
    near = (value + 1, value - 1, value + 8, value - 8, 2 * value, value ^ 1 << random.randrange(8 * chosen.width), -value)
    other = random.choice((*near, *near, _at(content, random.choice(numbers)), random.choice(NUMBERS)))
    return replaced(content, chosen, other)


def replaced(content: bytes, number: Number, value: int) -> bytes:
    bits = 8 * number.width
    octets = struct.pack(_FORMS[number.width], (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1))
    return content[: number.position] + octets + content[number.position + number.width :]


def _message(content: bytes, start: int) -> Iterator[Number]:
    """The numbers of a message, but for the length of its body."""
    message = _root(content, start)
    for field, width in ((0, 2), (1, 1)):  # version, and what the header is
        yield from _present(_scalar(content, message, field, width))
    kind = _scalar(content, message, 1, 1)
    place = _field(content, message, 2)
    if kind is None or place is None:
        return
    header = place + _at(content, Number(place, 4))
    match _at(content, kind):
        case 1:
            yield from _schema(content, header)
        case 2:
            yield from _present(_scalar(content, header, 0, 8), _scalar(content, header, 2, 1))  # its number, whether a delta
            data = _field(content, header, 1)
            if data is not None:
                yield from _batch(content, data + _at(content, Number(data, 4)))
        case 3:
            yield from _batch(content, header)


def _batch(content: bytes, batch: int) -> Iterator[Number]:
    """Rows, then length and NULLs of each node, offset and length of each buffer."""
    yield from _present(_scalar(content, batch, 0, 8))
    for field in (1, 2, 4):  # nodes, buffers, how many buffers views have
        start, size = _vector(content, batch, field)
        if size:
            yield Number(start - 4, 4)
        for number in range(size * (1 if field == 4 else 2)):
            yield Number(start + 8 * number, 8)


def _schema(content: bytes, schema: int) -> Iterator[Number]:
    """Of each field: whether it may be NULL, its type, and the numbers within its type and its dictionary."""
    start, size = _vector(content, schema, 1)
    for number in range(size):
        place = start + 4 * number
        field = place + _at(content, Number(place, 4))
        yield from _present(_scalar(content, field, 1, 1), _scalar(content, field, 2, 1))
        for table in (3, 4):
            inner = _field(content, field, table)
            if inner is not None:
                inner += _at(content, Number(inner, 4))
                yield from _present(*(_scalar(content, inner, number, width) for number, width in ((0, 2), (1, 4), (2, 4))))


def _blocks(start: int, size: int) -> Iterator[Number]:
    """Of each block of a footer the offset, the length of its metadata, and that of its body."""
    for number in range(size):
        block = start + 24 * number
        yield from (Number(block, 8), Number(block + 8, 4), Number(block + 16, 8))


def _root(content: bytes, start: int) -> int:
    return start + _at(content, Number(start, 4))


def _field(content: bytes, table: int, field: int) -> int | None:
    """Where the value of a table's field is; None if it has none."""
    vtable = table - _at(content, Number(table, 4))
    if 4 + 2 * field >= _at(content, Number(vtable, 2)):
        return None
    offset = _at(content, Number(vtable + 4 + 2 * field, 2))
    return table + offset if offset else None


def _scalar(content: bytes, table: int, field: int, width: int) -> Number | None:
    place = _field(content, table, field)
    return None if place is None else Number(place, width)


def _vector(content: bytes, table: int, field: int) -> tuple[int, int]:
    """Where the elements of a vector begin, and how many they are."""
    place = _field(content, table, field)
    if place is None:
        return table, 0
    vector = place + _at(content, Number(place, 4))
    return vector + 4, _at(content, Number(vector, 4))


def _present(*numbers: Number | None) -> list[Number]:
    return [number for number in numbers if number is not None]


def _at(content: bytes, number: Number) -> int:
    value: int = struct.unpack_from(_FORMS[number.width], content, number.position)[0]
    return value
