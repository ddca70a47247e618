"""DuckDB's type rules: what type an operator has, and to what its operands are cast, from their types alone.

Arithmetic is resolved as DuckDB does it: each operator has a list of overloads, an implicit cast has a cost, and the overload
with the least total cost wins; two cheapest ones are an ambiguity. Comparisons, CASE, COALESCE, IN and BETWEEN instead cast
their operands to one common type. Literals take part with a type of their own, since `1` fits a TINYINT and `'1994-01-01'` a
DATE: `IntegerLiteral` and `StringLiteral`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from qtensor.types import (
    BIGINT,
    DATE,
    DOUBLE,
    FLOAT,
    HUGEINT,
    INTEGER,
    INTERVAL,
    NULL,
    SMALLINT,
    TIMESTAMP,
    TINYINT,
    UBIGINT,
    UINTEGER,
    USMALLINT,
    UTINYINT,
    VARCHAR,
    Boolean,
    Date,
    Decimal,
    Enum,
    Float,
    Integer,
    Null,
    SqlType,
    Timestamp,
    Varchar,
)

MAX_DECIMAL_PRECISION = 38
INT64_DECIMAL_PRECISION = 18


@dataclass(frozen=True)
class IntegerLiteral:
    """The type of an integer literal, which becomes whatever integer it is combined with and fits."""

    value: int

    def __str__(self) -> str:
        return str(natural_type(self))


@dataclass(frozen=True)
class StringLiteral:
    """The type of a text literal, which becomes whatever it is combined with."""

    def __str__(self) -> str:
        return "VARCHAR"


OperandType: TypeAlias = SqlType | IntegerLiteral | StringLiteral

STRING_LITERAL = StringLiteral()


class TypeRuleError(Exception):
    """Operand types that do not go together; the binder turns it into a BindError with a caret."""


@dataclass(frozen=True)
class Signature:
    """A resolved operator: the types its operands are cast to, and its result's type."""

    operands: tuple[SqlType, SqlType]
    result: SqlType


def integer_type(value: int) -> Integer | None:
    """The type of an integer literal: the first of INTEGER, BIGINT, HUGEINT that holds it, None when none does.

    >>> print(integer_type(-2147483648), integer_type(2147483648))
    INTEGER BIGINT
    """
    for candidate in (INTEGER, BIGINT, HUGEINT):
        if candidate.minimum <= value <= candidate.maximum:
            return candidate
    return None


def decimal_literal_type(text: str) -> SqlType:
    """The type of the literal `text`, digits with a decimal point; beyond 38 digits it is a DOUBLE.

    >>> print(decimal_literal_type("0.06"), decimal_literal_type(".5"), decimal_literal_type("12."))
    DECIMAL(3,2) DECIMAL(1,1) DECIMAL(2,0)
    """
    whole, _, fraction = text.partition(".")
    precision = len(whole) + len(fraction)
    return Decimal(precision, len(fraction)) if precision <= MAX_DECIMAL_PRECISION else DOUBLE


def natural_type(operand: OperandType) -> SqlType:
    """The SQL type of an operand on its own: literals take the type they have when selected."""
    match operand:
        case IntegerLiteral(value):
            return next(t for t in (INTEGER, BIGINT, HUGEINT) if t.minimum <= value <= t.maximum)
        case StringLiteral():
            return VARCHAR
        case _:
            return operand


def integer_as_decimal(integer: Integer) -> Decimal:
    """The DECIMAL that DuckDB casts an integer type to when it meets decimals.

    >>> print(integer_as_decimal(INTEGER), integer_as_decimal(UBIGINT))
    DECIMAL(10,0) DECIMAL(20,0)
    """
    digits = {8: 3, 16: 5, 32: 10, 64: 19 if integer.signed else 20, 128: MAX_DECIMAL_PRECISION}
    return Decimal(digits[integer.bits], 0)


# --- implicit casts -----------------------------------------------------------------------------------------------------------

_TARGET_COST: dict[SqlType, int] = {BIGINT: 101, INTEGER: 102, HUGEINT: 103, DOUBLE: 104, TIMESTAMP: 120}
_DECIMAL_COST = 105
_OTHER_COST = 110
_STRING_LITERAL_COST = 20
_LITERAL_DISCOUNT = 90

# Stands for a DECIMAL of any precision and scale in a list of overloads.
ANY_DECIMAL = Decimal(MAX_DECIMAL_PRECISION, 0)


def _target_cost(target: SqlType) -> int:
    return _DECIMAL_COST if isinstance(target, Decimal) else _TARGET_COST.get(target, _OTHER_COST)


def _widens(source: Integer, target: Integer) -> bool:
    return source != target and target.minimum <= source.minimum and source.maximum <= target.maximum


def implicit_cast_cost(source: OperandType, target: SqlType) -> int | None:
    """What DuckDB charges for casting `source` to `target` unasked; None where it never does."""
    if source == target or (isinstance(source, Decimal) and isinstance(target, Decimal)):
        return 0
    match source, target:
        case Null(), _:
            return _target_cost(target)
        case Enum(), _:
            return 1 if target == VARCHAR else None
        case StringLiteral(), Decimal():
            return None  # DuckDB: a DECIMAL's precision and scale cannot be read off a text literal
        case StringLiteral(), _:
            return 1 if target == VARCHAR else _STRING_LITERAL_COST
        case IntegerLiteral(value), Integer():
            if not target.minimum <= value <= target.maximum:
                return None
            return 0 if target == natural_type(source) else _target_cost(target) - _LITERAL_DISCOUNT
        case IntegerLiteral(), _:
            return implicit_cast_cost(natural_type(source), target)
        case Integer(), Integer():
            return _target_cost(target) if _widens(source, target) else None
        case (Integer(), Decimal() | Float()) | (Decimal(), Float()) | (Float(32), Float(64)) | (Date(), Timestamp()):
            return _target_cost(target)
        case _:
            return None


# --- arithmetic ---------------------------------------------------------------------------------------------------------------

_INTEGERS = (TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT)
_FLOATS = (FLOAT, DOUBLE)


def _same(*types: SqlType) -> tuple[Signature, ...]:
    return tuple(Signature((each, each), each) for each in types)


_EXACT = (*_INTEGERS, *_FLOATS, ANY_DECIMAL)
_OVERLOADS: dict[str, tuple[Signature, ...]] = {
    "+": (
        *_same(*_EXACT, INTERVAL),
        Signature((DATE, INTEGER), DATE),
        Signature((INTEGER, DATE), DATE),
        Signature((DATE, INTERVAL), TIMESTAMP),
        Signature((INTERVAL, DATE), TIMESTAMP),
        Signature((TIMESTAMP, INTERVAL), TIMESTAMP),
        Signature((INTERVAL, TIMESTAMP), TIMESTAMP),
    ),
    "-": (
        *_same(*_EXACT, INTERVAL),
        Signature((DATE, DATE), BIGINT),
        Signature((DATE, INTEGER), DATE),
        Signature((TIMESTAMP, TIMESTAMP), INTERVAL),
        Signature((DATE, INTERVAL), TIMESTAMP),
        Signature((TIMESTAMP, INTERVAL), TIMESTAMP),
    ),
    "*": (
        *_same(*_EXACT),
        Signature((INTERVAL, DOUBLE), INTERVAL),
        Signature((DOUBLE, INTERVAL), INTERVAL),
        Signature((BIGINT, INTERVAL), INTERVAL),
        Signature((INTERVAL, BIGINT), INTERVAL),
    ),
    "/": (*_same(*_FLOATS), Signature((INTERVAL, DOUBLE), INTERVAL)),
    "//": _same(*_INTEGERS, *_FLOATS),
    "%": _same(*_EXACT),
}


@lru_cache(maxsize=1024)
def resolve_arithmetic(operator: str, left: OperandType, right: OperandType) -> Signature:
    """The overload of `operator` (+ - * / // %) that DuckDB chooses for these operands.

    DECIMAL operands of + - % come back with the result's scale, of * with their own; an operand of unknown type "NULL" beside
    a DECIMAL makes the result "NULL", as in DuckDB.

    >>> print(resolve_arithmetic("+", Decimal(9, 2), INTEGER).result)
    DECIMAL(13,2)

    Raises:
        TypeRuleError: no overload takes these operands, or several do equally well.
    """
    priced: list[tuple[int, Signature]] = []
    for overload in _OVERLOADS[operator]:
        costs = [implicit_cast_cost(s, t) for s, t in zip((left, right), overload.operands, strict=True)]
        if None not in costs:
            priced.append((sum(cost for cost in costs if cost is not None), overload))
    shown = f"{natural_type(left)} {operator} {natural_type(right)}"
    if not priced:
        raise TypeRuleError(f"there is no {shown}")
    least = min(cost for cost, _ in priced)
    cheapest = [overload for cost, overload in priced if cost == least]
    if len(cheapest) > 1:
        choices = " or ".join(f"{one.operands[0]} {operator} {one.operands[1]}" for one in cheapest[:2])
        raise TypeRuleError(f"{shown} could mean {choices}; an explicit cast is needed")
    if cheapest[0].result == ANY_DECIMAL:
        return _decimal_arithmetic(operator, left, right)
    return cheapest[0]


def _as_decimal(operand: OperandType) -> Decimal | None:
    match natural_type(operand):
        case Decimal() as decimal:
            return decimal
        case Integer() as integer:
            return integer_as_decimal(integer)
        case _:
            return None


def _decimal_arithmetic(operator: str, left: OperandType, right: OperandType) -> Signature:
    a, b = _as_decimal(left), _as_decimal(right)
    if a is None or b is None:
        return Signature((NULL, NULL), NULL)
    if operator == "*":
        return Signature((a, b), _product_type(a, b))
    scale = max(a.scale, b.scale)
    whole = max(a.precision - a.scale, b.precision - b.scale)
    if operator == "%":
        if whole + scale > MAX_DECIMAL_PRECISION:
            return Signature((DOUBLE, DOUBLE), DOUBLE)
        result = Decimal(whole + scale, scale)
    else:
        result = Decimal(min(whole + scale + 1, MAX_DECIMAL_PRECISION), scale)
    return Signature((rescaled(a, scale), rescaled(b, scale)), result)


def _product_type(a: Decimal, b: Decimal) -> Decimal:
    scale = a.scale + b.scale
    if scale > MAX_DECIMAL_PRECISION:
        raise TypeRuleError(f"{a} * {b} needs a scale of {scale}; a DECIMAL has at most {MAX_DECIMAL_PRECISION}")
    precision = a.precision + b.precision
    narrow = max(a.precision, b.precision) <= INT64_DECIMAL_PRECISION and scale < INT64_DECIMAL_PRECISION
    # DuckDB keeps a product of two 64-bit decimals in 64 bits and checks for overflow instead of widening to 128.
    if precision > INT64_DECIMAL_PRECISION and narrow:
        precision = INT64_DECIMAL_PRECISION
    return Decimal(min(precision, MAX_DECIMAL_PRECISION), scale)


def rescaled(decimal: Decimal, scale: int) -> Decimal:
    """`decimal` with more digits after the point and as many before it, as far as 38 digits go."""
    return Decimal(min(decimal.precision - decimal.scale + scale, MAX_DECIMAL_PRECISION), scale)


# --- common types -------------------------------------------------------------------------------------------------------------


def common_type(operands: Iterable[OperandType], *, comparison: bool = False, equality: bool = False) -> SqlType | None:
    """The type that all of `operands` are cast to before they are compared or returned by one CASE; None if there is none.

    They are combined from the first on. A literal takes the type of what it is combined with; combined with NULL or with another
    literal, it has its natural type from then on. A `comparison` keeps all digits after the point. With `equality` (= <> IN,
    IS DISTINCT FROM), text and BOOLEAN are also cast to whatever they are compared with.

    >>> print(common_type([UBIGINT, TINYINT]), common_type([Decimal(9, 2), INTEGER]), common_type([FLOAT, BIGINT]))
    HUGEINT DECIMAL(12,2) FLOAT
    >>> print(common_type([VARCHAR, INTEGER]), common_type([VARCHAR, INTEGER], equality=True))
    None INTEGER
    """
    first, *others = operands
    combined = first
    for operand in others:
        wider = _combine(combined, operand, comparison, equality)
        if wider is None:
            return None
        combined = wider
    return natural_type(combined)


def set_operation_type(left: SqlType, right: SqlType) -> SqlType | None:
    """The type of a column that UNION, INTERSECT or EXCEPT makes of two; None if there is none. Text takes up everything.

    >>> from qtensor.types import BOOLEAN, DATE, DOUBLE, INTEGER, VARCHAR
    >>> print(set_operation_type(DATE, VARCHAR), set_operation_type(BOOLEAN, DOUBLE), set_operation_type(INTEGER, DATE))
    VARCHAR DOUBLE None
    """
    if left != right and (isinstance(left, Varchar) or isinstance(right, Varchar)):
        return VARCHAR
    return common_type([left, right], equality=True)


def _combine(left: OperandType, right: OperandType, comparison: bool, equality: bool) -> OperandType | None:
    if type(left) is type(right) or Null in (type(left), type(right)):
        left, right = natural_type(left), natural_type(right)
    if left == right or isinstance(right, Null):
        return left
    if isinstance(left, Null):
        return right
    if isinstance(left, Enum) or isinstance(right, Enum):  # beside anything else it is a text
        left, right = (VARCHAR if isinstance(side, Enum) else side for side in (left, right))
        return _combine(left, right, comparison, equality)
    one_way = _combine_ordered(left, right, comparison, equality)
    return one_way if one_way is not None else _combine_ordered(right, left, comparison, equality)


def _combine_ordered(left: OperandType, right: OperandType, comparison: bool, equality: bool) -> OperandType | None:
    match left, right:
        case StringLiteral(), _:
            return right
        case IntegerLiteral(value), Integer() if right.minimum <= value <= right.maximum:
            return right
        case IntegerLiteral(), _:
            return _combine(natural_type(left), right, comparison, equality)
        case Boolean(), Integer():
            return right
        case Boolean(), Decimal() | Float() if equality:
            return right
        case Varchar(), _ if equality:
            return right
        case Integer(), Integer():
            return _common_integer(left, right)
        case Integer(), Decimal():
            return _common_decimal(integer_as_decimal(left), right, fitted=False)
        case Decimal(), Decimal():
            return _common_decimal(left, right, fitted=not comparison)
        case Integer() | Decimal(), Float():
            return right
        case Float(), Float():
            return DOUBLE
        case Date(), Timestamp():
            return right
        case _:
            return None


def _common_integer(left: Integer, right: Integer) -> Integer:
    if left.signed == right.signed:
        return left if left.bits > right.bits else right
    signed, unsigned = (left, right) if left.signed else (right, left)
    return signed if signed.bits > unsigned.bits else Integer(unsigned.bits * 2)


def _common_decimal(left: Decimal, right: Decimal, fitted: bool) -> Decimal:
    """`fitted`: where there is no room for the digits before and after the point of both, those after it go."""
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return Decimal(min(whole + scale, MAX_DECIMAL_PRECISION), min(scale, MAX_DECIMAL_PRECISION - whole) if fitted else scale)


# --- unary operators ----------------------------------------------------------------------------------------------------------


def resolve_numeric(name: str, operand: OperandType) -> SqlType:
    """The type of `abs(operand)` or of unary minus, to which the operand is cast as well.

    Raises:
        TypeRuleError: the operand is not a number.
    """
    match operand:
        case Integer() | Float() | Decimal():
            return operand
        case IntegerLiteral():
            return natural_type(operand)
        case Null():
            return BIGINT
        case _:
            raise TypeRuleError(f"{name} takes a number, not {natural_type(operand)}")


# --- explicit casts -----------------------------------------------------------------------------------------------------------


def castable(source: SqlType, target: SqlType) -> bool:
    """Whether CAST from `source` to `target` exists in DuckDB, for some values at least."""
    numeric = (Boolean, Integer, Decimal, Float)
    match source, target:
        case (Null(), _) | (Varchar(), _) | (_, Varchar()):
            return True
        case (Date() | Timestamp(), Date() | Timestamp()):
            return True
        case _:
            return source == target or (isinstance(source, numeric) and isinstance(target, numeric))
