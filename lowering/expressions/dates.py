"""Date arithmetic: months by the civil calendar, days and microseconds as integers."""

from __future__ import annotations

from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Literal
from qtensor.lowering.expressions.arithmetic import checked, finite_part, integer_range, with_infinities
from qtensor.lowering.expressions.calendar import Moment, days_in_month, first_of, moment_of, scaled
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.expressions.whole import Whole, valued, whole
from qtensor.lowering.ir.ranges import Range, finite_range
from qtensor.lowering.ir.values import Value
from qtensor.types import BIGINT, DATE, INTERVAL, MICROSECONDS_PER_DAY, TIMESTAMP, Date, IntervalValue

TAKE_INTERVALS = ("add_interval", "subtract_interval")
INTERVALS = ("interval_months", "interval_days", "interval_microseconds")  # in the order of IntervalValue

FEW_MONTHS = Range(-(1 << 31), (1 << 31) - 1)


def lower_add_interval(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    return shift(lowerer, call, arguments, 1)


def lower_subtract_interval(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    return shift(lowerer, call, arguments, -1)


def shift(lowerer: Lowerer, call: Call, arguments: list[Value], sign: int) -> Value:
    """Add an interval's months (the day cut to the month's last), then its days, then its microseconds."""
    value, interval = arguments[0], call.arguments[1]
    amounts: list[tuple[Value, str]]
    match interval:
        case Literal(value=None):
            return lowerer.null(TIMESTAMP)
        case Literal(value=IntervalValue() as parts):
            units = [(part, function) for part, function in zip(parts, INTERVALS, strict=True) if part]
            amounts = [(lowerer.literal(Literal(sign * part, BIGINT)), function) for part, function in units]
        case Call(function=function) if function in INTERVALS:
            amount = arguments[1]
            if sign < 0:
                zero = Value(BIGINT, lowerer.integer(0), range=Range(0, 0))
                difference = Range(0, 0) - integer_range(amount)
                amount = checked(lowerer, Call("subtract", (), BIGINT, call.span), "subtract", zero, amount, difference)
            amounts = [(amount, function)]
        case _:
            raise UnsupportedError("an interval must be a constant, or a number of one unit")
    finite, infinite = finite_part(lowerer, value)
    result = midnight(lowerer, call, finite) if isinstance(value.type, Date) else finite
    for amount, function in amounts:
        result = add_units(lowerer, call, result, amount, function)
    valid = lowerer.builder.both(value.valid, *(amount.valid for amount, _ in amounts))
    return with_infinities(lowerer, result, value, infinite, valid)


def add_units(lowerer: Lowerer, call: Call, moment: Value, amount: Value, function: str) -> Value:
    """A moment and a number of months, days or microseconds."""
    if function == "interval_months":
        return add_months(lowerer, call, moment, amount)
    unit = MICROSECONDS_PER_DAY if function == "interval_days" else 1
    scale = Value(TIMESTAMP, lowerer.integer(unit), range=Range(unit, unit))
    scaled = checked(lowerer, call, "multiply", amount, scale, integer_range(amount) * integer_range(scale))
    return checked(lowerer, call, "add", moment, scaled, integer_range(moment) + integer_range(scaled))


def add_months(lowerer: Lowerer, call: Call, value: Value, amount: Value) -> Value:
    low, high = integer_range(amount).low, integer_range(amount).high
    day = MICROSECONDS_PER_DAY
    bounds = integer_range(value) + Range(min(low * 31, 0) * day, max(high * 31, 0) * day)
    valid = lowerer.builder.both(value.valid, amount.valid)
    if bounds not in finite_range(TIMESTAMP):
        if integer_range(amount) not in FEW_MONTHS:
            raise UnsupportedError("not supported yet: numbers of months that may be beyond 32 bits")
        moment = moment_of(lowerer, value)
        later = moment_months_later(moment, whole(lowerer, amount))
        start = midnight(lowerer, call, valued(lowerer, later, DATE, valid))
        time = valued(lowerer, moment.time, BIGINT, valid)
        return checked(lowerer, call, "add", start, time, integer_range(start) + integer_range(time))
    operands = [lowerer.builder.convert(part.data, "int64") for part in (value, amount)]
    data = lowerer.builder.emit("add_months", *operands, dtype="int64")
    return Value(TIMESTAMP, data, valid, range=bounds)


def moment_months_later(moment: Moment, amount: Whole) -> Whole:
    """The day so many months later, cut to the month's last."""
    months = moment.months + amount
    first, day = first_of(months // 12, months % 12 + 1), moment.day_of_month
    last = days_in_month(Moment(first, first.lift(0)))
    return first + last.where(last.less(day), day) - 1


def lower_interval(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """A number of months, days or microseconds, which only what adds it to a moment reads."""
    return replace(arguments[0], type=INTERVAL)


def midnight(lowerer: Lowerer, call: Call, value: Value) -> Value:
    """The first moment of a finite day; days beyond the timestamps' range are an error."""
    return scaled(lowerer, Call("multiply", (), TIMESTAMP, call.span), value, MICROSECONDS_PER_DAY)
