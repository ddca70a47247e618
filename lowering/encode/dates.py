"""Date arithmetic: months by the civil calendar, days and microseconds as integers."""

from __future__ import annotations

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Literal
from qtensor.lowering.encode.arithmetic import checked, integer_range
from qtensor.lowering.encode.encoder import Encoder
from qtensor.lowering.ranges import Range
from qtensor.lowering.values import Value
from qtensor.types import INTEGER, MICROSECONDS_PER_DAY, TIMESTAMP, Date, IntervalValue


def lower_add_interval(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return shift(encoder, call, arguments[0], 1)


def lower_subtract_interval(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return shift(encoder, call, arguments[0], -1)


def shift(encoder: Encoder, call: Call, value: Value, sign: int) -> Value:
    """Add an interval's months (the day cut to the month's last), then its days, then its microseconds."""
    interval = call.arguments[1]
    if not isinstance(interval, Literal) or not isinstance(interval.value, IntervalValue | None):
        raise UnsupportedError("an interval must be a constant")
    if interval.value is None:
        return encoder.null(TIMESTAMP)
    months, days, microseconds = (sign * part for part in interval.value)
    result = date_to_timestamp(encoder, value) if isinstance(value.type, Date) else value
    if months:
        result = add_months(encoder, call, result, months)
    for amount, unit in ((days, MICROSECONDS_PER_DAY), (microseconds, 1)):
        if amount:
            step = encoder.literal(Literal(amount, INTEGER))
            scale = Value(TIMESTAMP, encoder.integer(unit), range=Range(unit, unit))
            scaled = checked(encoder, call, "multiply", step, scale, integer_range(step) * integer_range(scale))
            result = checked(encoder, call, "add", result, scaled, integer_range(result) + integer_range(scaled))
    return result


def add_months(encoder: Encoder, call: Call, value: Value, months: int) -> Value:
    amount = encoder.literal(Literal(months, INTEGER))
    low, high = integer_range(amount).low, integer_range(amount).high
    day = MICROSECONDS_PER_DAY
    bounds = integer_range(value) + Range(min(low * 31, 0) * day, max(high * 31, 0) * day)
    if not bounds.fits:
        raise UnsupportedError(f"adding months to a {value.type} column whose values are near the end of its range")
    operands = [encoder.builder.convert(part.data, "int64") for part in (value, amount)]
    data = encoder.builder.emit("add_months", *operands, dtype="int64")
    return Value(TIMESTAMP, data, value.valid, range=bounds)


def date_to_timestamp(encoder: Encoder, value: Value) -> Value:
    """Midnight of the day; days beyond the timestamps' range are an error."""
    per_day = Range(MICROSECONDS_PER_DAY, MICROSECONDS_PER_DAY)
    factor = Value(TIMESTAMP, encoder.integer(MICROSECONDS_PER_DAY), range=per_day)
    call = Call("multiply", (), TIMESTAMP)
    return checked(encoder, call, "multiply", value, factor, integer_range(value) * per_day)
