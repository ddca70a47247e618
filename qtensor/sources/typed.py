"""Rows whose SQL types are known: those of a relation, and of tables that statements made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

import pyarrow as pa

from qtensor.sources.arrow import ArrowSource
from qtensor.sources.held import Reference
from qtensor.types import Array, Field, Schema, SqlType, Unsupported


class TypedSource(ArrowSource):
    """Rows of exactly these SQL types, of which Arrow's tell less: HUGEINT and DECIMAL(38,0) are one Arrow type."""

    def __init__(self, fields: Schema, rows: pa.Table) -> None:
        self.fields = fields
        self.rows = rows.num_rows
        self._table = rows
        self._valid = True


class TypedRows(ABC):
    """What tells its rows' SQL types when it is named as a table: a relation."""

    @property
    @abstractmethod
    def fields(self) -> Schema:
        """Names and types of the columns."""

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

    def __init__(self, relation: TypedRows, reference: Reference) -> None:
        """reference: to `relation`."""
        self._relation = reference
        self._state = relation.state()
        super().__init__(tuple(Field(field.name, _readable(field.type)) for field in relation.fields), relation.arrow())

    def is_current(self, indices: Collection[int]) -> bool:
        relation = self._relation()
        return relation is not None and relation.state() is self._state


def _readable(type: SqlType) -> SqlType:
    """The type as columns of tables have it: there are none of scores."""
    remedy = "call the model in the query that reads it, or in a view or subquery of that"
    return Unsupported(str(type), remedy) if isinstance(type, Array) else type
