"""Whether a manifest fits itself: every number in it that leads somewhere leads inside. It may come from a hostile file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax
import numpy as np
import pyarrow as pa

from qtensor.aot.blocks import BLOCK, LADDER, layout_of
from qtensor.aot.manifest import Form, Manifest
from qtensor.errors import ArtifactError, InternalError, QTensorError
from qtensor.expressions import Literal
from qtensor.lowering.host import HostInputs
from qtensor.lowering.physical import CollectSink, OutputColumn, PhysicalPlan, Slot, SourceSlot
from qtensor.lowering.values import COMBINATIONS, DOMAIN, Choices, Domain, FormattedDictionary, HostCall
from qtensor.scalars.registry import SCALARS
from qtensor.types import VARCHAR, Array, SqlType

_TABLE_LIMIT = 1 << 26
_FORMS_LIMIT = 64
_TEXTS_LIMIT = 1 << 16  # more values are never written out as text

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


def check_results(plan: PhysicalPlan, results: Sequence[jax.Array]) -> None:
    """Raise ArtifactError unless a program gave what its plan says: columns and `live` of equal lengths, and the flags."""
    sink = plan.pipelines[-1].sink
    assert isinstance(sink, CollectSink)
    if len(results) == len(sink.columns) + 2:
        *columns, live, flags = results
        fits = live.dtype == flags.dtype == np.bool_ and flags.size == plan.checks
        if (
            fits
            and all(column.size == live.size for column in columns)
            and (not plan.row_wise or live.size == plan.source.capacity)
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
    fields = () if manifest.input is None else manifest.input.fields
    if manifest.input is not None:
        for column in manifest.input.columns:
            if not 0 <= column.column.index < len(fields):
                yield f"there is no column {column.column.index}"
            np.dtype(column.column.dtype)
    if len({form.planned.plan.source.columns for form in manifest.forms}) != 1:
        yield "its forms read different columns"
    for form in manifest.forms:
        yield from problems_of_form(manifest, form)


def problems_of_form(manifest: Manifest, form: Form) -> Iterator[str]:
    """What is wrong with a form. Host inputs are evaluated once, over empty dictionaries."""
    wanted = ("start", "step", "merge", "finish") if form.kind == "by_state" else ("whole",)
    if tuple(module.function for module in form.modules) != wanted:
        yield f"a form {form.kind} has the functions {', '.join(module.function for module in form.modules)}"
    if (form.kind == "whole" and form.rows not in (1, 1 << 16, *LADDER)) or (form.kind != "whole" and form.rows != BLOCK):
        yield f"a form {form.kind} is for {form.rows} rows"
    planned, plan = form.planned, form.planned.plan
    source, read = plan.source, manifest.input
    assumed = {} if read is None else {column.column.index: column for column in read.columns}
    if {column.index for column in source.columns} - set(assumed):
        yield "a program reads columns of which nothing is assumed"
    layout = layout_of(0, form.rows)
    if read is not None and (source.shares, source.chunks, source.chunk) != (1, layout.chunks, layout.chunk):
        yield "a program's blocks are not those of its form"
    if plan.models and tuple(model.name for model in plan.models) != tuple(model.name for model in manifest.models):
        yield "a program calls other models"
    if any(table.size <= 0 for table in plan.tables) or sum(table.size for table in plan.tables) > _TABLE_LIMIT:
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
            if not (plan.row_wise and slot.column in assumed if isinstance(slot, SourceSlot) else 0 <= slot < len(sink.columns))
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
    host = HostInputs(planned.literals, lambda table, column: empty_dictionary(assumed[column].strings))
    host.scalars(plan)
    if any(len(host.entries(table.table)) > table.size for table in plan.tables):
        yield "a table made from a dictionary is too small"
    for column in planned.output:
        if column.dictionary is not None:
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
