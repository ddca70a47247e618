"""What the finishers of aggregates share: reading a sink's columns as values of the pipeline that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qtensor.lowering.expressions.encoder import Encoder
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.values import Value

# Given the encoder over the sink's result and the slot of each accumulator's first column: the aggregate's value.
Finisher: TypeAlias = Callable[[Encoder, dict[int, int]], Value]


def load(encoder: Encoder, slot: int, dtype: DType) -> Ref:
    return encoder.builder.emit("load", dtype=dtype, attribute=slot)


def present(encoder: Encoder, slots: dict[int, int], count: int | None) -> Ref | None:
    """Whether any row was accumulated; None if every group has one."""
    if count is None:
        return None
    return encoder.builder.compare("greater", load(encoder, slots[count], "int64"), encoder.integer(0))
