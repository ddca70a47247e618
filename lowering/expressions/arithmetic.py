"""Exact integer and decimal arithmetic, in the narrowest type that interval arithmetic proves enough; IEEE floats beside it.

Where the proof fails, the operation is checked: a flag is raised for rows whose result leaves the SQL type (or
int64), and the host raises the error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.expressions import Call
from qtensor.lowering.expressions.encoder import Encoder
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


def checked(encoder: Encoder, call: Call, op: str, left: Value, right: Value, bounds: Range) -> Value:
    """`op` over two integers whose exact result lies in `bounds`; an error where it leaves the type of `call`."""
    valid = encoder.builder.both(left.valid, right.valid)
    allowed = results_of(call.type)
    message = f"Overflow in {_WORDS[op]} of {call.type}: the result is out of range"
    dtype = bounds.arithmetic_dtype
    operands = [encoder.builder.convert(value.data, dtype) for value in (left, right)]
    data = encoder.builder.emit(op, *operands, dtype=dtype)
    if bounds not in allowed:
        if not bounds.fits:
            wraps = encoder.builder.emit(f"{op}_wraps", *operands, dtype="bool")
            encoder.check(wraps, valid, message, call.span)
        check_bounds(encoder, replace(left, data=data, valid=valid, range=bounds & INT64), allowed, message, call)
    return Value(call.type, data, valid, range=bounds & allowed)


_WORDS = {"add": "addition", "subtract": "subtraction", "multiply": "multiplication"}


def check_bounds(encoder: Encoder, value: Value, allowed: Range, message: str, call: Call) -> None:
    """Raise where an int64 leaves `allowed`."""
    outside = outside_of(encoder, value, allowed)
    if outside is not None:
        encoder.check(outside, value.valid, message, call.span)


def outside_of(encoder: Encoder, value: Value, allowed: Range) -> Ref | None:
    """Where an integer leaves `allowed`; None when its range proves that it never does."""
    bounds, dtype = integer_range(value), encoder.builder.dtype(value.data)
    conditions = []
    if bounds.low < allowed.low:
        conditions.append(encoder.builder.compare("less", value.data, encoder.integer(allowed.low, dtype)))
    if bounds.high > allowed.high:
        conditions.append(encoder.builder.compare("greater", value.data, encoder.integer(allowed.high, dtype)))
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else encoder.builder.either(*conditions)


def floating(encoder: Encoder, call: Call, op: str, *arguments: Value) -> Value:
    dtype = encoder.builder.dtype(arguments[0].data)
    data = encoder.builder.emit(op, *(value.data for value in arguments), dtype=dtype)
    return Value(call.type, data, encoder.builder.both(*(value.valid for value in arguments)))


def arithmetic(op: str, combine: Callable[[Range, Range], Range]) -> Callable[[Encoder, Call, list[Value]], Value]:
    def lower(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
        left, right = arguments
        if isinstance(call.type, Float):
            return floating(encoder, call, op, left, right)
        if isinstance(call.type, Date):
            return moved_day(encoder, call, op, left, right, combine)
        return checked(encoder, call, op, left, right, combine(integer_range(left), integer_range(right)))

    return lower


def moved_day(
    encoder: Encoder, call: Call, op: str, left: Value, right: Value, combine: Callable[[Range, Range], Range]
) -> Value:
    """A DATE and a number of days, in either order; an infinity stays where it is."""
    moment = left if isinstance(left.type, Date) else right
    finite, infinite = finite_part(encoder, moment)
    operands = (finite, right) if moment is left else (left, finite)
    result = checked(encoder, call, op, *operands, combine(*map(integer_range, operands)))
    return with_infinities(encoder, result, moment, infinite, encoder.builder.both(left.valid, right.valid))


def finite_part(encoder: Encoder, value: Value) -> tuple[Value, Ref | None]:
    """A date or moment whose infinities are NULL, and where these are; None if it has none."""
    bounds = finite_range(value.type)
    infinite = outside_of(encoder, value, bounds)
    if infinite is None:
        return value, None
    builder = encoder.builder
    data = builder.select(infinite, encoder.integer(0, builder.dtype(value.data)), value.data)
    held = (integer_range(value) & bounds) | Range(0, 0)
    return replace(value, data=data, valid=builder.both(value.valid, builder.negation(infinite)), range=held), infinite


def with_infinities(encoder: Encoder, result: Value, given: Value, infinite: Ref | None, valid: Ref | None) -> Value:
    """`result`, which was computed of the finite part of `given`, with the infinities of its own type, NULL unless `valid`."""
    if infinite is None:
        return result
    builder, infinity = encoder.builder, finite_range(result.type).high + 1
    positive = builder.compare("greater", given.data, encoder.integer(0, builder.dtype(given.data)))
    bounds = integer_range(result) | Range(-infinity, infinity)
    ends = builder.select(positive, encoder.integer(infinity, bounds.dtype), encoder.integer(-infinity, bounds.dtype))
    data = builder.select(infinite, ends, builder.convert(result.data, bounds.dtype))
    return replace(result, data=data, valid=valid, range=bounds)


lower_add = arithmetic("add", lambda left, right: left + right)
lower_subtract = arithmetic("subtract", lambda left, right: left - right)
lower_multiply = arithmetic("multiply", lambda left, right: left * right)


def lower_divide(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """IEEE division: x / 0 is an infinity or NaN."""
    return floating(encoder, call, "divide", *arguments)


def nonzero_divisor(encoder: Encoder, call: Call, dividend: Value, divisor: Value) -> Ref:
    """The divisor with zeros replaced by one, after raising for rows that divide by zero."""
    bounds, dtype = integer_range(divisor), encoder.builder.dtype(divisor.data)
    if bounds.low > 0 or bounds.high < 0:
        return divisor.data
    zero = encoder.builder.compare("equal", divisor.data, encoder.integer(0, dtype))
    valid = encoder.builder.both(dividend.valid, divisor.valid)
    encoder.check(zero, valid, "Division by zero", call.span)
    return encoder.builder.select(zero, encoder.integer(1, dtype), divisor.data)


def lower_floor_divide(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """`//`: integer division truncated towards zero; of floats, the quotient as it is. By zero: an error."""
    left, right = arguments
    if isinstance(call.type, Float):
        zero = encoder.builder.constant(0.0, encoder.builder.dtype(right.data))
        is_zero = encoder.builder.compare("equal", right.data, zero)
        encoder.check(is_zero, encoder.builder.both(left.valid, right.valid), "Division by zero", call.span)
        return floating(encoder, call, "divide", left, right)
    largest = integer_range(left).magnitude
    bounds = Range(-largest, largest) if integer_range(right).low < 0 or integer_range(left).low < 0 else Range(0, largest)
    divisor = replace(right, data=nonzero_divisor(encoder, call, left, right))
    valid = encoder.builder.both(left.valid, right.valid)
    dtype = (integer_range(left) | integer_range(right) | bounds).arithmetic_dtype
    operands = [encoder.builder.convert(value.data, dtype) for value in (left, divisor)]
    if not bounds.fits:
        wraps = encoder.builder.emit("quotient_wraps", *operands, dtype="bool")
        encoder.check(wraps, valid, f"Overflow in division of {call.type}: the result is out of range", call.span)
    data = encoder.builder.emit("quotient", *operands, dtype=dtype)
    result = Value(call.type, data, valid, range=bounds & INT64)
    message = f"Overflow in division of {call.type}: the result is out of range"
    check_bounds(encoder, result, bounds_of(call.type) & INT64, message, call)
    return replace(result, range=bounds & bounds_of(call.type) & INT64)


def lower_modulo(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """`%`: the remainder, with the sign of the dividend."""
    left, right = arguments
    if isinstance(call.type, Float):
        return floating(encoder, call, "remainder", left, right)
    largest = min(integer_range(left).magnitude, max(0, integer_range(right).magnitude - 1))
    bounds = Range(-largest if integer_range(left).low < 0 else 0, largest)
    divisor = replace(right, data=nonzero_divisor(encoder, call, left, right))
    dtype = (integer_range(left) | integer_range(right)).arithmetic_dtype
    operands = [encoder.builder.convert(value.data, dtype) for value in (left, divisor)]
    data = encoder.builder.emit("remainder", *operands, dtype=dtype)
    return Value(call.type, data, encoder.builder.both(left.valid, right.valid), range=bounds)


def lower_negate(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    if isinstance(call.type, Float):
        return floating(encoder, call, "negate", value)
    zero = Value(call.type, encoder.integer(0), range=Range(0, 0))
    return checked(encoder, call, "subtract", zero, value, -integer_range(value))


def lower_abs(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    if isinstance(call.type, Float):
        return floating(encoder, call, "abs", value)
    bounds = integer_range(value)
    if bounds.low >= 0:
        return replace(value, type=call.type)
    negated = lower_negate(encoder, call, [value])
    dtype = encoder.builder.dtype(negated.data)
    data = encoder.builder.convert(value.data, dtype)
    negative = encoder.builder.compare("less", data, encoder.integer(0, dtype))
    absolute = encoder.builder.select(negative, negated.data, data)
    return Value(call.type, absolute, value.valid, range=Range(0, min(bounds.magnitude, INT64.high)))
