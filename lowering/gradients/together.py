"""Rows put together: the pairs of a join by the numbers of their rows, and the branches of a UNION."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from qtensor.errors import UnsupportedError
from qtensor.lowering.gradients.expressions import free_numbers
from qtensor.lowering.gradients.rows import Choice, Free, Mask, Number, Places, Rows, chunks
from qtensor.types import Schema


def numbers_of(column: pa.ChunkedArray) -> tuple[Places, Mask | None]:
    """Numbers of rows, and where there is one (None: everywhere)."""
    if not column.null_count:
        return column.to_numpy(), None
    there = np.asarray(column.is_valid())
    return column.fill_null(0).to_numpy(), there


def first_columns(rows: Rows, fields: Schema) -> Rows:
    """Rows with their first columns only, those that were there before choices were made."""
    if len(rows.fields) == len(fields):
        return rows
    kept = [rows.column(position) for position in range(len(fields)) if position not in rows.free]
    free = {position: column for position, column in rows.free.items() if position < len(fields)}
    return Rows.of(fields, kept, free, rows.count, rows.weight)


def union(branches: Sequence[Rows], schema: Schema) -> Rows:
    """All rows of some, one behind the other; a column that is free in one is free in all."""
    count = sum(branch.count for branch in branches)
    free_positions = {position for branch in branches for position in branch.free}
    free: dict[int, Free] = {}
    columns = []
    for position, one in enumerate(schema):
        if position not in free_positions:
            columns.append(pa.chunked_array([part for branch in branches for part in chunks(branch.column(position))]))
            continue
        numbers = [
            branch.free[position] if position in branch.free else free_numbers(branch.column(position), one.type)
            for branch in branches
        ]
        free[position] = joined([number_of(number) for number in numbers], [branch.count for branch in branches])
    weight = None
    if any(branch.weight is not None for branch in branches):
        weight = jnp.concatenate([jnp.ones(one.count) if one.weight is None else one.weight for one in branches])
    return Rows.of(schema, columns, free, count, weight)


def number_of(column: Free) -> Number:
    if isinstance(column, Choice):
        raise UnsupportedError("not differentiable: classes of models in a UNION; count them in its branches")
    return column


def joined(numbers: Sequence[Number], counts: Sequence[int]) -> Number:
    """Columns one behind the other."""
    valid = None
    if any(number.valid is not None for number in numbers):
        valid = np.concatenate(
            [np.ones(count, np.bool_) if one.valid is None else one.valid for one, count in zip(numbers, counts, strict=True)]
        )
    present = None
    if any(number.present is not None for number in numbers):
        present = jnp.concatenate(
            [jnp.ones(count) if one.present is None else one.present for one, count in zip(numbers, counts, strict=True)]
        )
    return Number(jnp.concatenate([number.data for number in numbers], axis=-1), valid, present)
