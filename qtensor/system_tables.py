"""Tables that describe a connection: its tables, views and their columns, under DuckDB's names, as far as they mean something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from qtensor.statement import Column, TableDefinition
from qtensor.types import Decimal, Float, Integer, Schema, SqlType


@dataclass(frozen=True)
class Listed:
    """A table or view of the connection. definition: what CREATE TABLE said; sql: the query of a view."""

    name: str
    schema: Schema
    rows: int = 0
    definition: TableDefinition | None = None
    sql: str | None = None

    @property
    def database(self) -> str:
        """Where DuckDB has it: what was registered is a temporary view."""
        return "memory" if self.definition is not None or self.sql is not None else "temp"

    @property
    def columns(self) -> Sequence[Column]:
        return self.definition.columns if self.definition is not None else [Column(item.name, item.type) for item in self.schema]


Row = dict[str, object]


def information_tables(listed: Iterable[Listed]) -> Iterator[Row]:
    for table in listed:
        is_table = table.definition is not None
        yield {
            "table_catalog": table.database,
            "table_schema": "main",
            "table_name": table.name,
            "table_type": "BASE TABLE" if is_table else "VIEW",
            "is_insertable_into": "YES" if is_table else "NO",
            "is_typed": "NO",
        }


def information_columns(listed: Iterable[Listed]) -> Iterator[Row]:
    for table in listed:
        for position, column in enumerate(table.columns, 1):
            yield {
                "table_catalog": table.database,
                "table_schema": "main",
                "table_name": table.name,
                "column_name": column.name,
                "ordinal_position": position,
                "column_default": column.shown,
                "is_nullable": "YES" if column.nullable else "NO",
                "data_type": str(column.type),
                **precision_of(column.type),
            }


def duckdb_tables(listed: Iterable[Listed]) -> Iterator[Row]:
    for table in listed:
        if table.definition is not None:
            yield {
                "database_name": table.database,
                "schema_name": "main",
                "table_name": table.name,
                "internal": False,
                "temporary": False,
                "has_primary_key": any(key.primary for key in table.definition.keys),
                "estimated_size": table.rows,
                "column_count": len(table.columns),
                "index_count": len(table.definition.keys),
            }


def duckdb_views(listed: Iterable[Listed]) -> Iterator[Row]:
    for table in listed:
        if table.definition is None:
            yield {
                "database_name": table.database,
                "schema_name": "main",
                "view_name": table.name,
                "internal": False,
                "temporary": table.sql is None,
                "column_count": len(table.columns),
            }


def duckdb_columns(listed: Iterable[Listed]) -> Iterator[Row]:
    for table in listed:
        for position, column in enumerate(table.columns, 1):
            yield {
                "database_name": table.database,
                "schema_name": "main",
                "table_name": table.name,
                "column_name": column.name,
                "column_index": position,
                "internal": False,
                "column_default": column.shown,
                "is_nullable": column.nullable,
                "data_type": str(column.type),
                **precision_of(column.type),
            }


def precision_of(type: SqlType) -> Row:
    """The digits of a number, the base in which they are counted, and how many of them stand behind the point."""
    names = ("numeric_precision", "numeric_precision_radix", "numeric_scale")
    match type:
        case Integer(bits=bits, signed=True):
            return dict(zip(names, (bits, 2, 0), strict=True))
        case Decimal(precision, scale):
            return dict(zip(names, (precision, 10, scale), strict=True))
        case Float(bits=bits):
            return dict(zip(names, (24 if bits == 32 else 53, 2, 0), strict=True))
        case _:
            return dict.fromkeys(names)


_NUMBERS = {"ordinal_position": pa.int32(), "column_index": pa.int32(), "estimated_size": pa.int64(), "column_count": pa.int64()}
_NUMBERS |= {"index_count": pa.int64(), **dict.fromkeys(precision_of(Integer(8)), pa.int32())}
_TRUTHS = ("internal", "temporary", "has_primary_key")

# The columns of each, and what makes its rows.
TABLES: dict[str, tuple[str, Callable[[Iterable[Listed]], Iterator[Row]]]] = {
    "information_schema.tables": (
        "table_catalog table_schema table_name table_type is_insertable_into is_typed",
        information_tables,
    ),
    "information_schema.columns": (
        "table_catalog table_schema table_name column_name ordinal_position column_default is_nullable data_type "
        "numeric_precision numeric_precision_radix numeric_scale",
        information_columns,
    ),
    "duckdb_tables()": (
        "database_name schema_name table_name internal temporary has_primary_key estimated_size column_count index_count",
        duckdb_tables,
    ),
    "duckdb_views()": ("database_name schema_name view_name internal temporary column_count", duckdb_views),
    "duckdb_columns()": (
        "database_name schema_name table_name column_name column_index internal column_default is_nullable data_type "
        "numeric_precision numeric_precision_radix numeric_scale",
        duckdb_columns,
    ),
}


def rows_of(name: str, listed: Iterable[Listed]) -> pa.Table:
    """The system table `name`, one of TABLES, of a connection that has `listed`."""
    columns, rows = TABLES[name]
    made = list(rows(listed))
    arrays = {column: pa.array([row[column] for row in made], type_of(name, column)) for column in columns.split()}
    return pa.table(arrays)


def type_of(name: str, column: str) -> pa.DataType:
    is_truth = column in _TRUTHS or (column == "is_nullable" and name == "duckdb_columns()")
    return pa.bool_() if is_truth else _NUMBERS.get(column, pa.string())
