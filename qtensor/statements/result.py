"""What a statement answers: rows that are there, fetched as those of a query are."""

from __future__ import annotations

import os
from typing import NoReturn

import pyarrow as pa

from qtensor.errors import UnsupportedError
from qtensor.explain.levels import Level
from qtensor.logical import Plan
from qtensor.lowering.storage import arrow_type
from qtensor.relation import Relation
from qtensor.types import BIGINT, BOOLEAN, Field, Schema


class Result(Relation):
    """The rows that a statement answered when it ran; fetching them does not run it again."""

    def __init__(self, schema: Schema, rows: pa.Table, answers: bool) -> None:
        self._schema = schema
        self._rows = rows
        self.answers = answers

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self._rows

    def stream(self) -> pa.RecordBatchReader:
        """The rows as batches."""
        return self._rows.to_reader()

    def state(self) -> object:
        """The rows, which never change."""
        return self._rows

    def explain(self, level: Level = "physical") -> NoReturn:
        """Raises UnsupportedError: only queries are explained."""
        self._refuse("explained")

    def export(self, path: str | os.PathLike[str]) -> NoReturn:
        """Raises UnsupportedError: only queries are exported."""
        self._refuse("exported")

    def export_native(self, folder: str | os.PathLike[str], name: str = "score") -> NoReturn:
        """Raises UnsupportedError: only queries are exported."""
        self._refuse("exported")

    def plans(self) -> list[tuple[str, Plan]]:
        """Raises UnsupportedError: only queries have plans."""
        self._refuse("explained")

    def _refuse(self, what: str) -> NoReturn:
        raise UnsupportedError(f"a statement that has run cannot be {what}: only queries can")


def answer(schema: Schema, columns: list[pa.Array]) -> Result:
    """Rows that a statement was asked for."""
    return Result(schema, table_of(schema, columns), answers=True)


def counted(rows: int) -> Result:
    """How many rows a statement changed."""
    schema = (Field("Count", BIGINT),)
    return Result(schema, table_of(schema, [pa.array([rows], pa.int64())]), answers=False)


def created() -> Result:
    """What CREATE answers that reads no rows: none."""
    schema = (Field("Count", BIGINT),)
    return Result(schema, table_of(schema, [pa.array([], pa.int64())]), answers=False)


def dropped() -> Result:
    """What DROP answers: no row either."""
    schema = (Field("Success", BOOLEAN),)
    return Result(schema, table_of(schema, [pa.array([], pa.bool_())]), answers=False)


def table_of(schema: Schema, columns: list[pa.Array]) -> pa.Table:
    return pa.Table.from_arrays(columns, schema=arrow_schema(schema))


def empty_table(schema: Schema) -> pa.Table:
    """No rows of these columns."""
    return arrow_schema(schema).empty_table()


def arrow_schema(schema: Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, arrow_type(field.type)) for field in schema])
