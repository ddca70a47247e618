"""VALUES: rows of constants, read by their number from tables that the host makes of the literals.

A UNION of one row each would be a pipeline for each row, and a program that grows with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from qtensor.expressions import Literal
from qtensor.logical import OneRow, Plan, Project
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import FilterStep, TableSource
from qtensor.lowering.ir.ranges import INT64, Range
from qtensor.lowering.ir.values import ListedTable, LiteralDictionary, Value
from qtensor.lowering.planner.pipelines import Pipelines
from qtensor.lowering.planner.stream import Stream
from qtensor.types import BOOLEAN, Boolean, Float, Interval, Null, Varchar

FEWEST_SLOTS = 64  # rows of a batch
NOTHING = -1  # in place of a literal's number: NULL


def are_listed(branches: Sequence[Plan]) -> TypeGuard[Sequence[Project]]:
    """Whether the branches of a UNION are a row of literals each, none of them an interval or beyond 64 bits."""
    return all(
        isinstance(branch, Project)
        and isinstance(branch.input, OneRow)
        and all(isinstance(named.expr, Literal) and is_listed(named.expr) for named in branch.expressions)
        for branch in branches
    )


def is_listed(literal: Literal) -> bool:
    value = literal.value
    fits = not isinstance(value, int) or Range(value, value) in INT64
    return fits and not isinstance(literal.type, Interval)


def plan_listed_rows(pipelines: Pipelines, branches: Sequence[Project]) -> Stream:
    """The rows in their order. The program depends on how many there are only up to the next power of two."""
    slots = max(FEWEST_SLOTS, 1 << (len(branches) - 1).bit_length())
    stream = pipelines.begin(TableSource("", (), 1, 1, slots, rows=slots))
    lowerer = stream.lowerer
    row = lowerer.builder.emit("row", dtype="int64")
    present = Literal(True, BOOLEAN)
    stream.steps.append(FilterStep(listed(lowerer, [present] * len(branches), slots, row, "bool")))
    columns = zip(*(branch.expressions for branch in branches), strict=True)
    lowerer.columns = tuple(column_of(lowerer, [named.expr for named in column], slots, row) for column in columns)
    return stream


def column_of(lowerer: Lowerer, literals: Sequence[Literal], slots: int, row: Ref) -> Value:
    """A column of literals of one type."""
    type = literals[0].type
    there = [literal for literal in literals if literal.value is not None]
    if isinstance(type, Null) or not there:
        return lowerer.null(type)
    valid = None
    if len(there) < len(literals):
        valid = listed(lowerer, [Literal(literal.value is not None, BOOLEAN) for literal in literals], slots, row, "bool")
    match type:
        case Varchar():
            numbers = dict.fromkeys(lowerer.bindings.literal(literal) for literal in there)
            dictionary = LiteralDictionary(tuple(numbers))
            data = listed(lowerer, literals, slots, row, "int32", dictionary)
            return Value(type, data, valid, range=Range(0, len(numbers) - 1), dictionary=dictionary)
        case Boolean():
            return Value(type, listed(lowerer, literals, slots, row, "bool"), valid)
        case Float(bits):
            nan = any(literal.value != literal.value for literal in there)
            data = listed(lowerer, literals, slots, row, "float32" if bits == 32 else "float64")
            return Value(type, data, valid, may_be_nan=nan)
        case _:
            bounds = Range(0, 0)
            for literal in there:
                assert isinstance(literal.value, int)
                bounds = bounds | lowerer.bindings.range_of(literal, literal.value)
            return Value(type, listed(lowerer, literals, slots, row, bounds.dtype), valid, range=bounds)


def listed(
    lowerer: Lowerer,
    literals: Sequence[Literal],
    slots: int,
    row: Ref,
    dtype: DType,
    dictionary: LiteralDictionary | None = None,
) -> Ref:
    numbers = tuple(NOTHING if literal.value is None else lowerer.bindings.literal(literal) for literal in literals)
    return lowerer.look_up(ListedTable(numbers, dictionary), slots, row, dtype)
