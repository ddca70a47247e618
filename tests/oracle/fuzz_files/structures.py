"""Changes that keep a file's structure: of the parts of a zip, the values of JSON, the fields of a protocol buffer."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from tests.oracle.fuzz_files.mutations import NUMBERS, mutated_bytes

JSON: TypeAlias = Any
Place: TypeAlias = tuple[str | int, ...]

TEXTS = ("", "x", "\0", "\x1b[31m", "../x", "/dev/zero", "\ud800", "é" * 100, "a" * 10_000, "nan", "-1", "float64", "int32")


def zip_parts(content: bytes) -> dict[str, bytes]:
    """The content of each part of a zip by its name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these parts, the same bytes each time."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return memory.getvalue()


def mutated_parts(random: Random, parts: Mapping[str, bytes], change: Callable[[str, bytes], bytes]) -> dict[str, bytes]:
    """The parts after `change` of one of them; seldom one goes, is doubled, or takes the place of another."""
    names = list(parts)
    chosen, other = random.choice(names), random.choice(names)
    result = dict(parts)
    kind = random.random()
    if kind < 0.03:
        del result[chosen]
    elif kind < 0.06:
        result[chosen], result[other] = parts[other], parts[chosen]
    elif kind < 0.08:
        result[random.choice((f"{chosen}2", f"../{chosen}", f"/{chosen}", chosen.upper(), "x" * 300))] = parts[chosen]
    else:
        result[chosen] = change(chosen, parts[chosen])
    return result


def mutated_json(random: Random, text: bytes) -> bytes:
    """JSON after one to three changes of its values; text that is none, after changes of its bytes."""
    try:
        value = json.loads(text)
    except ValueError:
        return mutated_bytes(random, text)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(places_of(value))
        value = changed_json(random, value, random.choice(places), places)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def places_of(value: JSON, place: Place = ()) -> Iterator[Place]:
    """Where values stand within a value, itself last."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_of(item, (*place, key))
    yield place


def at(value: JSON, place: Place) -> JSON:
    for key in place:
        value = value[key]
    return value


def changed_json(random: Random, value: JSON, place: Place, places: Sequence[Place]) -> JSON:
    if not place:
        return random_json(random)
    value = copy.deepcopy(value)
    parent, key = at(value, place[:-1]), place[-1]
    kind = random.random()
    if kind < 0.1:
        del parent[key]
    elif kind < 0.2 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind < 0.4:
        parent[key] = copy.deepcopy(at(value, random.choice(places)))
    elif isinstance(parent[key], bool):
        parent[key] = not parent[key]
    elif isinstance(parent[key], int):
        parent[key] = random.choice((parent[key] + 1, parent[key] - 1, -parent[key], 2 * parent[key], *NUMBERS))
    else:
        parent[key] = random_json(random)
    return value


def random_json(random: Random) -> JSON:
    return random.choice(
        (None, True, [], {}, 1.5, float("nan"), 10**30, [[]], random.choice(NUMBERS), random.choice(TEXTS), random.choice(TEXTS))
    )


def mutated_protobuf(random: Random, content: bytes) -> bytes:
    """A message after a change of one of its fields, at any depth; the lengths around it are right."""
    fields = fields_of(content)
    if not fields or random.random() < 0.05:
        return mutated_bytes(random, content)
    position = random.randrange(len(fields))
    number, wire, value = fields[position]
    kind = random.random()
    if kind < 0.06:
        del fields[position]
    elif kind < 0.12:
        fields.insert(random.randrange(len(fields) + 1), fields[position])
    elif kind < 0.16:
        fields[position] = (random.choice((number + 1, max(1, number - 1), 15, 1_000)), wire, value)
    elif isinstance(value, int):
        fields[position] = (number, wire, random.choice((value ^ 1 << random.randrange(64), value + 1, *NUMBERS)) % 2**64)
    else:
        fields[position] = (number, wire, mutated_field(random, value))
    return b"".join(map(written, fields))


def mutated_field(random: Random, content: bytes) -> bytes:
    """The content of a field: as a message if it can be one, as a text or bytes else."""
    if fields_of(content) and random.random() < 0.9:
        return mutated_protobuf(random, content)
    if random.random() < 0.3:
        return random.choice(TEXTS).encode("utf-8", "surrogatepass")
    return mutated_bytes(random, content)


Field: TypeAlias = tuple[int, int, "int | bytes"]


def fields_of(content: bytes) -> list[Field]:
    """The fields of a message, (number, wire type, value), or none if it is no message."""
    fields: list[Field] = []
    position = 0
    try:
        while position < len(content):
            tag, position = varint_at(content, position)
            number, wire = tag >> 3, tag & 7
            if wire == 0:
                value, position = varint_at(content, position)
                fields.append((number, wire, value))
                continue
            size = {1: 8, 5: 4}.get(wire)
            if size is None and wire == 2:
                size, position = varint_at(content, position)
            if size is None or number == 0 or position + size > len(content):
                return []
            fields.append((number, wire, content[position : position + size]))
            position += size
    except IndexError:
        return []
    return fields


def varint_at(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
        if shift > 63:
            raise IndexError("a number of too many bytes")


def varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def written(field: Field) -> bytes:
    number, wire, value = field
    tag = varint(number << 3 | wire)
    if isinstance(value, int):
        return tag + varint(value)
    return tag + (varint(len(value)) if wire == 2 else b"") + value
