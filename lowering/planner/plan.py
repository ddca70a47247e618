"""Logical plan to physical plan: cuts the query into pipelines and chooses how to group and to sort, by statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from qtensor.expressions import Literal, conjuncts
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    Limit,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    definitions_of,
)
from qtensor.lowering.expressions.expressions import lower
from qtensor.lowering.expressions.lowerer import Bindings, Lowerer
from qtensor.lowering.ir.kernel import KernelBuilder, Ref
from qtensor.lowering.ir.physical import (
    CollectSink,
    FilterStep,
    FirstRowsSink,
    OutputColumn,
    PhysicalPlan,
    PlannedQuery,
    Sink,
    Slot,
    SortSink,
    SortWord,
    SourceSlot,
    TableSource,
    TopKSink,
)
from qtensor.lowering.ir.values import ColumnDictionary, Value
from qtensor.lowering.ir.verify import is_wanted, verify
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.groups import plan_aggregate
from qtensor.lowering.planner.joins import plan_join
from qtensor.lowering.planner.late_columns import late_columns
from qtensor.lowering.planner.listed_rows import are_listed, plan_listed_rows
from qtensor.lowering.planner.narrow import narrow_loads
from qtensor.lowering.planner.ordering import pack, sort_words
from qtensor.lowering.planner.pipelines import KeptRows, Pipelines, TableStatistics, is_for_few
from qtensor.lowering.planner.prune import prune
from qtensor.lowering.planner.prune_results import prune_results
from qtensor.lowering.planner.stream import Stored, Stream, slots
from qtensor.lowering.planner.unions import plan_union
from qtensor.lowering.planner.windows import plan_window
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.repeated import repeated
from qtensor.optimise.rewriting import conjunction
from qtensor.types import BIGINT, Unsupported, Varchar

TOP_K_LIMIT = 1 << 10


class Planner(Pipelines):
    """Plans each operator over the streams of its inputs."""

    def stream(self, plan: Plan) -> Stream:
        """The rows of a plan; one that occurs more than once is computed once."""
        if plan not in self.shared:
            return self.own_stream(plan)
        kept = self.shared[plan]
        if kept is None:
            kept = self.shared[plan] = self.kept(self.own_stream(plan))
        return self.read(kept)

    def common_stream(self, number: int) -> Stream:
        """The rows of a definition, which are computed where they are first read."""
        if number not in self.common:
            self.common[number] = self.kept(self.own_stream(self.definitions[number]))
        return self.read(self.common[number])

    def own_stream(self, plan: Plan) -> Stream:
        match plan:
            case Scan():
                return self.scan(plan)
            case OneRow():
                return self.begin(TableSource("", (), 1, 1, 64))
            case Filter():
                return self.filtered(plan)
            case Project(input=input, expressions=expressions):
                stream = self.stream(input)
                if any(is_for_few(named.expr) for named in expressions):
                    stream = self.thinned(input, stream)
                stream.lowerer.columns = tuple(lower(stream.lowerer, named.expr) for named in expressions)
                stream.flush()
                return stream
            case Aggregate():
                return plan_aggregate(self, plan)
            case Sort():
                return self.sort(plan, None)
            case Limit():
                return self.limit(plan)
            case Join():
                return plan_join(self, plan)
            case Union(branches=branches) if are_listed(branches):
                return plan_listed_rows(self, branches)
            case Union(branches=branches):
                return plan_union(self, [self.stream(branch) for branch in branches])
            case Window(input=input):
                return plan_window(self, plan, self.bounded(self.stream(input)))
            case CommonScan(number=number):
                return self.common_stream(number)
            case With(input=input):
                return self.stream(input)
            case _:
                assert_never(plan)

    def filtered(self, plan: Filter) -> Stream:
        """The rows for which all conditions are true; models are asked of those that the conditions before them leave."""
        stream, parts = self.stream(plan.input), conjuncts(plan.predicate)
        first = next((at for at, part in enumerate(parts) if is_for_few(part)), None)
        if first:
            before = Filter(plan.input, conjunction(parts[:first]))
            stream.filter(before.predicate)
            stream, parts = self.thinned(before, stream), parts[first:]
        stream.filter(conjunction(parts))
        return stream

    def scan(self, scan: Scan) -> Stream:
        source = self.statistics.source(scan.table, scan.columns)
        builder = KernelBuilder()
        values: list[Value] = []
        slot = 0
        for column, type_ in zip(source.columns, (column.type for column in scan.fields), strict=True):
            data = builder.emit("load", dtype=column.dtype, attribute=slot)
            valid = builder.emit("load", dtype="bool", attribute=slot + 1) if column.nullable else None
            slot += 1 + column.nullable
            has_dictionary = isinstance(type_, Varchar | Unsupported)
            dictionary = ColumnDictionary(scan.table, column.index, column.level) if has_dictionary else None
            values.append(Value(type_, data, valid, range=column.range, dictionary=dictionary, may_be_nan=column.may_be_nan))
        stream = self.begin(source)
        stream.lowerer = Lowerer(builder, tuple(values), self.bindings)
        return stream

    def sort(self, plan: Sort, count: int | None) -> Stream:
        """Sort; with `count`, only that many first rows are needed."""
        stream = self.stream(plan.input)
        if count is None or count > TOP_K_LIMIT:
            stream = self.thinned(plan.input, self.bounded(stream))
        words = [word for key in plan.keys for word in sort_words(stream.lowerer, key)]
        return self.materialise(stream, pack(stream.lowerer, words), count)

    def materialise(self, stream: Stream, order: tuple[SortWord, ...], count: int | None) -> Stream:
        """Order the rows, live ones first, and store the columns."""
        stored = Stored.of(stream.lowerer, stream.lowerer.columns)
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
        result.lowerer.columns = tuple(stored.load(slots(result.lowerer)))
        result.ordered = True
        return result

    def limit(self, plan: Limit) -> Stream:
        """Rows by their position among the live ones."""
        count = None if plan.count is None else plan.count + plan.offset
        stream = self.sort(plan.input, count) if isinstance(plan.input, Sort) else self.stream(plan.input)
        if not stream.ordered:
            stream = self.materialise(stream if count is not None else self.bounded(stream), (), count)
        builder = stream.lowerer.builder
        row = builder.emit("row", dtype="int64")
        conditions: list[Ref] = []
        if plan.offset:
            offset = stream.lowerer.literal(Literal(plan.offset, BIGINT)).data
            conditions.append(builder.compare("greater_equal", row, builder.convert(offset, "int64")))
        if count is not None:
            end = stream.lowerer.literal(Literal(count, BIGINT)).data
            conditions.append(builder.compare("less", row, builder.convert(end, "int64")))
        stream.steps += [FilterStep(condition) for condition in conditions]
        stream.ordered = plan.offset == 0
        return stream


def output_slots(stream: Stream, columns: Sequence[Ref]) -> tuple[list[Slot], tuple[Ref, ...]]:
    """Where each stored column of the result is found: among the collected ones, or in the table itself if it is one
    of its columns.
    """
    source = stream.source
    passed: dict[Ref, SourceSlot] = {}
    if isinstance(source, TableSource):
        loads = [SourceSlot(column.index, part) for column, part in source.loads]
        for ref in columns:
            instruction = stream.lowerer.builder.instructions[ref]
            if instruction.op == "load" and isinstance(instruction.attribute, int):
                passed[ref] = loads[instruction.attribute]
    collected = tuple(ref for ref in columns if ref not in passed)
    return [passed[ref] if ref in passed else collected.index(ref) for ref in columns], collected


def plan_query(
    plan: Plan,
    statistics: TableStatistics,
    dictionary_sizes: Mapping[tuple[str, int], int],
    models: Mapping[str, Model],
    usual_rows: int | None = None,
    capacities: Sequence[int] = (),
    estimator: Estimator | None = None,
    swept: Mapping[str, Sequence[Literal]] | None = None,
) -> PlannedQuery:
    """The physical plan, free of literals' values, and what to bind to it.

    usual_rows: given for a program that is to serve other tables and parameters, how many rows a table usually has.
    capacities: the room that joins of unknown size need, as far as it is known. estimator: guesses of how many rows plans have.
    swept: for which other values of its parameters it must be the plan as well (see `Bindings`).
    """
    bindings = Bindings(dictionary_sizes, models, parameters_are_free=usual_rows is not None, swept=swept or {})
    shared: dict[Plan, KeptRows | None] = dict.fromkeys(repeated(plan))
    planner = Planner(statistics, bindings, usual_rows, capacities, estimator, definitions=definitions_of(plan), shared=shared)
    stream = planner.bounded(planner.stream(plan))
    stored = Stored.of(stream.lowerer, stream.lowerer.columns)
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
    if usual_rows is None:
        physical, output = late_columns(physical, output)
    pruned, checks = prune(prune_results(physical))
    kept = tuple(bindings.checks[check] for check in checks)
    narrowed = narrow_loads(pruned)
    if is_wanted():
        verify(narrowed)
    return PlannedQuery(narrowed, tuple(bindings.literals), output, kept)
