"""Whether a manifest fits itself: every number in it that leads somewhere leads inside. It may come from a hostile file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax
import numpy as np
import pyarrow as pa

from qtensor.aot.artifact.blocks import BLOCK, LADDER, SMALL, layout_of
from qtensor.aot.artifact.manifest import Form, Input, Manifest, ModelRecord, text_programs
from qtensor.errors import ArtifactError, InternalError, QTensorError
from qtensor.expressions import Literal
from qtensor.functions.scalars.registry import SCALARS
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import (
    MANY_ROWS,
    CollectSink,
    CompactSink,
    OutputColumn,
    PhysicalPlan,
    Slot,
    SourceSlot,
    TableSource,
)
from qtensor.lowering.ir.values import COMBINATIONS, DOMAIN, Choices, Domain, FormattedDictionary, HostCall, WrittenDictionary
from qtensor.lowering.models.model import TEXT
from qtensor.lowering.models.text.program import FirstOf, Found, Grams, HashBucket, Histogram, reads
from qtensor.lowering.program.program import reads as results_read
from qtensor.lowering.storage import Layout
from qtensor.types import VARCHAR, Array, Date, Decimal, Float, Integer, SqlType, Timestamp

TABLE_LIMIT = 1 << 26  # entries of all tables that a program takes
_FORMS_LIMIT = 64
_TEXTS_LIMIT = 1 << 16  # more values are never written out as text
_NODES_LIMIT = 10_000  # of a text program
_WIDTHS_LIMIT = 1_000  # of runs of neighbours

# What comes of a number that leads nowhere, wherever it is used.
_CONTRADICTIONS = (
    AssertionError, AttributeError, IndexError, InternalError, KeyError, NotImplementedError, OverflowError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip


@contextmanager
def contradictions() -> Iterator[None]:
    """Raise ArtifactError for what a manifest that contradicts itself leads to."""
    try:
        yield
    except _CONTRADICTIONS as error:
        raise ArtifactError(f"its manifest contradicts itself: {type(error).__name__}: {error}") from error


def check_manifest(manifest: Manifest) -> None:
    """Raise ArtifactError for a manifest that no export writes."""
    try:
        with contradictions():
            problem = next(problems(manifest), None)
    except ArtifactError:
        raise
    except QTensorError as error:
        problem = str(error)
    if problem is not None:
        raise ArtifactError(f"its manifest contradicts itself: {problem}")


def check_inputs(manifest: Manifest) -> None:
    """Raise ArtifactError for what a manifest says of its tables, if that contradicts itself: all that binding a call's reads."""
    with contradictions():
        problem = next(problems_of_inputs(manifest), None)
    if problem is not None:
        raise ArtifactError(f"its manifest contradicts itself: {problem}")


def check_results(plan: PhysicalPlan, results: Sequence[jax.Array]) -> None:
    """Raise ArtifactError unless a program gave what its plan says: columns and `live` of equal lengths, the flags, and how much
    room was needed.
    """
    sink = plan.pipelines[-1].sink
    assert isinstance(sink, CollectSink)
    rooms = len(plan.capacities)
    if len(results) == len(sink.columns) + 2 + rooms:
        end = len(results) - rooms
        *columns, live, flags = results[:end]
        fits = live.dtype == flags.dtype == np.bool_ and flags.size == plan.checks
        fits = fits and all(needed.shape == () and needed.dtype.kind == "i" for needed in results[end:])
        if (
            fits
            and all(column.size == live.size for column in columns)
            and (not plan.row_wise or live.size == plan.pipelines[-1].source.capacity)
        ):
            return
    raise ArtifactError("a program does not give the results that its manifest says")


def problems(manifest: Manifest) -> Iterator[str]:
    parts = {part.name for part in manifest.parts}
    named = [module.part for form in manifest.forms for module in form.modules]
    named += [part for model in manifest.models for part in model.weights]
    named += [executable.part for executable in manifest.executables]
    if not set(named) <= parts:
        yield f"it names parts that are not there: {', '.join(sorted(set(named) - parts))}"
    if not 1 <= len(manifest.forms) <= _FORMS_LIMIT:
        yield f"it has {len(manifest.forms)} forms"
    for model in manifest.models:
        for name in model.arguments:
            np.dtype(name)
        yield from problems_of_texts(model)
    yield from problems_of_inputs(manifest)
    if len({tuple((scan.table, scan.columns) for scan in scans_of(form.planned.plan)) for form in manifest.forms}) != 1:
        yield "its forms read different columns"
    for form in manifest.forms:
        yield from problems_of_form(manifest, form)


def problems_of_texts(model: ModelRecord) -> Iterator[str]:
    """What is wrong with a model's text programs: nodes that read what is not there yet, tables without values, sizes."""
    for program in model.texts:
        if not 0 <= program.argument < len(model.arguments) or model.arguments[program.argument] != str(TEXT):
            yield f"a text program is of the argument {program.argument}, which is none"
        if len(program.nodes) > _NODES_LIMIT:
            yield f"a text program has {len(program.nodes)} nodes"
        for number, node in enumerate(program.nodes):
            if any(not 0 <= read < number for read in reads(node)):
                yield f"node {number} of a text program reads what is not there yet"
            match node:
                case Found(keys=keys, values=values):
                    if len(keys) != len(values):
                        yield "a table of a text program has keys without values"
                case FirstOf(width=width) | Histogram(width=width):
                    if not 0 <= width <= TABLE_LIMIT:
                        yield f"a text program makes {width} numbers of a text"
                case Grams(widths=widths):
                    if any(not 0 < width <= _WIDTHS_LIMIT for width in widths) or len(widths) > _WIDTHS_LIMIT:
                        yield "a text program joins too many neighbours"
                case HashBucket(buckets=buckets, key=key):
                    if not 0 < buckets < 1 << 63 or any(not 0 <= part < 1 << 64 for part in key or ()):
                        yield "a text program hashes into no bucket"
                case _:
                    pass
        for output in program.outputs:
            if not 0 <= output.node < len(program.nodes) or not 0 <= (output.width or 0) <= TABLE_LIMIT:
                yield "an output of a text program is nowhere"


def problems_of_inputs(manifest: Manifest) -> Iterator[str]:
    names = {read.table.lower() for read in manifest.inputs}
    if len(names) != len(manifest.inputs) or not all(names):
        yield "its tables have no names, or the same"
    for read in manifest.inputs:
        yield from problems_of_input(read)


def problems_of_input(read: Input) -> Iterator[str]:
    for column in read.columns:
        if not 0 <= column.column.index < len(read.fields):
            yield f"there is no column {column.column.index}"
        np.dtype(column.column.dtype)
    known = {column.column.index for column in read.columns}
    if len(known) != len(read.columns):
        yield "a column is assumed twice"
    if any(not key or not set(key) <= known for key in read.unique):
        yield "columns are unique of which nothing else is assumed"


def scans_of(plan: PhysicalPlan) -> list[TableSource]:
    return [plan.scan(number) for number in plan.scans]


def problems_of_sizes(manifest: Manifest, form: Form) -> Iterator[str]:
    """What is wrong with the sizes of a form, and with where its pipelines read."""
    plan = form.planned.plan
    scans = scans_of(plan)
    if len(form.sizes) != len(manifest.inputs) or not scans:
        yield f"a form is for {len(form.sizes)} tables"
    several = len(scans) > 1
    if several and form.kind != "whole":
        yield f"a form {form.kind} reads several tables"
    allowed = (*LADDER, BLOCK) if form.kind == "whole" else (BLOCK,)
    for size in form.sizes:
        if (size not in allowed and not several) or not SMALL <= size <= MANY_ROWS or size & (size - 1):
            yield f"a form {form.kind} is for {size} rows"
    sizes = dict(zip((read.table for read in manifest.inputs), form.sizes, strict=True))
    for scan in scans:
        layout = layout_of(0, sizes[scan.table]) if scan.table else Layout(1, 1, 1, 64)
        if (scan.shares, scan.chunks, scan.chunk) != (1, layout.chunks, layout.chunk) or (scan.columns and not scan.table):
            yield "a program's blocks are not those of its form"
    for number, pipeline in enumerate(plan.pipelines):
        if any(not 0 <= read < number for read in results_read(pipeline)):
            yield f"pipeline {number} reads what is not there yet"
        if not 0 < pipeline.source.capacity <= MANY_ROWS:
            yield f"pipeline {number} reads {pipeline.source.capacity} rows"
    numbers = [pipeline.sink.number for pipeline in plan.pipelines if isinstance(pipeline.sink, CompactSink)]
    if numbers != list(range(len(numbers))) or any(not 0 < room <= MANY_ROWS for room in plan.capacities):
        yield "its sinks have no room"


def problems_of_form(manifest: Manifest, form: Form) -> Iterator[str]:
    """What is wrong with a form. Host inputs are evaluated once, over empty dictionaries."""
    wanted = ("start", "step", "merge", "finish") if form.kind == "by_state" else ("whole",)
    if tuple(module.function for module in form.modules) != wanted:
        yield f"a form {form.kind} has the functions {', '.join(module.function for module in form.modules)}"
    yield from problems_of_sizes(manifest, form)
    planned, plan = form.planned, form.planned.plan
    assumed = {(read.table, column.column.index): column for read in manifest.inputs for column in read.columns}
    if {(scan.table, column.index) for scan in scans_of(plan) for column in scan.columns} - set(assumed):
        yield "a program reads columns of which nothing is assumed"
    source = plan.pipelines[-1].source
    last = source.table if isinstance(source, TableSource) else ""
    if plan.models and tuple(model.name for model in plan.models) != tuple(model.name for model in manifest.models):
        yield "a program calls other models"
    if any(table.size <= 0 for table in plan.tables) or sum(table.size for table in plan.tables) > TABLE_LIMIT:
        yield "a table made from a dictionary is too large"
    if plan.checks != len(planned.checks):
        yield "its checks have no messages"
    if [(column.name, column.type) for column in planned.output] != [(field.name, field.type) for field in manifest.output]:
        yield "a program gives other columns"
    sink = plan.pipelines[-1].sink
    if not isinstance(sink, CollectSink):
        yield "a program does not end in a result"
    else:
        yield from (
            f"the column {column.name} is nowhere"
            for column in planned.output
            for slot in slots_of(column)
            if not (
                plan.row_wise and (last, slot.column) in assumed
                if isinstance(slot, SourceSlot)
                else isinstance(slot, int) and 0 <= slot < len(sink.columns)
            )
        )
    for column in planned.output:  # decoding makes Arrow arrays of so many elements over the program's memory
        if len(column.elements) != (column.type.length if isinstance(column.type, Array) else 0):
            yield f"the column {column.name} has {len(column.elements)} elements"
    described = list(nodes((plan.tables, plan.scalars, planned.output)))
    if any(not 0 < node.high - node.low + 1 <= _TEXTS_LIMIT for node in described if isinstance(node, FormattedDictionary)):
        yield "too many values are written out as text"
    if any(not 0 < node.high - node.low + 1 <= DOMAIN for node in described if isinstance(node, Domain)):
        yield "too many values are an argument of a function"
    for call in described:
        if isinstance(call, HostCall) and not evaluable(call, planned.literals):
            yield f"the function {call.function} cannot be evaluated"
    host = HostInputs(
        planned.literals,
        lambda table, column: empty_dictionary(assumed[table, column].strings),
        programs=text_programs(manifest),
    )
    host.scalars(plan)
    if any(len(host.entries(table.table)) > table.size for table in plan.tables):
        yield "a table made from a dictionary is too small"
    for column in planned.output:
        if isinstance(column.dictionary, WrittenDictionary):
            if not isinstance(column.dictionary.type, Integer | Decimal | Date | Timestamp | Float):
                yield f"the column {column.name} is written from a {column.dictionary.type}"
        elif column.dictionary is not None:
            host.strings(column.dictionary)


def evaluable(call: HostCall, literals: Sequence[Literal]) -> bool:
    """Whether the host knows a function, for constants of such types, and of no more combinations than are allowed."""
    function = SCALARS.get(call.function)
    if function is None or function.evaluate is None:
        return False
    if (len(call.choices) > 1 and call.size > COMBINATIONS) or any(choice.size < 0 for choice in call.choices):
        return False
    constants = [None if isinstance(argument, Choices) else literals[argument] for argument in call.arguments]
    return any(
        all(constant is None or is_value(constant, parameter) for constant, parameter in zip(constants, parameters, strict=True))
        for overload in function.overloads
        if (parameters := overload.expanded(len(constants))) is not None
    )


def is_value(literal: Literal, type: SqlType) -> bool:
    """Whether a literal is a value of `type`, or a NULL."""
    wanted = str if type == VARCHAR else int
    return literal.type == type and (literal.value is None or isinstance(literal.value, wanted))


def nodes(value: object) -> Iterator[object]:
    """A value made of tuples and dataclasses, and everything in it."""
    yield value
    if isinstance(value, tuple):
        for item in value:
            yield from nodes(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from nodes(getattr(value, field.name))


def slots_of(column: OutputColumn) -> list[Slot]:
    return [slot for slot in (column.data, column.valid, column.low, *column.elements) if slot is not None]


def empty_dictionary(strings: int | None) -> pa.Array:
    if strings is None:
        raise ArtifactError("a column without text has a dictionary")
    return pa.array([], pa.large_string())
