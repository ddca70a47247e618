"""Values as texts of sqllogictest, and whether a result is the one that a file expects."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from tests.oracle.slt.records import Query

Row: TypeAlias = tuple[Any, ...]
HASHED = re.compile(r"(\d+) values hashing to ([0-9a-f]{32})")


def text_of(value: object) -> str:
    """A value as DuckDB casts it to VARCHAR, but 1 and 0 for Booleans."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(int(value))
        case float():
            return float_text(value)
        case str():
            return value or "(empty)"
        case datetime():
            return re.sub(r"(\.\d*?)0+$", r"\1", str(value)).removesuffix(".")
        case list() | tuple():
            return f"[{', '.join(text_of(item) for item in value)}]"
        case _:
            return str(value)


def float_text(value: float) -> str:
    if math.isfinite(value):
        return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", repr(value))
    return repr(value)


def sqlite_text(value: object, type: str) -> str:
    """A value as SQLite's runner prints it in a column of this type: three digits for R, and whole numbers for I.

    But what is not whole keeps its fraction in I: SQLite would cut it off, and hide what was computed.
    """
    if value is None:
        return "NULL"
    if type == "I" and isinstance(value, int | float | Decimal) and is_whole(value):
        return str(int(value))
    if type == "R" and isinstance(value, int | float | Decimal):
        return f"{value:.3f}"
    text = text_of(value)
    return "".join(letter if " " <= letter <= "~" else "@" for letter in text)


def is_whole(value: float | Decimal) -> bool:
    return math.isfinite(value) and value == int(value)


def difference(query: Query, rows: Sequence[Row]) -> str:
    """What is wrong with the result, or "" if it is the expected one."""
    expected = query.expected
    if expected is None or (query.label and not expected):
        return ""
    width = len(rows[0]) if rows else len(query.types)
    hashed = HASHED.fullmatch(expected[0].strip()) if len(expected) == 1 else None
    if hashed:
        count, digest = int(hashed[1]), hashed[2]
        if count != width * len(rows):
            return f"{width * len(rows)} values instead of {count}"
        found = digests(query, rows)
        return "" if digest in found else f"values hashing to {found[0]} instead of {digest}"
    values = expected_values(expected, width, len(rows))
    if values is None:
        return f"{len(rows)} rows of {width} values instead of {len(expected)} lines"
    return difference_of_values(query, rows, values, width)


def expected_values(lines: Sequence[str], width: int, rows: int) -> list[str] | None:
    """The values in a file, row by row: a line is a row with tabs between its values, or else one value."""
    if len(lines) == rows and (width == 1 or all(line.count("\t") == width - 1 for line in lines)):
        return [value for line in lines for value in (line.split("\t") if width > 1 else [line])]
    return list(lines) if len(lines) == rows * width else None


def difference_of_values(query: Query, rows: Sequence[Row], expected: list[str], width: int) -> str:
    found = [value for row in rows for value in row]
    types = [query.types[at % width] if at % width < len(query.types) else "T" for at in range(len(found))]
    if query.sort == "nosort":
        order, order_expected = list(range(len(found))), list(range(len(expected)))
    else:
        texts = [sortable(text_of(value)) for value in found]
        step = width if query.sort == "rowsort" else 1
        order = sorted_positions(texts, step)
        order_expected = sorted_positions([sortable(value) for value in expected], step)
    for a, b in zip(order, order_expected, strict=True):
        if not same(found[a], expected[b], types[a]):
            return f"{text_of(found[a])} instead of {expected[b]}"
    return ""


def sorted_positions(texts: list[tuple[int, float, str]], step: int) -> list[int]:
    """The positions of values with the groups of `step` neighbours sorted."""
    groups = sorted(range(0, len(texts), step), key=lambda at: texts[at : at + step])
    return [at + offset for at in groups for offset in range(step)]


def sortable(text: str) -> tuple[int, float, str]:
    """Numbers by what they are, however many digits are written."""
    try:
        number = float({"true": "1", "false": "0"}.get(text.lower(), text))
    except ValueError:
        return (1, 0.0, text)
    return (0, math.inf, "nan") if math.isnan(number) else (0, float(f"{number:.5g}"), "")


def same(value: object, expected: str, type: str) -> bool:
    """Whether a value is meant: as a text, by a pattern, or as a number, floats within a hundredth as DuckDB's runner has it.

    A whole number in a column of type I is that number and no other one near it.
    """
    text = text_of(value)
    if text == expected or expected == sqlite_text(value, type):
        return True
    for prefix, wanted in (("<REGEX>:", True), ("<!REGEX>:", False)):
        if expected.startswith(prefix):
            return (re.fullmatch(expected.removeprefix(prefix), text, re.DOTALL) is not None) == wanted
    if isinstance(value, bool):
        return expected.lower() == str(value).lower()
    if isinstance(value, int | Decimal | float):
        try:
            number = float(expected) if isinstance(value, float) else Decimal(expected)
        except (ValueError, ArithmeticError):
            return False
        if not isinstance(value, float) or (type == "I" and re.fullmatch(r"[+-]?\d+", expected)):
            return number == value
        return math.isclose(value, number, rel_tol=0.01, abs_tol=1e-8) or (math.isnan(value) and math.isnan(number))
    return text.replace("\0", "\\0") == expected


def digests(query: Query, rows: Sequence[Row]) -> list[str]:
    """The hashes of a result that files may show: SQLite's, by the types of the columns, and DuckDB's."""
    found = []
    for by_type in (True, False):
        texts = [
            [
                sqlite_text(value, type) if by_type else text_of(value)
                for value, type in zip(row, query.types.ljust(len(row), "T"), strict=False)
            ]
            for row in rows
        ]
        if query.sort == "rowsort":
            texts.sort()
        values = [text for row in texts for text in row]
        if query.sort == "valuesort":
            values.sort()
        found.append(hashlib.md5("".join(f"{value}\n" for value in values).encode(), usedforsecurity=False).hexdigest())
    return found
