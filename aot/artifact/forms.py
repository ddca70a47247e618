"""How a query is compiled once for any number of rows: a few forms, each for tables up to a size or for blocks of rows.

A program has static shapes. A sink whose state is small whatever it has seen (groups in slots, the first rows, the best rows)
goes on from block to block, and a query whose rows are the table's does so without a state; both serve any number of rows. A
sink that must see all rows at once (a sort, groups by sorting) is compiled for a ladder of sizes. A query that reads several
tables, or one twice, is compiled for tables as large as those it was exported with, and for larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from qtensor.aot.artifact.blocks import BLOCK, LADDER, SMALL, layout_of, sizes_of_several
from qtensor.aot.artifact.facts import AssumedStatistics, ManifestStatistics, TableFacts, facts_of, never_unique
from qtensor.aot.artifact.manifest import Form, Manifest, ModelRecord
from qtensor.aot.artifact.parameters import with_values
from qtensor.aot.machine.compile import share_shapes, shared_shapes
from qtensor.errors import ArtifactError, InternalError, UnsupportedError
from qtensor.expressions import Literal as Constant
from qtensor.logical import Plan
from qtensor.lowering.ir.physical import (
    MANY_ROWS,
    DenseGroupSink,
    FirstRowsSink,
    PhysicalPlan,
    PlannedQuery,
    TopKSink,
)
from qtensor.lowering.ir.values import CalledDictionary
from qtensor.lowering.models.model import Model, Prediction
from qtensor.lowering.planner.plan import plan_query
from qtensor.lowering.program.program import TensorProgram
from qtensor.lowering.storage.layout import CHUNK
from qtensor.optimise.driver import optimise
from qtensor.values.literals import python_value
from qtensor.values.texts import ConversionError

Kind: TypeAlias = Literal["whole", "by_rows", "by_state"]
Sizes: TypeAlias = tuple[int, ...]
Room: TypeAlias = Callable[[Sizes], Sequence[int]]


@dataclass(frozen=True)
class PlannedForm:
    """A form before it is compiled; see `aot/artifact/manifest.py`."""

    kind: Kind
    sizes: Sizes
    planned: PlannedQuery

    @property
    def rows(self) -> int:
        """The size of the first table; 1 without one."""
        return self.sizes[0] if self.sizes else 1

    @property
    def functions(self) -> tuple[str, ...]:
        return ("start", "step", "merge", "finish") if self.kind == "by_state" else ("whole",)

    @property
    def name(self) -> str:
        return "_".join([self.kind, *map(str, self.sizes or (1,))])


def no_room_known(sizes: Sizes) -> Sequence[int]:
    return ()


@dataclass(frozen=True)
class FormPlanner:
    """Plans the forms of one optimised plan.

    facts: what is assumed of its tables. is_unique: which columns of theirs. room: for forms of given sizes, how much each
    `CompactSink` should have, as far as it is known.
    """

    plan: Plan
    facts: Mapping[str, TableFacts]
    models: Mapping[str, Model]
    is_unique: Callable[[str, Sequence[int]], bool] = never_unique
    room: Room = no_room_known

    def planned(
        self, sizes: Sizes, shares: int = 1, is_unique: Callable[[str, Sequence[int]], bool] = never_unique
    ) -> PlannedQuery:
        strings = {(table, index): count for table, facts in self.facts.items() for index, count in facts.strings.items()}
        statistics = AssumedStatistics(self.facts, dict(zip(self.facts, sizes, strict=True)), shares, is_unique)
        usual_rows = max((facts.rows for facts in self.facts.values()), default=0)
        planned = plan_query(self.plan, statistics, strings, self.models, usual_rows, self.room(sizes))
        if planned.plan.lists:
            raise UnsupportedError("not supported yet: exports of string_agg")
        if any(isinstance(column.dictionary, CalledDictionary) for column in planned.output):
            raise UnsupportedError("not supported yet: exports of texts that are made of too many combinations of values")
        return planned

    def forms(self) -> list[PlannedForm]:
        """The forms, the smallest first."""
        if not self.facts:
            return [PlannedForm("whole", (), self.planned(()))]
        if len(self.facts) > 1 or len(self.planned((SMALL,)).plan.scans) > 1:
            steps = sizes_of_several([(facts.rows, facts.only_types) for facts in self.facts.values()])
            return [PlannedForm("whole", sizes, self.planned(sizes, is_unique=self.is_unique)) for sizes in steps]
        return self.forms_of_one_table()

    def forms_of_one_table(self) -> list[PlannedForm]:
        """Nothing is assumed to be unique: blocks do not see each other."""
        anywhere = self.planned((BLOCK,), MANY_ROWS // BLOCK)
        if anywhere.plan.row_wise:
            kind: Kind = "by_rows"
        elif isinstance(anywhere.plan.pipelines[0].sink, DenseGroupSink | FirstRowsSink | TopKSink):
            kind = "by_state"
        else:
            return [PlannedForm("whole", (rows,), self.planned((rows,))) for rows in LADDER]
        sizes: list[tuple[Kind, int]] = [("whole", SMALL), ("whole", CHUNK), (kind, BLOCK)]
        return [PlannedForm(form, (rows,), replace(anywhere, plan=cut(anywhere.plan, rows))) for form, rows in sizes]


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
    models = {model.name: shape_of_model(model) for model in manifest.models}
    assumed = {(read.table, columns) for read in manifest.inputs for columns in read.unique}
    rooms = {known.sizes: known.planned.plan.capacities for known in manifest.forms}
    planner = FormPlanner(
        optimise(bound, None, ManifestStatistics(manifest.inputs)),
        {read.table: facts_of(read) for read in manifest.inputs},
        models,
        lambda table, columns: (table, tuple(sorted(columns))) in assumed,
        lambda sizes: rooms.get(sizes, ()),
    )
    several = len(form.planned.plan.scans) > 1 and bool(manifest.inputs)
    planned = (
        [PlannedForm("whole", form.sizes, planner.planned(form.sizes, is_unique=planner.is_unique))]
        if several
        else planner.forms()
    )
    for candidate in planned:
        if (candidate.kind, candidate.sizes) == (form.kind, form.sizes) and candidate.planned.plan == form.planned.plan:
            return candidate.planned
    given = ", ".join(f"{name} = {python_value(literal)!r}" for name, literal in literals.items())
    raise ArtifactError(f"with {given} the query needs another program than the exported one: export it with such values")


def shape_of_model(record: ModelRecord) -> Model:
    """A model for planning, whose graph is in the programs."""

    def apply(weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        raise InternalError(f"the graph of {record.name} is not in the artifact")

    arguments = tuple(np.dtype(name) for name in record.arguments)
    return Model(
        record.name,
        record.digest,
        arguments,
        record.result,
        (),
        apply,
        fails=record.fails,
        classes=record.classes,
        labels=record.labels,
        outputs=record.outputs,
        texts=record.texts,
    )


def lowered(form: PlannedForm, models: Sequence[Model]) -> dict[str, jax.stages.Lowered]:
    """The form's functions as StableHLO; `models` in the plan's order."""
    plan = form.planned.plan
    program = TensorProgram(plan, models)
    shares, shared = tuple(share_shapes(plan, number) for number in plan.scans), shared_shapes(plan, models)
    with jax.enable_x64(True):
        progress = jax.eval_shape(program.start) if form.kind == "by_state" else None
        arguments: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "whole": (program.whole, (shares, shared)),
            "start": (program.start, ()),
            "step": (program.step, (progress, shares[0], shared)),
            "merge": (program.merge, (progress, progress)),
            "finish": (program.finish, (progress, shared)),
        }
        chosen = {name: arguments[name] for name in form.functions}
        return {name: jax.jit(function, keep_unused=True).lower(*shapes) for name, (function, shapes) in chosen.items()}
