"""CAST and TRY_CAST among all types, with DuckDB's rounding; what does not convert is an error, or NULL for TRY_CAST."""

from __future__ import annotations

from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Cast, Literal
from qtensor.lowering.expressions.arithmetic import bounds_of, finite_part, integer_range, outside_of, with_infinities
from qtensor.lowering.expressions.comparison import compare_floats, order_key
from qtensor.lowering.expressions.dates import midnight
from qtensor.lowering.expressions.lowerer import FORMATTED_VALUES, Lowerer
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.ranges import BIT, INT64, INT64_MAX, INT64_MIN, Range
from qtensor.lowering.ir.values import FormatTable, FormattedDictionary, ParsedTable, ParsesTable, Value, WrittenDictionary
from qtensor.types import (
    BOOLEAN,
    DATE,
    FIRST_MOMENT,
    LAST_MOMENT,
    MICROSECONDS_PER_DAY,
    TIMESTAMP,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    Null,
    SqlType,
    Timestamp,
    Varchar,
    scale_of,
)
from qtensor.values.literals import convert_literal
from qtensor.values.texts import ConversionError

FLOAT_OVERFLOW = 3.4028235677973366e38  # half a step above the greatest FLOAT: from here on, rounding gives an infinity


def lower_cast(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """Dispatch on the pair of types."""
    if value.type == cast.type:
        return value
    if isinstance(value.type, Null):
        return lowerer.null(cast.type)
    if value.low is not None and isinstance(cast.type, Float):
        return limbs_to_double(lowerer, value)
    if value.low is not None and isinstance(cast.type, Varchar):
        return write_values(lowerer, cast, value)
    value = lowerer.narrow(value, cast.span)
    match value.type, cast.type:
        case Varchar(), _:
            return parse(lowerer, cast, value)
        case _, Varchar():
            return format_values(lowerer, cast, value)
        case Boolean(), Integer() | Decimal():
            data = lowerer.builder.convert(value.data, "int8")
            return rescale(lowerer, cast, Value(cast.type, data, value.valid, range=BIT), 0)
        case Boolean(), Float():
            return replace(
                value, type=cast.type, data=lowerer.builder.convert(value.data, float_dtype(cast.type)), may_be_nan=False
            )
        case Integer() | Decimal(), Boolean():
            zero = lowerer.integer(0, lowerer.builder.dtype(value.data))
            return Value(BOOLEAN, lowerer.builder.compare("not_equal", value.data, zero), value.valid)
        case Float(), Boolean():
            nothing = lowerer.builder.constant(0.0, lowerer.builder.dtype(value.data))
            other = Value(value.type, nothing, may_be_nan=False)
            return Value(BOOLEAN, compare_floats(lowerer, "not_equal", value, other), value.valid)
        case Integer() | Decimal(), Integer() | Decimal():
            return rescale(lowerer, cast, value, scale_of(value.type))
        case Integer() | Decimal(), Float():
            data = decimal_to_double(lowerer, value) if scale_of(value.type) else value.data
            return Value(cast.type, lowerer.builder.convert(data, float_dtype(cast.type)), value.valid, may_be_nan=False)
        case Float(), Float(32):
            return double_to_float(lowerer, cast, value)
        case Float(), Float():
            return replace(value, type=cast.type, data=lowerer.builder.convert(value.data, float_dtype(cast.type)))
        case Float(), Integer() | Decimal():
            return float_to_integer(lowerer, cast, value)
        case Date(), Timestamp():
            return date_to_timestamp(lowerer, cast, value)
        case Timestamp(), Date():
            return timestamp_to_date(lowerer, value)
        case _:
            raise UnsupportedError(f"a cast from {value.type} to {cast.type} is not supported")


def float_dtype(type: SqlType) -> DType:
    return "float32" if isinstance(type, Float) and type.bits == 32 else "float64"


def fail_where(lowerer: Lowerer, cast: Cast, value: Value, condition: Ref | None) -> Value:
    """CAST raises where `condition` holds; TRY_CAST gives NULL there."""
    if condition is None:
        return value
    if cast.try_:
        return replace(value, valid=lowerer.builder.both(value.valid, lowerer.builder.negation(condition)))
    lowerer.check(condition, value.valid, failure(cast), cast.span)
    return value


def failure(cast: Cast) -> str:
    """Why CAST raises; of a constant, more is known."""
    if isinstance(cast.operand, Literal):
        try:
            convert_literal(cast.operand, cast.type)
        except ConversionError as error:
            return str(error)
    return f"Could not convert a value to {cast.type}: it is out of range or not such a value"


def rescale(lowerer: Lowerer, cast: Cast, value: Value, scale: int) -> Value:
    """An integer of unit 10**-scale to the unit of the target, half away from zero, within the target's bounds."""
    shift = scale_of(cast.type) - scale
    bounds, factor = integer_range(value), 10 ** abs(shift)
    if shift > 0:
        largest = bounds_of(cast.type).magnitude // factor
        value = fail_where(lowerer, cast, value, outside_of(lowerer, value, Range(-largest, largest) & INT64))
        held = min(largest, INT64_MAX // factor)
        beyond = outside_of(lowerer, replace(value, range=bounds & Range(-largest, largest)), Range(-held, held))
        if beyond is not None:
            lowerer.check(beyond, value.valid, f"a {cast.type} beyond 64 bits cannot be computed with", cast.span)
        safe = bounds & Range(-held, held)
        scaled = Range(safe.low * factor, safe.high * factor)
        dtype = scaled.arithmetic_dtype
        times = lowerer.integer(factor if scaled.magnitude else 0, dtype)  # of zeros only, the dtype need not hold the factor
        data = lowerer.builder.emit("multiply", lowerer.builder.convert(value.data, dtype), times, dtype=dtype)
        return replace(value, type=cast.type, data=data, range=scaled)
    if shift < 0:
        if factor > INT64_MAX:  # then the first digits decide: 10**18 is cut off, the rest rounded
            value, factor = divided_by(lowerer, value, 10**18, "quotient"), min(factor // 10**18, 100)
        value = divided_by(lowerer, value, factor, "rounded_quotient")
    allowed = bounds_of(cast.type) & INT64
    value = fail_where(lowerer, cast, value, outside_of(lowerer, value, allowed))
    return replace(value, type=cast.type, range=integer_range(value) & allowed)


def divided_by(lowerer: Lowerer, value: Value, factor: int, operation: str) -> Value:
    """The data divided by `factor`: cut off ("quotient"), or half away from zero ("rounded_quotient")."""
    bounds = integer_range(value)
    dtype = (bounds | Range(-factor, factor)).arithmetic_dtype
    operands = lowerer.builder.convert(value.data, dtype), lowerer.integer(factor, dtype)
    data = lowerer.builder.emit(operation, *operands, dtype=dtype)
    return replace(value, data=data, range=Range(-(-bounds.low // factor) - 1, bounds.high // factor + 1))


def decimal_to_double(lowerer: Lowerer, value: Value) -> Ref:
    """The double nearest to the unscaled integer, divided by the power of ten."""
    power = lowerer.builder.constant(float(10 ** scale_of(value.type)), "float64")
    return lowerer.builder.emit("divide", lowerer.builder.convert(value.data, "float64"), power, dtype="float64")


def limbs_to_double(lowerer: Lowerer, value: Value) -> Value:
    """A two-limb sum as a double."""
    assert value.low is not None
    high = lowerer.builder.convert(value.data, "float64")
    limb = lowerer.builder.constant(float(1 << 32), "float64")
    scaled = lowerer.builder.emit("multiply", high, limb, dtype="float64")
    data = lowerer.builder.emit("add", scaled, lowerer.builder.convert(value.low, "float64"), dtype="float64")
    if scale_of(value.type):
        power = lowerer.builder.constant(float(10 ** scale_of(value.type)), "float64")
        data = lowerer.builder.emit("divide", data, power, dtype="float64")
    return Value(Float(64), data, value.valid, may_be_nan=False)


def double_to_float(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """The nearest FLOAT; a finite number that would become an infinity does not convert."""
    size = lowerer.builder.emit("abs", value.data, dtype="float64")
    large = lowerer.builder.compare("greater_equal", size, lowerer.builder.constant(FLOAT_OVERFLOW, "float64"))
    finite = lowerer.builder.compare("less", size, lowerer.builder.constant(float("inf"), "float64"))
    value = fail_where(lowerer, cast, value, lowerer.builder.both(large, finite))
    return replace(value, type=cast.type, data=lowerer.builder.convert(value.data, "float32"))


def float_to_integer(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """Half to even for integers, half away from zero for decimals; NaN, infinities and what is out of range do not convert."""
    scale = scale_of(cast.type)
    data = lowerer.builder.convert(value.data, "float64")
    if isinstance(cast.type, Decimal):
        power = lowerer.builder.constant(float(10**scale), "float64")
        scaled = lowerer.builder.emit("multiply", data, power, dtype="float64")
        data = lowerer.builder.emit("round_half_away", scaled, dtype="float64")
    else:
        data = lowerer.builder.emit("round_half_even", data, dtype="float64")
    allowed = bounds_of(cast.type) & INT64
    # 2**63 - 1 is no double: the bound above is exclusive.
    low, high = float(allowed.low), float(allowed.high + 1)
    at_least = lowerer.builder.compare("greater_equal", data, lowerer.builder.constant(low, "float64"))
    below = lowerer.builder.compare("less", data, lowerer.builder.constant(high, "float64"))
    inside = lowerer.builder.definite(lowerer.builder.both(at_least, below))
    value = fail_where(lowerer, cast, value, lowerer.builder.negation(inside))
    safe = lowerer.builder.select(inside, data, lowerer.builder.constant(0.0, "float64"))
    return Value(cast.type, lowerer.builder.convert(safe, allowed.dtype), value.valid, range=allowed)


def date_to_timestamp(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """Midnight of the day; days beyond the timestamps' range do not convert."""
    finite, infinite = finite_part(lowerer, value)
    held = Range(FIRST_MOMENT // MICROSECONDS_PER_DAY, LAST_MOMENT // MICROSECONDS_PER_DAY)
    safe = fail_where(lowerer, cast, finite, outside_of(lowerer, finite, held))
    day = replace(safe, range=integer_range(finite) & held)
    result = midnight(lowerer, Call("cast", (), TIMESTAMP, cast.span), day)
    valid = result.valid
    if infinite is not None and valid is not None:
        valid = lowerer.builder.either(valid, lowerer.builder.definite(lowerer.builder.both(value.valid, infinite)))
    return with_infinities(lowerer, result, value, infinite, valid)


def timestamp_to_date(lowerer: Lowerer, value: Value) -> Value:
    """The day that holds the moment."""
    finite, infinite = finite_part(lowerer, value)
    bounds = integer_range(finite)
    per_day = lowerer.integer(MICROSECONDS_PER_DAY)
    data = lowerer.builder.emit("floor_quotient", lowerer.builder.convert(finite.data, "int64"), per_day, dtype="int64")
    days = Range(bounds.low // MICROSECONDS_PER_DAY, bounds.high // MICROSECONDS_PER_DAY)
    result = Value(DATE, lowerer.builder.convert(data, days.dtype), value.valid, range=days)
    return with_infinities(lowerer, result, value, infinite, value.valid)


def parse(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """Text to any type: the dictionary's strings are converted on the host, rows look theirs up."""
    assert value.dictionary is not None
    size = lowerer.bindings.size_of(value.dictionary)
    parses = lowerer.look_up(ParsesTable(value.dictionary, cast.type), size, value.data, "bool")
    value = fail_where(lowerer, cast, value, lowerer.builder.negation(parses))
    table = ParsedTable(value.dictionary, cast.type)  # type: ignore[arg-type]  # not None, see above
    match cast.type:
        case Boolean():
            return Value(cast.type, lowerer.look_up(table, size, value.data, "bool"), value.valid)
        case Float():
            data = lowerer.look_up(table, size, value.data, "float64")
            return Value(cast.type, lowerer.builder.convert(data, float_dtype(cast.type)), value.valid)
        case Integer() | Decimal() | Date() | Timestamp():
            data = lowerer.look_up(table, size, value.data, "int64")
            return Value(cast.type, data, value.valid, range=bounds_of(cast.type) & Range(INT64_MIN, INT64_MAX))
        case _:
            raise UnsupportedError(f"a cast from {value.type} to {cast.type} is not supported")


def format_values(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """A value to its text. Of a small range every text is written once, on the host, before the run."""
    if isinstance(value.type, Boolean):
        value = replace(value, data=lowerer.builder.convert(value.data, "int8"), range=BIT)
    bounds = value.range
    if bounds is None or bounds.size > FORMATTED_VALUES:
        return write_values(lowerer, cast, value)
    dictionary = FormattedDictionary(value.type, bounds.low, bounds.high)
    dtype: DType = "int32"
    offset = lowerer.integer(bounds.low, "int64")
    index = lowerer.builder.emit("subtract", lowerer.builder.convert(value.data, "int64"), offset, dtype="int64")
    code = lowerer.look_up(FormatTable(dictionary), bounds.size, index, dtype)
    return Value(cast.type, code, value.valid, range=Range(0, bounds.size - 1), dictionary=dictionary)


def write_values(lowerer: Lowerer, cast: Cast, value: Value) -> Value:
    """A value to a text that is written when the result is decoded."""
    dictionary = WrittenDictionary(value.type)
    if isinstance(value.type, Float):
        key = lowerer.builder.convert(order_key(lowerer, value, zeros_equal=False), "int64")
        return Value(cast.type, key, value.valid, range=INT64, dictionary=dictionary)
    return Value(cast.type, value.data, value.valid, range=value.range, low=value.low, dictionary=dictionary)
