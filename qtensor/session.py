"""The life of a query: bind, optimise, plan, compile, run. Reads like the table of stages in ARCHITECTURE.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.aot.compile import CompiledQuery, Compiler
from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.device import DeviceMemory
from qtensor.errors import ExecutionError
from qtensor.logical import Plan
from qtensor.lowering.host import HostInputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import PlannedQuery, SourceColumn, TableSource
from qtensor.lowering.plan import plan_query
from qtensor.lowering.program import Share, Shared
from qtensor.lowering.ranges import Range, widened
from qtensor.lowering.storage import EncodedColumn, ResultColumn, arrow_type, decode_column
from qtensor.optimizer import Observer, optimise
from qtensor.table import Table
from qtensor.types import Schema

Result = TypeVar("Result")
Parameters: TypeAlias = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True)
class Query:
    """What the user wrote."""

    sql: str
    parameters: Parameters = None
    dialect: str = "duckdb"


@dataclass(frozen=True)
class Prepared:
    """A query ready to run, with every stage of its life for those who want to look."""

    query: Query
    bound: Plan
    optimised: Plan
    planned: PlannedQuery
    compiled: CompiledQuery
    shares: list[Share]
    shared: Shared
    host: HostInputs
    tables: dict[str, Table]
    models: tuple[Model, ...]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        return self.bound.schema


class Session:
    """Everything a query needs that outlives it: the compiler with its caches, buffers, threads."""

    def __init__(self, threads: int, compiler: Compiler) -> None:
        self.threads = threads
        self.compiler = compiler
        self.memory = DeviceMemory(threads)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="qtensor")

    def prepare(self, query: Query, scope: Scope, models: Mapping[str, Model], observe: Observer | None = None) -> Prepared:
        """All stages up to compiled code bound to its inputs."""
        clock = Clock()
        bound = clock.time("bind", lambda: bind(query.sql, scope, query.parameters, query.dialect))
        optimised = clock.time("optimise", lambda: optimise(bound, observe))
        measured = MeasuredTables(scope.tables, self.threads)
        by_name = {model.name: model for model in models.values()}
        planned = clock.time("plan", lambda: plan_query(optimised, measured, measured.dictionary_sizes, by_name))
        physical = planned.plan
        used = tuple(by_name[use.name] for use in physical.models)
        compiled = clock.time("compile", lambda: self.compiler.compile(physical, used))
        host = HostInputs(planned.literals, measured.dictionary)
        tables = dict(scope.tables)
        shares = clock.time("buffers", lambda: self.memory.shares(physical, tables))
        shared = self.memory.shared(physical, host, used)
        return Prepared(
            query, bound, optimised, planned, compiled, shares, shared, host, tables, used, {**clock.seconds, **measured.seconds}
        )

    def run(self, prepared: Prepared) -> pa.Table:
        """Execute and decode: the result as an Arrow table."""
        return decode(prepared, self.execute(prepared))

    def execute(self, prepared: Prepared) -> list[jax.Array]:
        """The last sink's columns, `live`, and the flags of the checks."""
        compiled, shared = prepared.compiled, jax.tree.leaves(prepared.shared)
        if compiled.whole is not None:
            return compiled.whole([*jax.tree.leaves(prepared.shares[0]), *shared])
        partial, final = compiled.partial, compiled.final
        assert partial is not None and final is not None
        calls = [self.pool.submit(partial, [*jax.tree.leaves(share), *shared]) for share in prepared.shares]
        states = [array for call in calls for array in call.result()]
        return final([*states, *shared])


class Clock:
    """Seconds spent by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = time.perf_counter() - start
        return result


class MeasuredTables:
    """Tables as planning sees them: which columns exist is known at once, what holds of their data once they are encoded."""

    def __init__(self, tables: Mapping[str, Table], threads: int) -> None:
        self._tables = tables
        self._threads = threads
        self.dictionary_sizes: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def source(self, table: str, columns: Sequence[int]) -> TableSource:
        start = time.perf_counter()
        encoded = self._tables[table].columns(columns, self._threads)
        self.seconds["read and encode"] = time.perf_counter() - start
        layout = self._tables[table].layout(self._threads)
        for index, column in zip(columns, encoded, strict=True):
            if column.dictionary is not None:
                self.dictionary_sizes[table, index] = len(column.dictionary)
        fields = self._tables[table].fields
        described = tuple(assumed(index, fields[index].name, column) for index, column in zip(columns, encoded, strict=True))
        return TableSource(table, described, layout.shares, layout.chunks, layout.chunk)

    def dictionary(self, table: str, column: int) -> pa.Array:
        dictionary = self._tables[table].column(column, self._threads).dictionary
        assert dictionary is not None
        return dictionary


def assumed(index: int, name: str, column: EncodedColumn) -> SourceColumn:
    """What a program may assume of a column: what the statistics say, ranges rounded so that similar data share a program."""
    statistics = column.statistics
    bounds = None
    if column.data.dtype.kind == "i":
        low, high = int(statistics.minimum or 0), int(statistics.maximum or 0)
        limits = np.iinfo(column.data.dtype)
        bounds = widened(low, high) & Range(int(limits.min), int(limits.max))
    return SourceColumn(index, name, str(column.data.dtype), column.valid is not None, bounds, statistics.has_nan)  # type: ignore[arg-type]


def decode(prepared: Prepared, outputs: list[jax.Array]) -> pa.Table:
    """Live rows as Arrow columns; a raised flag as its error."""
    *columns, live, flags = (np.asarray(output) for output in outputs)
    if flags.any():
        check = prepared.planned.checks[int(flags.argmax())]
        raise ExecutionError(check.message, prepared.query.sql, [check.span] if check.span else [])
    count = int(np.count_nonzero(live))
    leading = bool(live[:count].all())

    def rows(slot: int | None) -> NDArray[Any] | None:
        if slot is None:
            return None
        return columns[slot][:count] if leading else columns[slot][live]

    arrays = []
    for column in prepared.planned.output:
        data = rows(column.data)
        if column.elements:
            data = np.stack([rows(slot) for slot in column.elements])  # type: ignore[misc]
        dictionary = None if column.dictionary is None else prepared.host.strings(column.dictionary)
        assert data is not None
        arrays.append(decode_column(ResultColumn(column.type, data, rows(column.low), rows(column.valid), dictionary)))
    schema = pa.schema([pa.field(column.name, arrow_type(column.type)) for column in prepared.planned.output])
    if not arrays:
        return pa.table({}, schema=schema)
    return pa.Table.from_arrays(arrays, schema=schema)
