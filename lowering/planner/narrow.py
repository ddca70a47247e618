"""Reads a DOUBLE column as FLOAT where nothing needs more: a model's arguments are often float32, and a scan is bound by memory.

The conversion is done once, when the column becomes a buffer, instead of for each row of each run, and half the bytes are read.
"""

from __future__ import annotations

from dataclasses import replace

from qtensor.lowering.ir.kernel import Instruction, Kernel, Ref
from qtensor.lowering.ir.physical import PhysicalPlan, Pipeline, TableSource
from qtensor.lowering.ir.references import refs_outside


def narrow_loads(plan: PhysicalPlan) -> PhysicalPlan:
    """The plan with float64 columns, whose every use is a conversion to float32, loaded as float32."""
    pipelines = tuple(narrowed(pipeline) for pipeline in plan.pipelines)
    return plan if pipelines == plan.pipelines else replace(plan, pipelines=pipelines)


def narrowed(pipeline: Pipeline) -> Pipeline:
    source = pipeline.source
    if not isinstance(source, TableSource):
        return pipeline
    slot = 0
    columns = []
    outside = refs_outside(pipeline)
    kernel = pipeline.kernel
    for column in source.columns:
        if column.dtype == "float64" and only_converted(kernel, slot, outside):
            kernel = tuple(loaded_narrow(instruction, slot) for instruction in kernel)
            column = replace(column, dtype="float32")
        columns.append(column)
        slot += 1 + column.nullable
    return replace(pipeline, source=replace(source, columns=tuple(columns)), kernel=kernel)


def only_converted(kernel: Kernel, slot: int, outside: set[Ref]) -> bool:
    """Whether column slot `slot` is read, and only to be converted to float32; `outside`: what steps and sink read."""
    refs = {ref for ref, instruction in enumerate(kernel) if is_load(instruction, slot)}
    if refs & outside:
        return False
    users = [instruction for instruction in kernel if refs & set(instruction.operands)]
    return bool(users) and all(user.op == "convert" and user.dtype == "float32" for user in users)


def is_load(instruction: Instruction, slot: int) -> bool:
    return instruction.op == "load" and instruction.attribute == slot


def loaded_narrow(instruction: Instruction, slot: int) -> Instruction:
    return replace(instruction, dtype="float32") if is_load(instruction, slot) else instruction
