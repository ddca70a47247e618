"""The life of a query: bind, optimise, plan, compile, run. Reads like the table of stages in ARCHITECTURE.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import jax
import pyarrow as pa

from qtensor.aot.machine.compile import CompiledQuery, CompiledStage, Compiler
from qtensor.errors import CapacityError, UnsupportedError
from qtensor.logical import Plan, definitions_of
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import PhysicalPlan, PlannedQuery
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.cut import cut_for_models
from qtensor.lowering.planner.joins import rounded_capacity
from qtensor.lowering.planner.plan import plan_query
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.text_levels import text_levels
from qtensor.process.calls import check, signal
from qtensor.run.device import DeviceMemory
from qtensor.run.first_rows import rows_to_read_next, tables_read
from qtensor.run.kept_columns import KeptColumns
from qtensor.run.measured import MeasuredTables, dictionary_of
from qtensor.run.prepared import EncodedColumns, Prepared, Query, StageArguments
from qtensor.sources.table import MOST_ROWS, Table

Result = TypeVar("Result")


class Session:
    """Everything a query needs that outlives it: the compiler with its caches, buffers, threads."""

    def __init__(self, threads: int, compiler: Compiler, limit: int) -> None:
        """limit: bytes that the connection may take; half of them are for columns that are kept, the rest for what runs."""
        self.threads = threads
        self.limit = limit
        self.compiler = compiler
        self.memory = DeviceMemory(threads)
        self.columns = KeptColumns(limit // 2)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="qtensor")

    def close(self) -> None:
        """Release threads, buffers and columns."""
        self.pool.shutdown()
        self.memory = DeviceMemory(self.threads)
        self.columns = KeptColumns(self.columns.limit)

    def planned(
        self,
        query: Query,
        bound: Plan,
        optimised: Plan,
        tables: dict[str, Table],
        models: Mapping[str, Model],
        clock: Clock,
        capacities: Sequence[int] = (),
        least: int = 0,
    ) -> Prepared:
        """The stages after optimisation. capacities: how much room former runs are known to have needed; least: how many rows of
        a table of which the first ones are enough.
        """
        read = tables_read(optimised, tables, least)
        with closing(MeasuredTables(read, self.threads, text_levels(optimised))) as measured:
            prepared = self.bound_to_inputs(query, bound, optimised, tables, read, models, measured, clock, capacities)
        prepared.least = least
        return prepared

    def bound_to_inputs(
        self,
        query: Query,
        bound: Plan,
        optimised: Plan,
        tables: dict[str, Table],
        read: Mapping[str, Table],
        models: Mapping[str, Model],
        measured: MeasuredTables,
        clock: Clock,
        capacities: Sequence[int],
    ) -> Prepared:
        """The same, by what `measured` tells of the tables, or of the parts of them that are read."""
        planned = clock.time("plan", lambda: self.plan(query, optimised, measured, models, capacities))
        compiled = clock.time("compile", lambda: self.compiled(planned, models))
        prepared = clock.time(
            "buffers",
            lambda: self.with_inputs(query, bound, optimised, planned, compiled, tables, read, models, measured.encoded),
        )
        prepared.seconds.update({**clock.seconds, **measured.seconds})
        self.columns.use(prepared.columns, tables.values())
        return prepared

    def plan(
        self, query: Query, optimised: Plan, measured: MeasuredTables, models: Mapping[str, Model], capacities: Sequence[int]
    ) -> PlannedQuery:
        """The physical plan, by what is known of the tables."""
        estimator = Estimator(measured, definitions_of(optimised))
        try:
            planned = plan_query(optimised, measured, measured.dictionary_sizes, models, None, capacities, estimator)
        except UnsupportedError as error:
            raise error.shown_in(query.sql) from None
        return replace(planned, plan=cut_for_models(planned.plan, models, measured.rows, self.threads))

    def compiled(self, planned: PlannedQuery, models: Mapping[str, Model]) -> CompiledQuery:
        """The plan's programs."""
        return self.compiler.compile(planned.plan, tuple(models[use.name] for use in planned.plan.models))

    def with_inputs(
        self,
        query: Query,
        bound: Plan,
        optimised: Plan,
        planned: PlannedQuery,
        compiled: CompiledQuery,
        tables: dict[str, Table],
        read: Mapping[str, Table],
        models: Mapping[str, Model],
        encoded: EncodedColumns,
    ) -> Prepared:
        """Compiled programs with all that they are called with. read: the tables, or the parts of them that are read."""
        physical = planned.plan
        used = tuple(models[use.name] for use in physical.models)
        host = self.host_inputs(planned, used, encoded)
        arguments = [self.stage_arguments(physical, stage, read, encoded) for stage in compiled.stages]
        shared = jax.tree.leaves(self.memory.shared(physical, host, used))
        return Prepared(query, bound, optimised, planned, compiled, arguments, shared, host, tables, used, self.threads, encoded)

    def host_inputs(self, planned: PlannedQuery, used: Sequence[Model], encoded: EncodedColumns) -> HostInputs:
        """What the host computes for a plan's program. used: the plan's models."""
        return HostInputs(
            planned.literals,
            lambda table, index: dictionary_of(encoded[table, index]),
            lambda table, index: int(encoded[table, index].statistics.minimum or 0),
            {model.name: model.texts for model in used},
        )

    def stage_arguments(
        self, plan: PhysicalPlan, stage: CompiledStage, tables: Mapping[str, Table], encoded: EncodedColumns
    ) -> StageArguments:
        scans = [number for number in plan.scans if number in stage.pipelines]
        shares = [
            [jax.tree.leaves(share) for share in self.memory.shares(plan.pipelines[number], tables, encoded)] for number in scans
        ]
        first = shares.pop(0) if stage.partial is not None else []
        return StageArguments(first, [array for (share,) in shares for array in share])

    def run(self, prepared: Prepared) -> pa.Table:
        """Execute and decode: the result as an Arrow table.

        Where a join or a filter leaves more rows than there was room for, the query is planned anew with as much as it needs;
        where the first rows of a table were too few, with more of them.
        """
        while True:
            run = self.execute(prepared)
            check()
            if run.overflows:
                prepared = self.with_room(prepared, run.capacities)
                continue
            rows = prepared.decoder.decode(run.parts)
            least = rows_to_read_next(prepared.optimised, prepared.tables, prepared.least, rows.num_rows)
            if least is None:
                return rows
            prepared = self.planned_anew(prepared, (), least)

    def with_room(self, prepared: Prepared, capacities: Sequence[int]) -> Prepared:
        """The query planned anew with more room; later runs start from it."""
        refuse_too_many(capacities)
        return self.planned_anew(prepared, capacities, prepared.least)

    def planned_anew(self, prepared: Prepared, capacities: Sequence[int], least: int) -> Prepared:
        """The query planned with what a run has shown; later runs start from it."""
        models = {model.name: model for model in prepared.models}
        found = prepared.bound, prepared.optimised, prepared.tables
        prepared.replacement = self.planned(prepared.query, *found, models, Clock(), capacities, least)
        return prepared.replacement

    def execute(self, prepared: Prepared, begin: int = 0, carried: Sequence[jax.Array] = ()) -> Run:
        """Call the modules, stage by stage, from stage `begin` on, which the ones before it gave `carried`.

        A row-wise query over several shares has a part for each, any other one part.
        """
        room = prepared.planned.plan.capacities
        needed: Sequence[jax.Array] = []
        for stage, arguments in list(zip(prepared.compiled.stages, prepared.arguments, strict=True))[begin:]:
            parts, left = self.call_stage(prepared, stage, arguments, carried)
            if left is None:
                return Run(parts, room, needed)
            carried = left
            done = sum(number < stage.pipelines.stop for number in prepared.planned.plan.compact_pipelines)
            needed = carried[len(carried) - done :]
        return Run([list(carried[: len(carried) - len(needed)])], room, needed)

    def carried(self, prepared: Prepared, end: int) -> Sequence[jax.Array]:
        """What the stages before stage `end` leave for it."""
        carried: Sequence[jax.Array] = []
        for stage, arguments in list(zip(prepared.compiled.stages, prepared.arguments, strict=True))[:end]:
            _, left = self.call_stage(prepared, stage, arguments, carried)
            assert left is not None
            carried = left
        return carried

    def call_stage(
        self, prepared: Prepared, stage: CompiledStage, arguments: StageArguments, carried: Sequence[jax.Array]
    ) -> tuple[list[list[jax.Array]], list[jax.Array] | None]:
        """What the shares of a stage's first table leave, and what its other pipelines make of that, if there are any."""
        common = [*carried, *prepared.shared, signal()]
        parts: list[list[jax.Array]] = []
        if stage.partial is not None:
            calls = [self.pool.submit(stage.partial, [*share, *common]) for share in arguments.shares]
            parts = [call.result() for call in calls]
        if stage.final is None:
            return parts, None
        return parts, stage.final([*(array for part in parts for array in part), *arguments.others, *common])


@dataclass(frozen=True)
class Run:
    """What the modules of a query left: for each part of the result the last sink's columns, `live`, and the checks' flags.

    room: what each `CompactSink` had; needed: what it needed.
    """

    parts: list[list[jax.Array]]
    room: Sequence[int]
    needed: Sequence[jax.Array | int]

    @property
    def overflows(self) -> bool:
        return any(int(needed) > room for needed, room in zip(self.needed, self.room, strict=True))

    @property
    def capacities(self) -> list[int]:
        """The room that each `CompactSink` should have in the next run, in their order.

        A sink that had too little gets what it said it needs; the others keep at least what they had. But a sink behind one that
        had too little saw only a part of the rows that it will see, and counted too few: its count is multiplied by the factor by
        which the other was short.
        """
        found, short = [], 1
        for needed, room in zip(map(int, self.needed), self.room, strict=True):
            if needed > room:
                found.append(rounded_capacity(needed))
                short = max(short, found[-1] // room)
            else:
                found.append(max(room, rounded_capacity(needed * short)))
        return found


def refuse_too_many(capacities: Sequence[int]) -> None:
    """Raise CapacityError if a run would need room for more rows than have numbers."""
    if max(capacities) > MOST_ROWS:
        message = f"a join leaves {max(capacities):,} rows or more at once, and there is room for {MOST_ROWS:,}"
        raise CapacityError(f"{message}; filter or aggregate before it")


class Clock:
    """Seconds spent by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        check()
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = time.perf_counter() - start
        return result
