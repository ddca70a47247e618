"""Rows as batches of arrays, for training: a query run once, its columns handed on piece by piece, epoch after epoch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import DataError, suggestion
from qtensor.results.fetching import jax_ready
from qtensor.results.libraries import needs
from qtensor.types import Field, Schema, Varchar, distinct_names

Columns: TypeAlias = dict[str, NDArray[Any]]
Batch: TypeAlias = Columns | tuple[Columns, NDArray[Any]]


class Rows(Protocol):
    """What is asked of a relation."""

    @property
    def fields(self) -> Schema: ...

    def arrow(self) -> pa.Table: ...


def batches(
    relation: Rows,
    batch_size: int,
    *,
    label: str | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    drop_last: bool = False,
) -> Batches:
    """The rows of a query as batches that Keras, JAX and NumPy train on: iterate over them once an epoch.

    A batch is a dictionary of arrays [batch_size], of ARRAYs [batch_size, length], under the columns' names; with `label` a pair
    of that without this column, and of its array. The query runs once, here; without `shuffle`, batches are views of its columns.
    Floats are NaN where they are NULL, texts are objects.
    label: the column that a model learns to tell.
    shuffle: whether each epoch takes the rows in another order, which `seed` decides.
    drop_last: whether rows that fill no batch are left out.

    Raises DataError: a size that is no number from 1 on, no such column, a column of another type, NULLs that no array can hold.

    >>> import qtensor
    >>> rows = qtensor.sql("SELECT * FROM (VALUES (1, 2.5, 0), (2, 3.5, 1), (3, 4.5, 1)) AS t(a, b, y)")
    >>> [(sorted(columns), y.tolist()) for columns, y in qtensor.batches(rows, 2, label="y")]
    [(['a', 'b'], [0, 1]), (['a', 'b'], [1])]
    """
    if type(batch_size) is not int or batch_size < 1:
        raise DataError(f"batch_size is a number from 1 on, not {batch_size!r}")
    table, schema = relation.arrow(), relation.fields
    names = distinct_names([field.name for field in schema])
    if label is not None and label not in names:
        raise DataError(f'there is no column "{label}" to be the label. {suggestion(label, names)}'.rstrip())
    columns = {name: _array(field, column) for name, field, column in zip(names, schema, table.columns, strict=True)}
    return Batches(columns, table.num_rows, batch_size, label, shuffle, drop_last, np.random.default_rng(seed))


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of `rows` rows; each iteration is an epoch."""

    columns: Columns
    rows: int
    batch_size: int
    label: str | None
    shuffle: bool
    drop_last: bool
    generator: np.random.Generator

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.generator.permutation(self.rows) if self.shuffle else None
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            taken: Any = slice(first, first + self.batch_size)
            yield self._split({name: array[taken if order is None else order[taken]] for name, array in self.columns.items()})

    def _split(self, columns: Columns) -> Batch:
        if self.label is None:
            return columns
        return {name: array for name, array in columns.items() if name != self.label}, columns[self.label]

    def tf(self) -> Any:
        """The same as a `tf.data.Dataset` of one epoch an iteration, for `keras.Model.fit`. Raises DataError: no TensorFlow."""
        needs("tensorflow", "tf()")
        tf = importlib.import_module("tensorflow")
        specs = {
            name: tf.TensorSpec((None, *array.shape[1:]), tf.string if array.dtype == object else array.dtype)
            for name, array in self.columns.items()
        }
        dataset = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=self._split(specs))
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(tf.data.AUTOTUNE)

    def matrix(self, names: Sequence[str] | None = None, dtype: Any = np.float32) -> Iterator[Any]:
        """The batches as matrices [batch_size, features] of the columns `names`, by default all but the label, in their order, an
        ARRAY being as many features as it is long; with a label pairs of one and its array.

        Raises DataError: no such column, or one of text.
        """
        chosen = [name for name in self.columns if name != self.label] if names is None else list(names)
        for name in chosen:
            if name not in self.columns:
                raise DataError(f'there is no column "{name}". {suggestion(name, list(self.columns))}'.rstrip())
            if self.columns[name].dtype == object:
                raise DataError(f'column "{name}" is text, which a matrix cannot hold: name the columns of numbers')
        for batch in self:
            columns, labels = batch if isinstance(batch, tuple) else (batch, None)
            rows = np.concatenate([columns[name].reshape(len(columns[name]), -1).astype(dtype) for name in chosen], axis=1)
            yield rows if labels is None else (rows, labels)


def _array(field: Field, column: Any) -> NDArray[Any]:
    """A column as an array that a model can be trained on."""
    if not isinstance(field.type, Varchar):
        return jax_ready(field.name, column, field.type)
    if column.null_count:
        raise DataError(f'column "{field.name}" has NULLs, which are no texts: use coalesce')
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return values
