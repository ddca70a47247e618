"""Random small tables, and which columns an expression may name."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

import pyarrow as pa

from tests.oracle.grammar.draw import Draw

Kind: TypeAlias = Literal["integer", "decimal", "floating", "text", "date", "moment", "boolean"]
KINDS: tuple[Kind, ...] = ("integer", "decimal", "floating", "text", "date", "moment", "boolean")
EPOCH = datetime.datetime(1970, 1, 1)


def one_of(*values: object) -> Callable[[Draw], object]:
    return lambda draw: draw.pick(*values)


@dataclass(frozen=True)
class Column:
    """A column of the random tables: its type, what kind of expression it is, and how a value is drawn."""

    type: pa.DataType
    kind: Kind
    value: Callable[[Draw], object]


# Few different values, so that groups, equalities and duplicates happen. Sums of the floats are exact in any order.
COLUMNS: dict[str, Column] = {
    "i": Column(pa.int32(), "integer", lambda draw: draw.number(-3, 3)),
    "j": Column(pa.int16(), "integer", one_of(-300, -7, 0, 1, 2, 300)),
    "u": Column(pa.uint8(), "integer", one_of(0, 1, 2, 255)),
    "k": Column(pa.int64(), "integer", one_of(-1, 0, 1, 2, 2, 3)),
    "n": Column(pa.int64(), "integer", one_of(-(10**12), 0, 1, 5, 10**6, 10**6 + 1, 3 * 10**12, 3 * 10**12 + 1)),
    "x": Column(pa.float64(), "floating", one_of(0.0, 0.5, -0.5, 2.0, -1.25, 1024.0, math.inf, -math.inf, math.nan)),
    "f": Column(pa.float32(), "floating", one_of(0.0, 0.5, -1.5, 3.0)),
    "d": Column(pa.decimal128(6, 2), "decimal", lambda draw: Decimal(draw.number(-999, 999)).scaleb(-2)),
    "e": Column(pa.decimal128(5, 3), "decimal", one_of(*map(Decimal, ("0.005", "-0.005", "1.500", "-12.345")))),
    "s": Column(pa.string(), "text", one_of("", "a", "b", "ab", "B", "é", "a%")),
    "w": Column(pa.string(), "text", one_of("a", "ab", "c", "10", "-3")),
    "p": Column(pa.bool_(), "boolean", one_of(True, False)),
    "t": Column(pa.date32(), "date", lambda draw: (EPOCH + datetime.timedelta(days=draw.number(-800, 800) * 7)).date()),
    "m": Column(pa.timestamp("us"), "moment", lambda draw: EPOCH + datetime.timedelta(hours=draw.number(-50, 50) * 12)),
}
# Integers of so wide a range that groups and joins by them are not by slots, and that few things may be computed of.
WIDE = "n"
# They share names, so that joins by USING have keys, also of different types.
TABLES: dict[str, tuple[str, ...]] = {
    "a": tuple(COLUMNS),
    "b": ("i", "k", "n", "s", "d", "x", "t"),
    "c": ("i", "j", "k", "n", "w", "s", "e", "p", "m"),
}


@dataclass(frozen=True)
class Scope:
    """The columns that can be named, by kind, and those that together tell any two rows apart."""

    columns: Mapping[Kind, tuple[str, ...]]
    unique: tuple[str, ...]

    def __or__(self, other: Scope) -> Scope:
        return Scope({kind: self.of(kind) + other.of(kind) for kind in KINDS}, self.unique + other.unique)

    def of(self, kind: Kind) -> tuple[str, ...]:
        return self.columns.get(kind, ())


def scope_of(table: str, name: str) -> Scope:
    """A table under the name that it has in a query."""
    by_kind: dict[Kind, tuple[str, ...]] = {}
    for column in TABLES[table]:
        kind = COLUMNS[column].kind
        by_kind[kind] = (*by_kind.get(kind, ()), f"{name}.{column}")
    return Scope(by_kind, (f"{name}.id",))


def random_tables(draw: Draw, most_rows: int = 12) -> dict[str, pa.Table]:
    return {name: random_table(draw, name, most_rows) for name in TABLES}


def random_table(draw: Draw, name: str, most_rows: int) -> pa.Table:
    """Some columns have no NULLs, some nothing else; some tables no rows."""
    rows = 0 if draw.chance(0.05) else draw.number(1, most_rows)
    columns = {"id": pa.array(range(rows), pa.int64())}
    for column in TABLES[name]:
        missing = draw.pick(0.0, 0.0, 0.3, 0.3, 0.1, 1.0 if draw.chance(0.5) else 0.0)
        values = [None if draw.chance(missing) else COLUMNS[column].value(draw) for _ in range(rows)]
        columns[column] = pa.array(values, COLUMNS[column].type)
    return pa.table(columns)
