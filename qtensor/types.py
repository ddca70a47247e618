"""SQL types, named and behaving as DuckDB's; shared by every stage of a query's life."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias


@dataclass(frozen=True)
class Null:
    """The type of a bare NULL."""

    def __str__(self) -> str:
        return '"NULL"'


@dataclass(frozen=True)
class Boolean:
    def __str__(self) -> str:
        return "BOOLEAN"


@dataclass(frozen=True)
class Integer:
    """`bits` is 8, 16, 32, 64, or 128 (HUGEINT: the type of sums; values beyond int64 exist only as results)."""

    bits: int
    signed: bool = True

    def __str__(self) -> str:
        name = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT", 128: "HUGEINT"}[self.bits]
        return name if self.signed else "U" + name

    @property
    def minimum(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class Decimal:
    """Fixed point: an integer of at most `precision` digits, in units of 10**-scale."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"DECIMAL({self.precision},{self.scale})"

    @property
    def maximum(self) -> int:
        """The largest unscaled value."""
        return int(10**self.precision) - 1


@dataclass(frozen=True)
class Float:
    """IEEE binary floating point; `bits` is 32 (FLOAT) or 64 (DOUBLE). NaN equals NaN and is the greatest value."""

    bits: int

    def __str__(self) -> str:
        return "FLOAT" if self.bits == 32 else "DOUBLE"


@dataclass(frozen=True)
class Date:
    """Days since 1970-01-01, from 5877642 BC to 5881580; INFINITE_DAY stands for the time after them, -INFINITE_DAY before."""

    def __str__(self) -> str:
        return "DATE"


@dataclass(frozen=True)
class Timestamp:
    """Microseconds since 1970-01-01 00:00:00, without a time zone, from 290309 BC to 294247; INFINITE_MOMENT is infinity."""

    def __str__(self) -> str:
        return "TIMESTAMP"


@dataclass(frozen=True)
class Varchar:
    """Unicode text, ordered by code points."""

    def __str__(self) -> str:
        return "VARCHAR"


@dataclass(frozen=True)
class Enum(Varchar):
    """Text that is one of `values` and ordered by its place among them: what a pandas category is to DuckDB."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return "ENUM({})".format(", ".join("'" + value.replace("'", "''") + "'" for value in self.values))


@dataclass(frozen=True)
class Interval:
    """A span of time; exists only as a literal."""

    def __str__(self) -> str:
        return "INTERVAL"


@dataclass(frozen=True)
class Array:
    """A fixed number of floating-point values: what a model that returns scores gives for a row."""

    element: Float
    length: int

    def __str__(self) -> str:
        return f"{self.element}[{self.length}]"


@dataclass(frozen=True)
class Unsupported:
    """The type of a table's column that queries do not compute with: it may stand beside others and be passed on, and no more.

    name: as DuckDB calls the type, or the library that the column came from. remedy: what its owner can do about it. arrow: the
    Arrow type in which results have it; None: not even those can.
    """

    name: str
    remedy: str
    arrow: Any = None

    def __str__(self) -> str:
        return self.name


SqlType: TypeAlias = (
    Null | Boolean | Integer | Decimal | Float | Date | Timestamp | Varchar | Enum | Interval | Array | Unsupported
)

NULL = Null()
BOOLEAN = Boolean()
TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT = (Integer(bits) for bits in (8, 16, 32, 64, 128))
UTINYINT, USMALLINT, UINTEGER, UBIGINT = (Integer(bits, signed=False) for bits in (8, 16, 32, 64))
FLOAT, DOUBLE = Float(32), Float(64)
DATE = Date()
TIMESTAMP = Timestamp()
VARCHAR = Varchar()
INTERVAL = Interval()

MICROSECONDS_PER_DAY = 86_400_000_000
INFINITE_DAY, INFINITE_MOMENT = (1 << 31) - 1, (1 << 63) - 1
FIRST_DAY, LAST_DAY = 1 - INFINITE_DAY, INFINITE_DAY - 1
FIRST_MOMENT, LAST_MOMENT = -106_751_991 * MICROSECONDS_PER_DAY, INFINITE_MOMENT - 1


def is_infinite(value: object, type: SqlType) -> bool:
    """Whether a date or a moment is infinity, or minus infinity.

    >>> is_infinite(-INFINITE_DAY, DATE), is_infinite(INFINITE_DAY, TIMESTAMP), is_infinite(INFINITE_DAY, BIGINT)
    (True, False, False)
    """
    match type, value:
        case Date(), int(days):
            return abs(days) >= INFINITE_DAY
        case Timestamp(), int(microseconds):
            return abs(microseconds) >= INFINITE_MOMENT
        case _:
            return False


class IntervalValue(NamedTuple):
    """The value of an INTERVAL literal; months and days are calendar units, added in that order."""

    months: int = 0
    days: int = 0
    microseconds: int = 0


@dataclass(frozen=True)
class Field:
    """A column of a table, of a plan's output, or of a result."""

    name: str
    type: SqlType


Schema: TypeAlias = tuple[Field, ...]


def distinct_names(names: Iterable[str]) -> list[str]:
    """`names` with a counter after every one that has been there, case ignored, as DuckDB names the columns of what it reads.

    >>> distinct_names(["a", "A", "b", "a"])
    ['a', 'A_1', 'b', 'a_2']
    """
    taken: set[str] = set()
    result = []
    for base in names:
        name, count = base, 0
        while name.lower() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.lower())
        result.append(name)
    return result


def scale_of(type: SqlType) -> int:
    """How many decimal digits a value of `type` has behind the point: those of a DECIMAL, else 0."""
    return type.scale if isinstance(type, Decimal) else 0
