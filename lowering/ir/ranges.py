"""Interval arithmetic over integers: chooses the narrowest exact machine type and proves that overflow cannot happen."""

from __future__ import annotations

from dataclasses import dataclass

from qtensor.lowering.ir.kernel import INTEGER_WIDTHS, DType
from qtensor.types import FIRST_DAY, FIRST_MOMENT, LAST_DAY, LAST_MOMENT, Date, Decimal, Integer, SqlType, Timestamp

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class Range:
    """The closed interval [low, high] that holds every value of an expression.

    >>> Range(0, 10) * Range(-2, 3)
    Range(low=-20, high=30)
    >>> (Range(100, 100) - Range(0, 10)).dtype
    'int8'
    """

    low: int
    high: int

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        return Range(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Range) -> Range:
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Range(min(corners), max(corners))

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low)

    def __or__(self, other: Range) -> Range:
        """The smallest interval that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def __and__(self, other: Range) -> Range:
        """The values in both; [0, 0] when there are none (no row then holds a value)."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Range(low, high) if low <= high else Range(0, 0)

    def __contains__(self, other: Range) -> bool:
        return self.low <= other.low and other.high <= self.high

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def magnitude(self) -> int:
        return max(abs(self.low), abs(self.high))

    @property
    def fits(self) -> bool:
        """Whether int64 holds every value."""
        return self.low >= INT64_MIN and self.high <= INT64_MAX

    @property
    def dtype(self) -> DType:
        """The narrowest signed integer type that holds every value; int64 also when none does."""
        for name, bits in INTEGER_WIDTHS:
            if -(1 << bits) <= self.low and self.high < (1 << bits):
                return name
        return "int64"

    @property
    def arithmetic_dtype(self) -> DType:
        """As `dtype`, at least int32: XLA:CPU gains nothing from multiplying narrower integers."""
        return "int64" if self.dtype == "int64" else "int32"


INT64 = Range(INT64_MIN, INT64_MAX)
BIT = Range(0, 1)


def widened(low: int, high: int) -> Range:
    """[low, high] rounded outward by at most a sixteenth of its width, so that similar data share a compiled program.

    >>> widened(90091, 10494950)
    Range(low=0, high=11534335)
    >>> widened(0, 3)
    Range(low=0, high=3)
    """
    step = 1 << ((high - low).bit_length() - 4) if high - low >= 256 else 1
    result = Range(low // step * step, -(-(high + 1) // step) * step - 1)
    return result if result.fits else Range(max(result.low, INT64_MIN), min(result.high, INT64_MAX))


def literal_range(value: int) -> Range:
    """The interval of values with the sign and the bit length of `value`: what a literal may become without recompiling.

    >>> literal_range(100), literal_range(1), literal_range(-5)
    (Range(low=64, high=127), Range(low=1, high=1), Range(low=-7, high=-4))
    """
    if value == 0:
        return Range(0, 0)
    low = 1 << (abs(value).bit_length() - 1)
    return Range(low, 2 * low - 1) if value > 0 else Range(1 - 2 * low, -low)


def finite_range(type: SqlType) -> Range:
    """The dates or moments that are no infinities, of which all that is computed is one."""
    return Range(FIRST_DAY, LAST_DAY) if isinstance(type, Date) else Range(FIRST_MOMENT, LAST_MOMENT)


def range_of_type(type: SqlType) -> Range:
    """The values in the encoded domain that columns and literals of an exact type have; 64 bits hold them.

    >>> range_of_type(Decimal(3, 1))
    Range(low=-999, high=999)
    """
    match type:
        case Integer():
            return Range(max(type.minimum, INT64_MIN), min(type.maximum, INT64_MAX))
        case Decimal():
            return Range(max(-type.maximum, INT64_MIN), min(type.maximum, INT64_MAX))
        case Date():
            return Range(-(1 << 31), (1 << 31) - 1)
        case Timestamp():
            return INT64
        case _:
            return Range(0, 0)
