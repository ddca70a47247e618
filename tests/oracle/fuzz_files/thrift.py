"""Thrift's compact protocol as trees that can be changed and written again: Parquet's footers and page headers.

A structure is a list of fields, in the order of their numbers, a list an element type and values; the rest are integers and bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from tests.oracle.fuzz_files.mutations import NUMBERS, mutated_bytes
from tests.oracle.fuzz_files.structures import TEXTS, varint

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
DEEPEST = 40

Value: TypeAlias = Any  # int, bytes, Elements or Structure


@dataclass
class Field:
    number: int
    type: int
    value: Value


@dataclass
class Structure:
    fields: list[Field]

    def get(self, number: int) -> Value:
        """The value of a field, None if it is not there."""
        return next((field.value for field in self.fields if field.number == number), None)

    def set(self, number: int, value: Value) -> None:
        for field in self.fields:
            if field.number == number:
                field.value = value


@dataclass
class Elements:
    type: int
    values: list[Value]


def structure_at(octets: bytes, position: int = 0) -> tuple[Structure, int]:
    """The structure that begins at `position`, and where it ends. Raises ValueError or IndexError: there is none."""
    reader = _Reader(octets, position)
    return reader.structure(0), reader.position


class _Reader:
    def __init__(self, octets: bytes, position: int) -> None:
        self.octets, self.position = octets, position

    def structure(self, depth: int) -> Structure:
        fields: list[Field] = []
        number = 0
        while header := self.octet():
            number = number + (header >> 4) if header >> 4 else self.integer()
            fields.append(Field(number, header & 15, self.value(header & 15, depth, alone=True)))
        return Structure(fields)

    def value(self, type: int, depth: int, alone: bool = False) -> Value:
        if depth > DEEPEST:
            raise ValueError("too deep")
        match type:
            case 1 | 2:
                return type if alone else self.octet()
            case 3:
                return self.octet()
            case 4 | 5 | 6:
                return self.integer()
            case 7:
                return self.take(8)
            case 8:
                return self.take(self.varint())
            case 9 | 10:
                header = self.octet()
                count = self.varint() if header >> 4 == 15 else header >> 4
                if count > len(self.octets):
                    raise ValueError("longer than there are bytes")
                return Elements(header & 15, [self.value(header & 15, depth + 1) for _ in range(count)])
            case 12:
                return self.structure(depth + 1)
            case _:
                raise ValueError(f"no type {type}")

    def octet(self) -> int:
        self.position += 1
        return self.octets[self.position - 1]

    def varint(self) -> int:
        value = shift = 0
        while (octet := self.octet()) & 128:
            value |= (octet & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("too many bits")
        return value | octet << shift

    def integer(self) -> int:
        zigzag = self.varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def take(self, size: int) -> bytes:
        self.position += size
        if self.position > len(self.octets):
            raise ValueError("too long")
        return self.octets[self.position - size : self.position]


def written(structure: Structure) -> bytes:
    """A structure's bytes. Integers are cut to 64 bits, and field numbers may be in any order."""
    parts, last = [], 0
    for field in structure.fields:
        step = field.number - last
        parts.append(bytes([step << 4 | field.type]) if 0 < step < 16 else bytes([field.type]) + _integer(field.number))
        parts.append(b"" if field.type in (TRUE, FALSE) else _value(field.type, field.value))
        last = field.number
    return b"".join([*parts, b"\0"])


def _value(type: int, value: Value) -> bytes:
    match value:
        case Structure():
            return written(value)
        case Elements(element, values):
            count = len(values)
            head = bytes([count << 4 | element]) if count < 15 else bytes([15 << 4 | element]) + varint(count)
            return head + b"".join(_value(element, each) for each in values)
        case bytes():
            return value if type == DOUBLE else varint(len(value)) + value
        case _:
            return bytes([value & 255]) if type in (TRUE, FALSE, BYTE) else _integer(value)


def _integer(value: int) -> bytes:
    value = (value + 2**63) % 2**64 - 2**63
    return varint((value << 1 ^ value >> 63) % 2**64)


Place: TypeAlias = tuple[Structure | Elements, int]


def places_of(value: Value) -> Iterator[Place]:
    """Where values stand in a tree: what holds them, and their number in it."""
    items = [field.value for field in value.fields] if isinstance(value, Structure) else value.values
    for number, item in enumerate(items):
        yield value, number
        if isinstance(item, Structure | Elements):
            yield from places_of(item)


def changed(random: Random, structure: Structure) -> Structure:
    """A copy of the tree after one change, seldom after several: all but the value that changed is written as it should be."""
    structure = copy.deepcopy(structure)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = list(places_of(structure))
        if not places:
            break
        # Few of the values of a footer are structures, and most changes of interest are of numbers.
        _change(random, *random.choice(places), places)
    return structure


def _change(random: Random, holder: Structure | Elements, number: int, places: list[Place]) -> None:
    items: list[Any] = holder.fields if isinstance(holder, Structure) else holder.values
    kind = random.random()
    if kind < 0.06:
        del items[number]
        return
    if kind < 0.1:
        items.insert(number, copy.deepcopy(items[number]))
        return
    if kind < 0.14 and isinstance(holder, Structure):
        field = holder.fields[number]
        field.number += random.choice((1, -1, 5, 100))
        return
    type = holder.fields[number].type if isinstance(holder, Structure) else holder.type
    value = holder.fields[number].value if isinstance(holder, Structure) else holder.values[number]
    new = _other(random, type, value, places)
    if isinstance(holder, Structure):
        if type in (TRUE, FALSE):
            holder.fields[number].type = new
        holder.fields[number].value = new
    else:
        holder.values[number] = new


def _other(random: Random, type: int, value: Value, places: list[Place]) -> Value:
    """Another value of a type: mostly near the one there is, or one of that type from elsewhere in the tree."""
    if type in (TRUE, FALSE):
        return TRUE + FALSE - value
    if random.random() < 0.25:
        others = [other for holder, place in places for other_type, other in [_at(holder, place)] if other_type == type]
        return copy.deepcopy(random.choice(others))
    match value:
        case int():
            near = (value + 1, value - 1, value + random.randrange(1, 9), 2 * value, -value, value ^ 1 << random.randrange(32))
            return random.choice((*near, *near, random.randrange(-1, 12), *NUMBERS))
        case bytes():
            return (
                random.choice(TEXTS).encode("utf-8", "surrogatepass") if random.random() < 0.2 else mutated_bytes(random, value)
            )
        case Elements(element, values):
            kept = list(values)
            random.shuffle(kept)
            return Elements(element, kept[: random.randrange(len(kept) + 1)] if random.random() < 0.5 else kept)
        case _:
            return Structure(random.sample(value.fields, random.randrange(len(value.fields) + 1)))


def _at(holder: Structure | Elements, number: int) -> tuple[int, Value]:
    if isinstance(holder, Structure):
        return holder.fields[number].type, holder.fields[number].value
    return holder.type, holder.values[number]
