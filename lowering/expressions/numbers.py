"""Functions of numbers: doubles by one machine operation each, decimals and integers exactly, bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, ColumnRef, Literal
from qtensor.functions.scalars.numbers import OF_DOUBLE
from qtensor.lowering.expressions.arithmetic import bounds_of, check_bounds, checked, finite_part, floating, integer_range
from qtensor.lowering.expressions.comparison import compare
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.expressions.whole import Whole, valued, whole
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.ranges import INT64, INT64_MAX, Range
from qtensor.lowering.ir.values import Value
from qtensor.types import BOOLEAN, TINYINT, Float, Integer, scale_of

POWERS_OF_INT64 = 18
MOST_DIGITS = 400  # rounding to more before the point leaves nothing of any number


def double(lowerer: Lowerer, call: Call, arguments: list[Value], op: str = "") -> Value:
    """A function of doubles that is one machine operation."""
    return floating(lowerer, call, op or call.function, *arguments)


# --- rounding -----------------------------------------------------------------------------------------------------------------

FLOAT_ROUNDING = {"round": "round_away", "trunc": "truncate", "floor": "floor", "ceil": "ceil"}


def digits_of(call: Call) -> int | None:
    """The number of digits after the point that is asked for; None if it is NULL."""
    if len(call.arguments) == 1:
        return 0
    digits = call.arguments[1]
    if not isinstance(digits, Literal) or not isinstance(digits.value, int | None):
        raise UnsupportedError(f"not supported yet: {call.function} to a number of digits that is not constant")
    return digits.value


def lower_rounding(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """To a number of digits after the point: round (half away from zero), trunc (towards zero), floor, ceil."""
    value, digits = arguments[0], digits_of(call)
    if digits is None:
        return lowerer.null(call.type)
    digits = max(digits, -MOST_DIGITS)
    if isinstance(call.type, Float):
        data = rounded_float(lowerer, call.function, value, digits, given=len(call.arguments) > 1)
        return replace(value, type=call.type, data=data)
    scale = scale_of(value.type)
    result = rounded_integer(lowerer, call, value, scale - digits) if digits < scale else whole(lowerer, value)
    # What lies behind the point of the result's type is cut off by now; before it, zeros come back.
    power = scale_of(call.type) - min(digits, scale)
    return within_type(lowerer, call, result, value.valid, 10**power if digits < scale else 1)


def rounded_integer(lowerer: Lowerer, call: Call, value: Value, places: int) -> Whole:
    """The number in units of 10**places of its own."""
    number = whole(lowerer, value)
    if places > POWERS_OF_INT64:
        # Half of such a unit is beyond 64 bits, but for the first.
        if places == POWERS_OF_INT64 + 1 and call.function == "round":
            most = 5 * 10**POWERS_OF_INT64 - 1
            if number.range not in Range(-most, most):
                beyond = lowerer.builder.either(number.lift(most).less(number), number.less(-most))
                lowerer.check(beyond, value.valid, f"Overflow in round of {call.type}", call.span)
        return number.lift(0)
    unit: int = 10**places
    match call.function:
        case "round":
            bounds = Range(-(-number.range.low // unit) - 1, number.range.high // unit + 1)
            return number.apply("rounded_quotient", bounds, number.lift(unit))
        case "trunc":
            return number.truncated(unit)
        case "floor":
            return number // unit
        case _:
            bounds = Range(-(-number.range.low // unit), -(-number.range.high // unit))
            return number.apply("ceiling_quotient", bounds, number.lift(unit))


def within_type(lowerer: Lowerer, call: Call, result: Whole, valid: Ref | None, unit: int = 1) -> Value:
    """An integer times `unit` as a value of the call's type; an error where the type does not hold it."""
    allowed = bounds_of(call.type) & INT64
    if unit != 1 and result.range != Range(0, 0):
        factor = Value(call.type, lowerer.integer(unit), range=Range(unit, unit))
        bounds = result.range * Range(unit, unit)
        return checked(lowerer, call, "multiply", valued(lowerer, result, call.type, valid), factor, bounds)
    value = valued(lowerer, result, call.type, valid)
    if result.range not in allowed:
        check_bounds(lowerer, value, allowed, f"Overflow in {call.function} of {call.type}: the result is out of range", call)
    return replace(value, range=result.range & allowed)


def rounded_float(lowerer: Lowerer, function: str, value: Value, digits: int, *, given: bool) -> Ref:
    """As DuckDB has it: scaled by a power of ten, rounded, scaled back; a number too large for that stays, or becomes 0."""
    builder, op = lowerer.builder, FLOAT_ROUNDING[function]
    if not given:
        return builder.emit(op, value.data, dtype=builder.dtype(value.data))
    own = builder.dtype(value.data)
    data = builder.convert(value.data, "float64")
    try:
        power = builder.constant(10.0 ** abs(digits), "float64")
    except OverflowError:
        power = builder.constant(float("inf"), "float64")
    there, back = ("multiply", "divide") if digits >= 0 else ("divide", "multiply")
    scaled = builder.emit(there, data, power, dtype="float64")
    rounded = builder.emit(back, builder.emit(op, scaled, dtype="float64"), power, dtype="float64")
    finite = builder.emit("is_finite", rounded, dtype="bool")
    instead = data
    if digits < 0 and function == "round":
        instead = builder.select(builder.emit("is_finite", data, dtype="bool"), builder.constant(0.0, "float64"), data)
    return builder.convert(builder.select(finite, rounded, instead), own)


# --- properties of a number ---------------------------------------------------------------------------------------------------


def lower_sign(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """-1, 0 or 1; that of NaN is 0."""
    (value,) = arguments
    builder, dtype = lowerer.builder, lowerer.builder.dtype(value.data)
    zero = builder.constant(0.0, dtype) if isinstance(value.type, Float) else lowerer.integer(0, dtype)
    positive, negative = builder.compare("greater", value.data, zero), builder.compare("less", value.data, zero)
    sign = builder.select(negative, lowerer.integer(-1, "int8"), builder.convert(positive, "int8"))
    return Value(TINYINT, sign, value.valid, range=Range(-1, 1))


def lower_float_test(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """isnan, isinf, isfinite, signbit."""
    (value,) = arguments
    op = {"isnan": "is_nan", "isinf": "is_infinite", "isfinite": "is_finite", "signbit": "sign_bit"}[call.function]
    if not isinstance(value.type, Float):
        _, infinite = finite_part(lowerer, value)
        infinite = lowerer.builder.constant(False, "bool") if infinite is None else infinite
        return Value(BOOLEAN, infinite if call.function == "isinf" else lowerer.builder.negation(infinite), value.valid)
    return Value(BOOLEAN, lowerer.builder.emit(op, value.data, dtype="bool"), value.valid)


# --- bits ---------------------------------------------------------------------------------------------------------------------


def lower_bits(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """& | xor, bit by bit in two's complement."""
    left, right = (whole(lowerer, value) for value in arguments)
    bits = max(end.bit_length() for number in (left, right) for end in (number.range.low, number.range.high))
    nonnegative = left.range.low >= 0 and right.range.low >= 0
    bounds = Range(0 if nonnegative else -(1 << bits), (1 << bits) - 1)
    if call.function == "&" and max(left.range.low, right.range.low) >= 0:
        bounds = Range(0, min(number.range.high for number in (left, right) if number.range.low >= 0))
    op = {"&": "bit_and", "|": "bit_or", "xor": "bit_xor"}[call.function]
    result = left.apply(op, bounds & INT64, right)
    return within_type(lowerer, call, result, lowerer.builder.both(*(value.valid for value in arguments)))


def lower_bit_not(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The opposite of every bit: of an unsigned type, what is missing to its greatest number."""
    (value,) = arguments
    unsigned = isinstance(call.type, Integer) and not call.type.signed
    result = whole(lowerer, value) * -1 + (bounds_of(call.type).high if unsigned else -1)
    if not result.range.fits:
        raise UnsupportedError(f"not supported yet: ~ of a {call.type} that may need more than 63 bits")
    return valued(lowerer, result, call.type, value.valid)


def lower_shift_left(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """A negative number, a negative shift, or bits that are lost are an error; 0 stays 0."""
    number, shift = (whole(lowerer, value) for value in arguments)
    builder, valid = lowerer.builder, lowerer.builder.both(*(value.valid for value in arguments))
    lowerer.check(number.less(0), valid, "Cannot left-shift a negative number", call.span)
    lowerer.check(shift.less(0), valid, "Cannot left-shift by a negative number", call.span)
    most = (bounds_of(call.type) & INT64).high
    bits = most.bit_length()
    far = shift.lift(bits).less(shift + 1) if shift.range.high >= bits else builder.constant(False, "bool")
    places = shift.lift(0).where(builder.either(shift.less(0), far), shift).within(Range(0, bits - 1))
    room = number.lift(most).apply("shift_right", Range(0, most), places)
    lost = builder.either(room.less(number), far)
    something = builder.negation(number.equals(0))
    lowerer.check(builder.definite(builder.both(lost, something)), valid, f"Overflow in left shift of {call.type}", call.span)
    kept = number.lift(0).where(builder.either(number.less(0), lost), number).within(Range(0, most))
    result = kept.apply("shift_left", Range(0, most), places)
    return valued(lowerer, result, call.type, valid)


def lower_shift_right(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """By less than the type's bits; by any other number it is 0."""
    number, shift = (whole(lowerer, value) for value in arguments)
    assert isinstance(call.type, Integer)
    bits = min(call.type.bits, 64)
    builder = lowerer.builder
    outside = builder.either(shift.less(0), shift.lift(bits - 1).less(shift))
    places = shift.lift(0).where(outside, shift).within(Range(0, bits - 1))
    shifted = number.apply("shift_right", Range(min(number.range.low, 0), max(number.range.high, 0)), places)
    valid = builder.both(*(value.valid for value in arguments))
    return valued(lowerer, shifted.lift(0).where(outside, shifted), call.type, valid)


def lower_bit_count(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """How many bits are set in the two's complement of the argument's type."""
    (value,) = arguments
    assert isinstance(value.type, Integer)
    if value.type.bits > 64 and integer_range(value).low < 0:
        raise UnsupportedError(f"not supported yet: bit_count of a {value.type} that may be negative")
    number = lowerer.builder.convert(value.data, "int64")
    if value.type.bits < 64 and integer_range(value).low < 0:
        mask = lowerer.integer((1 << value.type.bits) - 1)
        number = lowerer.builder.emit("bit_and", number, mask, dtype="int64")
    count = lowerer.builder.emit("bit_count", number, dtype="int64")
    return Value(TINYINT, lowerer.builder.convert(count, "int8"), value.valid, range=Range(0, 64))


# --- several numbers ----------------------------------------------------------------------------------------------------------


def lower_extreme(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """greatest and least: of the arguments that are not NULL, the first one where several are equal."""
    op = "greater" if call.function == "greatest" else "less"
    best, so_far = lowerer.narrow(arguments[0]), ColumnRef(0, call.type)  # no literal, whatever it is
    for expr, argument in zip(call.arguments[1:], arguments[1:], strict=True):
        value = lowerer.narrow(argument)
        better = compare(lowerer, op, (expr, value), (so_far, best))
        builder = lowerer.builder
        missing = builder.negation(builder.definite(best.valid))
        taken = builder.definite(builder.both(builder.definite(value.valid), builder.either(missing, better)))
        best = lowerer.merge(call.type, [(taken, value)], best)
    return replace(best, type=call.type)


def lower_divisor(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """gcd and lcm: never negative."""
    valid = lowerer.builder.both(*(value.valid for value in arguments))
    numbers = [whole(lowerer, value) for value in arguments]
    positive = []
    for number in numbers:
        if number.range.low <= INT64.low:
            least = number.equals(INT64.low)
            lowerer.check(least, valid, f"Overflow in {call.function} of {call.type}", call.span)
            number = number.lift(0).where(least, number).within(Range(INT64.low + 1, INT64_MAX))
        positive.append(number.lift(0).where(number.equals(0), number).apply("abs", Range(0, number.range.magnitude)))
    most = max(number.range.high for number in positive)
    divisor = positive[0].apply("gcd", Range(0, most), positive[1])
    if call.function == "gcd":
        return valued(lowerer, divisor, call.type, valid)
    one = divisor.lift(1).where(divisor.equals(0), divisor).within(Range(1, max(most, 1)))
    share = positive[0].apply("quotient", positive[0].range, one)
    left, right = (valued(lowerer, number, call.type, valid) for number in (share, positive[1]))
    return checked(lowerer, call, "multiply", left, right, share.range * positive[1].range)


def lower_log_of_base(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    base, number = (lowerer.builder.emit("log10", value.data, dtype="float64") for value in arguments)
    data = lowerer.builder.emit("divide", number, base, dtype="float64")
    return Value(call.type, data, lowerer.builder.both(*(value.valid for value in arguments)))


FUNCTIONS: dict[str, Callable[[Lowerer, Call, list[Value]], Value]] = {
    **dict.fromkeys((*OF_DOUBLE, "log10", "power", "atan2", "nextafter"), double),
    "log_of_base": lower_log_of_base,
    **dict.fromkeys(("round", "trunc", "floor", "ceil"), lower_rounding),
    "sign": lower_sign,
    **dict.fromkeys(("isnan", "isinf", "isfinite", "signbit"), lower_float_test),
    **dict.fromkeys(("&", "|", "xor"), lower_bits),
    "~": lower_bit_not,
    "<<": lower_shift_left,
    ">>": lower_shift_right,
    "bit_count": lower_bit_count,
    **dict.fromkeys(("greatest", "least"), lower_extreme),
    **dict.fromkeys(("gcd", "lcm"), lower_divisor),
}
