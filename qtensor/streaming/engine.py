"""Plans over tables that do not fit memory: cut into steps, each a query over the blocks of what the step before it gave.

Filters, projections, models and joins with what is in memory are one query over the blocks of a table. Above them stands what
must see all rows: an aggregate is taken in two steps (`partial.py`), or its rows are kept (`store.py`) and grouped part by part,
as rows are that are joined, sorted or seen by windows. Where what was kept fits memory, it is a table like any other, and the
rest of the plan a query like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

import pyarrow as pa

from qtensor.errors import CapacityError, DataError, ExecutionError, InternalError
from qtensor.expressions import AggregateCall, ColumnRef, Expr, Literal, conjuncts
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedAggregate,
    NamedExpr,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    scans_of,
    with_inputs,
)
from qtensor.lowering.models.model import Model
from qtensor.lowering.storage import arrow_type
from qtensor.optimise.rewriting import columns_of, map_aggregate, named_columns, renumbered, shifted
from qtensor.run.prepared import Query
from qtensor.run.session import Clock, Session
from qtensor.sources.table import Table
from qtensor.streaming.block_query import BlockQuery
from qtensor.streaming.blocks import Leaf, RowBatches, Rows
from qtensor.streaming.partial import TwoSteps, two_steps
from qtensor.streaming.partition import Order
from qtensor.streaming.pruning import conditions_of
from qtensor.streaming.store import ByArrival, ByHash, ByOrder, Reduce, Spill, Store
from qtensor.streaming.tables import Streamed, row_width
from qtensor.streaming.tally import Tally
from qtensor.types import BOOLEAN, Schema

_ROWS = 1 << 20  # of a block of rows that steps pass on


@dataclass(frozen=True)
class Resident:
    """A plan over tables in memory alone."""

    plan: Plan


@dataclass(frozen=True)
class Stream:
    """A plan over the blocks of a leaf: what it gives for each of them, one after the other, are its rows."""

    leaf: Leaf
    plan: Plan


Rest: TypeAlias = Resident | Stream


@dataclass
class Engine:
    """One run of a query that streams.

    streamed: the tables that do. tables: all by their names in plans, and those of the steps. budget: bytes that a step keeps.
    """

    session: Session
    query: Query
    tables: dict[str, Table]
    streamed: Mapping[str, Streamed]
    models: Mapping[str, Model]
    budget: int
    tally: Tally
    common: dict[int, Rest] = field(default_factory=dict)
    steps: int = 0

    # --- running ----------------------------------------------------------------------------------------------------------------

    def batches(self, plan: Plan) -> Iterator[pa.Table]:
        """The rows of an optimised plan, as they come; at least one table, which may be empty."""
        return self.rows_of(self.rest(plan))

    def rows_of(self, rest: Rest) -> Iterator[pa.Table]:
        """The rows that are left to compute, as `counted` has them."""
        match rest:
            case Resident(plan):
                yield self.all_rows(counted(plan))
            case Stream(leaf, Scan(columns=columns)) if columns and isinstance(leaf, RowBatches) and len(leaf.learned) == 1:
                for batch in leaf.rows():
                    (rows,) = batch.values()
                    yield rows.select(list(columns))
            case Stream(leaf, plan):
                yield from BlockQuery(
                    self.session, self.query, counted(plan), leaf, self.tables, self.models, self.tally
                ).results()
            case _:
                assert_never(rest)

    def all_rows(self, plan: Plan) -> pa.Table:
        """The rows of a plan over tables in memory."""
        return self.session.run(self.session.planned(self.query, plan, plan, self.in_memory(plan), self.models, Clock()))

    def in_memory(self, plan: Plan) -> dict[str, Table]:
        return {name: self.tables[name] for name in scans_of(plan)}

    # --- plans ------------------------------------------------------------------------------------------------------------------

    def rest(self, plan: Plan) -> Rest:
        """What is left of a plan when all that must see all rows of a stream has seen them."""
        match plan:
            case With(definitions=definitions, input=input):
                for definition in definitions:
                    self.common[definition.number] = self.kept_common(self.rest(definition.plan))
                return self.rest(input)
            case CommonScan(number=number):
                return self.common[number]
            case Scan(table=table) if table in self.streamed:
                return Stream(self.streamed[table].leaf(()), plan)
            case Filter(input=Scan(table=table) as scan, predicate=predicate) if table in self.streamed:
                conditions = conditions_of(conjuncts(predicate), scan.columns)
                return Stream(self.streamed[table].leaf(conditions), plan)
            case Scan() | OneRow():
                return Resident(plan)
            case Join():
                return self.join(plan, self.rest(plan.left), self.rest(plan.right))
            case Limit(input=Sort() as sort) if self.has_few_rows(plan):
                below = self.rest(sort.input)
                if isinstance(below, Stream):
                    return self.first_sorted(plan, sort, below)
                return Resident(replace(plan, input=replace(sort, input=below.plan)))
            case Union(branches=branches):
                return self.union(plan, [self.rest(branch) for branch in branches])
            case Filter() | Project() | Aggregate() | Sort() | Limit() | Window():
                return self.above(plan, self.rest(plan.input))
            case _:
                assert_never(plan)

    def has_few_rows(self, plan: Limit) -> bool:
        """Whether the rows that are counted fit memory, whatever they are."""
        return plan.count is not None and (plan.count + plan.offset) * row_width(plan.schema) <= self.budget

    def above(self, plan: Filter | Project | Aggregate | Sort | Limit | Window, rest: Rest) -> Rest:
        """A plan with one input, of which `rest` is left."""
        if isinstance(rest, Resident):
            return Resident(with_inputs(plan, [rest.plan]))
        match plan:
            case Filter() | Project():
                return Stream(rest.leaf, with_inputs(plan, [rest.plan]))
            case Aggregate():
                return self.aggregate(plan, rest)
            case Sort():
                return self.sort(plan, rest)
            case Limit():
                return self.limit(plan, rest)
            case Window():
                return self.window(plan, rest)
            case _:
                assert_never(plan)

    def kept(self, rest: Rest, store: Store) -> pa.Schema:
        """Put all rows into a store; their Arrow schema."""
        schema = None
        for rows in self.rows_of(rest):
            store.add(rows)
            schema = rows.schema
        if schema is None:
            raise InternalError("a stream without a block")
        self.tally.spilled += store.size_on_disk
        return schema

    def resident(self, rows: pa.Table, plan: Plan) -> Scan:
        """Rows of `plan`, or of what `counted` makes of it, as a table in memory."""
        name = self.new_name()
        self.tables[name] = Table(name, Rows(rows, counted(plan).schema))
        return scan_of(name, plan.schema)

    def new_name(self) -> str:
        self.steps += 1
        name = f"step {self.steps}"
        return name if name not in self.tables else self.new_name()

    def from_store(self, store: Store, rows: Plan, whole: Callable[[Plan], Plan]) -> Rest:
        """A plan over stored rows, those of the plan `rows`, that can be computed part by part."""
        if not store.spilled:
            return Resident(whole(self.resident(store.rows(), rows)))
        return self.by_parts({self.new_name(): (store, rows)}, lambda scans: whole(scans[0]))

    def by_parts(self, stores: Mapping[str, tuple[Store, Plan]], whole: Callable[[Sequence[Scan]], Plan]) -> Stream:
        """A plan over the parts of one store, or of several that are cut alike."""
        first, *others = (store for store, _ in stores.values())

        def parts() -> Iterator[Mapping[str, pa.Table]]:
            for numbers in first.parts(*others):
                yield {name: store.part(*numbers) for name, (store, _) in stores.items()}

        fields = {name: counted(rows).schema for name, (_, rows) in stores.items()}
        scans = [scan_of(name, rows.schema) for name, (_, rows) in stores.items()]
        return Stream(RowBatches(fields, parts, self.session.threads), whole(scans))

    def store(self, step: str, spill: Spill | None, reduce: Reduce | None = None) -> Store:
        return Store(step, self.budget if spill is not None else 2 * self.budget, spill, reduce)

    def kept_common(self, rest: Rest) -> Rest:
        """Rows that are read several times."""
        if isinstance(rest, Resident) and isinstance(rest.plan, Scan):
            return rest
        if isinstance(rest, Resident):
            return Resident(self.resident(self.all_rows(counted(rest.plan)), rest.plan))
        store = self.store("a common table expression that is read several times", ByArrival())
        self.kept(rest, store)
        return self.from_store(store, rest.plan, lambda rows: rows)

    # --- aggregates -------------------------------------------------------------------------------------------------------------

    def aggregate(self, plan: Aggregate, stream: Stream) -> Rest:
        different = of_different_rows(plan, stream.plan)
        if different is not None:
            inner, outer = different
            return self.above(outer, self.aggregate(inner, stream))
        steps = two_steps(plan)
        if steps is not None:
            try:
                return self.in_two_steps(steps, stream)
            except (ExecutionError, DataError):
                pass  # a sum of a block that has no 64 bits, or an error that comes again
        return self.grouped_at_once(plan, stream)

    def in_two_steps(self, steps: TwoSteps, stream: Stream) -> Rest:
        """Blocks aggregated, and what they give once more."""
        partial = steps.partial(stream.plan)
        keys = range(len(steps.whole.keys))

        def reduced(rows: pa.Table) -> pa.Table:
            return self.reduced(rows, partial, steps.merged)

        store = self.store("an aggregate without groups", ByHash(keys) if keys else None, reduced)
        self.kept(Stream(stream.leaf, partial), store)
        return self.from_store(store, partial, steps.finished)

    def reduced(self, rows: pa.Table, plan: Plan, fewer: Callable[[Plan], Plan]) -> pa.Table:
        """What a plan makes of rows of `plan`."""
        scan = self.resident(rows, plan)
        try:
            return self.all_rows(fewer(scan))
        finally:
            del self.tables[scan.table]

    def grouped_at_once(self, plan: Aggregate, stream: Stream) -> Rest:
        """All rows kept that the aggregate reads, and those of a group grouped at once."""
        keys = [key.expr for key in plan.keys]
        others = sorted({column for named in plan.aggregates for column in columns_of(*arguments_of(named))})
        chosen = self.projected(stream.plan, keys, others)
        places = {column: len(keys) + place for place, column in enumerate(others)}

        def whole(rows: Plan) -> Plan:
            own = tuple(replace(key, expr=ColumnRef(place, key.expr.type, key.name)) for place, key in enumerate(plan.keys))
            calls = tuple(map_aggregate(named, lambda expr: renumbered(expr, places)) for named in plan.aggregates)
            return Aggregate(rows, own, calls)

        names = ", ".join(dict.fromkeys(named.call.function for named in plan.aggregates))
        store = self.store(f"the aggregate {names}", ByHash(range(len(keys))) if keys else None)
        self.kept(Stream(stream.leaf, chosen), store)
        return self.from_store(store, chosen, whole)

    def projected(self, plan: Plan, first: Sequence[Expr], columns: Sequence[int]) -> Project:
        """Some expressions of a plan's rows, and some of its columns."""
        keys = (NamedExpr(f"key {number}", expr) for number, expr in enumerate(first))
        return Project(plan, (*keys, *named_columns(plan, columns)))

    # --- order ------------------------------------------------------------------------------------------------------------------

    def sort(self, plan: Sort, stream: Stream) -> Rest:
        """Blocks sorted, and merged by ranges of the first key."""
        first, width = plan.keys[0], len(stream.plan.schema)
        keyed = self.projected(stream.plan, [first.expr], range(width))
        others = (replace(key, expr=shifted(key.expr, 1)) for key in plan.keys[1:])
        keys = (replace(first, expr=ColumnRef(0, first.expr.type)), *others)
        rows = Sort(keyed, keys)
        store = self.store("ORDER BY", ByOrder(Order(0, first.descending, first.nulls_first)))
        self.kept(Stream(stream.leaf, rows), store)
        return self.from_store(store, rows, lambda scan: Project(Sort(scan, keys), unkeyed(rows, 1)))

    def limit(self, plan: Limit, stream: Stream) -> Rest:
        """The first rows: no more blocks are read than hold them."""
        end = None if plan.count is None else plan.count + plan.offset
        name = self.new_name()

        def batches() -> Iterator[Mapping[str, pa.Table]]:
            seen = 0
            own = Stream(stream.leaf, Limit(stream.plan, end)) if self.has_few_rows(plan) else stream
            for rows in self.rows_of(own):
                start = max(plan.offset - seen, 0)
                taken = rows.slice(start, None if end is None else max(end - seen - start, 0))
                seen += rows.num_rows
                for place in range(0, max(taken.num_rows, 1), _ROWS):
                    yield {name: taken.slice(place, _ROWS)}
                if end is not None and seen >= end:
                    return

        if self.has_few_rows(plan):
            rows = pa.concat_tables(rows for batch in batches() for rows in batch.values())
            return Resident(self.resident(rows, plan))
        return Stream(RowBatches({name: counted(plan).schema}, batches, self.session.threads), scan_of(name, plan.schema))

    def first_sorted(self, plan: Limit, sort: Sort, stream: Stream) -> Rest:
        """The first rows in order: those of each block, and of these the first ones."""
        assert plan.count is not None
        own = Limit(replace(sort, input=stream.plan), plan.count + plan.offset)

        def first(rows: pa.Table) -> pa.Table:
            return self.reduced(rows, own, lambda scan: replace(own, input=replace(sort, input=scan)))

        store = self.store("ORDER BY with LIMIT", None, first)
        self.kept(Stream(stream.leaf, own), store)
        scan = self.resident(store.rows(), own)
        return Resident(replace(plan, input=replace(sort, input=scan)))

    def window(self, plan: Window, stream: Stream) -> Rest:
        """All rows kept, those of a partition seen at once."""
        width = len(stream.plan.schema)
        keyed = self.projected(stream.plan, plan.partition, range(width))
        keys = len(plan.partition)
        store = self.store("a window function", ByHash(range(keys)) if keys else None)
        self.kept(Stream(stream.leaf, keyed), store)
        return self.from_store(store, keyed, lambda scan: replace(plan, input=Project(scan, unkeyed(keyed, keys))))

    # --- several inputs ---------------------------------------------------------------------------------------------------------

    def union(self, plan: Union, branches: Sequence[Rest]) -> Rest:
        """The branches' rows, one after the other."""
        if all(isinstance(branch, Resident) for branch in branches):
            return Resident(Union(tuple(branch.plan for branch in branches)))
        name, schema = self.new_name(), counted(plan).schema

        def batches() -> Iterator[Mapping[str, pa.Table]]:
            for branch in branches:
                for rows in self.rows_of(branch):
                    named = rows.rename_columns([item.name for item in schema])
                    for place in range(0, max(rows.num_rows, 1), _ROWS):
                        yield {name: named.slice(place, _ROWS)}

        return Stream(RowBatches({name: schema}, batches, self.session.threads), scan_of(name, plan.schema))

    def join(self, plan: Join, left: Rest, right: Rest) -> Rest:
        match left, right:
            case Resident(), Resident():
                return Resident(replace(plan, left=left.plan, right=right.plan))
            case Stream(), Resident() if plan.kind != "full":
                return Stream(left.leaf, replace(plan, left=left.plan, right=right.plan))
            case Resident(), Stream() if plan.kind == "inner":
                return self.mirrored(plan, left, right)
            case _, Stream() if plan.kind in ("semi", "anti", "mark") and plan.condition is None and plan.keys:
                own, found = self.with_different_keys(plan, right)
                return self.joined_by_parts(own, left, found)
            case _:
                return self.joined_by_parts(plan, left, right)

    def with_different_keys(self, plan: Join, right: Stream) -> tuple[Join, Rest]:
        """A join that asks whether there are partners: of the right side its keys are enough, each once."""
        keys = tuple(NamedExpr(f"key {number}", key.right) for number, key in enumerate(plan.keys))
        found = self.aggregate(Aggregate(right.plan, keys, ()), right)
        own = tuple(replace(key, right=ColumnRef(number, key.right.type)) for number, key in enumerate(plan.keys))
        return replace(plan, right=found.plan, keys=own), found

    def mirrored(self, plan: Join, left: Resident, right: Stream) -> Stream:
        """An inner join whose right side streams: the right side's rows look the left one's up."""
        wide, narrow = len(right.plan.schema), len(left.plan.schema)
        places = {column: wide + column for column in range(narrow)} | {narrow + column: column for column in range(wide)}
        keys = tuple(JoinKey(key.right, key.left, key.null_safe) for key in plan.keys)
        condition = None if plan.condition is None else renumbered(plan.condition, places)
        turned = Join(right.plan, left.plan, "inner", keys, condition)
        columns = tuple(
            NamedExpr(item.name, ColumnRef(places[place], item.type, item.name)) for place, item in enumerate(plan.schema)
        )
        return Stream(right.leaf, Project(turned, columns))

    def joined_by_parts(self, plan: Join, left: Rest, right: Rest) -> Rest:
        """Rows with equal keys come together; first of all the right side is kept, which may fit memory."""
        keys = len(plan.keys)
        right_rows = self.projected(right.plan, [key.right for key in plan.keys], range(len(right.plan.schema)))
        step = f"the right side of a join ({plan.kind})"
        right_store = self.store(step, ByHash(range(keys)) if keys else None)
        self.kept(self.over(right, right_rows), right_store)
        if not right_store.spilled and plan.kind != "full":
            scan = self.resident(right_store.rows(), right_rows)
            below = Project(scan, unkeyed(right_rows, keys))
            return self.join(plan, left, Resident(below))
        left_rows = self.projected(left.plan, [key.left for key in plan.keys], range(len(left.plan.schema)))
        left_store = self.store("the left side of a join", ByHash(range(keys)) if keys else None)
        left_schema = self.kept(self.over(left, left_rows), left_store)
        if not left_store.spilled and not right_store.spilled:
            scans = [self.resident(left_store.rows(), left_rows), self.resident(right_store.rows(), right_rows)]
            return Resident(self.keyed_join(plan, scans, keys))
        if not keys:
            raise CapacityError(f"a join ({plan.kind}) without an equality of two columns needs all rows of both sides at once")
        left_store.spill(left_schema)
        right_store.spill(pa.schema([pa.field(item.name, arrow_type(item.type)) for item in right_rows.schema]))
        stores = {self.new_name(): (left_store, left_rows), self.new_name(): (right_store, right_rows)}
        return self.by_parts(stores, lambda scans: self.keyed_join(plan, scans, keys))

    def over(self, rest: Rest, plan: Plan) -> Rest:
        return Resident(plan) if isinstance(rest, Resident) else Stream(rest.leaf, plan)

    def keyed_join(self, plan: Join, scans: Sequence[Scan], keys: int) -> Plan:
        """The join of rows whose keys stand in front of their columns."""
        sides = [Project(scan, unkeyed(scan, keys)) for scan in scans]
        return replace(plan, left=sides[0], right=sides[1])


def unkeyed(rows: Plan, keys: int) -> tuple[NamedExpr, ...]:
    """The columns behind the keys."""
    return tuple(
        NamedExpr(item.name, ColumnRef(keys + place, item.type, item.name)) for place, item in enumerate(rows.schema[keys:])
    )


def counted(plan: Plan) -> Plan:
    """A plan that has a column: Arrow does not count rows of none."""
    return plan if plan.schema else Project(plan, (NamedExpr("row", Literal(True, BOOLEAN)),))


def scan_of(name: str, schema: Schema) -> Scan:
    """All columns of a table of a step."""
    return Scan(name, schema, tuple(range(len(schema))))


def arguments_of(named: NamedAggregate) -> list[Expr]:
    """All expressions of an aggregate."""
    call = named.call
    condition = [] if call.filter is None else [call.filter]
    return [*call.arguments, *condition, *(key.expr for key in call.order)]


def of_different_rows(plan: Aggregate, input: Plan) -> tuple[Aggregate, Aggregate] | None:
    """Aggregates of DISTINCT arguments, all of the same ones, as the different rows and aggregates of these; None for others."""
    calls = [named.call for named in plan.aggregates]
    if not calls or not all(call.distinct and call.filter is None and not call.order for call in calls):
        return None
    arguments = calls[0].arguments
    if any(call.arguments != arguments or call.function not in ("count", "sum", "avg") for call in calls):
        return None
    width = len(plan.keys)
    inner = Aggregate(input, (*plan.keys, *(NamedExpr(f"argument {place}", expr) for place, expr in enumerate(arguments))), ())
    columns = tuple(ColumnRef(width + place, expr.type) for place, expr in enumerate(arguments))
    keys = tuple(replace(key, expr=ColumnRef(place, key.expr.type, key.name)) for place, key in enumerate(plan.keys))

    def once(call: AggregateCall) -> AggregateCall:
        if len(columns) > 1:  # NULL is a value like others
            return AggregateCall("count_star", (), call.type)
        return replace(call, arguments=columns, distinct=False)

    return inner, Aggregate(inner, keys, tuple(replace(named, call=once(named.call)) for named in plan.aggregates))
