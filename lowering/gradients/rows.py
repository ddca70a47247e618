"""Rows of which some columns are known before weights are, and others are arrays that JAX differentiates.

What does not depend on what is differentiated is *fixed*: the engine computes it, and it is an Arrow column. All else is *free*.
Which rows there are, and which values of a free column are NULL, is fixed. A row may have a weight, though: how much of it passed
conditions that were softened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.types import BIGINT, Field, Float, Schema, SqlType

Array: TypeAlias = jax.Array
Mask: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.int64]

ROW = "#row"


@dataclass(frozen=True)
class Number:
    """A free column of numbers: data [rows], of an ARRAY [length, rows], or a scalar; which rows are not NULL (None: all).

    Integers and decimals among them are their real values, BOOLEANs how much they are true. present: how much each value is
    there, where a softened CASE may also give NULL; None: all of it.
    """

    data: Array
    valid: Mask | None = None
    present: Array | None = None

    def taken(self, places: Places, there: Mask | None) -> Number:
        """The values at other places; NULL where there is no row (`there`)."""

        def at(values: Array) -> Array:
            return values if values.ndim == 0 else jnp.take(values, places, axis=-1, mode="clip")

        valid = both(None if self.valid is None else self.valid[places], there)
        return Number(at(self.data), valid, None if self.present is None else at(self.present))


@dataclass(frozen=True)
class Choice:
    """A free column of which a row has one of several fixed values: probabilities [values][rows], and the values."""

    probabilities: tuple[Array, ...]
    values: tuple[pa.Array, ...]

    def taken(self, places: Places, there: Mask | None) -> Choice:
        mask = None if there is None else ~there
        values = tuple(values.take(pa.array(places, mask=mask)) for values in self.values)
        return replace(
            self, probabilities=tuple(jnp.take(part, places, mode="clip") for part in self.probabilities), values=values
        )


Free: TypeAlias = Number | Choice


@dataclass(frozen=True)
class Rows:
    """Rows with their columns by position: those not in `free` are in `fixed`, in order, and behind them the row's number.

    weight: how much of each row there is, [rows]; None: all of it.
    """

    fields: Schema
    fixed: pa.Table
    free: dict[int, Free]
    weight: Array | None = None

    @staticmethod
    def of(
        fields: Schema, columns: list[pa.Array | pa.ChunkedArray], free: dict[int, Free], rows: int, weight: Array | None
    ) -> Rows:
        """columns: the fixed ones, in order."""
        numbers = pa.array(np.arange(rows, dtype=np.int64))
        return Rows(fields, pa.table([*columns, numbers], [*(f"c{i}" for i in range(len(columns))), ROW]), free, weight)

    @property
    def count(self) -> int:
        return int(self.fixed.num_rows)

    @property
    def places(self) -> dict[int, int]:
        """Where the fixed columns stand in `fixed`, by their positions."""
        fixed = [position for position in range(len(self.fields)) if position not in self.free]
        return {position: place for place, position in enumerate(fixed)}

    @property
    def fixed_fields(self) -> Schema:
        """Names and types of the columns of `fixed`."""
        return (*(self.fields[position] for position in self.places), Field(ROW, BIGINT))

    def column(self, position: int) -> pa.ChunkedArray:
        """A fixed column."""
        return self.fixed.column(self.places[position])

    def taken(self, places: Places, there: Mask | None = None) -> Rows:
        """Rows at other places; all NULL where there is none (`there`)."""
        table = self.fixed.take(pa.array(places, mask=None if there is None else ~there))
        free = {position: column.taken(places, there) for position, column in self.free.items()}
        weight = None if self.weight is None else jnp.take(self.weight, places, mode="clip")
        return Rows.of(self.fields, list(table.columns[:-1]), free, len(places), weight)

    def beside(self, other: Rows, fields: Schema) -> Rows:
        """Rows of as many other ones, side by side."""
        free = {**self.free, **{position + len(self.fields): column for position, column in other.free.items()}}
        columns = [*self.fixed.columns[:-1], *other.fixed.columns[:-1]]
        return Rows.of(fields, columns, free, self.count, times(self.weight, other.weight))

    def with_free(self, column: Free, type: SqlType) -> Rows:
        """One more column behind the others."""
        return replace(self, fields=(*self.fields, Field("", type)), free={**self.free, len(self.fields): column})

    def with_fixed(self, columns: list[pa.Array], types: list[SqlType]) -> Rows:
        """Fixed columns behind the others."""
        fields = (*self.fields, *(Field("", type) for type in types))
        return Rows.of(fields, [*self.fixed.columns[:-1], *columns], self.free, self.count, self.weight)

    def chosen(self, position: int) -> Rows:
        """Each row once for each value of a choice, with its probability as weight: the column is fixed then."""
        choice = self.free[position]
        assert isinstance(choice, Choice)
        count, values = self.count, len(choice.values)
        places = np.repeat(np.arange(count), values)
        rows = replace(self, free={p: column for p, column in self.free.items() if p != position})
        column = pa.chunked_array([part for value in choice.values for part in chunks(value)], choice.values[0].type)
        at = (np.arange(values)[None, :] * count + np.arange(count)[:, None]).reshape(-1)
        columns = list(self.fixed.columns[:-1])
        columns.insert(sum(p not in self.free for p in range(position)), choice.values[0])
        taken = Rows.of(rows.fields, columns, rows.free, count, self.weight).taken(places)
        place = taken.places[position]
        fixed = taken.fixed.set_column(place, f"c{place}", column.take(pa.array(at)))
        probability = jnp.stack(choice.probabilities, axis=1).reshape(-1)
        return replace(taken, fixed=fixed, weight=times(taken.weight, probability))


def chunks(values: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return values.chunks if isinstance(values, pa.ChunkedArray) else [values]


def both(left: Mask | None, right: Mask | None) -> Mask | None:
    """Where both hold; None holds everywhere."""
    return right if left is None else left if right is None else left & right


def times(left: Array | None, right: Array | None) -> Array | None:
    """The product of two weights; None is 1."""
    return right if left is None else left if right is None else left * right


def dtype_of(type: SqlType) -> np.dtype[np.floating]:
    """The type in which free values of a SQL type are computed: FLOAT in float32, all others in float64."""
    return np.dtype(np.float32 if type == Float(32) else np.float64)
