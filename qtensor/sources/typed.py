"""Rows whose SQL types are known: those of a relation, and of tables that statements made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import ArrowSource
from qtensor.types import Array, Schema


class TypedSource(ArrowSource):
    """Rows of exactly these SQL types, of which Arrow's tell less: HUGEINT and DECIMAL(38,0) are one Arrow type."""

    def __init__(self, fields: Schema, rows: pa.Table) -> None:
        self.fields = fields
        self.rows = rows.num_rows
        self._table = rows

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        return [self._encoded(index, layout) for index in indices]

    def _encoded(self, index: int, layout: Layout) -> EncodedColumn:
        field = self.fields[index]
        if isinstance(field.type, Array):
            raise DataError(
                f'column "{field.name}" has type {field.type}, a model\'s scores, which tables do not have; '
                "call the model in this query, or in a subquery or view of it"
            )
        return encode_column(field.name, self._table.column(index), field.type, layout)


class TypedRows(ABC):
    """What tells its rows' SQL types when it is named as a table: a relation."""

    @property
    @abstractmethod
    def fields(self) -> Schema:
        """Names and types of the columns, no two names alike."""

    @abstractmethod
    def arrow(self) -> pa.Table:
        """The rows."""

    @abstractmethod
    def state(self) -> object:
        """What the rows are computed from: the same object as long as they stay what they are.

        Raises:
            DataError: they cannot be computed any more.
        """


class RelationSource(TypedSource):
    """The rows of a relation, computed when it is opened."""

    def __init__(self, relation: TypedRows) -> None:
        self._relation = relation
        self._state = relation.state()
        super().__init__(relation.fields, relation.arrow())

    def is_current(self, indices: Collection[int]) -> bool:
        return self._relation.state() is self._state
