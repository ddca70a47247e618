"""A planned query as an artifact: forms lowered to portable StableHLO, compiled for this machine, written with a manifest."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.consistency import TABLE_LIMIT
from qtensor.aot.artifact.container import Container, part_of, write_container
from qtensor.aot.artifact.facts import Recorder, TableFacts
from qtensor.aot.artifact.forms import FormPlanner, PlannedForm, Room, Sizes, lowered, no_room_known
from qtensor.aot.artifact.machine_code import compile_programs
from qtensor.aot.artifact.manifest import FORMAT, UNLIMITED_STRINGS, AssumedColumn, Form, Input, Manifest, ModelRecord, Module
from qtensor.aot.artifact.parameters import find_parameters
from qtensor.aot.artifact.trust import add_trust
from qtensor.aot.machine.runtime import portable_stablehlo
from qtensor.errors import ArtifactError, UnsupportedError
from qtensor.logical import Plan, scans_of
from qtensor.lowering.ir.physical import PhysicalPlan, SourceColumn
from qtensor.lowering.ir.ranges import Range, range_of_type
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.pipelines import rounded_capacity
from qtensor.optimise.driver import optimise
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.unsupported_columns import refuse_passed_on
from qtensor.sources.table import Table
from qtensor.types import Boolean, Float, Schema, SqlType, Varchar
from qtensor.version import __version__

logger = logging.getLogger("qtensor")

ANY_STRINGS = 1 << 16  # how many different strings are assumed where only the type is known
ROWS_OF_TYPES = 1 << 20  # how many rows a table is supposed to have then


@dataclass(frozen=True)
class Exportable:
    """A bound query and all that exporting it needs.

    facts: of the given columns of a table. statistics: of the tables at hand, which guide the optimiser; of what may be assumed
    to be unique they tell too. tables: those of which more than the types is known. bind_again: the query bound to other
    parameters, by lower-case name.
    """

    sql: str
    dialect: str
    parameters: Mapping[str, object]
    bound: Plan
    models: Mapping[str, Model]
    facts: Callable[[str, Sequence[int]], TableFacts]
    statistics: PlanStatistics
    tables: Mapping[str, Table]
    bind_again: Callable[[Mapping[str, object]], Plan]


def write_artifact(query: Exportable, path: str | os.PathLike[str]) -> str:
    """Compile the query for any number of rows and write it. Returns the file's digest, which this user now trusts (if the
    trust store can be written).

    Raises ArtifactError: the file cannot be written. UnsupportedError: what planning does not support.
    """
    guesses = Recorder(query.statistics)
    optimised = optimise(query.bound, None, guesses)
    refuse_passed_on(optimised)
    facts = {table: query.facts(table, columns) for table, columns in scans_of(optimised).items()}
    container = assembled(query, optimised, facts, guesses)
    room = more_room(query, container)
    while room is not None:
        container = assembled(query, optimised, facts, guesses, room)
        room = more_room(query, container)
    digest = write_container(path, container.manifest, container.parts)
    try:
        add_trust(digest)
    except ArtifactError as error:  # the file is as good, but will be compiled anew when it is loaded
        logger.warning("%s was written, but its native code is not trusted: %s", path, error)
    return digest


def assembled(
    query: Exportable, optimised: Plan, facts: Mapping[str, TableFacts], guesses: Recorder, room: Room = no_room_known
) -> Container:
    """Everything that is to be in the file."""
    keys = Recorder(query.statistics)
    facts, forms = needed(FormPlanner(optimised, facts, query.models, keys.unique, room))
    refuse_large_tables(forms)
    used = [query.models[use.name] for use in forms[0].planned.plan.models]
    programs = {
        program_part(form, name): portable_stablehlo(function) for form in forms for name, function in lowered(form, used).items()
    }
    executables, native = compile_programs(programs)
    weights = {
        f"weights/model{number}_{position}.npy": npy(weight)
        for number, model in enumerate(used)
        for position, weight in enumerate(model.weights)
    }
    parts = {**programs, **native, **weights}
    manifest = Manifest(
        FORMAT,
        __version__,
        jax.__version__,
        version("jaxlib"),
        query.sql,
        query.dialect,
        tuple(described_input(table, of_table, keys, guesses) for table, of_table in facts.items()),
        optimised.schema,
        tuple(find_parameters(query.bound, query.parameters, query.bind_again)),
        tuple(record(number, model) for number, model in enumerate(used)),
        query.bound,
        tuple(
            Form(form.kind, form.sizes, form.planned, tuple(Module(name, program_part(form, name)) for name in form.functions))
            for form in forms
        ),
        executables,
        tuple(part_of(name, content) for name, content in parts.items()),
    )
    return Container(manifest, parts, "", 0)


def refuse_large_tables(forms: Sequence[PlannedForm]) -> None:
    """Raise UnsupportedError for tables made of texts that no file may ask for."""
    largest = max((sum(table.size for table in form.planned.plan.tables) for form in forms), default=0)
    if largest > TABLE_LIMIT:
        raise UnsupportedError(
            f"an exported query would take tables of {largest:,} entries, made of texts; at most {TABLE_LIMIT:,} are supported. "
            "Export it for tables with fewer different texts, or with a model that makes fewer numbers of each"
        )


def described_input(table: str, facts: TableFacts, keys: Recorder, guesses: Recorder) -> Input:
    assumed = tuple(AssumedColumn(facts.columns[index], facts.strings.get(index)) for index in sorted(facts.columns))
    return Input(table, facts.fields, assumed, keys.keys_of(table), facts.rows, guesses.guesses(table), guesses.keys_of(table))


def more_room(query: Exportable, container: Container) -> Room | None:
    """How much room the sinks of unknown size should have, by a run over the tables at hand: twice of what these need, and more
    in forms for larger tables. None where they have it, or the tables are not at hand.
    """
    manifest = container.manifest
    tables = {read.table: query.tables.get(read.table) for read in manifest.inputs}
    at_hand = {name: table for name, table in tables.items() if table is not None}
    if len(at_hand) < len(tables) or not any(form.planned.plan.capacities for form in manifest.forms):
        return None
    form, found = Artifact(container, trusted=True).room_needed(at_hand)
    wanted = [2 * rows for rows in found]
    if all(rows <= room for rows, room in zip(wanted, form.planned.plan.capacities, strict=True)):
        return None
    had = {form.sizes: form.planned.plan.capacities for form in manifest.forms}

    def room(sizes: Sizes) -> list[int]:
        factor = max([1, *(size // own for size, own in zip(sizes, form.sizes, strict=True))])
        default = had.get(sizes, (0,) * len(wanted))
        return [max(least, rounded_capacity(rows * factor)) for least, rows in zip(default, wanted, strict=True)]

    return room


def needed(planner: FormPlanner) -> tuple[Mapping[str, TableFacts], list[PlannedForm]]:
    """The forms of a plan, and the facts that they need: a column which is only passed on may hold anything."""
    facts, forms = planner.facts, planner.forms()
    passed_on = unread(forms)
    while passed_on:
        relaxed = facts_without(facts, passed_on)
        forms_of_relaxed = replace(planner, facts=relaxed).forms()
        if passed_on <= unread(forms_of_relaxed):
            return relaxed, forms_of_relaxed
        passed_on &= unread(forms_of_relaxed)  # what is read for fear of NULLs, say
    return facts, forms


def unread(forms: Sequence[PlannedForm]) -> set[tuple[str, int]]:
    """Which columns, by table and index, no form's program loads."""
    return set.intersection(*(unread_by(form.planned.plan) for form in forms))


def unread_by(plan: PhysicalPlan) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    loaded_somewhere: set[tuple[str, int]] = set()
    for number in plan.scans:
        source = plan.scan(number)
        loaded = {instruction.attribute for instruction in plan.pipelines[number].kernel if instruction.op == "load"}
        slot = 0
        for column in source.columns:
            slots = range(slot, slot + 1 + column.nullable)
            (found if loaded.isdisjoint(slots) else loaded_somewhere).add((source.table, column.index))
            slot = slots.stop
    return found - loaded_somewhere


def facts_without(facts: Mapping[str, TableFacts], columns: Collection[tuple[str, int]]) -> dict[str, TableFacts]:
    """The same but for some columns, of which only the type is assumed. They keep their machine types: nothing reads them."""
    return {
        name: table_without(table, [index for of_table, index in columns if of_table == name]) for name, table in facts.items()
    }


def table_without(facts: TableFacts, indices: Collection[int]) -> TableFacts:
    columns = dict(facts.columns)
    for index in indices:
        bounds = columns[index].range and range_of_type(facts.fields[index].type)
        columns[index] = replace(columns[index], nullable=True, range=bounds, may_be_nan=True)
    strings = {index: UNLIMITED_STRINGS if index in indices else count for index, count in facts.strings.items()}
    return replace(facts, columns=columns, strings=strings)


def program_part(form: PlannedForm, function: str) -> str:
    return f"programs/{form.name}_{function}.mlir"


def npy(array: NDArray[np.generic]) -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.ascontiguousarray(array), allow_pickle=False)
    return memory.getvalue()


def record(number: int, model: Model) -> ModelRecord:
    arguments = tuple(str(dtype) for dtype in model.arguments)
    weights = tuple(f"weights/model{number}_{position}.npy" for position in range(len(model.weights)))
    known = model.result, model.classes, model.fails, weights, model.labels, model.outputs, model.texts
    return ModelRecord(model.name, model.digest, arguments, *known)


def facts_of_types(fields: Schema, columns: Sequence[int]) -> TableFacts:
    """What the types alone say: every value, NULL, NaN; of text at most ANY_STRINGS different ones."""
    described = {index: any_value(index, fields[index].name, fields[index].type) for index in columns}
    strings = {index: ANY_STRINGS for index in columns if isinstance(fields[index].type, Varchar)}
    return TableFacts(fields, described, strings, ROWS_OF_TYPES, only_types=True)


def any_value(index: int, name: str, type: SqlType) -> SourceColumn:
    match type:
        case Float(bits):
            return SourceColumn(index, name, "float32" if bits == 32 else "float64", True, None, True)
        case Boolean():
            return SourceColumn(index, name, "bool", True, None, False)
        case Varchar():
            bounds = Range(0, ANY_STRINGS - 1)
        case _:
            bounds = range_of_type(type)
    return SourceColumn(index, name, bounds.dtype, True, bounds, False)
