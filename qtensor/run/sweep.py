"""Sweeps: one query for many values of its parameters, run together.

The query is bound, optimised and planned for each value, as it is when it runs for that one alone. Plans that differ in nothing
but values are then made the same: a literal is planned for the widest of its values, a filter for those that leave most rows.
All runs of one physical plan are one program (`lowering/program/swept.py`). Values that take another plan have a program of
their own, as NULL does, of which no comparison is true. So rows and errors are those of the single runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from qtensor.aot.machine.runtime import to_device
from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.errors import BindError
from qtensor.logical import Plan
from qtensor.lowering.ir.physical import (
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    FirstRowsSink,
    PhysicalPlan,
    PlannedQuery,
    TopKSink,
)
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.plan import plan_query
from qtensor.lowering.program.swept import Sweep
from qtensor.lowering.storage.layout import CHUNK
from qtensor.optimise.alike import Literals, WidestEstimator, groups_of_alike, with_common_names
from qtensor.optimise.driver import optimise
from qtensor.optimise.facts.text_levels import text_levels
from qtensor.process.calls import check
from qtensor.run.first_rows import rows_to_read_next, tables_read
from qtensor.run.kept_columns import Columns
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Prepared, Query
from qtensor.run.session import Run, Session, refuse_too_many
from qtensor.run.swept_values import Swept
from qtensor.sources.table import MOST_ROWS, Table
from qtensor.types import Schema

SHORT_SWEEP = 64  # runs that are short each and together
# What the runs of one call may keep: a part of the memory limit, and so few bytes that pages are used again (100 runs that leave
# 1,000,000 rows each: in 2 calls 1.6 s of CPU, in 34 calls 0.9 s, as 100 queries 1.4 s).
SHARE_OF_CALL = 8
BYTES_OF_CALL = 1 << 27
OF_A_ROW = 32  # bytes: a few columns


@dataclass(frozen=True, eq=False)
class Alike:
    """Runs whose logical plans are alike, by their numbers. widest: by the name of a parameter all its values (see `Bindings`).

    capacities, least: what former runs have shown (see `Session.planned`).
    """

    numbers: tuple[int, ...]
    plans: tuple[Plan, ...]
    widest: Mapping[str, Literals]
    capacities: tuple[int, ...] = ()
    least: int = 0

    def some(self, chosen: Sequence[int]) -> Alike:
        """Some of the runs, by their places among these."""
        return replace(self, numbers=tuple(self.numbers[at] for at in chosen), plans=tuple(self.plans[at] for at in chosen))


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of one physical plan, ready to run: `prepared` has each by itself, but for the program, which is for several.

    calls: what the program is called with, each time for as many runs as it is compiled for.
    """

    alike: Alike
    prepared: tuple[Prepared, ...]
    calls: tuple[Prepared, ...]


@dataclass(eq=False)
class PreparedSweep:
    """A query ready to run for all values of its parameters. bound, optimised: of the first of them."""

    query: Query
    swept: Swept
    bound: Plan
    optimised: Plan
    tables: dict[str, Table]
    models: tuple[Model, ...]
    threads: int
    runs: list[Runs] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def current(self) -> PreparedSweep:
        """The query as it is best run."""
        return self

    @property
    def is_short(self) -> bool:
        """Whether all runs together take too little time for anyone to stop them."""
        return len(self.swept.runs) <= SHORT_SWEEP and all(runs.prepared[0].is_short for runs in self.runs)

    @property
    def columns(self) -> Columns:
        """The tables' columns that it reads."""
        return frozenset(column for runs in self.runs for column in runs.prepared[0].columns)

    @property
    def from_cache(self) -> bool:
        """Whether compiled code was there."""
        return any(runs.prepared[0].from_cache for runs in self.runs)

    @property
    def schema(self) -> Schema:
        """The swept parameters, then the query's columns."""
        return (*self.swept.fields, *self.bound.schema)


def bound_run(query: Query, scope: Scope, number: int) -> Plan:
    """The bound plan of one run."""
    assert query.swept is not None
    alone = query.of_run(number)
    with query.swept.named_in_errors(number, query.sql):
        return bind(alone.sql, scope, alone.parameters, alone.dialect)


def bound_runs(query: Query, scope: Scope) -> list[Plan]:
    """The bound plan of each run.

    Raises BindError: the result's columns are of other types for other values.
    """
    assert query.swept is not None
    plans: list[Plan] = []
    for number in range(len(query.swept.runs)):
        check()
        plans.append(bound_run(query, scope, number))
        if plans[-1].schema != plans[0].schema:
            first, other = (", ".join(f"{field.name} {field.type}" for field in plan.schema) for plan in (plans[0], plans[-1]))
            raise BindError(
                f"the result has other columns for {query.swept.described(number)}, {other}, than for "
                f"{query.swept.described(0)}, {first}",
                query.sql,
            )
    return plans


def optimised_runs(query: Query, bound: Sequence[Plan], tables: Mapping[str, Table], threads: int) -> list[Plan]:
    """The optimised plan of each run."""
    assert query.swept is not None
    plans: list[Plan] = []
    with closing(MeasuredTables(tables, threads)) as measured:
        for number, plan in enumerate(bound):
            check()
            with query.swept.named_in_errors(number, query.sql):
                plans.append(optimise(plan, None, measured))
    return plans


@dataclass(frozen=True)
class SweepPlanner:
    """From the plans of a sweep's runs to programs."""

    session: Session
    sweep: PreparedSweep

    def planned(self, alike: Alike) -> list[Runs]:
        """Runs that are alike, planned and compiled: mostly all of one physical plan."""
        read = tables_read(alike.plans[0], self.sweep.tables, alike.least)
        with closing(MeasuredTables(read, self.session.threads, text_levels(alike.plans[0]))) as measured:
            planned = self.physical(alike, measured)
            by_plan: dict[PhysicalPlan, list[int]] = {}
            for at, query in enumerate(planned):
                by_plan.setdefault(query.plan, []).append(at)
            return [
                self.compiled(alike.some(chosen), [planned[at] for at in chosen], read, measured) for chosen in by_plan.values()
            ]

    def physical(self, alike: Alike, measured: MeasuredTables) -> list[PlannedQuery]:
        models = {model.name: model for model in self.sweep.models}
        estimator = WidestEstimator(measured, alike.plans, alike.widest)
        found = []
        for number, plan in zip(alike.numbers, alike.plans, strict=True):
            check()
            sizes = measured.dictionary_sizes
            with self.sweep.swept.named_in_errors(number, self.sweep.query.sql):
                found.append(plan_query(plan, measured, sizes, models, None, alike.capacities, estimator, alike.widest))
        return found

    def compiled(
        self, alike: Alike, planned: Sequence[PlannedQuery], read: Mapping[str, Table], measured: MeasuredTables
    ) -> Runs:
        """Runs of one physical plan, with the program for as many of them as a call computes."""
        session, sweep, plan = self.session, self.sweep, planned[0].plan
        models = tuple(model for use in plan.models for model in sweep.models if model.name == use.name)
        hosts = [session.host_inputs(query, models, measured.encoded) for query in planned]
        inputs = []
        for number, host in zip(alike.numbers, hosts, strict=True):
            check()
            with sweep.swept.named_in_errors(number, sweep.query.sql):
                inputs.append(host.arrays(plan))
        places = [np.stack(place) for place in zip(*inputs, strict=True)]
        tables = places[2:]
        together = runs_of_a_call(len(planned), bytes_kept(plan), session.limit)
        of_tables = tuple(bool((table != table[:1]).any()) for table in tables)
        compiled = session.compiler.compile(plan, models, Sweep(together, of_tables, in_turns=not plan.models))
        arguments = [session.stage_arguments(plan, stage, read, measured.encoded) for stage in compiled.stages]
        prepared = tuple(
            Prepared(
                sweep.query, sweep.bound, logical, query, compiled, arguments, [], host, sweep.tables, models, session.threads,
                measured.encoded,
            )
            for logical, query, host in zip(alike.plans, planned, hosts, strict=True)
        )  # fmt: skip
        weights = [array for model in models for array in session.memory.weights(model)]
        calls = []
        for first in range(0, len(planned), together):
            chosen = np.minimum(
                np.arange(first, first + together), len(planned) - 1
            )  # the last run again, where there are too few
            stacked = [
                place[chosen] if differ else place[0] for place, differ in zip(places, (True, True, *of_tables), strict=True)
            ]
            calls.append(replace(prepared[0], shared=[*map(to_device, stacked), *weights]))
        return Runs(alike, prepared, tuple(calls))


def bytes_kept(plan: PhysicalPlan) -> int:
    """About how many bytes each run of a call keeps: what its sinks hold, and some columns of a chunk unless runs take turns."""
    total = CHUNK * OF_A_ROW if plan.models else OF_A_ROW
    for pipeline in plan.pipelines:
        match pipeline.sink:
            case DenseGroupSink() | DirectLookupSink() as by_code:
                rows = by_code.domain
            case TopKSink(count=count) | FirstRowsSink(count=count):
                rows = count
            case CompactSink(capacity=capacity):
                rows = capacity
            case _:
                rows = min(pipeline.source.capacity, MOST_ROWS)
        total += rows * OF_A_ROW
    return total


def runs_of_a_call(runs: int, bytes_of_run: int, limit: int) -> int:
    """How many runs one call of a program computes: all, if there is memory for what they keep, else calls of equal size."""
    most = max(1, min(limit // SHARE_OF_CALL, BYTES_OF_CALL) // bytes_of_run)
    calls = -(-runs // most)
    return -(-runs // calls)


def prepare_sweep(
    session: Session, query: Query, scope: Scope, bound: Sequence[Plan], models: Mapping[str, Model]
) -> PreparedSweep:
    """The stages after binding, for each value of the parameters."""
    assert query.swept is not None
    tables = dict(scope.tables)
    optimised = optimised_runs(query, bound, tables, session.threads)
    sweep = PreparedSweep(query, query.swept, bound[0], optimised[0], tables, tuple(models.values()), session.threads)
    for numbers in groups_of_alike(optimised):
        plans, widest = with_common_names([optimised[number] for number in numbers])
        sweep.runs += SweepPlanner(session, sweep).planned(Alike(tuple(numbers), tuple(plans), widest))
    session.columns.use(sweep.columns, tables.values())
    return sweep


def run_sweep(session: Session, sweep: PreparedSweep) -> pa.Table:
    """The rows of all runs, in the order of the values; before each row the values that it is of.

    Where a run needs more room, or more of a table of which first rows were read, its like are planned anew, as in `Session.run`.
    """
    found: dict[int, pa.Table] = {}
    pending, settled = list(sweep.runs), []
    while pending:
        runs = pending.pop(0)
        again = run_together(session, sweep, runs, found)
        if again is None:
            settled.append(runs)
        else:
            pending = SweepPlanner(session, sweep).planned(again) + pending
    sweep.runs = settled
    return pa.concat_tables([with_values(sweep, number, found[number]) for number in range(len(sweep.swept.runs))])


def run_together(session: Session, sweep: PreparedSweep, runs: Runs, found: dict[int, pa.Table]) -> Alike | None:
    """Put the rows of runs of one program into `found`; or what they are to be planned as, if that takes another program."""
    alike = runs.alike
    rows: list[pa.Table] = []
    for call in runs.calls:
        run = session.execute(call)
        check()
        most = Run(run.parts, run.room, [int(np.asarray(needed).max()) for needed in run.needed])
        if most.overflows:
            refuse_too_many(most.capacities)
            return replace(alike, capacities=tuple(most.capacities))
        parts = [[np.asarray(array) for array in part] for part in run.parts]
        for at, prepared in zip(range(len(parts[0][0])), runs.prepared[len(rows) :], strict=False):
            with sweep.swept.named_in_errors(alike.numbers[len(rows)], sweep.query.sql):
                rows.append(prepared.decoder.decode([[array[at] for array in part] for part in parts]))
    wanted = [
        rows_to_read_next(plan, sweep.tables, alike.least, table.num_rows) for plan, table in zip(alike.plans, rows, strict=True)
    ]
    if more := [least for least in wanted if least is not None]:
        return replace(alike, capacities=(), least=max(more))
    found.update(zip(alike.numbers, rows, strict=True))
    return None


def with_values(sweep: PreparedSweep, number: int, rows: pa.Table) -> pa.Table:
    """The rows of one run behind the values that it is of."""
    names = [*sweep.swept.names, *rows.column_names]
    return pa.Table.from_arrays([*sweep.swept.columns(number, rows.num_rows), *rows.columns], names)
