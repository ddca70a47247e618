"""Thrift's compact protocol, as far as it takes to read a Parquet footer. Believes nothing of the bytes.

Source: Apache Thrift, Compact Protocol.
"""

from __future__ import annotations

from collections.abc import Iterator

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12

_SIZES = {TRUE: 0, FALSE: 0, BYTE: 1, DOUBLE: 8}
_DEEPEST = 32  # lists in structures in lists: Parquet's footers have six


class Cursor:
    """Goes through `octets` once: who asks for a field takes its value, or skips it.

    Of bytes that are no such structure every method raises ValueError or IndexError, and soon.
    """

    def __init__(self, octets: bytes, position: int = 0) -> None:
        self.octets = octets
        self.position = position

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a structure; their values are to be taken in between."""
        number = 0
        while header := self._octet():
            number = number + (header >> 4) if header >> 4 else self.integer()
            yield number, header & 15

    def integer(self) -> int:
        """An integer of any width."""
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def binary(self) -> bytes:
        size = self._varint()
        self._move(size)
        return self.octets[self.position - size : self.position]

    def elements(self, wanted: int) -> range:
        """One number for each element of a list, whose type has to be `wanted`; they are to be taken one after the other."""
        count, type = self._list()
        if type != wanted:
            raise ValueError(f"a list of Thrift type {type}, not {wanted}")
        return range(count)

    def skip(self, type: int, depth: int = 0) -> None:
        """Pass a value of type `type`."""
        if type in (I16, I32, I64):
            self._varint()
        elif type == BINARY:
            self._move(self._varint())
        elif type == STRUCT:
            self._skip_structure(depth)
        elif type in (LIST, SET):
            count, element = self._list()
            if element in (TRUE, FALSE, BYTE):  # alone a boolean is all in its field's header; in a list it is a byte
                self._move(count)
            elif depth == _DEEPEST:
                raise ValueError("too deeply nested")
            else:
                for _ in range(count):
                    self.skip(element, depth + 1)
        elif type in _SIZES:
            self._move(_SIZES[type])
        else:
            raise ValueError(f"unknown Thrift type {type}")

    def _skip_structure(self, depth: int) -> None:
        """Most of a footer is passed here: without a call for each field, and for structures in this one."""
        octets, position, structures = self.octets, self.position, 1
        while structures:
            header = octets[position]
            position += 1
            type = header & 15
            if not header:
                structures -= 1
                continue
            if header < 16:
                while octets[position] & 128:
                    position += 1
                position += 1
            if I16 <= type <= I64:
                while octets[position] & 128:
                    position += 1
                position += 1
            elif type == STRUCT:
                structures += 1
            elif type == BINARY and octets[position] < 128:
                position += 1 + octets[position]
            else:
                self.position = position
                self.skip(type, depth)
                position = self.position
        self.position = position

    def _list(self) -> tuple[int, int]:
        """The number of elements of a list, and their type."""
        header = self._octet()
        count = self._varint() if header >> 4 == 15 else header >> 4
        if count > len(self.octets) - self.position:  # each takes a byte at least
            raise ValueError("a list longer than the bytes there are")
        return count, header & 15

    def _octet(self) -> int:
        octet = self.octets[self.position]
        self.position += 1
        return octet

    def _varint(self) -> int:
        value = shift = 0
        while (octet := self._octet()) & 128:
            value |= (octet & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("an integer of more than 64 bits")
        return value | octet << shift

    def _move(self, size: int) -> None:
        self.position += size
        if self.position > len(self.octets):
            raise ValueError("longer than the bytes there are")
