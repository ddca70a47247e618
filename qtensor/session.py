"""The life of a query: bind, optimise, plan, compile, run. Reads like the table of stages in ARCHITECTURE.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax
import numpy as np
import pyarrow as pa

from qtensor.aot.compile import Compiler
from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.device import DeviceMemory
from qtensor.errors import UnsupportedError
from qtensor.lowering.host import HostInputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import SourceColumn, TableSource
from qtensor.lowering.plan import plan_query
from qtensor.lowering.ranges import Range, widened
from qtensor.lowering.storage import EncodedColumn
from qtensor.optimizer import Observer, optimise
from qtensor.prepared import Prepared, Query
from qtensor.table import Table

Result = TypeVar("Result")


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
        try:
            planned = clock.time("plan", lambda: plan_query(optimised, measured, measured.dictionary_sizes, by_name))
        except UnsupportedError as error:
            raise error.shown_in(query.sql) from None
        physical = planned.plan
        used = tuple(by_name[use.name] for use in physical.models)
        compiled = clock.time("compile", lambda: self.compiler.compile(physical, used))
        host = HostInputs(planned.literals, measured.dictionary)
        tables = dict(scope.tables)
        shares = clock.time("buffers", lambda: self.memory.shares(physical, tables))
        shared = jax.tree.leaves(self.memory.shared(physical, host, used))
        return Prepared(
            query,
            bound,
            optimised,
            planned,
            compiled,
            [[*jax.tree.leaves(share), *shared] for share in shares],
            shared,
            host,
            tables,
            used,
            self.threads,
            {**clock.seconds, **measured.seconds},
        )

    def run(self, prepared: Prepared) -> pa.Table:
        """Execute and decode: the result as an Arrow table."""
        return prepared.decoder.decode(self.execute(prepared))

    def execute(self, prepared: Prepared) -> list[list[jax.Array]]:
        """For each part of the result: the last sink's columns, `live`, and the flags of the checks.

        A row-wise query over several shares has a part for each, any other one part.
        """
        compiled = prepared.compiled
        if compiled.whole is not None:
            return [compiled.whole(prepared.arguments[0])]
        assert compiled.partial is not None
        calls = [self.pool.submit(compiled.partial, arguments) for arguments in prepared.arguments]
        parts = [call.result() for call in calls]
        if compiled.final is None:
            return parts
        return [compiled.final([*(array for part in parts for array in part), *prepared.shared])]


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
    unusual = statistics.has_nan or column.has_denormals
    return SourceColumn(index, name, str(column.data.dtype), column.valid is not None, bounds, unusual)  # type: ignore[arg-type]
