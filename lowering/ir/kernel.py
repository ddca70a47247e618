"""Kernels: straight-line programs over the rows of a batch, in machine types, with NULLs already made explicit.

An expression of SQL becomes instructions here (`lowering/expressions/`) before anything is traced, so that a physical plan is
plain data: it can be compared, hashed, printed, cached and shipped. `lowering/program/evaluate.py` makes jax.numpy
of instructions. Equal instructions are built once, which is how common subexpressions are computed once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Ref: TypeAlias = int
DType: TypeAlias = Literal["bool", "int8", "int16", "int32", "int64", "float32", "float64"]

READING_RESULTS = ("fetch", "any_row", "search_left", "search_right")  # what reads earlier pipelines' results
INTEGER_WIDTHS: tuple[tuple[DType, int], ...] = (("int8", 7), ("int16", 15), ("int32", 31), ("int64", 63))


@dataclass(frozen=True, slots=True)
class Instruction:
    """`op` applied to the results of earlier instructions.

    load (attribute: column slot), row (index of the row in its source), number (int32: the row's number in its table), scalar
    (index into the run-time scalars of the dtype's kind), table (operand: index; attribute: run-time table), constant (attribute:
    value), among (operand: int64; attribute: run-time table, ascending), model (attribute: (model, element or None), or (model,
    "failed"): whether the row has no result), fetch (operand: row; attribute: (pipeline, column of its result, None for whether
    the row is live)), any_row (attribute: (pipeline, None): whether its result has any), search_left and search_right (operand:
    word; attribute: (pipeline, column): where it would stand in that ascending column), copy (attribute: which), convert, select
    (condition, then, else), and the arithmetic of `lowering/program/evaluate.py`.
    """

    op: str
    operands: tuple[Ref, ...]
    dtype: DType
    attribute: Hashable = None


Kernel: TypeAlias = tuple[Instruction, ...]


@dataclass
class KernelBuilder:
    """Appends instructions, each distinct one once, folding the Boolean identities that NULL handling produces."""

    instructions: list[Instruction] = field(default_factory=list)
    known: dict[Instruction, Ref] = field(default_factory=dict)

    def emit(self, op: str, *operands: Ref, dtype: DType, attribute: Hashable = None) -> Ref:
        instruction = Instruction(op, operands, dtype, attribute)
        ref = self.known.get(instruction)
        if ref is None:
            ref = self.known[instruction] = len(self.instructions)
            self.instructions.append(instruction)
        return ref

    def finish(self) -> Kernel:
        return tuple(self.instructions)

    def dtype(self, ref: Ref) -> DType:
        return self.instructions[ref].dtype

    def constant(self, value: bool | int | float, dtype: DType) -> Ref:
        # True == 1 == 1.0 in Python: the dtype, part of the instruction, keeps them apart; -0.0 and NaN are kept by their text.
        return self.emit("constant", dtype=dtype, attribute=repr(value))

    def is_constant(self, ref: Ref | None, value: bool) -> bool:
        """True if `ref` is the Boolean constant `value`; None stands for an absent condition, which is true."""
        if ref is None:
            return value
        instruction = self.instructions[ref]
        return instruction.op == "constant" and instruction.dtype == "bool" and instruction.attribute == repr(value)

    def convert(self, ref: Ref, dtype: DType) -> Ref:
        return ref if self.dtype(ref) == dtype else self.emit("convert", ref, dtype=dtype)

    def compare(self, op: str, left: Ref, right: Ref) -> Ref:
        return self.emit(op, left, right, dtype="bool")

    def both(self, *conditions: Ref | None) -> Ref | None:
        """The conjunction; None (absent) is true, and so is the result when every condition is absent."""
        result: Ref | None = None
        for condition in conditions:
            if self.is_constant(condition, True) or condition == result:
                continue
            if condition is not None and self.is_constant(condition, False):
                return condition
            result = condition if result is None or condition is None else self.emit("and", result, condition, dtype="bool")
        return result

    def either(self, left: Ref, right: Ref) -> Ref:
        if self.is_constant(left, True) or self.is_constant(right, False) or left == right:
            return left
        if self.is_constant(right, True) or self.is_constant(left, False):
            return right
        return self.emit("or", left, right, dtype="bool")

    def negation(self, ref: Ref) -> Ref:
        instruction = self.instructions[ref]
        if instruction.op == "not":
            return instruction.operands[0]
        if self.is_constant(ref, True) or self.is_constant(ref, False):
            return self.constant(self.is_constant(ref, False), "bool")
        return self.emit("not", ref, dtype="bool")

    def definite(self, ref: Ref | None) -> Ref:
        """The condition as an instruction: an absent one becomes the constant true."""
        return self.constant(True, "bool") if ref is None else ref

    def select(self, condition: Ref, then: Ref, otherwise: Ref) -> Ref:
        if then == otherwise or self.is_constant(condition, True):
            return then
        if self.is_constant(condition, False):
            return otherwise
        return self.emit("select", condition, then, otherwise, dtype=self.dtype(then))
