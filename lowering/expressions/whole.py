"""Integers while they are computed with: Python's operators over machine values, each with the range that holds it."""

from __future__ import annotations

from dataclasses import dataclass

from qtensor.errors import UnsupportedError
from qtensor.lowering.expressions.arithmetic import integer_range
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.ranges import INT64, Range
from qtensor.lowering.ir.values import Value
from qtensor.types import SqlType

JULIAN_OF_1970 = 2_440_588


@dataclass(frozen=True)
class Whole:
    """An integer while it is computed with: its machine value, and the range that holds it for every row."""

    lowerer: Lowerer
    ref: Ref
    range: Range

    def __add__(self, other: Whole | int) -> Whole:
        right = self.lift(other)
        return self._binary("add", right, self.range + right.range)

    def __sub__(self, other: Whole | int) -> Whole:
        right = self.lift(other)
        return self._binary("subtract", right, self.range - right.range)

    def __mul__(self, other: Whole | int) -> Whole:
        right = self.lift(other)
        return self._binary("multiply", right, self.range * right.range)

    def __floordiv__(self, divisor: int) -> Whole:
        """The quotient rounded down."""
        return self._binary("floor_quotient", self.lift(divisor), Range(self.range.low // divisor, self.range.high // divisor))

    def __mod__(self, divisor: int) -> Whole:
        """What the floor leaves: 0 to divisor - 1."""
        if self.range.low >= 0 and self.range.high < divisor:
            return self
        return self.apply("subtract", Range(0, divisor - 1), (self // divisor) * divisor)

    def truncated(self, divisor: int) -> Whole:
        """The quotient cut off towards zero."""
        bounds = Range(*(abs(end) // divisor * (1 if end > 0 else -1) for end in (self.range.low, self.range.high)))
        return self._binary("quotient", self.lift(divisor), bounds)

    def within(self, bounds: Range) -> Whole:
        return Whole(self.lowerer, self.ref, self.range & bounds)

    def lift(self, other: Whole | int) -> Whole:
        if isinstance(other, Whole):
            return other
        return Whole(self.lowerer, self.lowerer.integer(other, Range(other, other).arithmetic_dtype), Range(other, other))

    def less(self, other: Whole | int) -> Ref:
        return self._compare("less", self.lift(other))

    def equals(self, other: Whole | int) -> Ref:
        return self._compare("equal", self.lift(other))

    def where(self, condition: Ref, otherwise: Whole | int) -> Whole:
        """This where `condition` holds, else `otherwise`."""
        other = self.lift(otherwise)
        bounds = self.range | other.range
        builder, dtype = self.lowerer.builder, bounds.arithmetic_dtype
        chosen = builder.select(condition, builder.convert(self.ref, dtype), builder.convert(other.ref, dtype))
        return Whole(self.lowerer, chosen, bounds)

    def apply(self, op: str, bounds: Range, *others: Whole) -> Whole:
        """A machine operation over integers, with room for `bounds` and what is computed on the way there."""
        operands = (self, *others)
        room = Range(-(1 << 20), 1 << 20) if op.startswith(("civil", "days")) else Range(0, 0)
        wide = bounds
        for operand in operands:
            wide = wide | (operand.range + room)
        dtype, builder = wide.arithmetic_dtype, self.lowerer.builder
        return Whole(
            self.lowerer, builder.emit(op, *(builder.convert(part.ref, dtype) for part in operands), dtype=dtype), bounds
        )

    def _binary(self, op: str, other: Whole, bounds: Range) -> Whole:
        if not bounds.fits:
            raise UnsupportedError("not supported yet: values so near the ends of their range")
        return self.apply(op, bounds, other)

    def _compare(self, op: str, other: Whole) -> Ref:
        builder, dtype = self.lowerer.builder, (self.range | other.range).arithmetic_dtype
        return builder.compare(op, builder.convert(self.ref, dtype), builder.convert(other.ref, dtype))


def whole(lowerer: Lowerer, value: Value) -> Whole:
    return Whole(lowerer, value.data, integer_range(value))


def valued(lowerer: Lowerer, result: Whole, type: SqlType, valid: Ref | None) -> Value:
    bounds = result.range
    return Value(type, lowerer.builder.convert(result.ref, bounds.dtype), valid, range=bounds & INT64)
