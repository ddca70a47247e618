"""A planned query as an artifact: forms lowered to portable StableHLO, compiled for this machine, written with a manifest."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.aot.container import part_of, write_container
from qtensor.aot.forms import PlannedForm, lowered, plan_forms, scanned
from qtensor.aot.machine_code import compile_programs
from qtensor.aot.manifest import FORMAT, AssumedColumn, Form, Input, Manifest, ModelRecord, Module
from qtensor.aot.parameters import find_parameters
from qtensor.aot.runtime import portable_stablehlo
from qtensor.aot.trust import add_trust
from qtensor.logical import Plan
from qtensor.lowering.model import Model
from qtensor.lowering.physical import SourceColumn
from qtensor.lowering.ranges import Range, range_of_type
from qtensor.optimizer import optimise
from qtensor.types import Boolean, Float, Schema, SqlType, Varchar
from qtensor.version import __version__

ANY_STRINGS = 1 << 16  # how many different strings are assumed where only the type is known


@dataclass(frozen=True)
class TableFacts:
    """What an export assumes of the table that its query reads: by index of the columns."""

    fields: Schema
    columns: Mapping[int, SourceColumn]
    strings: Mapping[int, int]
    rows: int


@dataclass(frozen=True)
class Exportable:
    """A bound query and all that exporting it needs.

    facts: of the given columns of a table. bind_again: the query bound to other parameters, by lower-case name.
    """

    sql: str
    dialect: str
    parameters: Mapping[str, object]
    bound: Plan
    models: Mapping[str, Model]
    facts: Callable[[str, Sequence[int]], TableFacts]
    bind_again: Callable[[Mapping[str, object]], Plan]


def write_artifact(query: Exportable, path: str | os.PathLike[str]) -> str:
    """Compile the query for any number of rows and write it. Returns the file's digest, which this user now trusts.

    Raises ArtifactError: the file cannot be written. UnsupportedError: what planning does not support.
    """
    optimised = optimise(query.bound)
    scan = scanned(optimised)
    facts = None if scan is None else query.facts(scan.table, scan.columns)
    columns, strings = ({}, {}) if facts is None else (facts.columns, facts.strings)
    forms = plan_forms(optimised, columns, strings, query.models, 0 if facts is None else facts.rows)
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
    read = None
    if scan is not None and facts is not None:
        assumed = tuple(AssumedColumn(facts.columns[index], facts.strings.get(index)) for index in scan.columns)
        read = Input(scan.table, facts.fields, assumed, facts.rows)
    manifest = Manifest(
        FORMAT,
        __version__,
        jax.__version__,
        version("jaxlib"),
        query.sql,
        query.dialect,
        read,
        query.bound.schema,
        tuple(find_parameters(query.bound, query.parameters, query.bind_again)),
        tuple(record(number, model) for number, model in enumerate(used)),
        query.bound,
        tuple(
            Form(form.kind, form.rows, form.planned, tuple(Module(name, program_part(form, name)) for name in form.functions))
            for form in forms
        ),
        executables,
        tuple(part_of(name, content) for name, content in parts.items()),
    )
    digest = write_container(path, manifest, parts)
    add_trust(digest)
    return digest


def program_part(form: PlannedForm, function: str) -> str:
    return f"programs/{form.name}_{function}.mlir"


def npy(array: NDArray[np.generic]) -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.ascontiguousarray(array), allow_pickle=False)
    return memory.getvalue()


def record(number: int, model: Model) -> ModelRecord:
    arguments = tuple(str(dtype) for dtype in model.arguments)
    weights = tuple(f"weights/model{number}_{position}.npy" for position in range(len(model.weights)))
    return ModelRecord(model.name, model.digest, arguments, model.result, model.classes, weights)


def facts_of_types(fields: Schema, columns: Sequence[int]) -> TableFacts:
    """What the types alone say: every value, NULL, NaN; of text at most ANY_STRINGS different ones."""
    described = {index: any_value(index, fields[index].name, fields[index].type) for index in columns}
    strings = {index: ANY_STRINGS for index in columns if isinstance(fields[index].type, Varchar)}
    return TableFacts(fields, described, strings, 1 << 20)


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
