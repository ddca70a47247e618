"""SUMMARIZE: statistics of each column, by one query of aggregates over the rows."""

from __future__ import annotations

import decimal
import math

import numpy as np
import pyarrow as pa

from qtensor.catalog import Registry, Scope
from qtensor.run.prepared import Query
from qtensor.run.session import Session
from qtensor.statement import Column, TableDefinition
from qtensor.statements.created import CreatedTable
from qtensor.statements.result import Result, answer
from qtensor.streaming.prepare import prepare, rows_of
from qtensor.types import (
    BIGINT,
    DOUBLE,
    VARCHAR,
    Boolean,
    Date,
    Decimal,
    Field,
    Float,
    Integer,
    Null,
    Schema,
    SqlType,
    Timestamp,
    Varchar,
)
from qtensor.values.texts import format_value

_TEXTS = ("column_name", "column_type", "min", "max")
_SPREAD = ("avg", "std", "q25", "q50", "q75")
_PERCENTAGE = Decimal(9, 2)
_SCHEMA = (
    *(Field(name, VARCHAR) for name in _TEXTS),
    Field("approx_unique", BIGINT),
    *(Field(name, VARCHAR) for name in _SPREAD),
    Field("count", BIGINT),
    Field("null_percentage", _PERCENTAGE),
)
_QUANTILES = (0.25, 0.5, 0.75)


def summarize(session: Session, schema: Schema, rows: pa.Table) -> Result:
    """A row for each column of `rows`, whose SQL types `schema` tells.

    Unlike DuckDB's, the number of different values is exact, and so are the quartiles: of numbers interpolated, of dates the
    values that are there.
    """
    fields = [Field(f"c{number}", field.type) for number, field in enumerate(schema)]
    definition = TableDefinition("rows", tuple(Column(field.name, field.type) for field in fields))
    registry = Registry()
    registry.create(CreatedTable(definition, rows.rename_columns([field.name for field in fields])))
    asked = ", ".join(expression for field in fields for expression in statistics_of(field))
    prepared = prepare(session, Query(f"SELECT {asked} FROM rows"), Scope(registry, {}), {})
    found = rows_of(session, prepared)
    values = [shown(column[0], field.type) for column, field in zip(found.columns, prepared.schema, strict=True)]
    columns: list[list[object]] = [[] for _ in _SCHEMA]
    for position, field in enumerate(schema):
        row = summary_row(field, values[position * 9 : position * 9 + 9], rows.num_rows)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    types = [
        pa.decimal128(9, 2) if field.type == _PERCENTAGE else pa.int64() if field.type == BIGINT else pa.string()
        for field in _SCHEMA
    ]
    return answer(_SCHEMA, [pa.array(column, type) for column, type in zip(columns, types, strict=True)])


def statistics_of(field: Field) -> list[str]:
    """Nine aggregates: min, max, different values, avg, std, three quartiles, values that are not NULL."""
    name = field.name
    least = [f"min({name})", f"max({name})", f"count(DISTINCT {name})"]
    match field.type:
        case Float() | Decimal() | Integer():
            spread = [f"avg({name})", f"stddev({name})", *(f"quantile_cont({name}, {q})" for q in _QUANTILES)]
        case Date() | Timestamp():
            spread = [f"avg({name})", "NULL", *(f"quantile_disc({name}, {q})" for q in _QUANTILES)]
        case Null():
            least, spread = ["NULL", "NULL", "0"], ["NULL"] * 5
        case _:
            spread = ["NULL"] * 5
    return [*least, *spread, f"count({name})"]


def summary_row(field: Field, values: list[str | None], rows: int) -> list[object]:
    """The row of one column. values: the texts of `statistics_of`."""
    least, greatest, distinct, *spread, count = values
    if isinstance(field.type, Integer):  # quartiles of whole numbers are shown as such
        spread[2:] = [None if text is None else str(math.floor(float(text) + 0.5)) for text in spread[2:]]
    missing = None
    if rows:
        share = decimal.Decimal(100 * (rows - int(count or 0))) / rows
        missing = share.quantize(decimal.Decimal("0.01"), decimal.ROUND_HALF_UP)
    return [field.name, str(field.type), least, greatest, int(distinct or 0), *spread, rows, missing]


def shown(value: pa.Scalar, type: SqlType) -> str | None:
    """A value as CAST to VARCHAR writes it; a FLOAT with as few digits as tell it from others."""
    if not value.is_valid:
        return None
    match type:
        case Float(32):
            return str(np.float32(value.as_py()))
        case Date():
            return format_value(value.cast(pa.int32()).as_py(), type)
        case Timestamp():
            return format_value(value.cast(pa.int64()).as_py(), type)
        case Decimal(scale=scale):
            return format_value(int(value.as_py().scaleb(scale, decimal.Context(prec=80))), type)
        case Integer():
            return str(int(value.as_py()))
        case Float() | Boolean() | Varchar():
            return format_value(value.as_py(), DOUBLE if isinstance(type, Float) else type)
        case _:
            return None
