"""Removes what no pipeline uses from a physical plan: dead instructions, and the run-time inputs that only they read.

Lowering computes every operand before it is known whether a cheaper form makes it useless (a literal compared by a
clamped scalar). Dead code would make plans differ that are the same, and be recompiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from qtensor.lowering.ir.kernel import Instruction, Kernel, Ref
from qtensor.lowering.ir.physical import CheckStep, PhysicalPlan, Pipeline
from qtensor.lowering.ir.references import map_sink, map_step, refs_outside

# Which run-time inputs an instruction's attribute numbers.
INPUTS = {"scalar": "scalar", "float_scalar": "float_scalar", "table": "table", "among": "table", "model": "model"}

Item = TypeVar("Item")


def prune(plan: PhysicalPlan) -> tuple[PhysicalPlan, list[int]]:
    """The same plan without dead instructions and unused inputs, and the numbers of the checks that are left."""
    pipelines = [prune_pipeline(pipeline) for pipeline in plan.pipelines]
    used = {
        kind: sorted({slot for pipeline in pipelines for i in pipeline.kernel for read, slot in input_slots(i) if read == kind})
        for kind in ("scalar", "float_scalar", "table", "model")
    }
    checks = sorted({step.check for pipeline in pipelines for step in pipeline.steps if isinstance(step, CheckStep)})
    pruned = PhysicalPlan(
        tuple(renumber_inputs(pipeline, used, checks) for pipeline in pipelines),
        pick(plan.scalars, used["scalar"]),
        pick(plan.float_scalars, used["float_scalar"]),
        pick(plan.tables, used["table"]),
        pick(plan.models, used["model"]),
        len(checks),
    )
    return pruned, checks


def pick(items: tuple[Item, ...], indices: Iterable[int]) -> tuple[Item, ...]:
    return tuple(items[index] for index in indices)


def input_slots(instruction: Instruction) -> list[tuple[str, int]]:
    """The run-time inputs that an instruction reads: of what kind, and which. Of a model also the tables of its texts."""
    kind, attribute = INPUTS.get(instruction.op), instruction.attribute
    if kind is None:
        return []
    if not isinstance(attribute, tuple):
        assert isinstance(attribute, int)
        return [(kind, attribute)]
    slot, _, *tables = attribute
    assert isinstance(slot, int)
    return [(kind, slot), *(("table", table) for table in tables if isinstance(table, int))]


def prune_pipeline(pipeline: Pipeline) -> Pipeline:
    alive: set[Ref] = set()
    waiting = list(refs_outside(pipeline))
    while waiting:
        ref = waiting.pop()
        if ref not in alive:
            alive.add(ref)
            waiting += pipeline.kernel[ref].operands
    position = {ref: index for index, ref in enumerate(sorted(alive))}
    kernel: Kernel = tuple(
        replace(instruction, operands=tuple(position[operand] for operand in instruction.operands))
        for instruction in (pipeline.kernel[ref] for ref in sorted(alive))
    )
    renumber = position.__getitem__
    steps = tuple(map_step(step, renumber) for step in pipeline.steps)
    return replace(pipeline, kernel=kernel, steps=steps, sink=map_sink(pipeline.sink, renumber))


def renumber_inputs(pipeline: Pipeline, used: dict[str, list[int]], checks: list[int]) -> Pipeline:
    def renumbered(instruction: Instruction) -> Instruction:
        places = [used[kind].index(slot) for kind, slot in input_slots(instruction)]
        if not places:
            return instruction
        attribute = instruction.attribute
        return replace(
            instruction, attribute=(places[0], attribute[1], *places[1:]) if isinstance(attribute, tuple) else places[0]
        )

    steps = tuple(
        replace(step, check=checks.index(step.check)) if isinstance(step, CheckStep) else step for step in pipeline.steps
    )
    return replace(pipeline, kernel=tuple(renumbered(instruction) for instruction in pipeline.kernel), steps=steps)
