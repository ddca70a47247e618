"""The life of a query: bind, optimise, plan, compile, run. Reads like the table of stages in ARCHITECTURE.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
import pyarrow as pa

from qtensor.aot.machine.compile import CompiledStage, Compiler
from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.errors import CapacityError, UnsupportedError
from qtensor.logical import Plan, definitions_of
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import PhysicalPlan, SourceColumn, TableSource
from qtensor.lowering.ir.ranges import Range, widened
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.joins import rounded_capacity
from qtensor.lowering.planner.plan import plan_query
from qtensor.lowering.storage import EncodedColumn, Level
from qtensor.optimise.driver import Observer, optimise
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.optimise.facts.text_levels import TextLevels, text_levels
from qtensor.process.calls import check, signal
from qtensor.run.device import DeviceMemory
from qtensor.run.first_rows import rows_to_read_next, tables_read
from qtensor.run.kept_columns import KeptColumns
from qtensor.run.prepared import EncodedColumns, Prepared, Query, StageArguments
from qtensor.sources.table import MOST_ROWS, Table
from qtensor.types import Varchar

Result = TypeVar("Result")


class Session:
    """Everything a query needs that outlives it: the compiler with its caches, buffers, threads."""

    def __init__(self, threads: int, compiler: Compiler, limit: int) -> None:
        """limit: bytes of encoded columns that are kept."""
        self.threads = threads
        self.compiler = compiler
        self.memory = DeviceMemory(threads)
        self.columns = KeptColumns(limit)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="qtensor")

    def close(self) -> None:
        """Release threads, buffers and columns."""
        self.pool.shutdown()
        self.memory = DeviceMemory(self.threads)
        self.columns = KeptColumns(self.columns.limit)

    def prepare(self, query: Query, scope: Scope, models: Mapping[str, Model], observe: Observer | None = None) -> Prepared:
        """All stages up to compiled code bound to its inputs."""
        clock = Clock()
        bound = clock.time("bind", lambda: bind(query.sql, scope, query.parameters, query.dialect))
        return self.prepare_plan(query, bound, scope, models, observe, clock)

    def prepare_plan(
        self,
        query: Query,
        bound: Plan,
        scope: Scope,
        models: Mapping[str, Model],
        observe: Observer | None = None,
        clock: Clock | None = None,
    ) -> Prepared:
        """The stages after binding. query: the text that errors are shown under, which may be a statement's."""
        clock = clock or Clock()
        tables = dict(scope.tables)
        by_name = {model.name: model for model in models.values()}
        try:
            with closing(MeasuredTables(tables, self.threads)) as measured:
                optimised = clock.time("optimise", lambda: optimise(bound, observe, measured))
            return self.planned(query, bound, optimised, tables, by_name, clock)
        except UnsupportedError as error:
            raise error.shown_in(query.sql) from None

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
        encoded = measured.encoded
        try:
            planned = clock.time(
                "plan",
                lambda: plan_query(
                    optimised,
                    measured,
                    measured.dictionary_sizes,
                    models,
                    None,
                    capacities,
                    Estimator(measured, definitions_of(optimised)),
                ),
            )
        except UnsupportedError as error:
            raise error.shown_in(query.sql) from None
        physical = planned.plan
        used = tuple(models[use.name] for use in physical.models)
        compiled = clock.time("compile", lambda: self.compiler.compile(physical, used))
        host = HostInputs(planned.literals, lambda table, index: dictionary_of(encoded[table, index]))
        arguments = clock.time(
            "buffers",
            lambda: [self.stage_arguments(physical, stage, read, encoded) for stage in compiled.stages],
        )
        shared = jax.tree.leaves(self.memory.shared(physical, host, used))
        prepared = Prepared(
            query,
            bound,
            optimised,
            planned,
            compiled,
            arguments,
            shared,
            host,
            tables,
            used,
            self.threads,
            encoded,
            {**clock.seconds, **measured.seconds},
        )
        self.columns.use(prepared.columns, tables.values())
        return prepared

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
        if max(capacities) > MOST_ROWS:
            message = f"a join leaves {max(capacities):,} rows or more at once, and there is room for {MOST_ROWS:,}"
            raise CapacityError(f"{message}; filter or aggregate before it")
        return self.planned_anew(prepared, capacities, prepared.least)

    def planned_anew(self, prepared: Prepared, capacities: Sequence[int], least: int) -> Prepared:
        """The query planned with what a run has shown; later runs start from it."""
        models = {model.name: model for model in prepared.models}
        found = prepared.bound, prepared.optimised, prepared.tables
        prepared.replacement = self.planned(prepared.query, *found, models, Clock(), capacities, least)
        return prepared.replacement

    def execute(self, prepared: Prepared) -> Run:
        """Call the modules, stage by stage.

        A row-wise query over several shares has a part for each, any other one part.
        """
        stop = signal()
        carried: list[jax.Array] = []
        compact = prepared.planned.plan.compact_pipelines
        needed: list[jax.Array] = []
        for stage, arguments in zip(prepared.compiled.stages, prepared.arguments, strict=True):
            common = [*carried, *prepared.shared, stop]
            if stage.partial is None:
                parts = []
            else:
                calls = [self.pool.submit(stage.partial, [*share, *common]) for share in arguments.shares]
                parts = [call.result() for call in calls]
                if stage.final is None:
                    return Run(parts, prepared.planned.plan.capacities, needed)
            assert stage.final is not None
            carried = stage.final([*(array for part in parts for array in part), *arguments.others, *common])
            done = sum(number < stage.pipelines.stop for number in compact)
            needed = carried[len(carried) - done :]
        return Run([carried[: len(carried) - len(needed)]], prepared.planned.plan.capacities, needed)


@dataclass(frozen=True)
class Run:
    """What the modules of a query left: for each part of the result the last sink's columns, `live`, and the checks' flags.

    room: what each `CompactSink` had; needed: what it needed.
    """

    parts: list[list[jax.Array]]
    room: Sequence[int]
    needed: Sequence[jax.Array]

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


class MeasuredTables:
    """Tables as planning sees them: which columns exist is known at once, what holds of their data once they are encoded.

    levels: what text columns must be at least; "ordered" where they are not named.
    """

    def __init__(self, tables: Mapping[str, Table], threads: int, levels: TextLevels | None = None) -> None:
        self._tables = tables
        self._threads = threads
        self._levels: TextLevels = levels or {}
        self.encoded: dict[tuple[str, int], EncodedColumn] = {}  # of all sources that were asked for
        self.dictionary_sizes: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def source(self, table: str, columns: Sequence[int]) -> TableSource:
        start = time.perf_counter()
        levels: list[Level] = [self._levels.get((table, index), "ordered") for index in columns]
        encoded = self._tables[table].columns(columns, self._threads, levels)
        self.seconds["read and encode"] = self.seconds.get("read and encode", 0.0) + time.perf_counter() - start
        layout = self._tables[table].layout(self._threads)
        for index, column in zip(columns, encoded, strict=True):
            self.encoded[table, index] = column
            if column.dictionary is not None:
                self.dictionary_sizes[table, index] = len(column.dictionary)
        fields = self._tables[table].fields
        described = tuple(assumed(index, fields[index].name, column) for index, column in zip(columns, encoded, strict=True))
        return TableSource(table, described, layout.shares, layout.chunks, layout.chunk)

    def rows(self, table: str) -> int:
        return self._tables[table].rows

    def column(self, table: str, index: int) -> ColumnStatistics:
        """What is known of a column, which the query reads."""
        known = self._tables[table].column(index, self._threads, "plain").statistics
        ordered = not isinstance(self._tables[table].fields[index].type, Varchar)
        bounds = (known.minimum, known.maximum) if ordered else (None, None)
        return ColumnStatistics(known.distinct, *bounds, known.nulls / max(known.rows, 1))

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows are equal in all of `columns`, which the query reads."""
        return self._tables[table].unique(columns, self._threads)

    def close(self) -> None:
        """Forget all: what plans and optimises has cycles, which would keep columns until a collection of garbage."""
        self._tables = {}
        self.encoded = {}


def dictionary_of(column: EncodedColumn) -> pa.Array:
    """The strings of a column of text."""
    assert column.dictionary is not None
    return column.dictionary


def assumed(index: int, name: str, column: EncodedColumn) -> SourceColumn:
    """What a program may assume of a column: what the statistics say, ranges rounded so that similar data share a program."""
    statistics = column.statistics
    bounds = None
    if column.data.dtype.kind == "i":
        low, high = int(statistics.minimum or 0), int(statistics.maximum or 0)
        limits = np.iinfo(column.data.dtype)
        bounds = widened(low, high) & Range(int(limits.min), int(limits.max))
    unusual = statistics.has_nan or column.has_denormals
    return SourceColumn(index, name, str(column.data.dtype), column.valid is not None, bounds, unusual, column.level)  # type: ignore[arg-type]
