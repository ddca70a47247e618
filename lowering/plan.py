"""Logical plan to physical plan: cuts the query into pipelines and chooses how to group and to sort, by statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from qtensor.errors import UnsupportedError
from qtensor.expressions import Literal
from qtensor.logical import Aggregate, Filter, Join, Limit, OneRow, Plan, Project, Scan, Sort, Union, Window, repeated
from qtensor.lowering.aggregates import AggregatePlanner
from qtensor.lowering.encode.encoder import Bindings, Encoder
from qtensor.lowering.encode.expressions import encode, encode_operand
from qtensor.lowering.finishing import Finisher
from qtensor.lowering.joins import plan_join, rounded_capacity
from qtensor.lowering.kernel import KernelBuilder, Ref
from qtensor.lowering.model import Model
from qtensor.lowering.narrow import narrow_loads
from qtensor.lowering.ordering import pack, words_of
from qtensor.lowering.physical import (
    MANY_ROWS,
    Accumulator,
    AnyAccumulator,
    CollectSink,
    CompactSink,
    DenseGroupSink,
    ExpandSource,
    FilterStep,
    FirstRowsSink,
    GroupKey,
    ModeAccumulator,
    MomentsAccumulator,
    OutputColumn,
    PhysicalPlan,
    PickAccumulator,
    Pipeline,
    PlannedQuery,
    QuantileAccumulator,
    ResultSource,
    Sink,
    Slot,
    SortedGroupSink,
    SortSink,
    SortWord,
    Source,
    SourceSlot,
    TableSource,
    TopKSink,
)
from qtensor.lowering.prune import prune
from qtensor.lowering.ranges import BIT, Range
from qtensor.lowering.stream import Stored, Stream, slots
from qtensor.lowering.unions import plan_union
from qtensor.lowering.values import ColumnDictionary, Value
from qtensor.rules.estimates import Estimator
from qtensor.types import BIGINT, Boolean, Float, Varchar

DENSE_DOMAIN = 1 << 16  # a table of that many groups stays in L2; beyond it, dense only if rows fill it
DENSE_LIMIT = 1 << 24
TOP_K_LIMIT = 1 << 10
THIN_ROWS = 1 << 17  # fewer rows are not worth bringing together
THIN_SHARE = 4  # nor are more than one in four
SCATTERS = 3  # so many accumulators of groups cost more than to bring the rows together first


class TableStatistics(Protocol):
    """What planning needs to know of a table: its layout and what holds of its columns."""

    def source(self, table: str, columns: Sequence[int]) -> TableSource: ...

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows are equal in all of `columns`, rows with a NULL left aside."""
        ...


@dataclass(frozen=True)
class Kept:
    """Rows that were kept as the result of a pipeline, to be read any number of times."""

    pipeline: int
    capacity: int
    stored: Stored
    ordered: bool


@dataclass
class Planner:
    """Builds pipelines bottom-up; `finished` are the ones whose sink is known.

    `usual_rows`: how many rows the table usually has, if not as many as fit its source. `capacities`: the room of each
    `CompactSink`, as far as former runs have shown it. `estimator`: how many rows plans have, about; None where that must decide
    nothing, since the program is to serve other tables. `shared`: plans that occur more than once, and their results.
    """

    statistics: TableStatistics
    bindings: Bindings
    usual_rows: int | None = None
    capacities: Sequence[int] = ()
    estimator: Estimator | None = None
    finished: list[Pipeline] = field(default_factory=list)
    shared: dict[Plan, Kept | None] = field(default_factory=dict)

    def stream(self, plan: Plan) -> Stream:
        """The rows of a plan; one that occurs more than once is computed once."""
        if plan not in self.shared:
            return self.own_stream(plan)
        kept = self.shared[plan]
        if kept is None:
            kept = self.shared[plan] = self.kept(self.own_stream(plan))
        return self.read(kept)

    def own_stream(self, plan: Plan) -> Stream:
        match plan:
            case Scan():
                return self.scan(plan)
            case OneRow():
                return self.begin(TableSource("", (), 1, 1, 64))
            case Filter(input=input, predicate=predicate):
                stream = self.stream(input)
                stream.filter(predicate)
                return stream
            case Project(input=input, expressions=expressions):
                stream = self.stream(input)
                stream.encoder.columns = tuple(encode(stream.encoder, named.expr) for named in expressions)
                stream.flush()
                return stream
            case Aggregate(input=input):
                return self.aggregate(plan, self.stream(input), may_thin=True)
            case Sort():
                return self.sort(plan, None)
            case Limit():
                return self.limit(plan)
            case Join():
                return plan_join(self, plan)
            case Union(branches=branches):
                return plan_union(self, [self.stream(branch) for branch in branches])
            case Window():
                raise UnsupportedError("window functions are not supported yet")
            case _:
                assert_never(plan)

    # --- streams and their results ----------------------------------------------------------------------------------------------

    def begin(self, source: Source) -> Stream:
        """A stream of a source's rows, without columns yet."""
        return Stream(source, Encoder(KernelBuilder(), (), self.bindings))

    def close(self, stream: Stream, sink: Sink) -> int:
        """Close the pipeline with `sink`; its number."""
        stream.flush()
        self.finished.append(Pipeline(stream.source, stream.encoder.builder.finish(), tuple(stream.steps), sink))
        return len(self.finished) - 1

    def finish(self, stream: Stream, sink: Sink, capacity: int) -> Stream:
        """Close the pipeline with `sink`; the stream of its result, without columns yet."""
        return self.begin(ResultSource(self.close(stream, sink), capacity))

    def kept(self, stream: Stream) -> Kept:
        """The rows of a stream as a result that may be read several times."""
        if not stream.bounded:
            return self.compacted(stream, rounded_capacity(self.expected_rows(stream.source)))
        stored = Stored.of(stream.encoder, stream.encoder.columns)
        capacity = stream.source.capacity
        return Kept(self.close(stream, CollectSink(stored.columns)), capacity, stored, stream.ordered)

    def compacted(self, stream: Stream, room: int) -> Kept:
        """The live rows of a stream without gaps, in room for as many as are expected, or as former runs have shown."""
        stored = Stored.of(stream.encoder, stream.encoder.columns)
        number = sum(isinstance(pipeline.sink, CompactSink) for pipeline in self.finished)
        capacity = self.capacities[number] if number < len(self.capacities) else room
        return Kept(self.close(stream, CompactSink(stored.columns, capacity, number)), capacity, stored, True)

    def thinned(self, plan: Plan, stream: Stream) -> Stream:
        """The rows of `plan`, brought together where few of many are expected to be live and the next step costs by the row."""
        if self.estimator is None or not self.is_thin(plan, stream):
            return stream
        return self.read(self.compacted(stream, roomy(self.estimator.rows(plan))))

    def is_thin(self, plan: Plan, stream: Stream) -> bool:
        """Whether few of many rows are expected to be live."""
        capacity = stream.source.capacity
        if self.estimator is None or not THIN_ROWS < capacity < MANY_ROWS:
            return False
        return roomy(self.estimator.rows(plan)) * THIN_SHARE <= capacity

    def expected_rows(self, source: Source) -> int:
        """A guess at the number of pairs: usually one side of a join holds the other's key."""
        assert isinstance(source, ExpandSource)
        return max(self.rows_of(source.probe), self.rows_of(source.build))

    def rows_of(self, pipeline: int) -> int:
        """How many rows a finished pipeline reads at most, as far as that is known."""
        source = self.finished[pipeline].source
        return max(1 << 16, source.capacity if source.capacity < MANY_ROWS else 0)

    def read(self, kept: Kept) -> Stream:
        """A stream of kept rows."""
        stream = self.begin(ResultSource(kept.pipeline, kept.capacity))
        stream.encoder.columns = tuple(kept.stored.load(slots(stream.encoder)))
        stream.ordered = kept.ordered
        return stream

    def bounded(self, stream: Stream) -> Stream:
        """A stream of which it is known how many rows there are at most."""
        return stream if stream.bounded else self.read(self.kept(stream))

    def twice(self, stream: Stream) -> tuple[Stream, Stream]:
        """Two streams of the same rows."""
        kept = self.kept(stream)
        return self.read(kept), self.read(kept)

    def scan(self, scan: Scan) -> Stream:
        source = self.statistics.source(scan.table, scan.columns)
        builder = KernelBuilder()
        values: list[Value] = []
        slot = 0
        for column, type_ in zip(source.columns, (column.type for column in scan.fields), strict=True):
            data = builder.emit("load", dtype=column.dtype, attribute=slot)
            valid = builder.emit("load", dtype="bool", attribute=slot + 1) if column.nullable else None
            slot += 1 + column.nullable
            dictionary = ColumnDictionary(scan.table, column.index) if isinstance(type_, Varchar) else None
            values.append(Value(type_, data, valid, range=column.range, dictionary=dictionary, may_be_nan=column.may_be_nan))
        stream = self.begin(source)
        stream.encoder = Encoder(builder, tuple(values), self.bindings)
        return stream

    def aggregate(self, plan: Aggregate, stream: Stream, may_thin: bool = False) -> Stream:
        """The groups of a stream's rows, which may be brought together before."""
        encoder = stream.encoder
        columns = encoder.columns
        keys = [encode_operand(encoder, key.expr) for key in plan.keys]
        planner = AggregatePlanner(encoder, stream.source.capacity, grouped=bool(keys))
        finishers = [planner.plan(aggregate.call) for aggregate in plan.aggregates]
        group_keys = [group_key(encoder, key) for key in keys]
        if all(key is not None for key in group_keys):
            dense = DenseGroupSink(tuple(key for key in group_keys if key), (), None)
            few_scatters = len(planner.accumulators) < SCATTERS or not keys
            if fits_dense(dense.domain, min(stream.source.capacity, self.usual_rows or MANY_ROWS), planner):
                if few_scatters or not may_thin or not self.is_thin(plan.input, stream):
                    return self.dense_group(stream, dense, keys, planner, finishers)
        if stream.bounded and not (may_thin and self.is_thin(plan.input, stream)):
            return self.sorted_group(stream, keys, planner, finishers)
        encoder.columns, encoder.pending = columns, []
        return self.aggregate(plan, self.thinned(plan.input, self.bounded(stream)))

    def dense_group(
        self, stream: Stream, sink: DenseGroupSink, keys: list[Value], planner: AggregatePlanner, finishers: list[Finisher]
    ) -> Stream:
        presence = planner.count(None) if keys else None
        sink = replace(sink, accumulators=tuple(planner.accumulators), presence=presence)
        result = self.finish(stream, sink, sink.domain)
        code = result.encoder.builder.emit("row", dtype="int64")
        values: list[Value] = []
        for key, value in reversed(list(zip(sink.keys, keys, strict=True))):
            radix = result.encoder.integer(key.radix)
            digit = result.encoder.builder.emit("remainder", code, radix, dtype="int64")
            code = result.encoder.builder.emit("quotient", code, radix, dtype="int64")
            values.insert(0, key_of_digit(result.encoder, key, value, digit))
        values += [finisher(result.encoder, accumulator_slots(planner, 0)) for finisher in finishers]
        result.encoder.columns = tuple(values)
        return result

    def sorted_group(self, stream: Stream, keys: list[Value], planner: AggregatePlanner, finishers: list[Finisher]) -> Stream:
        encoder = stream.encoder
        order = pack(encoder, [word for key in keys for word in words_of(encoder, key)])
        carried = Stored.of(encoder, keys)
        sink = SortedGroupSink(order, carried.columns, tuple(planner.accumulators))
        capacity = stream.source.capacity if keys else 1
        result = self.finish(stream, sink, capacity)
        values = carried.load(slots(result.encoder))
        positions = accumulator_slots(planner, len(carried.columns))
        values += [finisher(result.encoder, positions) for finisher in finishers]
        result.encoder.columns = tuple(values)
        result.ordered = True
        return result

    def sort(self, plan: Sort, count: int | None) -> Stream:
        """Sort; with `count`, only that many first rows are needed."""
        stream = self.stream(plan.input)
        if count is None or count > TOP_K_LIMIT:
            stream = self.thinned(plan.input, self.bounded(stream))
        words: list[SortWord] = []
        for key in plan.keys:
            value = encode(stream.encoder, key.expr)
            words += words_of(stream.encoder, value, key.descending, key.nulls_first)
        return self.materialise(stream, pack(stream.encoder, words), count)

    def materialise(self, stream: Stream, order: tuple[SortWord, ...], count: int | None) -> Stream:
        """Order the rows, live ones first, and store the columns."""
        stored = Stored.of(stream.encoder, stream.encoder.columns)
        capacity = stream.source.capacity
        sink: Sink = SortSink(order, stored.columns, None)
        if count is not None and count * 2 <= capacity:
            capacity = max(64, 1 << max(0, count - 1).bit_length())
            if not order:
                sink = FirstRowsSink(stored.columns, capacity)
            elif capacity <= TOP_K_LIMIT:
                sink = TopKSink(order, stored.columns, capacity)
            else:
                sink = SortSink(order, stored.columns, capacity)
        result = self.finish(stream, sink, capacity)
        result.encoder.columns = tuple(stored.load(slots(result.encoder)))
        result.ordered = True
        return result

    def limit(self, plan: Limit) -> Stream:
        """Rows by their position among the live ones."""
        count = None if plan.count is None else plan.count + plan.offset
        stream = self.sort(plan.input, count) if isinstance(plan.input, Sort) else self.stream(plan.input)
        if not stream.ordered:
            stream = self.materialise(stream if count is not None else self.bounded(stream), (), count)
        builder = stream.encoder.builder
        row = builder.emit("row", dtype="int64")
        conditions: list[Ref] = []
        if plan.offset:
            offset = stream.encoder.literal(Literal(plan.offset, BIGINT)).data
            conditions.append(builder.compare("greater_equal", row, builder.convert(offset, "int64")))
        if count is not None:
            end = stream.encoder.literal(Literal(count, BIGINT)).data
            conditions.append(builder.compare("less", row, builder.convert(end, "int64")))
        stream.steps += [FilterStep(condition) for condition in conditions]
        stream.ordered = plan.offset == 0
        return stream


def group_key(encoder: Encoder, value: Value) -> GroupKey | None:
    """The key as a digit; None for floats, whose values cannot be enumerated."""
    match value.type:
        case Float():
            return None
        case Boolean():
            return GroupKey(encoder.builder.convert(value.data, "int8"), 0, 2, value.valid)
        case _:
            bounds = value.range or BIT
            return GroupKey(value.data, bounds.low, bounds.size, value.valid)


def key_of_digit(encoder: Encoder, key: GroupKey, value: Value, digit: Ref) -> Value:
    """A group's key from its digit: the inverse of `group_key`."""
    valid = None
    if key.valid is not None:
        valid = encoder.builder.compare("not_equal", digit, encoder.integer(key.size))
        digit = encoder.builder.select(valid, digit, encoder.integer(0))
    if isinstance(value.type, Boolean):
        return Value(value.type, encoder.builder.compare("not_equal", digit, encoder.integer(0)), valid)
    bounds = Range(key.low, key.low + key.size - 1)
    data = encoder.builder.emit("add", digit, encoder.integer(key.low), dtype="int64")
    return replace(value, data=encoder.builder.convert(data, bounds.dtype), valid=valid, range=bounds)


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
        case Accumulator(op="count" | "sum", distinct=(SortWord(radix=int() as radix),)):
            return radix
        case Accumulator(op="sum" | "count" | "min" | "max", distinct=()):
            return 0
        case Accumulator(distinct=()) | MomentsAccumulator(distinct=()) | PickAccumulator():
            return 0 if domain <= DENSE_DOMAIN else DENSE_LIMIT + 1
        case Accumulator() | MomentsAccumulator() | QuantileAccumulator() | ModeAccumulator():
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


def output_slots(stream: Stream, columns: Sequence[Ref]) -> tuple[list[Slot], tuple[Ref, ...]]:
    """Where each stored column of the result is found: among the collected ones, or in the table itself if it is one
    of its columns.
    """
    source = stream.source
    passed: dict[Ref, SourceSlot] = {}
    if isinstance(source, TableSource):
        loads = [SourceSlot(column.index, part) for column in source.columns for part in (False, True)[: 1 + column.nullable]]
        for ref in columns:
            instruction = stream.encoder.builder.instructions[ref]
            if instruction.op == "load" and isinstance(instruction.attribute, int):
                passed[ref] = loads[instruction.attribute]
    collected = tuple(ref for ref in columns if ref not in passed)
    return [passed[ref] if ref in passed else collected.index(ref) for ref in columns], collected


def roomy(rows: float) -> int:
    """The room for about so many rows: in steps of eight, so that other literals seldom need another program.

    >>> roomy(100), roomy(10_000), roomy(30_000)
    (4096, 32768, 262144)
    """
    wanted = 2 * rows
    room = 1 << 12
    while room < wanted:
        room <<= 3
    return room


def plan_query(
    plan: Plan,
    statistics: TableStatistics,
    dictionary_sizes: Mapping[tuple[str, int], int],
    models: Mapping[str, Model],
    usual_rows: int | None = None,
    capacities: Sequence[int] = (),
    estimator: Estimator | None = None,
) -> PlannedQuery:
    """The physical plan, free of literals' values, and what to bind to it.

    usual_rows: given for a program that is to serve other tables and parameters, how many rows a table usually has.
    capacities: the room that joins of unknown size need, as far as it is known. estimator: guesses of how many rows plans have.
    """
    bindings = Bindings(dictionary_sizes, models, parameters_are_free=usual_rows is not None)
    planner = Planner(statistics, bindings, usual_rows, capacities, estimator, shared=dict.fromkeys(repeated(plan)))
    stream = planner.bounded(planner.stream(plan))
    stored = Stored.of(stream.encoder, stream.encoder.columns)
    found, collected = output_slots(stream, stored.columns)
    planner.finish(stream, CollectSink(collected), stream.source.capacity)
    output = tuple(
        OutputColumn(
            field.name,
            field.type,
            found[data],
            None if valid is None else found[valid],
            None if low is None else found[low],
            tuple(found[element] for element in elements),
            value.dictionary,
        )
        for field, (value, data, valid, low, elements) in zip(plan.schema, stored.values, strict=True)
    )
    bindings = planner.bindings
    physical = PhysicalPlan(
        tuple(planner.finished),
        tuple(bindings.scalars),
        tuple(bindings.float_scalars),
        tuple(bindings.tables),
        tuple(bindings.used_models),
        len(bindings.checks),
    )
    pruned, checks = prune(physical)
    kept = tuple(bindings.checks[check] for check in checks)
    return PlannedQuery(narrow_loads(pruned), tuple(bindings.literals), output, kept)
