"""Rows of constants as Arrow: what INSERT ... VALUES mostly gives needs no program."""

from __future__ import annotations

import decimal
from collections.abc import Sequence

import pyarrow as pa

from qtensor.errors import ExecutionError
from qtensor.expressions import Literal, LiteralValue
from qtensor.logical import OneRow, Plan, Project, Union
from qtensor.lowering.storage import arrow_type
from qtensor.types import Date, Decimal, Integer, SqlType, Timestamp


def is_constant(plan: Plan) -> bool:
    """Whether a plan reads no table, and so may fold to constants."""
    branches = plan.branches if isinstance(plan, Union) else (plan,)
    return all(isinstance(branch, Project) and isinstance(branch.input, OneRow) for branch in branches)


def constant_rows(plan: Plan) -> pa.Table | None:
    """The rows of an optimised plan that is nothing but constants; None if it is more.

    Raises ExecutionError: a HUGEINT of 39 digits.
    """
    branches = plan.branches if isinstance(plan, Union) else (plan,)
    rows: list[list[LiteralValue]] = []
    for branch in branches:
        if not isinstance(branch, Project) or not isinstance(branch.input, OneRow):
            return None
        row = [named.expr.value for named in branch.expressions if isinstance(named.expr, Literal)]
        if len(row) < len(branch.expressions):
            return None
        rows.append(row)
    columns = [arrow_column(values, field.type) for values, field in zip(zip(*rows, strict=True), plan.schema, strict=True)]
    return pa.Table.from_arrays(columns, names=[field.name for field in plan.schema])


def arrow_column(values: Sequence[LiteralValue], type: SqlType) -> pa.Array:
    """Constants of one type as a column."""
    wanted = arrow_type(type)
    match type:
        case Decimal() | Integer(bits=128):
            scale = type.scale if isinstance(type, Decimal) else 0
            context = decimal.Context(prec=80)
            scaled = [None if value is None else decimal.Decimal(value).scaleb(-scale, context) for value in values]  # type: ignore[arg-type]
            try:
                return pa.array(scaled, wanted)
            except pa.ArrowInvalid as error:
                limit = 10**38 if isinstance(type, Integer) else 10 ** (type.precision - type.scale)
                message = f"a value is out of range: a column of type {type} holds numbers below {limit:,} here"
                raise ExecutionError(message) from error
        case Date():
            return pa.array(values, pa.int32()).cast(wanted)
        case Timestamp():
            return pa.array(values, pa.int64()).cast(wanted)
        case _:
            return pa.array(values, wanted)
