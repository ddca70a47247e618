"""What the finishers of aggregates share: reading a sink's columns as values of the pipeline that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.values import Value

# Given the lowerer over the sink's result and the slot of each accumulator's first column: the aggregate's value.
Finisher: TypeAlias = Callable[[Lowerer, dict[int, int]], Value]


def load(lowerer: Lowerer, slot: int, dtype: DType) -> Ref:
    return lowerer.builder.emit("load", dtype=dtype, attribute=slot)


def present(lowerer: Lowerer, slots: dict[int, int], count: int | None) -> Ref | None:
    """Whether any row was accumulated; None if every group has one."""
    if count is None:
        return None
    return lowerer.builder.compare("greater", load(lowerer, slots[count], "int64"), lowerer.integer(0))
