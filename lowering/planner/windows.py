"""Window functions: all rows sorted by partition and order, and what each function reads of other rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from qtensor.errors import Span
from qtensor.expressions import AggregateCall, Frame, FrameBound, SortKey, WindowCall
from qtensor.logical import Window
from qtensor.lowering.expressions.comparison import order_key
from qtensor.lowering.expressions.expressions import lower_condition, lower_key, lower_operand
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import (
    FetchFunction,
    FrameEnd,
    FrameFunction,
    PlaceFunction,
    WindowFrame,
    WindowFunction,
    WindowSink,
)
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.ir.values import Value
from qtensor.lowering.planner.aggregates import AggregatePlanner
from qtensor.lowering.planner.finishing import load
from qtensor.lowering.planner.ordering import pack, sort_words, words_of
from qtensor.lowering.planner.pipelines import Pipelines
from qtensor.lowering.planner.stream import Stored, Stream, slots
from qtensor.types import BIGINT, DOUBLE, Float

FETCH_KINDS = {"first_value": "first", "last_value": "last", "nth_value": "nth", "lag": "lag", "lead": "lead"}


@dataclass(frozen=True)
class Sorted:
    """The result of a window's sink: where each function's columns start, and the values that its rows carried."""

    lowerer: Lowerer
    slots: list[int]
    carried: list[Value]


# A function's value, once the sink's result is known.
Finish: TypeAlias = Callable[[Sorted], Value]


def plan_window(pipelines: Pipelines, plan: Window, stream: Stream) -> Stream:
    """The rows of `stream`, which are bounded, with the functions' values as more columns."""
    lowerer = stream.lowerer
    partition = [word for part in plan.partition for word in words_of(lowerer, lower_key(lowerer, part))]
    order = [word for key in plan.order for word in sort_words(lowerer, key)]
    builder = WindowPlanner(lowerer, stream.source.capacity, plan.order)
    finishers = [builder.plan(item.call) for item in plan.functions]
    width = len(lowerer.columns)
    stored = Stored.of(lowerer, [*lowerer.columns, *builder.carried])
    functions = tuple(builder.functions)
    sink = WindowSink(pack(lowerer, partition), pack(lowerer, partition + order), stored.columns, functions)
    result = pipelines.finish(stream, sink, stream.source.capacity)
    positions = [len(stored.columns)]
    for function in functions:
        positions.append(positions[-1] + function.width)
    values = stored.load(slots(result.lowerer))
    found = Sorted(result.lowerer, positions, values[width:])
    result.lowerer.columns = (*values[:width], *(finish(found) for finish in finishers))
    result.flush()
    return result


@dataclass
class WindowPlanner:
    """Collects the functions of one window, equal ones once, and the values that rows must carry beside their columns."""

    lowerer: Lowerer
    rows: int
    order: tuple[SortKey, ...]
    functions: list[WindowFunction] = field(default_factory=list)
    carried: list[Value] = field(default_factory=list)

    def plan(self, call: WindowCall) -> Finish:
        match call.function:
            case "row_number" | "rank" | "dense_rank" as kind:
                return self.place(self.add(PlaceFunction(kind)))
            case "percent_rank":
                return self.share(self.add(PlaceFunction("rank")), before=1)
            case "cume_dist":
                return self.share(self.add(PlaceFunction("last_peer")), before=0)
            case "ntile":
                return self.ntile(call)
            case "lag" | "lead":
                return self.shifted(call)
            case "first_value" | "last_value" | "nth_value":
                return self.of_frame(call)
            case _:
                return self.aggregate(call)

    def add(self, function: WindowFunction) -> int:
        """The number of a function."""
        if function not in self.functions:
            self.functions.append(function)
        return self.functions.index(function)

    def carry(self, value: Value) -> int:
        """Keep a value of the row itself; its number."""
        self.carried.append(value)
        return len(self.carried) - 1

    # --- places ---------------------------------------------------------------------------------------------------------------

    def place(self, number: int) -> Finish:
        bounds = Range(0, self.rows)
        return lambda found: Value(BIGINT, load(found.lowerer, found.slots[number], "int64"), range=bounds)

    def share(self, number: int, before: int) -> Finish:
        """A place as a share of the partition: (place - before) / (rows - before), 0 where that is 0 / 0."""
        rows = self.add(PlaceFunction("rows"))

        def finish(found: Sorted) -> Value:
            builder = found.lowerer.builder
            less = found.lowerer.integer(before)
            place, size = (
                builder.emit("subtract", load(found.lowerer, found.slots[slot], "int64"), less, dtype="int64")
                for slot in (number, rows)
            )
            some = builder.compare("greater", size, found.lowerer.integer(0))
            divisor = builder.select(some, size, found.lowerer.integer(1))
            operands = (builder.convert(part, "float64") for part in (place, divisor))
            return Value(DOUBLE, builder.emit("divide", *operands, dtype="float64"), may_be_nan=False)

        return finish

    def ntile(self, call: WindowCall) -> Finish:
        """The first partition rows % buckets buckets have one row more than the others."""
        row, rows = self.add(PlaceFunction("row_number")), self.add(PlaceFunction("rows"))
        value = lower_operand(self.lowerer, call.arguments[0])
        nothing = self.lowerer.builder.compare("less_equal", wide(self.lowerer, value), self.lowerer.integer(0))
        self.lowerer.check(nothing, value.valid, "the argument of ntile must be greater than zero", call.span)
        argument = self.carry(value)

        def finish(found: Sorted) -> Value:
            lowerer, builder = found.lowerer, found.lowerer.builder

            def apply(op: str, left: Ref, right: Ref) -> Ref:
                return builder.emit(op, left, right, dtype="int64")

            one = lowerer.integer(1)
            given = found.carried[argument]
            positive = builder.compare("greater", wide(lowerer, given), lowerer.integer(0))
            buckets = builder.select(positive, wide(lowerer, given), one)
            place = apply("subtract", load(lowerer, found.slots[row], "int64"), one)
            size = load(lowerer, found.slots[rows], "int64")
            small, larger = apply("quotient", size, buckets), apply("remainder", size, buckets)
            in_larger = apply("multiply", apply("add", small, one), larger)
            first = apply("quotient", place, apply("add", small, one))
            divisor = builder.select(builder.compare("greater", small, lowerer.integer(0)), small, one)
            later = apply("add", larger, apply("quotient", apply("subtract", place, in_larger), divisor))
            data = apply("add", builder.select(builder.compare("less", place, in_larger), first, later), one)
            return Value(BIGINT, data, given.valid, range=Range(0, max(1, self.rows)))

        return finish

    # --- values of other rows -------------------------------------------------------------------------------------------------

    def shifted(self, call: WindowCall) -> Finish:
        """lag and lead: where there is no such row, the default."""
        value, offset, default = (lower_operand(self.lowerer, argument) for argument in call.arguments)
        fetch = self.fetch(call, value, wide(self.lowerer, offset))
        position, known = self.carry(default), self.carry(offset)

        def finish(found: Sorted) -> Value:
            fetched, there = fetch(found)
            merged = found.lowerer.merge(call.type, [(there, fetched)], found.carried[position])
            valid = found.lowerer.builder.both(merged.valid, found.carried[known].valid)
            return replace(merged, valid=valid)

        return finish

    def of_frame(self, call: WindowCall) -> Finish:
        """first_value, last_value and nth_value: NULL where the frame has no such row."""
        value = lower_operand(self.lowerer, call.arguments[0])
        count = None
        if len(call.arguments) > 1:
            given = lower_operand(self.lowerer, call.arguments[1])
            count = wide(self.lowerer, given)
            if given.valid is not None:
                count = self.lowerer.builder.select(given.valid, count, self.lowerer.integer(0))
        fetch = self.fetch(call, value, count)

        def finish(found: Sorted) -> Value:
            fetched, there = fetch(found)
            return replace(fetched, valid=found.lowerer.builder.both(there, fetched.valid))

        return finish

    def fetch(self, call: WindowCall, value: Value, count: Ref | None) -> Callable[[Sorted], tuple[Value, Ref]]:
        """What gives the value of another row, and whether there is one."""
        builder = self.lowerer.builder
        condition = None if call.filter is None else lower_condition(self.lowerer, call.filter)
        present = builder.both(condition, value.valid if call.ignore_nulls else None)
        frame = None if call.function in ("lag", "lead") else self.frame(call.frame, call.span)
        stored = Stored.of(self.lowerer, [value])
        number = self.add(FetchFunction(FETCH_KINDS[call.function], stored.columns, count, present, frame))  # type: ignore[arg-type]

        def fetched(found: Sorted) -> tuple[Value, Ref]:
            first = found.slots[number]
            (other,) = stored.load(slots(found.lowerer, first))
            return other, load(found.lowerer, first + len(stored.columns), "bool")

        return fetched

    # --- aggregates -----------------------------------------------------------------------------------------------------------

    def aggregate(self, call: WindowCall) -> Finish:
        """An aggregate over the frame: the accumulators that a group would have."""
        planner = AggregatePlanner(self.lowerer, self.rows, grouped=False)
        frame = self.frame(call.frame, call.span)
        finisher = planner.plan(
            AggregateCall(call.function, call.arguments, call.type, call.distinct, call.filter, call.order, call.span)
        )
        numbers: list[int] = []
        for accumulator in planner.accumulators:
            numbers.append(self.add(FrameFunction(accumulator, frame)))
        return lambda found: finisher(found.lowerer, {index: found.slots[number] for index, number in enumerate(numbers)})

    # --- frames ---------------------------------------------------------------------------------------------------------------

    def frame(self, frame: Frame, span: Span | None) -> WindowFrame:
        """A frame in machine terms, its offsets checked."""
        if frame.unit == "rows":
            return WindowFrame("rows", self.rows_away(frame.start, span), self.rows_away(frame.end, span))
        if frame.key is None:
            return WindowFrame("range", FrameEnd(frame.start.kind), FrameEnd(frame.end.kind))
        (order,) = self.order
        key = lower_operand(self.lowerer, frame.key)
        word = self.ascending(key, order.descending)
        start, end = (self.key_away(bound, key, word, span) for bound in (frame.start, frame.end))
        return WindowFrame("range", start, end, word, key.valid, order.nulls_first)

    def rows_away(self, bound: FrameBound, span: Span | None) -> FrameEnd:
        if bound.offset is None:
            return FrameEnd(bound.kind)
        value = lower_operand(self.lowerer, bound.offset)
        words = f"the number of rows {bound.kind} in a window's frame cannot be"
        if value.valid is not None:
            self.lowerer.check(self.lowerer.builder.negation(value.valid), None, f"{words} NULL", span)
        data = wide(self.lowerer, value)
        negative = self.lowerer.builder.compare("less", data, self.lowerer.integer(0))
        self.lowerer.check(negative, value.valid, f"{words} negative", span)
        return FrameEnd(bound.kind, data)

    def key_away(self, bound: FrameBound, key: Value, word: Ref, span: Span | None) -> FrameEnd:
        """The end of a range, where the key has the bound's value; for a row whose key is NULL it does not matter."""
        if bound.offset is None:
            return FrameEnd(bound.kind)
        value = lower_operand(self.lowerer, bound.offset)
        (order,) = self.order
        target = self.ascending(value, order.descending)
        beyond = self.lowerer.builder.compare("greater" if bound.kind == "preceding" else "less", target, word)
        both = self.lowerer.builder.both(key.valid, value.valid)
        self.lowerer.check(beyond, both, f"an invalid RANGE {bound.kind.upper()} value: it is negative", span)
        # Without an offset the bound is at the row's own key.
        return FrameEnd(bound.kind, target if value.valid is None else self.lowerer.builder.select(value.valid, target, word))

    def ascending(self, value: Value, descending: bool) -> Ref:
        """An order key as an int64 that ascends in window order."""
        data = order_key(self.lowerer, value) if isinstance(value.type, Float) else value.data
        data = self.lowerer.builder.convert(data, "int64")
        if descending:
            data = self.lowerer.builder.emit("subtract", self.lowerer.integer(-1), data, dtype="int64")
        return data


def wide(lowerer: Lowerer, value: Value) -> Ref:
    """An integer as int64."""
    return lowerer.builder.convert(value.data, "int64")
