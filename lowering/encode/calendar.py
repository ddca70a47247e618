"""Parts of dates and moments and what is computed from them: integer arithmetic over the days since 1970, exact before it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Literal
from qtensor.lowering.encode.arithmetic import checked, integer_range
from qtensor.lowering.encode.encoder import Encoder
from qtensor.lowering.encode.whole import Whole, valued, whole
from qtensor.lowering.kernel import Ref
from qtensor.lowering.ranges import Range
from qtensor.lowering.values import Value
from qtensor.scalars.formats import first_day, year_of
from qtensor.types import BIGINT, DATE, DOUBLE, MICROSECONDS_PER_DAY, TIMESTAMP, Date

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

    @property
    def microseconds(self) -> Whole:
        """Since 1970."""
        return self.day * MICROSECONDS_PER_DAY + self.time


def first_of(year: Whole, month: Whole | int = 1) -> Whole:
    """The days since 1970 of the first day of a month."""
    bounds = Range(first_day(year.range.low), first_day(year.range.high + 1))
    return year.apply("days_from_civil", bounds, year.lift(month), year.lift(1))


def moment_of(encoder: Encoder, value: Value) -> Moment:
    data = whole(encoder, value)
    if isinstance(value.type, Date):
        return Moment(data, data.lift(0))
    day = data // MICROSECONDS_PER_DAY
    return Moment(day, (data - day * MICROSECONDS_PER_DAY).within(Range(0, MICROSECONDS_PER_DAY - 1)))


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
    "epoch_us": lambda moment: moment.microseconds,
    "epoch_ns": lambda moment: moment.microseconds * 1000,
    "days_in_month": days_in_month,
    "last_day": lambda moment: next_month(moment) - 1,
}


def lower_part(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """An integer part of a date or moment."""
    (value,) = arguments
    return valued(encoder, PARTS[call.function](moment_of(encoder, value)), call.type, value.valid)


def lower_epoch(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """Seconds since 1970, with their fraction."""
    (value,) = arguments
    if isinstance(value.type, Date):
        return as_double(encoder, whole(encoder, value) * 86_400, value.valid)
    return as_double(encoder, whole(encoder, value), value.valid, float(SECOND))


def lower_julian(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """The Julian day, its fraction that of the day since midnight."""
    (value,) = arguments
    moment = moment_of(encoder, value)
    days = as_double(encoder, moment.day + JULIAN_OF_1970, value.valid)
    if isinstance(value.type, Date):
        return days
    fraction = as_double(encoder, moment.time, None, float(MICROSECONDS_PER_DAY))
    data = encoder.builder.emit("add", days.data, fraction.data, dtype="float64")
    return Value(DOUBLE, data, value.valid, may_be_nan=False)


def as_double(encoder: Encoder, number: Whole, valid: Ref | None, divisor: float | None = None) -> Value:
    data = encoder.builder.convert(number.ref, "float64")
    if divisor is not None:
        data = encoder.builder.emit("divide", data, encoder.builder.constant(divisor, "float64"), dtype="float64")
    return Value(DOUBLE, data, valid, may_be_nan=False)


def lower_epoch_ms(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """Milliseconds since 1970, halves rounded away from zero; of a BIGINT the other way round."""
    (value,) = arguments
    if call.type == TIMESTAMP:
        return scaled_moment(encoder, call, value, 1000)
    if isinstance(value.type, Date):
        return valued(encoder, whole(encoder, value) * 86_400_000, BIGINT, value.valid)
    data = whole(encoder, value)
    bounds = Range(data.range.low // 1000, -(-data.range.high // 1000))
    return valued(encoder, data.apply("rounded_quotient", bounds, data.lift(1000)), BIGINT, value.valid)


def scaled_moment(encoder: Encoder, call: Call, value: Value, unit: int) -> Value:
    """The moment so many units after 1970; an error beyond the range of TIMESTAMP."""
    scale = Value(TIMESTAMP, encoder.integer(unit), range=Range(unit, unit))
    return checked(encoder, call, "multiply", value, scale, integer_range(value) * Range(unit, unit))


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


def lower_date_trunc(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """The first moment of the unit that a moment lies in."""
    unit, value = unit_of(call), arguments[1]
    moment = moment_of(encoder, value)
    if unit in FIRST_DAYS:
        result = FIRST_DAYS[unit](moment) * MICROSECONDS_PER_DAY
    else:
        result = moment.day * MICROSECONDS_PER_DAY + moment.time // LENGTHS[unit] * LENGTHS[unit]
    return valued(encoder, result, TIMESTAMP, value.valid)


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


def unit_number(moment: Moment, unit: str) -> Whole:
    """By how many units after some fixed one a moment lies."""
    return NUMBERS[unit](moment) if unit in NUMBERS else moment.microseconds // LENGTHS[unit]


def lower_date_diff(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """How many boundaries of units lie between two moments; of weeks, how many whole ones between their days, as in DuckDB."""
    unit, (start, end) = unit_of(call), arguments[1:]
    numbers = [unit_number(moment_of(encoder, value), "day" if unit == "week" else unit) for value in (start, end)]
    difference = numbers[1] - numbers[0]
    result = difference.truncated(7) if unit == "week" else difference
    return valued(encoder, result, BIGINT, encoder.builder.both(start.valid, end.valid))


MONTHS = {"millennium": 12_000, "century": 1200, "decade": 120, "year": 12, "isoyear": 12, "quarter": 3, "month": 1}


def lower_date_sub(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """How many whole units lie between two moments; negative if the second is the earlier."""
    unit, (start, end) = unit_of(call), arguments[1:]
    moments = [moment_of(encoder, value) for value in (start, end)]
    valid = encoder.builder.both(start.valid, end.valid)
    if unit in MONTHS:
        backwards = moments[1].microseconds.less(moments[0].microseconds)
        forth, back = whole_months(*moments), whole_months(*reversed(moments)) * -1
        return valued(encoder, back.where(backwards, forth).truncated(MONTHS[unit]), BIGINT, valid)
    length = {"week": 7 * MICROSECONDS_PER_DAY, "day": MICROSECONDS_PER_DAY}.get(unit) or LENGTHS[unit]
    return valued(encoder, (moments[1].microseconds - moments[0].microseconds).truncated(length), BIGINT, valid)


def whole_months(start: Moment, end: Moment) -> Whole:
    """From the earlier to the later: the last day of a month ends it for every day that the month lacks."""
    day_of_start, day_of_end = start.day_of_month, end.day_of_month
    builder = start.day.encoder.builder
    is_last = day_of_end.equals(days_in_month(end))
    cut = builder.definite(builder.both(is_last, day_of_end.less(day_of_start)))
    position = day_of_end.where(cut, day_of_start) * MICROSECONDS_PER_DAY + start.time
    unfinished = (day_of_end * MICROSECONDS_PER_DAY + end.time).less(position)
    months = end.months - start.months
    return (months - 1).where(unfinished, months)


def lower_make_date(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """The day of a year, a month and a day of the month, an error where there is no such day; or of days since 1970."""
    if len(arguments) == 1:
        return replace(arguments[0], type=DATE)
    valid = encoder.builder.both(*(value.valid for value in arguments))
    return valued(encoder, civil_days(encoder, call, arguments, valid), DATE, valid)


def civil_days(encoder: Encoder, call: Call, arguments: list[Value], valid: Ref | None) -> Whole:
    year, month, day = (whole(encoder, value) for value in arguments)
    # Beyond these years, a DATE is refused in any case.
    years, months, days = Range(-290_307, 294_247), Range(1, 12), Range(1, 31)
    parts = []
    for part, bounds in ((year, years), (month, months), (day, days)):
        wrong = encoder.builder.either(part.less(bounds.low), part.lift(bounds.high).less(part))
        encoder.check(wrong, valid, "a date out of range", call.span)
        parts.append(part.lift(bounds.low).where(wrong, part).within(bounds))
    first = first_of(parts[0], parts[1])
    result = first + parts[2] - 1
    wrong = days_in_month(Moment(first, first.lift(0))).less(parts[2])
    encoder.check(wrong, valid, "a date out of range: the month has fewer days", call.span)
    return result


def lower_make_timestamp(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """Of microseconds since 1970, or of year, month, day, hour, minute and seconds."""
    if len(arguments) == 1:
        return scaled_moment(encoder, call, arguments[0], 1)
    builder, valid = encoder.builder, encoder.builder.both(*(value.valid for value in arguments))
    days = civil_days(encoder, call, arguments[:3], valid)
    time = days.lift(0)
    for value, length, most in zip(arguments[3:5], (HOUR, MINUTE), (24, 59), strict=True):
        part = whole(encoder, value)
        wrong = builder.either(part.less(0), part.lift(most).less(part))
        encoder.check(wrong, valid, "a time of day out of range", call.span)
        time = time + part.lift(0).where(wrong, part).within(Range(0, most)) * length
    time = time + seconds_read(encoder, call, arguments[5].data, valid)
    late = time.lift(MICROSECONDS_PER_DAY).less(time)  # 24:00:00 is the last time that there is
    encoder.check(late, valid, "a time of day out of range", call.span)
    return valued(encoder, days * MICROSECONDS_PER_DAY + time, TIMESTAMP, valid)


def seconds_read(encoder: Encoder, call: Call, seconds: Ref, valid: Ref | None) -> Whole:
    """Seconds as microseconds, the fraction rounded on its own."""
    builder = encoder.builder
    zero, most = builder.constant(0.0, "float64"), builder.constant(60.0, "float64")
    cut = builder.emit("truncate", seconds, dtype="float64")
    in_range = (builder.compare("greater_equal", cut, zero), builder.compare("less_equal", cut, most))
    inside = builder.definite(builder.both(*in_range))
    encoder.check(builder.negation(inside), valid, "a time of day out of range", call.span)
    kept, read = builder.select(inside, cut, zero), builder.select(inside, seconds, zero)
    fraction = builder.emit("subtract", read, kept, dtype="float64")
    million = builder.constant(1e6, "float64")
    rounded = builder.emit("round_away", builder.emit("multiply", fraction, million, dtype="float64"), dtype="float64")
    microseconds = Whole(encoder, builder.convert(rounded, "int32"), Range(0, SECOND))
    return Whole(encoder, builder.convert(kept, "int32"), Range(0, 60)) * SECOND + microseconds


FUNCTIONS: dict[str, Callable[[Encoder, Call, list[Value]], Value]] = {
    **dict.fromkeys(PARTS, lower_part),
    "epoch": lower_epoch,
    "epoch_ms": lower_epoch_ms,
    "julian": lower_julian,
    "date_trunc": lower_date_trunc,
    "date_diff": lower_date_diff,
    "date_sub": lower_date_sub,
    "make_date": lower_make_date,
    "make_timestamp": lower_make_timestamp,
}
