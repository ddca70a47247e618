"""GROUP BY as pipelines: a slot for every possible group where keys have few values, else groups by sorting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from qtensor.expressions import AggregateCall, ColumnRef
from qtensor.logical import Aggregate
from qtensor.lowering.expressions.expressions import lower_key
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import (
    MANY_ROWS,
    Accumulator,
    AnyAccumulator,
    DenseGroupSink,
    GroupKey,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    QuantileAccumulator,
    SortedGroupSink,
    SortWord,
    SourceColumn,
    TableSource,
)
from qtensor.lowering.ir.ranges import BIT, Range
from qtensor.lowering.ir.values import LeastOf, Value
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.aggregates import AggregatePlanner
from qtensor.lowering.planner.finishing import Finisher
from qtensor.lowering.planner.ordering import pack, words_of
from qtensor.lowering.planner.pipelines import Pipelines, is_for_few
from qtensor.lowering.planner.prune import input_slots
from qtensor.lowering.planner.stream import Stored, Stream, slots
from qtensor.lowering.program.predict import picks_rows
from qtensor.optimise.facts.uniqueness import determined
from qtensor.optimise.rewriting import expressions_of
from qtensor.types import Array, Boolean, Float

DENSE_DOMAIN = 1 << 16  # a table of that many groups stays in L2; beyond it, dense only if rows fill it
DENSE_LIMIT = 1 << 24
HARDLY_ANY = 32  # of so many rows one is live: it is brought together with the others before it is scattered once
SCATTERS = 3  # so many accumulators of groups cost more than to bring the rows together first


def plan_aggregate(pipelines: Pipelines, plan: Aggregate) -> Stream:
    """The groups of a plan's rows."""
    stream = pipelines.stream(plan.input)
    grouping = GroupPlanner.of(pipelines, plan, stream)
    thin = pipelines.is_thin(plan.input, stream)
    if grouping.dense is not None and not (thin and is_worth_thinning(pipelines, plan, stream, grouping)):
        return grouping.by_slots(stream)
    if thin or not stream.bounded:
        stream.lowerer.columns, stream.lowerer.pending = grouping.columns, []
        stream = pipelines.thinned(plan.input, pipelines.bounded(stream))
        grouping = GroupPlanner.of(pipelines, plan, stream)
    return grouping.by_slots(stream) if grouping.dense is not None else grouping.by_sorting(stream)


def is_worth_thinning(pipelines: Pipelines, plan: Aggregate, stream: Stream, grouping: GroupPlanner) -> bool:
    """Whether bringing the rows together costs less than to scatter them all, most of them to nowhere.

    Not where a model does so by itself: its many arguments would be written once more (300,000 rows, 1 in 100 of them live,
    through 100-256-128-10: 40 ms of CPU instead of 13).
    """
    assert pipelines.estimator is not None
    if any(map(is_for_few, expressions_of(plan))):
        return True
    if any(picks_rows(model) for model in models_called(stream.lowerer)):
        return False
    hardly_any = pipelines.estimator.rows(plan.input) * HARDLY_ANY <= stream.source.capacity
    return bool(plan.keys) and (hardly_any or len(grouping.aggregates.accumulators) >= SCATTERS)


def models_called(lowerer: Lowerer) -> list[Model]:
    """The models that a stream's columns, filters and aggregates call."""
    used = {
        number for instruction in lowerer.builder.instructions for kind, number in input_slots(instruction) if kind == "model"
    }
    return [lowerer.bindings.models[lowerer.bindings.used_models[number].name] for number in sorted(used)]


@dataclass(frozen=True)
class GroupPlanner:
    """One Aggregate over the rows of a stream: the keys that make the groups, and what is computed of each.

    `others` are keys that have one value in every group that the first ones make, computed as its least value.
    """

    pipelines: Pipelines
    columns: tuple[Value, ...]
    keys: dict[int, Value]
    others: dict[int, Finisher]
    finishers: list[Finisher]
    aggregates: AggregatePlanner
    dense: DenseGroupSink | None

    @staticmethod
    def of(pipelines: Pipelines, plan: Aggregate, stream: Stream) -> GroupPlanner:
        lowerer, columns = stream.lowerer, stream.lowerer.columns
        making = making_keys(pipelines, plan)
        keys = {at: lower_key(lowerer, plan.keys[at].expr) for at in making}
        aggregates = AggregatePlanner(lowerer, stream.source.capacity, grouped=bool(keys))
        others = {
            at: aggregates.plan(AggregateCall("min", (key.expr,), key.expr.type), alike=True)
            for at, key in enumerate(plan.keys)
            if at not in keys
        }
        finishers = [aggregates.plan(aggregate.call) for aggregate in plan.aggregates]
        group_keys = [group_key(stream, key) for key in keys.values()]
        dense = None
        if all(key is not None for key in group_keys):
            dense = DenseGroupSink(tuple(key for key in group_keys if key), (), None)
            rows = min(stream.source.capacity, pipelines.usual_rows or MANY_ROWS)
            dense = dense if fits_dense(dense.domain, rows, aggregates) else None
        return GroupPlanner(pipelines, columns, keys, others, finishers, aggregates, dense)

    def by_slots(self, stream: Stream) -> Stream:
        """A slot for every possible group."""
        assert self.dense is not None
        presence = self.aggregates.count(None) if self.keys else None
        sink = replace(self.dense, accumulators=tuple(self.aggregates.accumulators), presence=presence)
        result = self.pipelines.finish(stream, sink, sink.domain)
        lowerer = result.lowerer
        code = lowerer.builder.emit("row", dtype="int64")
        values: dict[int, Value] = {}
        for key, (at, value) in reversed(list(zip(sink.keys, self.keys.items(), strict=True))):
            radix = lowerer.integer(key.radix)
            digit = lowerer.builder.emit("remainder", code, radix, dtype="int64")
            code = lowerer.builder.emit("quotient", code, radix, dtype="int64")
            values[at] = key_of_digit(lowerer, key, value, digit, self.least_of(stream, value))
        return self.finished(result, values, 0)

    def least_of(self, stream: Stream, value: Value) -> LeastOf | None:
        """What the digits of a key lie above, where that is another value in each block."""
        column = loaded(stream, value)
        if column is None or column.span is None:
            return None
        assert isinstance(stream.source, TableSource)
        return LeastOf(stream.source.table, column.index)

    def by_sorting(self, stream: Stream) -> Stream:
        """The rows sorted by their keys."""
        lowerer, keys = stream.lowerer, list(self.keys.values())
        order = pack(lowerer, [word for key in keys for word in words_of(lowerer, key)])
        carried = Stored.of(lowerer, keys)
        sink = SortedGroupSink(order, carried.columns, tuple(self.aggregates.accumulators))
        result = self.pipelines.finish(stream, sink, stream.source.capacity if keys else 1)
        loaded = carried.load(slots(result.lowerer))
        result = self.finished(result, dict(zip(self.keys, loaded, strict=True)), len(carried.columns))
        result.ordered = True
        return result

    def finished(self, result: Stream, keys: dict[int, Value], first: int) -> Stream:
        """The result's columns: keys and aggregates in their order. Accumulators begin at column `first`."""
        positions = accumulator_slots(self.aggregates, first)
        values = keys | {at: finisher(result.lowerer, positions) for at, finisher in self.others.items()}
        aggregates = [finisher(result.lowerer, positions) for finisher in self.finishers]
        result.lowerer.columns = (*(values[at] for at in sorted(values)), *aggregates)
        return result


def making_keys(pipelines: Pipelines, plan: Aggregate) -> list[int]:
    """The keys that make the groups, by position: without those that others determine, as a primary key does its row."""
    kept = list(range(len(plan.keys)))
    if len(kept) == 1:
        return kept
    for at in reversed(range(len(plan.keys))):
        rest = [plan.keys[other].expr for other in kept if other != at]
        expr = plan.keys[at].expr
        known = [other.index for other in rest if isinstance(other, ColumnRef)]
        if not isinstance(expr, ColumnRef) or isinstance(expr.type, Array) or not known:
            continue
        if expr.index in determined(plan.input, known, pipelines.keys):
            kept.remove(at)
    return kept


def group_key(stream: Stream, value: Value) -> GroupKey | None:
    """The key as a digit; None for floats and ARRAYs of them, whose values cannot be enumerated."""
    lowerer = stream.lowerer
    lowerer.require(value, "unique")
    match value.type:
        case Float() | Array():
            return None
        case Boolean():
            return GroupKey(lowerer.builder.convert(value.data, "int8"), 0, 2, value.valid)
        case _:
            bounds = value.range or BIT
            near = clustered(stream, value)
            if near is not None:
                above, span = near
                return GroupKey(above, 0, span + 1, value.valid)
            return GroupKey(value.data, bounds.low, bounds.size, value.valid)


def clustered(stream: Stream, value: Value) -> tuple[Ref, int] | None:
    """How far a value lies above the least one of its block, and how far at most; None unless it is a column of which a block
    has few of all the values.
    """
    column = loaded(stream, value)
    if column is None or column.span is None:
        return None
    builder = stream.lowerer.builder
    assert isinstance(stream.source, TableSource)
    least = stream.lowerer.scalar(LeastOf(stream.source.table, column.index), "int64")
    above = builder.emit("subtract", builder.convert(value.data, "int64"), least, dtype="int64")
    return builder.convert(above, Range(0, column.span).dtype), column.span


def loaded(stream: Stream, value: Value) -> SourceColumn | None:
    """The column of a table that a value is, if it is one."""
    instruction = stream.lowerer.builder.instructions[value.data]
    if not isinstance(stream.source, TableSource) or instruction.op != "load" or not isinstance(instruction.attribute, int):
        return None
    return stream.source.loads[instruction.attribute][0]


def key_of_digit(lowerer: Lowerer, key: GroupKey, value: Value, digit: Ref, least: LeastOf | None) -> Value:
    """A group's key from its digit: the inverse of `group_key`. least: what the digit lies above."""
    valid = None
    if key.valid is not None:
        valid = lowerer.builder.compare("not_equal", digit, lowerer.integer(key.size))
        digit = lowerer.builder.select(valid, digit, lowerer.integer(0))
    if isinstance(value.type, Boolean):
        return Value(value.type, lowerer.builder.compare("not_equal", digit, lowerer.integer(0)), valid)
    if least is not None:
        assert value.range is not None
        data = lowerer.builder.emit("add", digit, lowerer.scalar(least, "int64"), dtype="int64")
        return replace(value, data=lowerer.builder.convert(data, value.range.dtype), valid=valid)
    bounds = Range(key.low, key.low + key.size - 1)
    data = lowerer.builder.emit("add", digit, lowerer.integer(key.low), dtype="int64")
    return replace(value, data=lowerer.builder.convert(data, bounds.dtype), valid=valid, range=bounds)


def fits_dense(domain: int, rows: int, planner: AggregatePlanner) -> bool:
    """Whether a slot for every possible group is small enough, also with what each accumulator keeps in it."""
    if domain > DENSE_DOMAIN and domain > min(4 * rows, DENSE_LIMIT):
        return False
    return domain * sum(dense_size(accumulator, domain) for accumulator in planner.accumulators) <= DENSE_LIMIT


def dense_size(accumulator: AnyAccumulator, domain: int) -> int:
    """How much an accumulator adds to a slot of `domain`, beyond a few words; more than the limit if it cannot be dense.

    A bitmap of the values that were seen for DISTINCT counts and sums; other distinct aggregates, and those that need all
    values in order, sort. What is reduced chunk by chunk and merged works over all slots for each chunk: not for many.
    """
    match accumulator:
        case Accumulator(order=(_, *_)):
            return DENSE_LIMIT + 1
        case Accumulator(op="count" | "sum", distinct=(SortWord(radix=int() as radix),)):
            return radix
        case Accumulator(op="sum" | "count" | "min" | "max", distinct=()):
            return 0
        case Accumulator(distinct=()) | MomentsAccumulator(distinct=()) | PickAccumulator():
            return 0 if domain <= DENSE_DOMAIN else DENSE_LIMIT + 1
        case Accumulator() | MomentsAccumulator() | QuantileAccumulator() | ModeAccumulator() | ListAccumulator():
            return DENSE_LIMIT + 1
        case _:
            assert_never(accumulator)


def accumulator_slots(planner: AggregatePlanner, first: int) -> dict[int, int]:
    """The result column at which each accumulator begins."""
    positions: dict[int, int] = {}
    for index, accumulator in enumerate(planner.accumulators):
        positions[index] = first
        first += accumulator.width
    return positions
