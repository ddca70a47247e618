"""How a query is compiled once for any number of rows: a few forms, each for tables up to a size or for blocks of rows.

A program has static shapes. A sink whose state is small whatever it has seen (groups in slots, the first rows, the best rows)
goes on from block to block, and a query whose rows are the table's does so without a state; both serve any number of rows. A
sink that must see all rows at once (a sort, groups by sorting) is compiled for a ladder of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from qtensor.aot.blocks import BLOCK, LADDER, SMALL, layout_of
from qtensor.aot.compile import share_shapes, shared_shapes
from qtensor.aot.manifest import Form, Manifest, ModelRecord
from qtensor.aot.parameters import python_value, with_values
from qtensor.errors import ArtifactError, InternalError
from qtensor.expressions import Literal as Constant
from qtensor.logical import Plan, Scan, inputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import (
    MANY_ROWS,
    DenseGroupSink,
    FirstRowsSink,
    PhysicalPlan,
    PlannedQuery,
    SourceColumn,
    TableSource,
    TopKSink,
)
from qtensor.lowering.plan import plan_query
from qtensor.lowering.program import TensorProgram
from qtensor.lowering.storage.layout import CHUNK
from qtensor.optimizer import optimise
from qtensor.texts import ConversionError

Kind: TypeAlias = Literal["whole", "by_rows", "by_state"]


@dataclass(frozen=True)
class PlannedForm:
    """A form before it is compiled; see `aot/manifest.py`."""

    kind: Kind
    rows: int
    planned: PlannedQuery

    @property
    def functions(self) -> tuple[str, ...]:
        return ("start", "step", "merge", "finish") if self.kind == "by_state" else ("whole",)

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.rows}"


@dataclass(frozen=True)
class AssumedStatistics:
    """A table's columns as assumed, for planning; `shares` blocks of `size` rows."""

    columns: Mapping[int, SourceColumn]
    strings: Mapping[int, int]
    size: int
    shares: int = 1

    def source(self, table: str, columns: Sequence[int]) -> TableSource:
        missing = [index for index in columns if index not in self.columns]
        if missing:
            raise ArtifactError("with these parameters the query reads columns of which nothing is assumed: export it again")
        layout = layout_of(0, self.size)
        return TableSource(table, tuple(self.columns[index] for index in columns), self.shares, layout.chunks, layout.chunk)

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Other tables may hold duplicates."""
        return False


def scanned(plan: Plan) -> Scan | None:
    """The scan at the bottom of a plan; None without FROM."""
    if isinstance(plan, Scan):
        return plan
    below = inputs(plan)
    return scanned(below[0]) if below else None


def plan_forms(
    plan: Plan,
    columns: Mapping[int, SourceColumn],
    strings: Mapping[int, int],
    models: Mapping[str, Model],
    usual_rows: int,
) -> list[PlannedForm]:
    """The forms of an optimised plan, the smallest first.

    columns: what is assumed of the table's columns, by index. strings: how many different ones a VARCHAR has at most.
    """
    scan = scanned(plan)

    def planned(size: int, shares: int = 1) -> PlannedQuery:
        sizes = {} if scan is None else {(scan.table, index): count for index, count in strings.items()}
        return plan_query(plan, AssumedStatistics(columns, strings, size, shares), sizes, models, usual_rows)

    if scan is None:
        return [PlannedForm("whole", 1, planned(SMALL))]
    anywhere = planned(BLOCK, MANY_ROWS // BLOCK)
    if anywhere.plan.row_wise:
        kind: Kind = "by_rows"
    elif isinstance(anywhere.plan.pipelines[0].sink, DenseGroupSink | FirstRowsSink | TopKSink):
        kind = "by_state"
    else:
        return [PlannedForm("whole", rows, planned(rows)) for rows in LADDER]
    sizes: list[tuple[Kind, int]] = [("whole", SMALL), ("whole", CHUNK), (kind, BLOCK)]
    return [PlannedForm(form, rows, replace(anywhere, plan=cut(anywhere.plan, rows))) for form, rows in sizes]


def cut(plan: PhysicalPlan, size: int) -> PhysicalPlan:
    """The plan with a source of one block of `size` rows."""
    layout = layout_of(0, size)
    first = replace(plan.pipelines[0], source=replace(plan.source, shares=1, chunks=layout.chunks, chunk=layout.chunk))
    return replace(plan, pipelines=(first, *plan.pipelines[1:]))


def replanned(manifest: Manifest, form: Form, literals: Mapping[str, Constant]) -> PlannedQuery:
    """The form planned with other values of the parameters: the same program, bound to other literals.

    Raises ArtifactError: with these values it would be another program.
    """
    try:
        bound = with_values(manifest.bound, literals)
    except ConversionError as error:
        raise ArtifactError(f"with these parameters: {error}") from error
    read = manifest.input
    models = {model.name: shape_of_model(model) for model in manifest.models}
    planned = plan_forms(
        optimise(bound),
        {} if read is None else {column.column.index: column.column for column in read.columns},
        {} if read is None else {column.column.index: column.strings for column in read.columns if column.strings is not None},
        models,
        0 if read is None else read.usual_rows,
    )
    for candidate in planned:
        if (candidate.kind, candidate.rows) == (form.kind, form.rows) and candidate.planned.plan == form.planned.plan:
            return candidate.planned
    given = ", ".join(f"{name} = {python_value(literal)!r}" for name, literal in literals.items())
    raise ArtifactError(f"with {given} the query needs another program than the exported one: export it with such values")


def shape_of_model(record: ModelRecord) -> Model:
    """A model for planning, whose graph is in the programs."""

    def apply(weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> jax.Array:
        raise InternalError(f"the graph of {record.name} is not in the artifact")

    arguments = tuple(np.dtype(name) for name in record.arguments)
    return Model(record.name, record.digest, arguments, record.result, (), apply, record.classes)


def lowered(form: PlannedForm, models: Sequence[Model]) -> dict[str, jax.stages.Lowered]:
    """The form's functions as StableHLO; `models` in the plan's order."""
    plan = form.planned.plan
    program = TensorProgram(plan, models)
    shares, shared = tuple(share_shapes(plan.scan(number)) for number in plan.scans), shared_shapes(plan, models)
    with jax.enable_x64(True):
        progress = jax.eval_shape(program.start)
        arguments: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "whole": (program.whole, (shares, shared)),
            "start": (program.start, ()),
            "step": (program.step, (progress, shares[0], shared)),
            "merge": (program.merge, (progress, progress)),
            "finish": (program.finish, (progress, shared)),
        }
        chosen = {name: arguments[name] for name in form.functions}
        return {name: jax.jit(function, keep_unused=True).lower(*shapes) for name, (function, shapes) in chosen.items()}
