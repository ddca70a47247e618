"""SQL aggregates as machine accumulators, and the expressions that turn accumulated columns into results."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import AggregateCall, Expr, Literal
from qtensor.functions.aggregates import PAIRS, VARIANCES
from qtensor.lowering.expressions.casts import limbs_to_double
from qtensor.lowering.expressions.comparison import order_key
from qtensor.lowering.expressions.expressions import lower_condition, lower_key, lower_operand
from qtensor.lowering.expressions.lowerer import Lowerer, slot_of, written_late
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import Accumulator, AnyAccumulator, ListAccumulator, SortWord
from qtensor.lowering.ir.ranges import BIT, Range
from qtensor.lowering.ir.values import JoinedDictionary, Value, WrittenDictionary
from qtensor.lowering.planner import moments, order_statistics
from qtensor.lowering.planner.finishing import Finisher, load, present
from qtensor.lowering.planner.ordering import pack, sort_words, words_of
from qtensor.types import BIGINT, DOUBLE, HUGEINT, Boolean, Float, Timestamp, scale_of

AVERAGE_STEPS = 2  # a division by the count is carried on in so many parts of 32 / AVERAGE_STEPS bits


@dataclass
class AggregatePlanner:
    """Collects the accumulators of one Aggregate; equal ones are shared.

    `rows` bounds the rows of the input; `grouped` says that every group has at least one row.
    """

    lowerer: Lowerer
    rows: int
    grouped: bool
    accumulators: list[AnyAccumulator] = field(default_factory=list)

    def plan(self, call: AggregateCall, *, alike: bool = False) -> Finisher:
        """The accumulators of `call` and how to finish them. alike: the arguments are equal in all rows of a group.

        Raises UnsupportedError: at the call, or at a part of it.
        """
        try:
            return self.plan_call(call, alike)
        except UnsupportedError as error:
            raise error.shown_in("", call.span) from None

    def plan_call(self, call: AggregateCall, alike: bool) -> Finisher:
        filtered = None if call.filter is None else lower_condition(self.lowerer, call.filter)
        if call.function == "count_star":
            return self.finish_count(self.count(filtered))
        with self.lowerer.guarded(filtered):
            operand = lower_key if call.function == "count" else lower_operand
            values = [operand(self.lowerer, argument) for argument in self.computed(call)]
            order = [word for key in call.order for word in sort_words(self.lowerer, key)]
        if call.function not in ("count", "first", "last", "string_agg") and not alike:
            for value in values:
                self.lowerer.require(value, "ordered")
        if call.function == "count" and len(values) > 1:
            return self.finish_count(self.add(Accumulator("count", None, filtered, "int64", distinct=self.words(values))))
        if call.function in ("first", "last"):
            picked = order_statistics.pick(self.lowerer, call, values[0], pack(self.lowerer, order), filtered)
            return picked.finisher(self.add(picked.accumulator))
        mask = self.lowerer.builder.both(filtered, *(value.valid for value in values))
        values = [replace(value, valid=None) for value in values]
        if call.function == "string_agg":
            return self.plan_list(call, values[0], pack(self.lowerer, order), mask)
        if call.function == "mode":
            planned = order_statistics.mode(self.lowerer, values[0], self.words(values), mask, pack(self.lowerer, order))
            return planned.finisher(self.add(planned.accumulator))
        return self.plan_masked(call, values, mask, pack(self.lowerer, order))

    def plan_list(self, call: AggregateCall, value: Value, order: tuple[SortWord, ...], mask: Ref | None) -> Finisher:
        """string_agg: the group's number, under which the host joins the group's texts; NULL for no rows."""
        separator = call.arguments[1]
        assert isinstance(separator, Literal) and value.dictionary is not None
        if isinstance(value.dictionary, WrittenDictionary):
            raise written_late(value.dictionary.type)
        if call.distinct and not order:
            order = self.words([value])
        if call.distinct:
            self.lowerer.require(value, "ordered")
        bindings = self.lowerer.bindings
        number, bindings.lists = bindings.lists, bindings.lists + 1
        dictionary = JoinedDictionary(number, value.dictionary, bindings.literal(separator))
        codes = self.lowerer.builder.convert(value.data, "int32")
        index = self.add(ListAccumulator(number, order, codes, mask, call.distinct))

        def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
            some = lowerer.builder.compare("greater", load(lowerer, slots[index] + 1, "int64"), lowerer.integer(0))
            bounds = Range(0, max(0, self.rows - 1))
            return Value(call.type, load(lowerer, slots[index], "int32"), some, range=bounds, dictionary=dictionary)

        return finish

    def plan_masked(
        self, call: AggregateCall, values: list[Value], mask: Ref | None, order: tuple[SortWord, ...] = ()
    ) -> Finisher:
        """An aggregate of the rows where `mask` holds, none of whose `values` is NULL there; `order` of floats that are added."""
        distinct = self.words(values) if call.distinct else ()
        match call.function:
            case "count":
                return self.finish_count(self.add(Accumulator("count", None, mask, "int64", distinct=distinct)))
            case "sum" | "avg":
                return self.plan_sum(call, values[0], mask, distinct, order)
            case "min" | "max":
                return self.plan_extreme(call, values[0], mask)
            case "product" | "bit_and" | "bit_or" | "bit_xor":
                return self.plan_reduction(call, values[0], mask, distinct, order)
            case "regr_avgy" | "regr_avgx":  # by sums: merging means would make NaN of an infinity
                return self.plan_sum(replace(call, function="avg"), values[call.function == "regr_avgx"], mask, distinct)
            case function if function in VARIANCES or function in PAIRS:
                accumulator = moments.accumulator(self.lowerer, values, mask, distinct)
                return moments.finisher(call, self.add(accumulator))
            case "quantile_cont" | "quantile_disc":
                planned = order_statistics.quantile(self.lowerer, call, values[0], self.words(values), mask)
                return planned.finisher(self.add(planned.accumulator))
            case _:
                raise UnsupportedError(f"the aggregate {call.function} is not supported")

    def computed(self, call: AggregateCall) -> tuple[Expr, ...]:
        """The arguments that are computed for each row."""
        return call.arguments[:1] if call.function in ("quantile_cont", "quantile_disc", "string_agg") else call.arguments

    def add(self, accumulator: AnyAccumulator) -> int:
        return slot_of(self.accumulators, accumulator)

    def count(self, mask: Ref | None) -> int:
        return self.add(Accumulator("count", None, mask, "int64"))

    def words(self, values: list[Value]) -> tuple[SortWord, ...]:
        return pack(self.lowerer, [word for value in values for word in words_of(self.lowerer, value)])

    def nonempty(self, mask: Ref | None) -> int | None:
        """The accumulator that counts the rows of `mask`; None if every group has one."""
        return None if mask is None and self.grouped else self.count(mask)

    def finish_count(self, count: int) -> Finisher:
        def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
            return Value(BIGINT, load(lowerer, slots[count], "int64"), range=Range(0, self.rows))

        return finish

    def plan_sum(
        self,
        call: AggregateCall,
        value: Value,
        mask: Ref | None,
        distinct: tuple[SortWord, ...],
        order: tuple[SortWord, ...] = (),
    ) -> Finisher:
        """A sum, or for avg the sum divided by the count, both NULL for no rows."""
        if isinstance(value.type, Boolean):
            value = replace(value, data=self.lowerer.builder.convert(value.data, "int8"), range=BIT)
        total: Range | None = None
        limbs = 1
        dtype: DType = "float64"
        if not isinstance(value.type, Float):
            bounds = value.range or BIT
            total = Range(min(0, bounds.low * self.rows), max(0, bounds.high * self.rows))
            limbs, dtype = 1 if total.fits else 2, "int64"
        index = self.add(Accumulator("sum", value.data, mask, dtype, value.range, limbs, distinct, order))
        if call.function == "avg":
            count = self.add(Accumulator("count", None, mask, "int64", distinct=distinct))
        nonempty = self.nonempty(mask) if call.function == "sum" else count

        def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
            valid = present(lowerer, slots, nonempty)
            low = load(lowerer, slots[index] + 1, "int64") if limbs == 2 else None
            data = load(lowerer, slots[index], dtype)
            if call.function == "sum":
                return Value(call.type, data, valid, range=total, low=low)
            summed = Value(value.type, data, valid, range=total, low=low)
            rows = load(lowerer, slots[count], "int64")
            if isinstance(call.type, Timestamp):
                return average_moment(lowerer, summed, rows, value.range or BIT)
            return average(lowerer, summed, rows)

        return finish

    def plan_extreme(self, call: AggregateCall, value: Value, mask: Ref | None) -> Finisher:
        """min and max, also of text (by codes), Booleans and floats (by order keys); NULL for no rows."""
        data, bounds = value.data, value.range
        if isinstance(value.type, Boolean):
            data, bounds = self.lowerer.builder.convert(data, "int8"), BIT
        elif isinstance(value.type, Float):
            data = order_key(self.lowerer, value, zeros_equal=False)
            half = 1 << (value.type.bits - 1)
            bounds = Range(-half, half - 1)
        assert bounds is not None
        dtype = self.lowerer.builder.dtype(data)
        index = self.add(Accumulator(call.function, data, mask, dtype, bounds))
        nonempty = self.nonempty(mask)

        def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
            result = load(lowerer, slots[index], dtype)
            if isinstance(value.type, Boolean):
                result = lowerer.builder.compare("not_equal", result, lowerer.integer(0, "int8"))
            elif isinstance(value.type, Float):
                float_type: DType = "float32" if value.type.bits == 32 else "float64"
                result = lowerer.builder.emit("from_order_key", result, dtype=float_type)
            return replace(value, type=call.type, data=result, valid=present(lowerer, slots, nonempty))

        return finish

    def plan_reduction(
        self,
        call: AggregateCall,
        value: Value,
        mask: Ref | None,
        distinct: tuple[SortWord, ...],
        order: tuple[SortWord, ...] = (),
    ) -> Finisher:
        """product (of doubles) and the bitwise aggregates (of integers); NULL for no rows."""
        dtype: DType = "float64" if call.function == "product" else "int64"
        data = self.lowerer.builder.convert(value.data, dtype)
        index = self.add(Accumulator(call.function, data, mask, dtype, value.range, distinct=distinct, order=order))
        nonempty = self.nonempty(mask)
        bounds = None if value.range is None else bits_of(value.range)

        def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
            result = load(lowerer, slots[index], dtype)
            return Value(call.type, result, present(lowerer, slots, nonempty), range=bounds)

        return finish


def bits_of(bounds: Range) -> Range:
    """What integers of the bits of those in `bounds` lie in: 64 bits, if they do.

    >>> bits_of(Range(-8, 5)), bits_of(Range(2, 3))
    (Range(low=-8, high=7), Range(low=0, high=3))
    """
    bits = max((-1 - min(bounds.low, -1)).bit_length(), max(bounds.high, 0).bit_length())
    return Range(-(1 << bits) if bounds.low < 0 else 0, (1 << bits) - 1)


def average(lowerer: Lowerer, total: Value, count: Ref) -> Value:
    """total / count as a double; of decimals, in units of one. Divided once, as in DuckDB, since each division rounds."""
    builder, whole = lowerer.builder, replace(total, type=HUGEINT)
    as_double = builder.convert(total.data, "float64") if total.low is None else limbs_to_double(lowerer, whole).data
    divisor = builder.convert(count, "float64")
    if scale_of(total.type):
        power = builder.constant(float(10 ** scale_of(total.type)), "float64")
        divisor = builder.emit("multiply", divisor, power, dtype="float64")
    return Value(DOUBLE, builder.emit("divide", as_double, divisor, dtype="float64"), total.valid)


def average_moment(lowerer: Lowerer, total: Value, count: Ref, bounds: Range) -> Value:
    """The sum of moments divided by their number, exactly, by long division; rounded as DuckDB does: from 1970 on to the
    nearest microsecond, of two the earlier, before that up to the next.
    """
    builder = lowerer.builder
    some = builder.compare("greater", count, lowerer.integer(0))
    divisor = builder.select(some, count, lowerer.integer(1))

    def divided(dividend: Ref) -> tuple[Ref, Ref]:
        floor = builder.emit("floor_quotient", dividend, divisor, dtype="int64")
        product = builder.emit("multiply", floor, divisor, dtype="int64")
        return floor, builder.emit("subtract", dividend, product, dtype="int64")

    quotient, rest = divided(total.data)
    if total.low is not None:
        bits = 32 // AVERAGE_STEPS
        unit = lowerer.integer(1 << bits)
        for step in reversed(range(AVERAGE_STEPS)):
            shifted = builder.emit("floor_quotient", total.low, lowerer.integer(1 << (bits * step)), dtype="int64")
            digit = builder.emit("remainder", shifted, unit, dtype="int64")
            dividend = builder.emit("add", builder.emit("multiply", rest, unit, dtype="int64"), digit, dtype="int64")
            part, rest = divided(dividend)
            quotient = builder.emit("add", builder.emit("multiply", quotient, unit, dtype="int64"), part, dtype="int64")
    negative = builder.compare("less", quotient, lowerer.integer(0))
    over_half = builder.compare("greater", builder.emit("add", rest, rest, dtype="int64"), divisor)
    upwards = builder.select(negative, builder.compare("greater", rest, lowerer.integer(0)), over_half)
    data = builder.emit("add", quotient, builder.convert(upwards, "int64"), dtype="int64")
    return Value(total.type, data, total.valid, range=bounds | Range(0, 0))
