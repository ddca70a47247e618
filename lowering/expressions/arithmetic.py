"""Exact integer and decimal arithmetic, in the narrowest type that interval arithmetic proves enough; IEEE floats beside it.

Where the proof fails, the operation is checked: a flag is raised for rows whose result leaves the SQL type (or
int64), and the host raises the error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.expressions import Call
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.ranges import INT64, Range, finite_range
from qtensor.lowering.ir.values import Value
from qtensor.types import Date, Decimal, Float, Integer, SqlType, Timestamp


def bounds_of(type: SqlType) -> Range:
    """The integers that a value of `type` may hold."""
    match type:
        case Integer():
            return Range(type.minimum, type.maximum)
        case Decimal():
            return Range(-type.maximum, type.maximum)
        case Date():
            return Range(-(1 << 31), (1 << 31) - 1)
        case _:
            return INT64


def integer_range(value: Value) -> Range:
    assert value.range is not None, f"{value.type} has no integer range"
    return value.range


def results_of(type: SqlType) -> Range:
    """The integers that a result of `type` may be: dates and moments are finite."""
    return finite_range(type) if isinstance(type, Date | Timestamp) else bounds_of(type) & INT64


def checked(lowerer: Lowerer, call: Call, op: str, left: Value, right: Value, bounds: Range) -> Value:
    """`op` over two integers whose exact result lies in `bounds`; an error where it leaves the type of `call`."""
    valid = lowerer.builder.both(left.valid, right.valid)
    allowed = results_of(call.type)
    message = f"Overflow in {_WORDS[op]} of {call.type}: the result is out of range"
    dtype = bounds.arithmetic_dtype
    operands = [lowerer.builder.convert(value.data, dtype) for value in (left, right)]
    data = lowerer.builder.emit(op, *operands, dtype=dtype)
    if bounds not in allowed:
        if not bounds.fits:
            wraps = lowerer.builder.emit(f"{op}_wraps", *operands, dtype="bool")
            lowerer.check(wraps, valid, message, call.span)
        check_bounds(lowerer, replace(left, data=data, valid=valid, range=bounds & INT64), allowed, message, call)
    return Value(call.type, data, valid, range=bounds & allowed)


_WORDS = {"add": "addition", "subtract": "subtraction", "multiply": "multiplication"}


def check_bounds(lowerer: Lowerer, value: Value, allowed: Range, message: str, call: Call) -> None:
    """Raise where an int64 leaves `allowed`."""
    outside = outside_of(lowerer, value, allowed)
    if outside is not None:
        lowerer.check(outside, value.valid, message, call.span)


def outside_of(lowerer: Lowerer, value: Value, allowed: Range) -> Ref | None:
    """Where an integer leaves `allowed`; None when its range proves that it never does."""
    bounds, dtype = integer_range(value), lowerer.builder.dtype(value.data)
    conditions = []
    if bounds.low < allowed.low:
        conditions.append(lowerer.builder.compare("less", value.data, lowerer.integer(allowed.low, dtype)))
    if bounds.high > allowed.high:
        conditions.append(lowerer.builder.compare("greater", value.data, lowerer.integer(allowed.high, dtype)))
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else lowerer.builder.either(*conditions)


def floating(lowerer: Lowerer, call: Call, op: str, *arguments: Value) -> Value:
    dtype = lowerer.builder.dtype(arguments[0].data)
    data = lowerer.builder.emit(op, *(value.data for value in arguments), dtype=dtype)
    return Value(call.type, data, lowerer.builder.both(*(value.valid for value in arguments)))


def arithmetic(op: str, combine: Callable[[Range, Range], Range]) -> Callable[[Lowerer, Call, list[Value]], Value]:
    def lower(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
        left, right = arguments
        if isinstance(call.type, Float):
            return floating(lowerer, call, op, left, right)
        if isinstance(call.type, Date):
            return moved_day(lowerer, call, op, left, right, combine)
        return checked(lowerer, call, op, left, right, combine(integer_range(left), integer_range(right)))

    return lower


def moved_day(
    lowerer: Lowerer, call: Call, op: str, left: Value, right: Value, combine: Callable[[Range, Range], Range]
) -> Value:
    """A DATE and a number of days, in either order; an infinity stays where it is."""
    moment = left if isinstance(left.type, Date) else right
    finite, infinite = finite_part(lowerer, moment)
    operands = (finite, right) if moment is left else (left, finite)
    result = checked(lowerer, call, op, *operands, combine(*map(integer_range, operands)))
    return with_infinities(lowerer, result, moment, infinite, lowerer.builder.both(left.valid, right.valid))


def finite_part(lowerer: Lowerer, value: Value) -> tuple[Value, Ref | None]:
    """A date or moment whose infinities are NULL, and where these are; None if it has none."""
    bounds = finite_range(value.type)
    infinite = outside_of(lowerer, value, bounds)
    if infinite is None:
        return value, None
    builder = lowerer.builder
    data = builder.select(infinite, lowerer.integer(0, builder.dtype(value.data)), value.data)
    held = (integer_range(value) & bounds) | Range(0, 0)
    return replace(value, data=data, valid=builder.both(value.valid, builder.negation(infinite)), range=held), infinite


def with_infinities(lowerer: Lowerer, result: Value, given: Value, infinite: Ref | None, valid: Ref | None) -> Value:
    """`result`, which was computed of the finite part of `given`, with the infinities of its own type, NULL unless `valid`."""
    if infinite is None:
        return result
    builder, infinity = lowerer.builder, finite_range(result.type).high + 1
    positive = builder.compare("greater", given.data, lowerer.integer(0, builder.dtype(given.data)))
    bounds = integer_range(result) | Range(-infinity, infinity)
    ends = builder.select(positive, lowerer.integer(infinity, bounds.dtype), lowerer.integer(-infinity, bounds.dtype))
    data = builder.select(infinite, ends, builder.convert(result.data, bounds.dtype))
    return replace(result, data=data, valid=valid, range=bounds)


lower_add = arithmetic("add", lambda left, right: left + right)
lower_subtract = arithmetic("subtract", lambda left, right: left - right)
lower_multiply = arithmetic("multiply", lambda left, right: left * right)


def lower_divide(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """IEEE division: x / 0 is an infinity or NaN."""
    return floating(lowerer, call, "divide", *arguments)


def nonzero_divisor(lowerer: Lowerer, call: Call, dividend: Value, divisor: Value) -> Ref:
    """The divisor with zeros replaced by one, after raising for rows that divide by zero."""
    bounds, dtype = integer_range(divisor), lowerer.builder.dtype(divisor.data)
    if bounds.low > 0 or bounds.high < 0:
        return divisor.data
    zero = lowerer.builder.compare("equal", divisor.data, lowerer.integer(0, dtype))
    valid = lowerer.builder.both(dividend.valid, divisor.valid)
    lowerer.check(zero, valid, "Division by zero", call.span)
    return lowerer.builder.select(zero, lowerer.integer(1, dtype), divisor.data)


def lower_floor_divide(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """`//`: integer division truncated towards zero; of floats, the quotient as it is. By zero: an error."""
    left, right = arguments
    if isinstance(call.type, Float):
        zero = lowerer.builder.constant(0.0, lowerer.builder.dtype(right.data))
        is_zero = lowerer.builder.compare("equal", right.data, zero)
        lowerer.check(is_zero, lowerer.builder.both(left.valid, right.valid), "Division by zero", call.span)
        return floating(lowerer, call, "divide", left, right)
    largest = integer_range(left).magnitude
    bounds = Range(-largest, largest) if integer_range(right).low < 0 or integer_range(left).low < 0 else Range(0, largest)
    divisor = replace(right, data=nonzero_divisor(lowerer, call, left, right))
    valid = lowerer.builder.both(left.valid, right.valid)
    dtype = (integer_range(left) | integer_range(right) | bounds).arithmetic_dtype
    operands = [lowerer.builder.convert(value.data, dtype) for value in (left, divisor)]
    if not bounds.fits:
        wraps = lowerer.builder.emit("quotient_wraps", *operands, dtype="bool")
        lowerer.check(wraps, valid, f"Overflow in division of {call.type}: the result is out of range", call.span)
    data = lowerer.builder.emit("quotient", *operands, dtype=dtype)
    result = Value(call.type, data, valid, range=bounds & INT64)
    message = f"Overflow in division of {call.type}: the result is out of range"
    check_bounds(lowerer, result, bounds_of(call.type) & INT64, message, call)
    return replace(result, range=bounds & bounds_of(call.type) & INT64)


def lower_modulo(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """`%`: the remainder, with the sign of the dividend."""
    left, right = arguments
    if isinstance(call.type, Float):
        return floating(lowerer, call, "remainder", left, right)
    largest = min(integer_range(left).magnitude, max(0, integer_range(right).magnitude - 1))
    bounds = Range(-largest if integer_range(left).low < 0 else 0, largest)
    divisor = replace(right, data=nonzero_divisor(lowerer, call, left, right))
    dtype = (integer_range(left) | integer_range(right)).arithmetic_dtype
    operands = [lowerer.builder.convert(value.data, dtype) for value in (left, divisor)]
    data = lowerer.builder.emit("remainder", *operands, dtype=dtype)
    return Value(call.type, data, lowerer.builder.both(left.valid, right.valid), range=bounds)


def lower_negate(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    if isinstance(call.type, Float):
        return floating(lowerer, call, "negate", value)
    zero = Value(call.type, lowerer.integer(0), range=Range(0, 0))
    return checked(lowerer, call, "subtract", zero, value, -integer_range(value))


def lower_abs(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    if isinstance(call.type, Float):
        return floating(lowerer, call, "abs", value)
    bounds = integer_range(value)
    if bounds.low >= 0:
        return replace(value, type=call.type)
    negated = lower_negate(lowerer, call, [value])
    dtype = lowerer.builder.dtype(negated.data)
    data = lowerer.builder.convert(value.data, dtype)
    negative = lowerer.builder.compare("less", data, lowerer.integer(0, dtype))
    absolute = lowerer.builder.select(negative, negated.data, data)
    return Value(call.type, absolute, value.valid, range=Range(0, min(bounds.magnitude, INT64.high)))
