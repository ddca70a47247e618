"""Aggregates that give one of a group's values, or lie between two: first, last, quantiles and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from qtensor.expressions import AggregateCall, Literal
from qtensor.lowering.expressions.casts import decimal_to_double
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import AnyAccumulator, ModeAccumulator, PickAccumulator, QuantileAccumulator, SortWord
from qtensor.lowering.ir.values import Value
from qtensor.lowering.planner.finishing import Finisher, load
from qtensor.types import Decimal, Float, Integer, Timestamp

RATIO_LIMIT = 1 << 31  # positions at a fraction of a decimal with fewer units than that are computed exactly


# Given the lowerer over the sink's result and the slot of the accumulator's first column: the aggregate's value.
ValueOf: TypeAlias = Callable[[Lowerer, int], Value]


@dataclass(frozen=True)
class Planned:
    """An accumulator, and the value made of its result once its number is known."""

    accumulator: AnyAccumulator
    finish: ValueOf

    def finisher(self, index: int) -> Finisher:
        return lambda lowerer, slots: self.finish(lowerer, slots[index])


def pick(lowerer: Lowerer, call: AggregateCall, value: Value, order: tuple[SortWord, ...], mask: Ref | None) -> Planned:
    """first and last: the value, NULL or not, of the first or last row."""
    columns = (value.data,) if value.valid is None else (value.data, value.valid)
    dtype = lowerer.builder.dtype(value.data)

    def finish(lowerer: Lowerer, slot: int) -> Value:
        valid = load(lowerer, slot + len(columns), "bool")
        if len(columns) == 2:
            valid = lowerer.builder.definite(lowerer.builder.both(valid, load(lowerer, slot + 1, "bool")))
        return replace(value, data=load(lowerer, slot, dtype), valid=valid)

    return Planned(PickAccumulator(order, columns, mask, last=call.function == "last"), finish)


def mode(
    lowerer: Lowerer, value: Value, order: tuple[SortWord, ...], mask: Ref | None, sequence: tuple[SortWord, ...]
) -> Planned:
    """The most frequent value, of several the first in `sequence`; NULL for no rows."""
    dtype = lowerer.builder.dtype(value.data)

    def finish(lowerer: Lowerer, slot: int) -> Value:
        some = lowerer.builder.compare("greater", load(lowerer, slot + 1, "int64"), lowerer.integer(0))
        return replace(value, data=load(lowerer, slot, dtype), valid=some)

    return Planned(ModeAccumulator(order, value.data, mask, sequence), finish)


def quantile(lowerer: Lowerer, call: AggregateCall, value: Value, order: tuple[SortWord, ...], mask: Ref | None) -> Planned:
    """The value at a fraction of the rows, of a continuous quantile interpolated between its neighbours; NULL for no rows."""
    fraction, ratio = fraction_of(call)
    dtype = lowerer.builder.dtype(value.data)
    continuous = call.function == "quantile_cont"

    def finish(lowerer: Lowerer, slot: int) -> Value:
        some = lowerer.builder.compare("greater", load(lowerer, slot, "int64"), lowerer.integer(0))
        at = replace(value, data=load(lowerer, slot + 1, dtype), valid=some)
        if not continuous:
            return at
        above = replace(at, data=load(lowerer, slot + 2, dtype))
        return interpolated(lowerer, call, at, above, load(lowerer, slot + 3, "float64"))

    return Planned(QuantileAccumulator(order, value.data, mask, continuous, fraction, ratio, call.distinct), finish)


def fraction_of(call: AggregateCall) -> tuple[float, tuple[int, int] | None]:
    """The fraction as a double and, if it was written as a decimal, as a ratio."""
    literal = call.arguments[1]
    assert isinstance(literal, Literal) and isinstance(literal.value, int | float)
    if not isinstance(literal.type, Decimal | Integer) or not isinstance(literal.value, int):
        return float(literal.value), None
    unit = 10**literal.type.scale if isinstance(literal.type, Decimal) else 1
    return literal.value / unit, (literal.value, unit) if unit < RATIO_LIMIT else None


def interpolated(lowerer: Lowerer, call: AggregateCall, low: Value, high: Value, part: Ref) -> Value:
    """As in DuckDB low * (1 - part) + high * part; decimals: low + (high - low) * part, cut towards zero; moments: rounded."""
    builder = lowerer.builder
    if isinstance(call.type, Float) and isinstance(low.type, Decimal):
        ends = [decimal_to_double(lowerer, end) for end in (low, high)]
    else:
        ends = [builder.convert(end.data, "float64") for end in (low, high)]
    on_the_spot = builder.compare("equal", part, builder.constant(0.0, "float64"))  # then also an infinity is itself
    if isinstance(call.type, Float):
        rest = builder.emit("subtract", builder.constant(1.0, "float64"), part, dtype="float64")
        parts = [builder.emit("multiply", *pair, dtype="float64") for pair in zip(ends, (rest, part), strict=True)]
        data = builder.select(on_the_spot, ends[0], builder.emit("add", *parts, dtype="float64"))
        return Value(call.type, builder.convert(data, "float32" if call.type.bits == 32 else "float64"), low.valid)
    assert low.range is not None
    distance = builder.emit("subtract", ends[1], ends[0], dtype="float64")
    moved = builder.emit("multiply", distance, part, dtype="float64")
    place = builder.emit("add", ends[0], moved, dtype="float64")
    if isinstance(call.type, Timestamp):
        place = builder.emit("round_half_away", place, dtype="float64")
    dtype = low.range.dtype
    data = builder.select(on_the_spot, builder.convert(low.data, dtype), builder.convert(place, dtype))
    return replace(low, type=call.type, data=data)
