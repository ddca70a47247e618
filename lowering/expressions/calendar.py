"""Parts of dates and moments and what is computed from them: integer arithmetic over the days since 1970, exact before it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Literal
from qtensor.lowering.expressions.arithmetic import check_bounds, checked, finite_part, integer_range, with_infinities
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.expressions.whole import Whole, valued, whole
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.ranges import Range, finite_range
from qtensor.lowering.ir.values import Value
from qtensor.types import BIGINT, DATE, DOUBLE, MICROSECONDS_PER_DAY, TIMESTAMP, Date
from qtensor.values.civil import first_day, year_of

JULIAN_OF_1970 = 2_440_588
HOUR, MINUTE, SECOND = 3_600_000_000, 60_000_000, 1_000_000


@dataclass(frozen=True)
class Moment:
    """A day or an instant: the day since 1970, and the microseconds since its midnight."""

    day: Whole
    time: Whole

    @property
    def year(self) -> Whole:
        bounds = self.day.range
        return self.day.apply("civil_year", Range(year_of(bounds.low), year_of(bounds.high)))

    @property
    def month(self) -> Whole:
        return self.day.apply("civil_month", Range(1, 12))

    @property
    def day_of_month(self) -> Whole:
        return self.day.apply("civil_day", Range(1, 31))

    @property
    def months(self) -> Whole:
        """Months since the year 0."""
        return self.year * 12 + self.month - 1

    @property
    def weekday(self) -> Whole:
        """Monday 0 to Sunday 6; 1970 began on a Thursday."""
        return (self.day + 3) % 7

    @property
    def monday(self) -> Moment:
        return Moment(self.day - self.weekday, self.time)

    @property
    def thursday(self) -> Moment:
        """The Thursday of the week, in whose year the week is."""
        return Moment(self.day - self.weekday + 3, self.time)

    @property
    def day_of_year(self) -> Whole:
        return (self.day - first_of(self.year) + 1).within(Range(1, 366))

    @property
    def iso_week(self) -> Whole:
        return (self.thursday.day_of_year - 1) // 7 + 1

    @property
    def iso_start(self) -> Whole:
        """The Monday on which the year of weeks begins."""
        return self.monday.day - (self.iso_week - 1) * 7


def first_of(year: Whole, month: Whole | int = 1) -> Whole:
    """The days since 1970 of the first day of a month."""
    bounds = Range(first_day(year.range.low), first_day(year.range.high + 1))
    return year.apply("days_from_civil", bounds, year.lift(month), year.lift(1))


def moment_of(lowerer: Lowerer, value: Value) -> Moment:
    """A date or moment that is finite."""
    data = whole(lowerer, value)
    if isinstance(value.type, Date):
        return Moment(data, data.lift(0))
    return Moment(data // MICROSECONDS_PER_DAY, data % MICROSECONDS_PER_DAY)


def century(year: Whole, length: int) -> Whole:
    """Counted from 1, those before the year 1 from -1."""
    return ((year - 1).truncated(length) + 1).where(year.lift(0).less(year), year.truncated(length) - 1)


def year_and_week(moment: Moment) -> Whole:
    year, week = moment.thursday.year, moment.iso_week
    return year * 100 + week.where(week.lift(0).less(year), week * -1)


def era(moment: Moment) -> Whole:
    year = moment.year
    return year.lift(1).where(year.lift(0).less(year), 0)


def in_minute(moment: Moment, unit: int) -> Whole:
    """The seconds of the minute, in a fraction of a second as unit."""
    return moment.time % MINUTE // unit


def days_in_month(moment: Moment) -> Whole:
    return (next_month(moment) - first_of(moment.year, moment.month)).within(Range(28, 31))


def next_month(moment: Moment) -> Whole:
    """The first day of the next month."""
    following = moment.months + 1
    return first_of(following // 12, following % 12 + 1)


PARTS: dict[str, Callable[[Moment], Whole]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day_of_month,
    "decade": lambda moment: moment.year.truncated(10),
    "century": lambda moment: century(moment.year, 100),
    "millennium": lambda moment: century(moment.year, 1000),
    "quarter": lambda moment: (moment.month - 1) // 3 + 1,
    "week": lambda moment: moment.iso_week,
    "isoyear": lambda moment: moment.thursday.year,
    "yearweek": year_and_week,
    "dayofweek": lambda moment: (moment.day + 4) % 7,
    "isodow": lambda moment: moment.weekday + 1,
    "dayofyear": lambda moment: moment.day_of_year,
    "hour": lambda moment: moment.time // HOUR,
    "minute": lambda moment: moment.time % HOUR // MINUTE,
    "second": lambda moment: in_minute(moment, SECOND),
    "millisecond": lambda moment: in_minute(moment, 1000),
    "microsecond": lambda moment: in_minute(moment, 1),
    "nanosecond": lambda moment: in_minute(moment, 1) * 1000,
    "era": era,
    "timezone": lambda moment: moment.day.lift(0),
    "timezone_hour": lambda moment: moment.day.lift(0),
    "timezone_minute": lambda moment: moment.day.lift(0),
    "days_in_month": days_in_month,
}


def lower_part(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """An integer part of a date or moment; infinities have none."""
    value, _ = finite_part(lowerer, arguments[0])
    return valued(lowerer, PARTS[call.function](moment_of(lowerer, value)), call.type, value.valid)


def lower_last_day(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The last day of the month; infinities have none."""
    value, _ = finite_part(lowerer, arguments[0])
    result = valued(lowerer, next_month(moment_of(lowerer, value)) - 1, DATE, value.valid)
    check_bounds(lowerer, result, finite_range(DATE), "a date out of range", call)
    return replace(result, range=integer_range(result) & finite_range(DATE))


def lower_epoch_units(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """Micro- or nanoseconds since 1970; infinities have none."""
    value, _ = finite_part(lowerer, arguments[0])
    units = MICROSECONDS_PER_DAY if isinstance(value.type, Date) else 1
    return scaled(lowerer, call, value, units * (1000 if call.function == "epoch_ns" else 1))


def lower_epoch(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """Seconds since 1970, with their fraction."""
    value, _ = finite_part(lowerer, arguments[0])
    if isinstance(value.type, Date):
        return as_double(lowerer, whole(lowerer, value) * 86_400, value.valid)
    return as_double(lowerer, whole(lowerer, value), value.valid, float(SECOND))


def lower_julian(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The Julian day, its fraction that of the day since midnight."""
    value, _ = finite_part(lowerer, arguments[0])
    moment = moment_of(lowerer, value)
    days = as_double(lowerer, moment.day + JULIAN_OF_1970, value.valid)
    if isinstance(value.type, Date):
        return days
    fraction = as_double(lowerer, moment.time, None, float(MICROSECONDS_PER_DAY))
    data = lowerer.builder.emit("add", days.data, fraction.data, dtype="float64")
    return Value(DOUBLE, data, value.valid, may_be_nan=False)


def as_double(lowerer: Lowerer, number: Whole, valid: Ref | None, divisor: float | None = None) -> Value:
    data = lowerer.builder.convert(number.ref, "float64")
    if divisor is not None:
        data = lowerer.builder.emit("divide", data, lowerer.builder.constant(divisor, "float64"), dtype="float64")
    return Value(DOUBLE, data, valid, may_be_nan=False)


def lower_epoch_ms(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """Milliseconds since 1970, halves rounded away from zero; of a BIGINT the other way round."""
    (value,) = arguments
    if call.type == TIMESTAMP:
        return scaled(lowerer, call, value, 1000)
    value, _ = finite_part(lowerer, value)
    if isinstance(value.type, Date):
        return valued(lowerer, whole(lowerer, value) * 86_400_000, BIGINT, value.valid)
    data = whole(lowerer, value)
    bounds = Range(data.range.low // 1000, -(-data.range.high // 1000))
    return valued(lowerer, data.apply("rounded_quotient", bounds, data.lift(1000)), BIGINT, value.valid)


def scaled(lowerer: Lowerer, call: Call, value: Value, unit: int) -> Value:
    """An integer times `unit`; an error beyond the range of the type of `call`."""
    scale = Value(call.type, lowerer.integer(unit), range=Range(unit, unit))
    return checked(lowerer, call, "multiply", value, scale, integer_range(value) * Range(unit, unit))


# --- units of time ------------------------------------------------------------------------------------------------------------

LENGTHS = {"hour": HOUR, "minute": MINUTE, "second": SECOND, "millisecond": 1000, "microsecond": 1}


def unit_of(call: Call) -> str:
    unit = call.arguments[0]
    if not isinstance(unit, Literal) or not isinstance(unit.value, str):
        raise UnsupportedError("a unit of time must be a constant")
    return unit.value


def years_cut(moment: Moment, length: int) -> Whole:
    """The first day of the decade, century or millennium of the kind that begins with the year 0."""
    return first_of(moment.year.truncated(length) * length)


FIRST_DAYS: dict[str, Callable[[Moment], Whole]] = {
    "millennium": lambda moment: years_cut(moment, 1000),
    "century": lambda moment: years_cut(moment, 100),
    "decade": lambda moment: years_cut(moment, 10),
    "year": lambda moment: first_of(moment.year),
    "quarter": lambda moment: first_of(moment.year, (moment.month - 1) // 3 * 3 + 1),
    "month": lambda moment: first_of(moment.year, moment.month),
    "isoyear": lambda moment: moment.iso_start,
    "week": lambda moment: moment.monday.day,
    "day": lambda moment: moment.day,
}


def lower_date_trunc(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The first moment of the unit that a moment lies in."""
    unit, value = unit_of(call), arguments[1]
    finite, infinite = finite_part(lowerer, value)
    moment = moment_of(lowerer, finite)
    day = FIRST_DAYS[unit](moment) if unit in FIRST_DAYS else moment.day
    result = scaled(lowerer, call, valued(lowerer, day, DATE, finite.valid), MICROSECONDS_PER_DAY)
    if unit not in FIRST_DAYS and not isinstance(value.type, Date):
        bounds = integer_range(finite) | integer_range(result)
        cut = whole(lowerer, result).apply("add", bounds, moment.time // LENGTHS[unit] * LENGTHS[unit])
        result = valued(lowerer, cut, TIMESTAMP, finite.valid)
    return with_infinities(lowerer, result, value, infinite, value.valid)


NUMBERS: dict[str, Callable[[Moment], Whole]] = {
    "millennium": lambda moment: moment.year.truncated(1000),
    "century": lambda moment: moment.year.truncated(100),
    "decade": lambda moment: moment.year.truncated(10),
    "year": lambda moment: moment.year,
    "quarter": lambda moment: moment.months // 3,
    "month": lambda moment: moment.months,
    "isoyear": lambda moment: moment.thursday.year,
    "day": lambda moment: moment.day,
}


def unit_number(lowerer: Lowerer, call: Call, value: Value, unit: str) -> Value:
    """By how many units after some fixed one a finite date or moment lies."""
    if unit in NUMBERS:
        number = NUMBERS[unit](moment_of(lowerer, value))
    else:
        if isinstance(value.type, Date):
            return scaled(lowerer, call, value, MICROSECONDS_PER_DAY // LENGTHS[unit])
        number = whole(lowerer, value) // LENGTHS[unit]
    return valued(lowerer, number, BIGINT, value.valid)


def lower_date_diff(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """How many boundaries of units lie between two moments; of weeks, how many whole ones between their days, as in DuckDB."""
    unit, (start, end) = unit_of(call), (finite_part(lowerer, value)[0] for value in arguments[1:])
    numbers = [unit_number(lowerer, call, value, "day" if unit == "week" else unit) for value in (start, end)]
    difference = subtracted(lowerer, call, *numbers)
    if unit == "week":
        return valued(lowerer, whole(lowerer, difference).truncated(7), BIGINT, difference.valid)
    return difference


def subtracted(lowerer: Lowerer, call: Call, start: Value, end: Value) -> Value:
    """From one number to another, an error where that is beyond a BIGINT."""
    return checked(lowerer, call, "subtract", end, start, integer_range(end) - integer_range(start))


MONTHS = {"millennium": 12_000, "century": 1200, "decade": 120, "year": 12, "isoyear": 12, "quarter": 3, "month": 1}


def lower_date_sub(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """How many whole units lie between two moments; negative if the second is the earlier."""
    unit, (start, end) = unit_of(call), (finite_part(lowerer, value)[0] for value in arguments[1:])
    moments = [moment_of(lowerer, value) for value in (start, end)]
    valid = lowerer.builder.both(start.valid, end.valid)
    if unit in MONTHS:
        backwards = whole(lowerer, end).less(whole(lowerer, start))
        forth, back = whole_months(*moments), whole_months(*reversed(moments)) * -1
        return valued(lowerer, back.where(backwards, forth).truncated(MONTHS[unit]), BIGINT, valid)
    length = {"week": 7 * MICROSECONDS_PER_DAY, "day": MICROSECONDS_PER_DAY}.get(unit) or LENGTHS[unit]
    elapsed = subtracted(lowerer, call, *(in_microseconds(lowerer, call, value) for value in (start, end)))
    return valued(lowerer, whole(lowerer, elapsed).truncated(length), BIGINT, valid)


def in_microseconds(lowerer: Lowerer, call: Call, value: Value) -> Value:
    """A finite date or moment as microseconds since 1970."""
    return scaled(lowerer, call, value, MICROSECONDS_PER_DAY if isinstance(value.type, Date) else 1)


def whole_months(start: Moment, end: Moment) -> Whole:
    """From the earlier to the later: the last day of a month ends it for every day that the month lacks."""
    day_of_start, day_of_end = start.day_of_month, end.day_of_month
    builder = start.day.lowerer.builder
    is_last = day_of_end.equals(days_in_month(end))
    cut = builder.definite(builder.both(is_last, day_of_end.less(day_of_start)))
    position = day_of_end.where(cut, day_of_start) * MICROSECONDS_PER_DAY + start.time
    unfinished = (day_of_end * MICROSECONDS_PER_DAY + end.time).less(position)
    months = end.months - start.months
    return (months - 1).where(unfinished, months)


def lower_make_date(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The day of a year, a month and a day of the month, an error where there is no such day; or of days since 1970."""
    if len(arguments) == 1:
        return replace(arguments[0], type=DATE)
    valid = lowerer.builder.both(*(value.valid for value in arguments))
    result = valued(lowerer, civil_days(lowerer, call, arguments, valid), DATE, valid)
    check_bounds(lowerer, result, finite_range(DATE), "a date out of range", call)
    return replace(result, range=integer_range(result) & finite_range(DATE))


def civil_days(lowerer: Lowerer, call: Call, arguments: list[Value], valid: Ref | None) -> Whole:
    year, month, day = (whole(lowerer, value) for value in arguments)
    # Beyond these years, a DATE is refused in any case.
    years, months, days = Range(-5_877_641, 5_881_580), Range(1, 12), Range(1, 31)
    parts = []
    for part, bounds in ((year, years), (month, months), (day, days)):
        wrong = lowerer.builder.either(part.less(bounds.low), part.lift(bounds.high).less(part))
        lowerer.check(wrong, valid, "a date out of range", call.span)
        parts.append(part.lift(bounds.low).where(wrong, part).within(bounds))
    first = first_of(parts[0], parts[1])
    result = first + parts[2] - 1
    wrong = days_in_month(Moment(first, first.lift(0))).less(parts[2])
    lowerer.check(wrong, valid, "a date out of range: the month has fewer days", call.span)
    return result


def lower_make_timestamp(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """Of microseconds since 1970, or of year, month, day, hour, minute and seconds."""
    if len(arguments) == 1:
        return scaled(lowerer, call, arguments[0], 1)
    builder, valid = lowerer.builder, lowerer.builder.both(*(value.valid for value in arguments))
    days = civil_days(lowerer, call, arguments[:3], valid)
    time = days.lift(0)
    for value, length, most in zip(arguments[3:5], (HOUR, MINUTE), (24, 59), strict=True):
        part = whole(lowerer, value)
        wrong = builder.either(part.less(0), part.lift(most).less(part))
        lowerer.check(wrong, valid, "a time of day out of range", call.span)
        time = time + part.lift(0).where(wrong, part).within(Range(0, most)) * length
    time = time + seconds_read(lowerer, call, arguments[5].data, valid)
    late = time.lift(MICROSECONDS_PER_DAY).less(time)  # 24:00:00 is the last time that there is
    lowerer.check(late, valid, "a time of day out of range", call.span)
    start = scaled(lowerer, call, valued(lowerer, days, DATE, valid), MICROSECONDS_PER_DAY)
    return checked(lowerer, call, "add", start, valued(lowerer, time, BIGINT, valid), integer_range(start) + time.range)


def seconds_read(lowerer: Lowerer, call: Call, seconds: Ref, valid: Ref | None) -> Whole:
    """Seconds as microseconds, the fraction rounded on its own."""
    builder = lowerer.builder
    zero, most = builder.constant(0.0, "float64"), builder.constant(60.0, "float64")
    cut = builder.emit("truncate", seconds, dtype="float64")
    in_range = (builder.compare("greater_equal", cut, zero), builder.compare("less_equal", cut, most))
    inside = builder.definite(builder.both(*in_range))
    lowerer.check(builder.negation(inside), valid, "a time of day out of range", call.span)
    kept, read = builder.select(inside, cut, zero), builder.select(inside, seconds, zero)
    fraction = builder.emit("subtract", read, kept, dtype="float64")
    million = builder.constant(1e6, "float64")
    rounded = builder.emit("round_away", builder.emit("multiply", fraction, million, dtype="float64"), dtype="float64")
    microseconds = Whole(lowerer, builder.convert(rounded, "int32"), Range(0, SECOND))
    return Whole(lowerer, builder.convert(kept, "int32"), Range(0, 60)) * SECOND + microseconds


def lower_finite_moment(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The moment, 1970 in place of infinities."""
    finite, _ = finite_part(lowerer, arguments[0])
    return replace(finite, valid=arguments[0].valid)


def lower_infinite_day(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The day of an infinity, 1970-01-01 of all else: of columns without any, it is a constant."""
    (value,) = arguments
    _, infinite = finite_part(lowerer, value)
    return with_infinities(lowerer, Value(DATE, lowerer.integer(0), value.valid, range=Range(0, 0)), value, infinite, value.valid)


FUNCTIONS: dict[str, Callable[[Lowerer, Call, list[Value]], Value]] = {
    **dict.fromkeys(PARTS, lower_part),
    "last_day": lower_last_day,
    "epoch": lower_epoch,
    **dict.fromkeys(("epoch_us", "epoch_ns"), lower_epoch_units),
    "epoch_ms": lower_epoch_ms,
    "julian": lower_julian,
    "date_trunc": lower_date_trunc,
    "date_diff": lower_date_diff,
    "date_sub": lower_date_sub,
    "make_date": lower_make_date,
    "make_timestamp": lower_make_timestamp,
    "finite_moment": lower_finite_moment,
    "infinite_day": lower_infinite_day,
}
