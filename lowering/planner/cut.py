"""Cuts a small table, which is one share, into shares for the cores where models make its rows expensive.

Else one core would do all but the matrix products. Rows are not moved: each share is a view of a part of the table's chunk, or of
some of its chunks (`Layout.split`), and the program is that of a large table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from qtensor.lowering.ir.physical import PhysicalPlan, Pipeline, TableSource
from qtensor.lowering.models.model import Model
from qtensor.lowering.planner.prune import input_slots
from qtensor.lowering.storage.layout import most_parts

# Multiply-adds, half a millisecond of a core: what it costs to call several programs and to merge what they leave is a tenth of
# a millisecond.
WORTH_CUTTING = 25_000_000


def cut_for_models(plan: PhysicalPlan, models: Mapping[str, Model], rows: Callable[[str], int], threads: int) -> PhysicalPlan:
    """The plan with the tables whose rows models are called for in as many shares as there are cores. rows: of a table."""

    def cut(pipeline: Pipeline) -> Pipeline:
        source = pipeline.source
        if not isinstance(source, TableSource) or not source.table or source.shares > 1:
            return pipeline
        called = {slot for instruction in pipeline.kernel for kind, slot in input_slots(instruction) if kind == "model"}
        work = rows(source.table) * sum(models[plan.models[slot].name].work for slot in called)
        if work < WORTH_CUTTING:
            return pipeline
        if source.chunks > 1:
            shares = threads if source.chunks % threads == 0 else 1
            return replace(pipeline, source=replace(source, shares=shares, chunks=source.chunks // shares))
        shares = most_parts(source.chunk, threads)
        return replace(pipeline, source=replace(source, shares=shares, chunk=source.chunk // shares))

    return replace(plan, pipelines=tuple(map(cut, plan.pipelines)))
