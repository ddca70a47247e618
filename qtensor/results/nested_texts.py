"""Values of types that queries only pass on, as texts: lists, structs, maps, bytes, durations, moments with a time zone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow

Texts: TypeAlias = list[str | None]
Write: TypeAlias = Callable[[pa.Array], Texts]  # the values of an array, which may be nested again

_PLAIN = re.compile(r"[^\s'\"\\,\[\]{}()=:](?:[^'\"\\,\[\]{}()=:]*[^\s'\"\\,\[\]{}()=:])?")
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def is_nested(type: pa.DataType) -> bool:
    return bool(arrow.is_nested(type) and not arrow.is_union(type))


def nested_texts(column: pa.Array, write: Write) -> Texts:
    """Lists, structs and maps as DuckDB writes them: [a, NULL], {'x': 1}, {k=1}."""
    return grouped(
        column,
        lambda values: [quoted(text) for text in write(values)],
        lambda items: f"[{', '.join(items)}]",
        lambda names, items: f"{{{', '.join(f'{name!r}: {item}' for name, item in zip(names, items, strict=True))}}}",
        lambda pairs: f"{{{', '.join(f'{key}={value}' for key, value in pairs)}}}",
    )


def nested_json(column: pa.Array, write: Write, keys: Write) -> Texts:
    """The same as JSON. keys: the texts of a map's keys."""
    return grouped(
        column,
        lambda values: ["null" if text is None else text for text in write(values)],
        lambda items: f"[{','.join(items)}]",
        lambda names, items: f"{{{','.join(f'{json.dumps(name)}:{item}' for name, item in zip(names, items, strict=True))}}}",
        lambda pairs: f"{{{','.join(f'{key}:{value}' for key, value in pairs)}}}",
        lambda values: [json.dumps(text) for text in keys(values)],
    )


def grouped(
    column: pa.Array,
    write: Callable[[pa.Array], list[str]],
    of_list: Callable[[list[str]], str],
    of_struct: Callable[[list[str], list[str]], str],
    of_map: Callable[[list[tuple[str, str]]], str],
    write_keys: Callable[[pa.Array], list[str]] | None = None,
) -> Texts:
    """What is made of the texts of each value's parts; None where it is NULL."""
    type, there = column.type, column.is_valid().to_pylist()
    if arrow.is_struct(type):
        names = [field.name for field in type]
        rows = zip(*map(write, column.flatten()), strict=True) if names else iter([()] * len(column))
        return [of_struct(names, list(row)) if valid else None for row, valid in zip(rows, there, strict=True)]
    if arrow.is_map(type):
        entries = [pair for pairs in column.to_pylist() if pairs is not None for pair in pairs]
        written_keys = (write_keys or write)(pa.array([key for key, _ in entries], type.key_type))
        values = write(pa.array([value for _, value in entries], type.item_type))
        pairs = zip(written_keys, values, strict=True)
        counts = [0 if row is None else len(row) for row in column.to_pylist()]
        return [of_map(list(islice(pairs, count))) if valid else None for count, valid in zip(counts, there, strict=True)]
    items: Iterator[str] = iter(write(column.flatten()))  # those of NULL lists are left out
    counts = pc.list_value_length(column).to_pylist()
    return [of_list(list(islice(items, count))) if valid else None for count, valid in zip(counts, there, strict=True)]


def quoted(text: str | None) -> str:
    """A part of a nested value: in quotes where it could be taken for something else."""
    if text is None:
        return "NULL"
    if text.lower() != "null" and (_PLAIN.fullmatch(text) or text[:1] in ("[", "{")):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def bytes_text(value: bytes) -> str:
    """Bytes as DuckDB writes a BLOB: those that are no plain letters as \\x and their number."""
    return "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in "\\'\"" else f"\\x{byte:02X}" for byte in value)


def duration_text(count: int, unit: str) -> str:
    """A duration as DuckDB writes an INTERVAL without days.

    >>> duration_text(999_500_000, "us"), duration_text(-90_061, "s")
    ('00:16:39.5', '-25:01:01')
    """
    whole = count // 1_000 if unit == "ns" else count * _MICROSECONDS[unit]
    seconds, fraction = divmod(abs(whole), 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return ("-" if whole < 0 else "") + text + (f".{fraction:06}".rstrip("0") if fraction else "")


def zoned_text(text: str) -> str:
    """Arrow's text of a moment in its time zone as DuckDB's.

    >>> zoned_text("2024-01-01 01:00:00.500000+0100"), zoned_text("2024-01-01 00:00:00.000000Z")
    ('2024-01-01 01:00:00.5+01', '2024-01-01 00:00:00+00')
    """
    moment, sign, offset = (text[:-1], "+", "0000") if text.endswith("Z") else (text[:-5], text[-5], text[-4:])
    if "." in moment:
        moment = moment.rstrip("0").removesuffix(".")
    return f"{moment}{sign}{offset[:2]}" + (f":{offset[2:]}" if offset[2:] != "00" else "")
