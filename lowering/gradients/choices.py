"""Values that are chosen among several by what is differentiated: classes of models, and texts of softened CASEs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from qtensor.errors import InternalError
from qtensor.expressions import Case, ColumnRef, Expr, Predict
from qtensor.lowering.expressions.expressions import place_of
from qtensor.lowering.gradients.expressions import taken_shares
from qtensor.lowering.gradients.fixed import FixedParts
from qtensor.lowering.gradients.given import Given
from qtensor.lowering.gradients.models import class_probabilities, output_of
from qtensor.lowering.gradients.rows import Choice, Rows
from qtensor.lowering.storage import arrow_type
from qtensor.optimise.rewriting import columns_of, transform
from qtensor.types import Array as ArrayType
from qtensor.types import Boolean, Decimal, Float, Integer, SqlType, Varchar


def with_choices_made(fixed: FixedParts, rows: Rows, exprs: Sequence[Expr], passed_on: bool = False) -> tuple[Rows, list[Expr]]:
    """Rows in which each choice that expressions compute with is made: one row for each of its values, by its probability.

    Classes of models and texts of softened CASEs become columns first. passed_on: a column that is an expression by itself
    is left as it is.
    """
    made: dict[Expr, ColumnRef] = {}

    def placed(expr: Expr) -> Expr:
        nonlocal rows
        if not is_choice(fixed.given, expr, rows):
            return expr
        if expr not in made:
            choice = choice_of(fixed, rows, expr)
            made[expr] = ColumnRef(len(rows.fields), expr.type)
            rows = rows.with_free(choice, expr.type)
        return made[expr]

    exprs = [transform(expr, placed) for expr in exprs]
    used = [expr for expr in exprs if not (passed_on and isinstance(expr, ColumnRef))]
    for position in sorted(columns_of(*used)):
        if isinstance(rows.free.get(position), Choice):
            rows = rows.chosen(position)
    return rows, exprs


def is_choice(given: Given, expr: Expr, rows: Rows) -> bool:
    """Whether an expression chooses one of several values, and is no number."""
    if not given.is_free(expr, rows.free.keys()):
        return False
    match expr:
        case Predict(type=Integer() | Varchar()):
            output = output_of(given.models[expr.model], expr)
            return output.classes is not None or output.labels is not None
        case Case(type=type):
            return not is_number(type)
        case _:
            return False


def choice_of(fixed: FixedParts, rows: Rows, expr: Expr) -> Choice:
    """What an expression chooses.

    Raises UnsupportedError: there is no temperature to soften it by.
    """
    span = place_of(expr)
    match expr:
        case Predict():
            if fixed.given.soft is None:
                raise fixed.given.refuse(f'not differentiable: the class that the model "{expr.model}" gives', span)
            evaluated = fixed.expressions(rows, expr.arguments)
            arguments = [evaluated.number(argument) for argument in expr.arguments]
            probabilities, valid = class_probabilities(fixed.given, expr, arguments, rows.count)
            labels = output_of(fixed.given.models[expr.model], expr).labels
            mask = None if valid is None else ~valid
            values = [
                constant(number if labels is None else labels[number], expr.type, rows.count, mask)
                for number in range(len(probabilities))
            ]
            return Choice(tuple(probabilities), tuple(values))
        case Case(branches=branches, otherwise=otherwise):
            if any(fixed.given.is_free(value, rows.free.keys()) for value in (*(value for _, value in branches), otherwise)):
                raise fixed.given.refuse(f"not differentiable: a CASE of {expr.type} over what is differentiated", span)
            evaluated = fixed.expressions(rows, [condition for condition, _ in branches])
            shares = taken_shares([evaluated.truth(condition) for condition, _ in branches])
            columns = [values_of(fixed, rows, value) for value in (*(value for _, value in branches), otherwise)]
            return Choice(tuple(jnp.broadcast_to(share, (rows.count,)) for share in shares), tuple(columns))
        case _:
            raise InternalError("no choice")


def values_of(fixed: FixedParts, rows: Rows, expr: Expr) -> pa.Array:
    column = fixed.column(rows, expr)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def is_number(type: SqlType) -> bool:
    return isinstance(type, Integer | Decimal | Float | Boolean | ArrayType)


def constant(value: int | str, type: SqlType, count: int, mask: Any) -> pa.Array:
    """A column of one value, NULL where `mask`."""
    whole = pa.repeat(pa.scalar(value, arrow_type(type)), count)
    return whole if mask is None else whole.take(pa.array(np.zeros(count, np.int64), mask=mask))
