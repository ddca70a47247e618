"""SQL aggregates as machine accumulators, and the expressions that turn accumulated columns into results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from qtensor.errors import UnsupportedError
from qtensor.expressions import AggregateCall
from qtensor.lowering.encode.casts import limbs_to_double
from qtensor.lowering.encode.comparison import order_key
from qtensor.lowering.encode.encoder import Encoder, slot_of
from qtensor.lowering.encode.expressions import encode_condition, encode_operand
from qtensor.lowering.kernel import DType, Ref
from qtensor.lowering.ordering import pack, words_of
from qtensor.lowering.physical import Accumulator, AnyAccumulator, DistinctAccumulator
from qtensor.lowering.ranges import BIT, Range
from qtensor.lowering.values import Value
from qtensor.types import BIGINT, DOUBLE, Boolean, Float, scale_of

# Given the encoder over the sink's result and the slot of each accumulator's first column: the aggregate's value.
Finisher: TypeAlias = Callable[[Encoder, dict[int, int]], Value]


@dataclass
class AggregatePlanner:
    """Collects the accumulators of one Aggregate; equal ones are shared.

    `rows` bounds the rows of the input; `grouped` says that every group has at least one row.
    """

    encoder: Encoder
    rows: int
    grouped: bool
    accumulators: list[AnyAccumulator] = field(default_factory=list)

    def plan(self, call: AggregateCall) -> Finisher:
        """The accumulators of `call` and how to finish them."""
        filtered = None if call.filter is None else encode_condition(self.encoder, call.filter)
        if call.function == "count_star":
            return self.finish_count(self.count(filtered))
        assert call.argument is not None
        with self.encoder.guarded(filtered):
            value = encode_operand(self.encoder, call.argument)
        mask = self.encoder.builder.both(filtered, value.valid)
        match call.function:
            case "count":
                count = self.distinct("count", value, mask, "int64", 1) if call.distinct else self.count(mask)
                return self.finish_count(count)
            case "sum" | "avg":
                return self.plan_sum(call, value, mask)
            case "min" | "max":
                return self.plan_extreme(call, value, mask)
            case _:
                raise UnsupportedError(f"the aggregate {call.function} is not supported")

    def add(self, accumulator: AnyAccumulator) -> int:
        return slot_of(self.accumulators, accumulator)

    def count(self, mask: Ref | None) -> int:
        return self.add(Accumulator("count", None, mask, "int64"))

    def distinct(self, op: str, value: Value, mask: Ref | None, dtype: DType, limbs: int) -> int:
        order = pack(self.encoder, words_of(self.encoder, replace(value, valid=None)))
        bounds = BIT if isinstance(value.type, Boolean) else value.range
        return self.add(DistinctAccumulator(op, value.data, mask, dtype, bounds, order, limbs))

    def nonempty(self, mask: Ref | None) -> int | None:
        """The accumulator that counts the rows of `mask`; None if every group has one."""
        return None if mask is None and self.grouped else self.count(mask)

    def finish_count(self, count: int) -> Finisher:
        def finish(encoder: Encoder, slots: dict[int, int]) -> Value:
            return Value(BIGINT, load(encoder, slots[count], "int64"), range=Range(0, self.rows))

        return finish

    def plan_sum(self, call: AggregateCall, value: Value, mask: Ref | None) -> Finisher:
        """A sum, or for avg the sum divided by the count, both NULL for no rows."""
        if isinstance(value.type, Boolean):
            value = replace(value, data=self.encoder.builder.convert(value.data, "int8"), range=BIT)
        total: Range | None = None
        limbs = 1
        dtype: DType = "float64"
        if not isinstance(value.type, Float):
            bounds = value.range or BIT
            total = Range(min(0, bounds.low * self.rows), max(0, bounds.high * self.rows))
            limbs, dtype = 1 if total.fits else 2, "int64"
        if call.distinct:
            index = self.distinct("sum", value, mask, dtype, limbs)
        else:
            index = self.add(Accumulator("sum", value.data, mask, dtype, value.range, limbs))
        if call.function == "avg":
            count = self.distinct("count", value, mask, "int64", 1) if call.distinct else self.count(mask)
        nonempty = self.nonempty(mask) if call.function == "sum" else count

        def finish(encoder: Encoder, slots: dict[int, int]) -> Value:
            valid = present(encoder, slots, nonempty)
            low = load(encoder, slots[index] + 1, "int64") if limbs == 2 else None
            data = load(encoder, slots[index], dtype)
            if call.function == "sum":
                return Value(call.type, data, valid, range=total, low=low)
            summed = Value(value.type, data, valid, range=total, low=low)
            return average(encoder, summed, load(encoder, slots[count], "int64"))

        return finish

    def plan_extreme(self, call: AggregateCall, value: Value, mask: Ref | None) -> Finisher:
        """min and max, also of text (by codes), Booleans and floats (by order keys); NULL for no rows."""
        data, bounds = value.data, value.range
        if isinstance(value.type, Boolean):
            data, bounds = self.encoder.builder.convert(data, "int8"), BIT
        elif isinstance(value.type, Float):
            data = order_key(self.encoder, value, zeros_equal=False)
            half = 1 << (value.type.bits - 1)
            bounds = Range(-half, half - 1)
        assert bounds is not None
        dtype = self.encoder.builder.dtype(data)
        index = self.add(Accumulator(call.function, data, mask, dtype, bounds))
        nonempty = self.nonempty(mask)

        def finish(encoder: Encoder, slots: dict[int, int]) -> Value:
            result = load(encoder, slots[index], dtype)
            if isinstance(value.type, Boolean):
                result = encoder.builder.compare("not_equal", result, encoder.integer(0, "int8"))
            elif isinstance(value.type, Float):
                float_type: DType = "float32" if value.type.bits == 32 else "float64"
                result = encoder.builder.emit("from_order_key", result, dtype=float_type)
            return replace(value, type=call.type, data=result, valid=present(encoder, slots, nonempty))

        return finish


def load(encoder: Encoder, slot: int, dtype: DType) -> Ref:
    return encoder.builder.emit("load", dtype=dtype, attribute=slot)


def present(encoder: Encoder, slots: dict[int, int], count: int | None) -> Ref | None:
    """Whether any row was accumulated."""
    if count is None:
        return None
    return encoder.builder.compare("greater", load(encoder, slots[count], "int64"), encoder.integer(0))


def average(encoder: Encoder, total: Value, count: Ref) -> Value:
    """total / count as a double; of decimals, in units of one."""
    if total.low is not None:
        as_double = limbs_to_double(encoder, total).data
    else:
        as_double = encoder.builder.convert(total.data, "float64")
        if scale_of(total.type):
            power = encoder.builder.constant(float(10 ** scale_of(total.type)), "float64")
            as_double = encoder.builder.emit("divide", as_double, power, dtype="float64")
    divisor = encoder.builder.convert(count, "float64")
    data = encoder.builder.emit("divide", as_double, divisor, dtype="float64")
    return Value(DOUBLE, data, total.valid)
