"""Date arithmetic: months by the civil calendar, days and microseconds as integers."""

from __future__ import annotations

from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Literal
from qtensor.lowering.encode.arithmetic import checked, integer_range
from qtensor.lowering.encode.encoder import Encoder
from qtensor.lowering.ranges import Range
from qtensor.lowering.values import Value
from qtensor.types import BIGINT, INTERVAL, MICROSECONDS_PER_DAY, TIMESTAMP, Date, IntervalValue

TAKE_INTERVALS = ("add_interval", "subtract_interval")
INTERVALS = ("interval_months", "interval_days", "interval_microseconds")  # in the order of IntervalValue


def lower_add_interval(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return shift(encoder, call, arguments, 1)


def lower_subtract_interval(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return shift(encoder, call, arguments, -1)


def shift(encoder: Encoder, call: Call, arguments: list[Value], sign: int) -> Value:
    """Add an interval's months (the day cut to the month's last), then its days, then its microseconds."""
    value, interval = arguments[0], call.arguments[1]
    result = date_to_timestamp(encoder, value) if isinstance(value.type, Date) else value
    match interval:
        case Literal(value=None):
            return encoder.null(TIMESTAMP)
        case Literal(value=IntervalValue() as parts):
            for function, part in zip(INTERVALS, parts, strict=True):
                if part:
                    result = add_units(encoder, call, result, encoder.literal(Literal(sign * part, BIGINT)), function)
            return result
        case Call(function=function) if function in INTERVALS:
            amount = arguments[1]
            if sign < 0:
                zero = Value(BIGINT, encoder.integer(0), range=Range(0, 0))
                difference = Range(0, 0) - integer_range(amount)
                amount = checked(encoder, Call("subtract", (), BIGINT, call.span), "subtract", zero, amount, difference)
            return add_units(encoder, call, result, amount, function)
        case _:
            raise UnsupportedError("an interval must be a constant, or a number of one unit")


def add_units(encoder: Encoder, call: Call, moment: Value, amount: Value, function: str) -> Value:
    """A moment and a number of months, days or microseconds."""
    if function == "interval_months":
        return add_months(encoder, moment, amount)
    unit = MICROSECONDS_PER_DAY if function == "interval_days" else 1
    scale = Value(TIMESTAMP, encoder.integer(unit), range=Range(unit, unit))
    scaled = checked(encoder, call, "multiply", amount, scale, integer_range(amount) * integer_range(scale))
    return checked(encoder, call, "add", moment, scaled, integer_range(moment) + integer_range(scaled))


def add_months(encoder: Encoder, value: Value, amount: Value) -> Value:
    low, high = integer_range(amount).low, integer_range(amount).high
    day = MICROSECONDS_PER_DAY
    bounds = integer_range(value) + Range(min(low * 31, 0) * day, max(high * 31, 0) * day)
    if not bounds.fits:
        raise UnsupportedError("not supported yet: months added to moments that may be near the end of their range")
    operands = [encoder.builder.convert(part.data, "int64") for part in (value, amount)]
    data = encoder.builder.emit("add_months", *operands, dtype="int64")
    return Value(TIMESTAMP, data, encoder.builder.both(value.valid, amount.valid), range=bounds)


def lower_interval(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """A number of months, days or microseconds, which only what adds it to a moment reads."""
    return replace(arguments[0], type=INTERVAL)


def date_to_timestamp(encoder: Encoder, value: Value) -> Value:
    """Midnight of the day; days beyond the timestamps' range are an error."""
    per_day = Range(MICROSECONDS_PER_DAY, MICROSECONDS_PER_DAY)
    factor = Value(TIMESTAMP, encoder.integer(MICROSECONDS_PER_DAY), range=per_day)
    call = Call("multiply", (), TIMESTAMP)
    return checked(encoder, call, "multiply", value, factor, integer_range(value) * per_day)
