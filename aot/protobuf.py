"""Messages of Protocol Buffers as lists of fields, for the few that are read or written without their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5  # how a value is written
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """A field by its number: `content` of a message, text, bytes or packed numbers, or `value` of a single number."""

    number: int
    wire: int
    value: int = 0
    content: bytes = b""

    def written(self) -> bytes:
        tag = varint(self.number << 3 | self.wire)
        if self.wire == VARINT:
            return tag + varint(self.value)
        return tag + (varint(len(self.content)) if self.wire == LENGTH_DELIMITED else b"") + self.content


class Message:
    """A message whose fields are looked up by number; those that occur several times in order.

    >>> message = Message(number(1, 300).written() + delimited(2, b"ab").written())
    >>> message.integer(1), message.bytes(2), message.integer(7), message.numbers
    (300, b'ab', 0, {1, 2})
    """

    def __init__(self, content: bytes) -> None:
        """Raises ValueError: `content` is no message."""
        self.fields = list(_read(content))

    @property
    def numbers(self) -> set[int]:
        return {field.number for field in self.fields}

    def integer(self, number: int) -> int:
        """The last value of a number, 0 if it is not there."""
        return next((field.value for field in reversed(self.fields) if field.number == number), 0)

    def integers(self, number: int) -> list[int]:
        """All values of a number, packed or not."""
        found: list[int] = []
        for field in self.fields:
            if field.number == number and field.wire == VARINT:
                found.append(field.value)
            elif field.number == number:
                found += _packed(field.content)
        return found

    def bytes(self, number: int) -> bytes:
        """The last content of a field, nothing if it is not there."""
        return next((field.content for field in reversed(self.fields) if field.number == number), b"")

    def messages(self, number: int) -> list[Message]:
        return [Message(field.content) for field in self.fields if field.number == number]

    def without(self, *numbers: int) -> list[Field]:
        return [field for field in self.fields if field.number not in numbers]

    def only(self, *numbers: int) -> list[Field]:
        return [field for field in self.fields if field.number in numbers]


def number(number: int, value: int) -> Field:
    return Field(number, VARINT, value)


def delimited(number: int, content: bytes) -> Field:
    """A field that is a message or a text.

    >>> delimited(1, b"ab").written()
    b'\\n\\x02ab'
    """
    return Field(number, LENGTH_DELIMITED, content=content)


def packed(number: int, values: Iterable[int]) -> Field:
    return delimited(number, b"".join(map(varint, values)))


def message(fields: Iterable[Field]) -> bytes:
    return b"".join(field.written() for field in fields)


def varint(number: int) -> bytes:
    """A natural number below 2**64, seven bits a byte, the lowest first.

    >>> varint(300)
    b'\\xac\\x02'
    """
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def read_varint(content: bytes, place: int) -> tuple[int, int]:
    """The number that begins at `place`, and where it ends. Raises ValueError."""
    value = shift = 0
    while place < len(content) and shift < 64:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("a number does not end")


def _packed(content: bytes) -> list[int]:
    values, place = [], 0
    while place < len(content):
        value, place = read_varint(content, place)
        values.append(value)
    return values


def _read(content: bytes) -> Iterator[Field]:
    place, end = 0, len(content)
    while place < end:
        tag, place = (content[place], place + 1) if content[place] < 0x80 else read_varint(content, place)
        field, wire = tag >> 3, tag & 7
        if not field or (wire != LENGTH_DELIMITED and wire not in _FIXED_SIZES and wire != VARINT) or place == end:
            raise ValueError("not a message")
        if wire in _FIXED_SIZES:
            value = _FIXED_SIZES[wire]
        else:
            value, place = (content[place], place + 1) if content[place] < 0x80 else read_varint(content, place)
        if wire == VARINT:
            yield Field(field, wire, value)
        elif place + value > end:
            raise ValueError("not a message")
        else:
            yield Field(field, wire, 0, content[place : place + value])
            place += value
