"""An exported query, loaded: called with tables and parameters it gives Arrow, without SQL engine, TensorFlow or planning."""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import jax
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.aot.artifact.assumptions import check, positions
from qtensor.aot.artifact.blocks import layout_of
from qtensor.aot.artifact.consistency import check_inputs, check_manifest, check_results, contradictions
from qtensor.aot.artifact.container import Container, read_container
from qtensor.aot.artifact.manifest import Form, Input, Manifest, text_programs
from qtensor.aot.artifact.parameters import bound_parameters
from qtensor.aot.artifact.programs import Programs
from qtensor.aot.artifact.trust import is_trusted
from qtensor.aot.isolated.isolation import SECONDS, Isolated, Limits
from qtensor.aot.machine.cache import ExecutableCache
from qtensor.aot.machine.runtime import to_device
from qtensor.errors import ArtifactError, CapacityError, InternalError
from qtensor.expressions import Literal
from qtensor.files.printable import printable
from qtensor.given import given_count, given_path
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import MANY_ROWS, PhysicalPlan, PlannedQuery, TableSource
from qtensor.lowering.storage import CHUNK, EncodedColumn, Layout, arrow_type
from qtensor.process.calls import Calls, checker
from qtensor.process.cores import available_cores
from qtensor.process.memory import enough_memory, half_of_memory, keep_heap
from qtensor.run.decoding import Decoder
from qtensor.run.device import column_on_device, host_inputs_on_device
from qtensor.sources import OpenedTables, open_table
from qtensor.sources.arrow import checked, reader_of, without_rows
from qtensor.sources.table import Table
from qtensor.types import distinct_names
from qtensor.values.literals import python_value

Buffers: TypeAlias = list[jax.Array]

INPUTS_KEPT = 64  # sets of parameters whose literals and look-up tables are kept with a table


@dataclass(frozen=True, eq=False)
class Bound:
    """A call's table, encoded and checked, and its columns as buffers: by index, machine type and block."""

    layout: Layout
    columns: Mapping[int, EncodedColumn]
    buffers: dict[tuple[int, str, bool, int], tuple[jax.Array, ...]] = field(default_factory=dict)
    calls: list[BoundCall] = field(default_factory=list)  # the last one, of which this is the first table

    def block(self, source: TableSource, share: int) -> Buffers:
        """What a scan of one block takes: columns, then the number of rows."""
        taken: Buffers = []
        for column in source.columns:
            key = column.index, column.dtype, column.nullable, share
            if key not in self.buffers:
                known, shares = self.columns[column.index], self.layout.shares
                self.buffers[key] = column_on_device(known, share, shares, column.dtype, column.nullable)
            taken += self.buffers[key]
        return [*taken, to_device(np.int32(self.layout.rows_in_share(share)))]


@dataclass(frozen=True, eq=False)
class BoundCall:
    """The tables of a call bound by name, the blocks of buffers that a form takes, and by the parameters' values the rest of what
    programs take, and how their results are read.
    """

    form: Form
    tables: Mapping[str, Bound]
    blocks: list[Buffers]
    inputs: dict[tuple[Literal, ...], tuple[Buffers, Decoder]] = field(default_factory=dict)


class Artifact:
    """A query read by `qtensor.load`. Call it with its tables and parameters; safe to use from several threads.

    threads: how many cores a call over a large table uses (default: all that this process may use).
    """

    def __init__(
        self,
        container: Container,
        threads: int | None = None,
        trusted: bool | None = None,
        isolated: bool | None = None,
        limits: Limits | None = None,
    ) -> None:
        """trusted: whether its native code may run (default: what the user has said). isolated: whether it runs in a process of
        its own, under `limits` (default: unless it is trusted).

        Raises ArtifactError: the manifest contradicts itself, or a part is not what it should be."""
        self.manifest: Manifest = container.manifest
        self.digest = container.digest
        self.trusted = is_trusted(container.digest) if trusted is None else trusted
        self.isolated = not self.trusted if isolated is None else isolated
        check_inputs(self.manifest)
        self._threads = threads or available_cores()
        self._tables = OpenedTables()
        if self.isolated:
            self._process = Isolated(container, self._threads, limits or Limits(half_of_memory()))
            return
        check_manifest(self.manifest)
        keep_heap()
        executables = self.manifest.executables if self.trusted else ()
        self._programs = Programs(container.parts, executables, ExecutableCache(), self.trusted)
        self._weights = [to_device(array) for array in read_weights(self.manifest, container.parts)]
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="qtensor")
        self._calls = Calls(None)
        self._bound: WeakKeyDictionary[Table, dict[Layout, Bound]] = WeakKeyDictionary()
        self._lock = threading.RLock()

    @property
    def sql(self) -> str:
        """The query's text."""
        return self.manifest.sql

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """Names and Arrow types of the result's columns."""
        return pa.schema([pa.field(field.name, arrow_type(field.type)) for field in self.manifest.output])

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters, with the values they have when none is given."""
        return {parameter.name: python_value(parameter.value) for parameter in self.manifest.parameters}

    @property
    def tables(self) -> list[str]:
        """The names of the tables that a call is given."""
        return [read.table for read in self.manifest.inputs]

    def __call__(self, *tables: object, **named: object) -> pa.Table:
        """The result for tables and parameters, given by name; a single table may stand alone.

        A table is whatever `Connection.register` accepts; columns are found by name, in any order, others are ignored.
        Ctrl-C ends the call at once; what it began runs to the end of a block, or of a compilation, in a thread of its own.

        Raises ArtifactError: what the data is and was assumed to be, column by column; unknown names; parameters that
        need another plan. CapacityError: more rows than there is room for.
        DataError: unreadable data. ExecutionError: overflow, division by zero, a cast that fails.
        """
        sources, parameters = self._arguments(tables, named)
        literals = bound_parameters(self.manifest.parameters, parameters)
        opened = {name: self._tables.of(name, source) for name, source in sources.items()}
        if self.isolated:
            return self._process.call(opened, literals, self.schema)
        form = self._form({name: table.rows for name, table in opened.items()})
        is_short = self._programs.are_loaded(form) and all(table.rows <= CHUNK for table in opened.values())
        with enough_memory():
            # Handing over takes as long as a call over few rows does.
            return self._answer(opened, literals) if is_short else self._calls.run(lambda: self._answer(opened, literals))

    def stream(self, *readers: object, **named: object) -> pa.RecordBatchReader:
        """The result as batches, computed while the table's batches are read from a RecordBatchReader or the like.

        A query whose rows are the table's gives a batch for each batch read. An aggregate gives nothing before the end, but
        keeps only its groups, unless it reads text or sorts: then the columns it reads are kept until the end.

        Raises as a call does, while the batches are fetched.
        """
        if len(self.manifest.inputs) != 1:
            several = ", ".join(self.tables)
            raise ArtifactError(f"the query reads {f'several tables ({several})' if several else 'no table'}: call it")
        sources, parameters = self._arguments(readers, named)
        literals = bound_parameters(self.manifest.parameters, parameters)
        (source,) = sources.values()
        try:
            reader = reader_of(source)
        except (pa.ArrowException, TypeError) as error:
            raise ArtifactError(f"a stream is a RecordBatchReader or an object with __arrow_c_stream__: {error}") from error
        if self.isolated:
            (assumed,) = self.manifest.inputs
            chosen = select_columns(reader, assumed)
            batches = self._process.stream(chosen, literals, self.schema)
        else:
            batches = self._batches(reader, literals)
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def close(self) -> None:
        """End the process in which an untrusted query runs, if there is one; the next call starts another."""
        if self.isolated:
            self._process.close()

    def room_needed(self, tables: Mapping[str, Table]) -> tuple[Form, list[int]]:
        """The form that serves the tables, with the parameters of the export; how much room each of its sinks of unknown size
        needs, about, where an earlier one of them has too little.
        """
        form = self._form({name: table.rows for name, table in tables.items()})
        literals = bound_parameters(self.manifest.parameters, {})
        call = self._bind(form, tables)
        parts = self._execute(form, call.blocks, self._inputs(call, literals)[0])
        width = len(form.planned.plan.capacities)
        return form, [max(int(part[len(part) - width + number]) for part in parts) for number in range(width)]

    def _answer(self, tables: Mapping[str, Table], literals: Mapping[str, Literal]) -> pa.Table:
        """The result of a call in this process."""
        return self._run(self._form({name: table.rows for name, table in tables.items()}), literals, tables)

    def _arguments(self, tables: Sequence[object], named: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
        """The tables by name, and the parameters. A name that both have is the parameter's where the table stands alone."""
        wanted = self.tables
        if tables and len(wanted) > 1:
            raise ArtifactError(f"the query reads several tables: give each by its name ({', '.join(wanted)})")
        known = {parameter.name for parameter in self.manifest.parameters} if tables else set()
        own = {table.lower(): table for table in wanted if table.lower() not in known}
        parameters = {name: value for name, value in named.items() if name.lower() not in own}
        given = {own[name.lower()]: value for name, value in named.items() if name not in parameters}
        count = len(tables) + len(named) - len(parameters)
        if len(wanted) > 1 and (missing := [table for table in wanted if table not in given]):
            raise ArtifactError(f"the query reads the tables {', '.join(wanted)}; not given: {', '.join(missing)}")
        if count != len(wanted):
            names = f"one table: {wanted[0]}" if len(wanted) == 1 else "no table" if not wanted else ", ".join(wanted)
            raise ArtifactError(f"the query reads {names}; {count} given")
        return (given if not tables else dict(zip(wanted, tables, strict=True))), parameters

    def _form(self, rows: Mapping[str, int]) -> Form:
        """The smallest form for tables of so many rows."""
        for form in self.manifest.forms:
            if form.kind != "whole" or all(rows[name] <= size for name, size in zip(self.tables, form.sizes, strict=True)):
                return form
        largest = self.manifest.forms[-1].sizes
        if len(self.tables) == 1:
            (given,) = rows.values()
            raise CapacityError(f"the exported query takes at most {largest[0]:,} rows at once; {given:,} given")
        too_large = [
            f'"{name}" may have {size:,} rows; {rows[name]:,} given'
            for name, size in zip(self.tables, largest, strict=True)
            if rows[name] > size
        ]
        raise CapacityError(f"the exported query has no room for such tables; export it with larger ones: {'; '.join(too_large)}")

    def _planned(self, form: Form, literals: Mapping[str, Literal]) -> PlannedQuery:
        """What to bind and how to decode, with the literals of this call."""
        if all(literals[parameter.name] == parameter.value for parameter in self.manifest.parameters):
            return form.planned
        from qtensor.aot.artifact.forms import replanned  # planning is a third of what there is to import, and seldom needed

        return replanned(self.manifest, form, literals)

    def _bind(self, form: Form, tables: Mapping[str, Table]) -> BoundCall:
        """The tables' columns in blocks of buffers, checked; kept as long as the tables, the last combination of several."""
        with self._lock:
            sizes = dict(zip(self.tables, form.sizes, strict=True))
            bound = {read.table: self._bind_table(read, tables[read.table], sizes[read.table]) for read in self.manifest.inputs}
            first = next(iter(bound.values()), None)
            for call in first.calls if first is not None else ():
                if call.form is form and all(call.tables[name] is each for name, each in bound.items()):
                    return call
            with contradictions():
                call = BoundCall(form, bound, blocks_of_form(form.planned.plan, bound))
            if first is not None:
                first.calls[:] = [call]
            return call

    def _bind_table(self, assumed: Input, table: Table, size: int) -> Bound:
        kept = self._bound.setdefault(table, {})
        layout = layout_of(table.rows, size)
        if layout not in kept:
            columns = table.encoded(positions(assumed, table.fields, assumed.table), layout)
            with contradictions():
                check(assumed, columns, assumed.table)
            by_index = {expected.column.index: column for expected, column in zip(assumed.columns, columns, strict=True)}
            kept[layout] = Bound(layout, by_index)
        return kept[layout]

    def _run(self, form: Form, literals: Mapping[str, Literal], tables: Mapping[str, Table]) -> pa.Table:
        call = self._bind(form, tables)
        shared, decoder = self._inputs(call, literals)
        parts = [without_room(form.planned.plan, part) for part in self._execute(form, call.blocks, shared)]
        with contradictions():
            return decoder.decode(parts)

    def _inputs(self, call: BoundCall, literals: Mapping[str, Literal]) -> tuple[Buffers, Decoder]:
        """What the programs take beside the tables, and how their results are read: kept for the last parameters."""
        key = tuple(literals.values())
        kept = call.inputs.get(key)
        if kept is not None:
            return kept
        with self._lock, contradictions():
            planned = self._planned(call.form, literals)
            host = HostInputs(
                planned.literals,
                lambda table, index: dictionary_of(call.tables[table].columns[index]),
                programs=text_programs(self.manifest),
            )
            source = planned.plan.pipelines[-1].source
            columns = call.tables[source.table].columns if isinstance(source, TableSource) and source.table else {}
            decoder = Decoder(planned.output, planned.checks, self.sql, columns.__getitem__, host.strings)
            while len(call.inputs) >= INPUTS_KEPT:
                del call.inputs[next(iter(call.inputs))]
            call.inputs[key] = kept = self._shared(planned.plan, host), decoder
            return kept

    def _shared(self, plan: PhysicalPlan, host: HostInputs) -> Buffers:
        return host_inputs_on_device(plan, host) + self._weights

    def _execute(self, form: Form, blocks: list[Buffers], shared: Buffers) -> list[Buffers]:
        """The parts of the result."""
        if form.kind == "by_state":
            progress = self._fold(form, blocks, shared)
            return [self._result(form, "finish", [*progress, *shared])]
        if len(blocks) == 1:
            return [self._result(form, "whole", [*blocks[0], *shared])]
        self._programs.ready(form)
        return list(self._pool.map(lambda block: self._result(form, "whole", [*block, *shared]), blocks))

    def _result(self, form: Form, function: str, arguments: Buffers) -> Buffers:
        result = self._programs.call(form, function, arguments)
        check_results(form.planned.plan, result)
        return result

    def _fold(self, form: Form, blocks: list[Buffers], shared: Buffers) -> Buffers:
        """The state after all blocks: each core takes a run of them, and the runs' states are merged in order."""
        self._programs.ready(form)
        start = self._programs.call(form, "start", [])
        check_stopped = checker()

        def run(part: Sequence[Buffers]) -> Buffers:
            progress = start
            for block in part:
                check_stopped()
                progress = self._programs.call(form, "step", [*progress, *block, *shared])
            return progress

        size = -(-len(blocks) // self._threads)
        runs = list(self._pool.map(run, [blocks[first : first + size] for first in range(0, len(blocks), size)]))
        return functools.reduce(lambda left, right: self._programs.call(form, "merge", [*left, *right]), runs)

    def _batches(self, reader: pa.RecordBatchReader, literals: Mapping[str, Literal]) -> Iterator[pa.RecordBatch]:
        """The result of a stream in this process."""
        (assumed,) = self.manifest.inputs
        last = self.manifest.forms[-1]
        chosen = select_columns(reader, assumed)
        positions(assumed, open_table(assumed.table, without_rows(chosen.schema)).fields, assumed.table)  # also if no batch comes
        if last.kind == "by_rows":
            for batch in chosen:
                table = open_table(assumed.table, batch)
                yield from self._run(self._form({assumed.table: table.rows}), literals, {assumed.table: table}).to_batches()
        elif last.kind == "by_state" and all(column.strings is None for column in assumed.columns):
            yield from self._fold_stream(chosen, literals, assumed, last)
        else:
            table = open_table(assumed.table, chosen.read_all())
            yield from self._run(self._form({assumed.table: table.rows}), literals, {assumed.table: table}).to_batches()

    def _fold_stream(
        self, reader: pa.RecordBatchReader, literals: Mapping[str, Literal], assumed: Input, form: Form
    ) -> Iterator[pa.RecordBatch]:
        """The result of a query whose state goes on from block to block; at most a block of rows is held."""
        with contradictions():
            planned = self._planned(form, literals)
            host = HostInputs(planned.literals, no_dictionary, programs=text_programs(self.manifest))
            shared = self._shared(planned.plan, host)
        progress = self._programs.call(form, "start", [])
        rows = 0
        for block in blocks_of(reader, form.rows):
            rows += block.num_rows
            if rows > MANY_ROWS:
                raise CapacityError(f"the exported query is exact for at most {MANY_ROWS:,} rows")
            for buffers in self._bind(form, {assumed.table: open_table(assumed.table, block)}).blocks:
                progress = self._programs.call(form, "step", [*progress, *buffers, *shared])
        decoder = Decoder(planned.output, planned.checks, self.sql, no_column, host.strings)
        result = without_room(planned.plan, self._result(form, "finish", [*progress, *shared]))
        with contradictions():
            rows_found = decoder.decode([result])
        yield from rows_found.to_batches()

    def __repr__(self) -> str:
        tables, parameters = ", ".join(self.tables) or "no table", ", ".join(self.parameters)
        taken = f"{tables}, parameters {parameters}" if parameters else tables
        return printable(f"<qtensor artifact of {taken}: {' '.join(self.sql.split())}>")


def load(
    path: str | os.PathLike[str],
    threads: int | None = None,
    *,
    isolated: bool | None = None,
    memory_limit: int | None = None,
    timeout: float | None = None,
    size_limit: int | None = None,
) -> Artifact:
    """The query that `Relation.export` or `qtensor.export` wrote.

    Its native code is used if the file is one that this user trusts (exported here, or by `qtensor trust`), and made for this
    CPU and version of jaxlib; else its StableHLO is compiled on first use and kept in the cache. A file that is not trusted
    runs in a process of its own, which is kept between calls.

    isolated: whether it runs in a process of its own (default: unless it is trusted).
    memory_limit: how many bytes that process may have (default: half of the memory there is).
    timeout: how many seconds a call may take there, or a stream from batch to batch (default: 300).
    size_limit: how many bytes the file may have (default: 1 GiB, or as the environment variable QTENSOR_ARTIFACT_LIMIT says).

    Raises ArtifactError: the file is no artifact, is damaged, too large, or of another version. A call of one that is isolated
    also raises QueryTimeoutError, and ArtifactError or CapacityError where its process dies.
    """
    given_path(path, "the path of an artifact")
    for value, what in ((threads, "threads"), (memory_limit, "memory_limit"), (size_limit, "size_limit")):
        if value is not None:
            given_count(value, what, 1)
    limits = Limits(half_of_memory() if memory_limit is None else memory_limit, SECONDS if timeout is None else timeout)
    return Artifact(read_container(path, size_limit), threads, isolated=isolated, limits=limits)


def read_weights(manifest: Manifest, parts: Mapping[str, bytes]) -> list[NDArray[Any]]:
    """The weights of all models, in the order in which programs take them."""
    weights = []
    for name in (part for model in manifest.models for part in model.weights):
        try:
            array = np.lib.format.read_array(io.BytesIO(parts[name]), allow_pickle=False)
        except (KeyError, ValueError, EOFError, OSError, TypeError, SyntaxError, MemoryError, OverflowError) as error:
            raise ArtifactError(f"the weights {name} cannot be read: {error}") from error
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ArtifactError(f"the weights {name} are no numbers")
        weights.append(array)
    return weights


def select_columns(reader: pa.RecordBatchReader, assumed: Input) -> pa.RecordBatchReader:
    """The same batches with the columns that the query reads only, under the names that a table of them has.

    They are looked at as they come: a DataError, while they are read, if they are damaged.
    """
    wanted = {assumed.fields[column.column.index].name.lower() for column in assumed.columns}
    names = distinct_names(reader.schema.names)
    chosen = [index for index, name in enumerate(names) if name.lower() in wanted]
    chosen = chosen or list(range(len(reader.schema)))[:1]  # without a column a batch has no number of rows
    schema = pa.schema([reader.schema.field(index).with_name(names[index]) for index in chosen])
    return pa.RecordBatchReader.from_batches(schema, (looked_at(batch, chosen, schema) for batch in reader))


def looked_at(batch: pa.RecordBatch, chosen: Sequence[int], schema: pa.Schema) -> pa.RecordBatch:
    """Some columns of a batch, as `schema` calls them. Raises DataError: they are damaged."""
    columns = [batch.column(index) for index in chosen]
    for name, column in zip(schema.names, columns, strict=True):
        checked(name, pa.chunked_array([column]))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def blocks_of(reader: pa.RecordBatchReader, size: int) -> Iterator[pa.Table]:
    """The batches put together to tables of `size` rows and a shorter last one."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        held.append(batch)
        rows += batch.num_rows
        if rows >= size:
            table = pa.Table.from_batches(held, reader.schema)
            whole = rows // size * size
            for start in range(0, whole, size):
                yield table.slice(start, size)
            held = table.slice(whole).to_batches()
            rows -= whole
    if rows:
        yield pa.Table.from_batches(held, reader.schema)


def blocks_of_form(plan: PhysicalPlan, tables: Mapping[str, Bound]) -> list[Buffers]:
    """For each block of a query's only table the buffers that the programs take; for several tables, the buffers of all."""
    scans = [plan.scan(number) for number in plan.scans]
    if len(scans) == 1 and scans[0].table:
        bound = tables[scans[0].table]
        return [bound.block(scans[0], share) for share in range(bound.layout.shares)]
    nowhere = {scan.rows: [to_device(np.int32(scan.rows))] for scan in scans if not scan.table}
    return [[buffer for scan in scans for buffer in (tables[scan.table].block(scan, 0) if scan.table else nowhere[scan.rows])]]


def without_room(plan: PhysicalPlan, results: Buffers) -> Buffers:
    """A result without what its sinks of unknown size needed. Raises CapacityError: one had too little room."""
    end = len(results) - len(plan.capacities)
    for room, needed in zip(plan.capacities, results[end:], strict=True):
        if int(needed) > room:
            raise CapacityError(
                f"the exported query has room for {room:,} rows of a join's result; there are {int(needed):,}: export it with "
                "tables like these"
            )
    return results[:end]


def dictionary_of(column: EncodedColumn) -> pa.Array:
    assert column.dictionary is not None
    return column.dictionary


def no_column(index: int) -> EncodedColumn:
    raise InternalError(f"column {index} is not kept")


def no_dictionary(table: str, column: int) -> pa.Array:
    raise InternalError(f"column {column} of {table} has no dictionary")
