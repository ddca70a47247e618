"""Functions of numbers: their types. The machine computes all but those of few values (`lowering/expressions/numbers.py`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtensor.functions.operators import ANY_DECIMAL, MAX_DECIMAL_PRECISION
from qtensor.functions.scalars.function import Constants, Overload, ResultRule, ScalarFunction, each, takes
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    HUGEINT,
    INTEGER,
    NULL,
    SMALLINT,
    TIMESTAMP,
    TINYINT,
    UBIGINT,
    UINTEGER,
    USMALLINT,
    UTINYINT,
    Decimal,
    SqlType,
)
from qtensor.values.texts import ConversionError

SIGNED = (TINYINT, SMALLINT, INTEGER, BIGINT, HUGEINT)
UNSIGNED = (UTINYINT, USMALLINT, UINTEGER, UBIGINT)
MOST_OF_INT64 = 20  # the factorial of more does not fit 64 bits

# Functions of one DOUBLE that are one machine operation each.
OF_DOUBLE = (
    "sqrt", "cbrt", "exp", "ln", "log2", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "degrees", "radians", "even", "lgamma",
)  # fmt: skip


def of_double(*names: str, arguments: int = 1) -> ScalarFunction:
    return ScalarFunction(names, (takes(*[DOUBLE] * arguments, result=DOUBLE),))


def without_fraction(types: Sequence[SqlType], constants: Constants) -> SqlType:
    """DECIMAL(p, s) to DECIMAL(p, 0)."""
    assert isinstance(types[0], Decimal)
    return Decimal(types[0].precision, 0)


def truncated_decimal(types: Sequence[SqlType], constants: Constants) -> SqlType:
    """DECIMAL(p, s), cut off after n digits, to DECIMAL(p, n); n is between 0 and s."""
    own, digits = types[0], constants[1]
    assert isinstance(own, Decimal)
    return NULL if digits is None else Decimal(own.precision, max(0, min(own.scale, int(str(digits)))))


def rounded_decimal(types: Sequence[SqlType], constants: Constants) -> SqlType:
    """As `truncated_decimal`, but DECIMAL(p, 0) to DECIMAL(p + 1, 0) where up to p of its digits are rounded: 99 becomes 100."""
    own, rounded = types[0], truncated_decimal(types, constants)
    assert isinstance(own, Decimal)
    if rounded == own and own.scale == 0 and 0 < -int(str(constants[1])) <= own.precision:
        return Decimal(min(own.precision + 1, MAX_DECIMAL_PRECISION), 0)
    return rounded


def rounding(name: str, integers: Sequence[SqlType], of_decimal: ResultRule) -> ScalarFunction:
    """A function of a number, and perhaps of a number of digits after the point."""
    whole: tuple[tuple[SqlType, SqlType | ResultRule], ...] = (
        *((type, type) for type in (*integers, FLOAT, DOUBLE)),
        (ANY_DECIMAL, without_fraction),
    )
    digits = tuple(takes(type, INTEGER, result=of_decimal if type == ANY_DECIMAL else result) for type, result in whole)
    return ScalarFunction((name,), (*(takes(type, result=result) for type, result in whole), *digits))


def to_whole(*names: str) -> ScalarFunction:
    return ScalarFunction(
        names, (takes(FLOAT, result=FLOAT), takes(DOUBLE, result=DOUBLE), takes(ANY_DECIMAL, result=without_fraction))
    )


def of_bits(*names: str, arguments: int = 2) -> ScalarFunction:
    return ScalarFunction(names, tuple(takes(*[type] * arguments, result=type) for type in (*SIGNED, *UNSIGNED)))


def test_of_float(name: str, *others: SqlType) -> ScalarFunction:
    return ScalarFunction((name,), tuple(takes(type, result=BOOLEAN) for type in (FLOAT, DOUBLE, *others)))


def factorial(number: int) -> int:
    if number < 0:
        raise ConversionError("the factorial of a negative number")
    if number > MOST_OF_INT64:
        raise ConversionError(f"the factorial of {number} exceeds 64 bits")
    return math.factorial(number)


NUMBERS: tuple[ScalarFunction, ...] = (
    *(of_double(name) for name in OF_DOUBLE),
    ScalarFunction(("log10", "log"), (takes(DOUBLE, result=DOUBLE),)),
    of_double("log_of_base", arguments=2),
    of_double("power", "pow", "^", "**", arguments=2),
    of_double("atan2", arguments=2),
    ScalarFunction(("nextafter",), tuple(takes(type, type, result=type) for type in (FLOAT, DOUBLE))),
    to_whole("ceil", "ceiling"),
    to_whole("floor"),
    rounding("round", SIGNED, rounded_decimal),
    rounding("trunc", (*SIGNED, *UNSIGNED), truncated_decimal),
    ScalarFunction(("sign",), tuple(takes(type, result=TINYINT) for type in (*SIGNED, *UNSIGNED, FLOAT, DOUBLE))),
    test_of_float("signbit"),
    test_of_float("isnan"),
    test_of_float("isinf", DATE, TIMESTAMP),
    test_of_float("isfinite", DATE, TIMESTAMP),
    of_bits("&"),
    of_bits("|"),
    of_bits("xor"),
    of_bits("<<"),
    of_bits(">>"),
    of_bits("~", arguments=1),
    ScalarFunction(("bit_count",), tuple(takes(type, result=TINYINT) for type in SIGNED)),
    ScalarFunction(("gcd", "greatest_common_divisor"), tuple(takes(type, type, result=type) for type in (BIGINT, HUGEINT))),
    ScalarFunction(("lcm", "least_common_multiple"), tuple(takes(type, type, result=type) for type in (BIGINT, HUGEINT))),
    ScalarFunction(
        ("factorial",), (Overload((INTEGER,), HUGEINT),), each(factorial, HUGEINT), fails=True, range=(1, math.factorial(20))
    ),
)
