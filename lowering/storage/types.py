"""Which SQL type an Arrow column has, and as which Arrow type a result of a SQL type is given back."""

from __future__ import annotations

import functools
import re
from typing import assert_never

import pyarrow as pa
import pyarrow.types as arrow

from qtensor.errors import UnsupportedError
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    INTEGER,
    NULL,
    SMALLINT,
    TIMESTAMP,
    TINYINT,
    UBIGINT,
    UINTEGER,
    USMALLINT,
    UTINYINT,
    VARCHAR,
    Array,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    Interval,
    Null,
    SqlType,
    Timestamp,
    Unsupported,
    Varchar,
)

_MAXIMUM_DECIMAL_DIGITS = 38
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_EXTENSIONS = {"arrow.uuid": "UUID", "arrow.json": "JSON"}

_SCALARS: dict[pa.DataType, SqlType] = {
    pa.null(): NULL,
    pa.bool_(): BOOLEAN,
    pa.int8(): TINYINT,
    pa.int16(): SMALLINT,
    pa.int32(): INTEGER,
    pa.int64(): BIGINT,
    pa.uint8(): UTINYINT,
    pa.uint16(): USMALLINT,
    pa.uint32(): UINTEGER,
    pa.uint64(): UBIGINT,
    pa.float16(): FLOAT,
    pa.float32(): FLOAT,
    pa.float64(): DOUBLE,
    pa.date32(): DATE,
    pa.date64(): DATE,
    pa.string(): VARCHAR,
    pa.large_string(): VARCHAR,
    pa.string_view(): VARCHAR,
}

_ARROW = {type: arrow_type for arrow_type, type in _SCALARS.items()} | {
    FLOAT: pa.float32(),
    DATE: pa.date32(),
    VARCHAR: pa.string(),
}


def sql_type(type: pa.DataType) -> SqlType:
    """The SQL type of a column of Arrow type `type`; a dictionary-encoded column has the type of its values.

    >>> print(sql_type(pa.decimal128(15, 2)), sql_type(pa.list_(pa.int8())))
    DECIMAL(15,2) TINYINT[]
    >>> sql_type(pa.time32("s"))
    Unsupported(name='TIME', remedy='cast it to an integer', arrow=Time32Type(time32[s]))
    """
    if type in _SCALARS:
        return _SCALARS[type]
    if arrow.is_dictionary(type):
        return sql_type(type.value_type)
    if arrow.is_decimal(type) and 0 <= type.scale <= type.precision <= _MAXIMUM_DECIMAL_DIGITS:
        return Decimal(type.precision, type.scale)
    if arrow.is_timestamp(type) and type.tz is None:
        return TIMESTAMP
    return Unsupported(_name(type), _remedy(type), type.value_type if arrow.is_run_end_encoded(type) else type)


def _name(type: pa.DataType) -> str:
    """What DuckDB calls a type that is not supported; of those that it does not know either, what Arrow calls them."""
    if arrow.is_timestamp(type):
        return "TIMESTAMPTZ_NS" if type.unit == "ns" else "TIMESTAMP WITH TIME ZONE"
    if arrow.is_time(type):
        return "TIME_NS" if type == pa.time64("ns") else "TIME"
    if arrow.is_duration(type) or arrow.is_interval(type):
        return "INTERVAL"
    if arrow.is_binary(type) or arrow.is_large_binary(type) or arrow.is_binary_view(type) or arrow.is_fixed_size_binary(type):
        return "BLOB"
    if arrow.is_struct(type):
        names = (field.name if _PLAIN_NAME.fullmatch(field.name) else f'"{field.name}"' for field in type)
        return f"STRUCT({', '.join(f'{name} {sql_type(field.type)}' for name, field in zip(names, type, strict=True))})"
    if arrow.is_map(type):
        return f"MAP({sql_type(type.key_type)}, {sql_type(type.item_type)})"
    if arrow.is_fixed_size_list(type):
        return f"{sql_type(type.value_type)}[{type.list_size}]"
    if arrow.is_nested(type) and not arrow.is_union(type):
        return f"{sql_type(type.value_type)}[]"
    return _EXTENSIONS.get(getattr(type, "extension_name", ""), str(type))


def _remedy(type: pa.DataType) -> str:
    """What to do about a column of unsupported type `type`."""
    if arrow.is_timestamp(type):
        return f"cast it to timestamp[{type.unit}] without a time zone"
    if arrow.is_decimal(type):
        return "cast it to a decimal of at most 38 digits and a scale between 0 and its precision"
    if arrow.is_time(type) or arrow.is_duration(type):
        return "cast it to an integer"
    if arrow.is_binary(type) or arrow.is_large_binary(type) or arrow.is_binary_view(type) or arrow.is_fixed_size_binary(type):
        return "cast it to string if it holds UTF-8 text, or drop it"
    if arrow.is_struct(type):
        return "flatten it to one column for each field, or drop it"
    if arrow.is_nested(type):
        return "give each element a column of its own, or drop it"
    return "cast it to a number, string, date or timestamp, or drop it"


@functools.cache
def arrow_type(type: SqlType) -> pa.DataType:
    """The Arrow type that results of SQL type `type` have, the one that DuckDB exports."""
    match type:
        case Integer(bits=128):
            return pa.decimal128(_MAXIMUM_DECIMAL_DIGITS, 0)
        case Varchar():
            return pa.string()
        case Null() | Boolean() | Integer() | Float() | Date():
            return _ARROW[type]
        case Decimal(precision, scale):
            return pa.decimal128(precision, scale)
        case Timestamp():
            return pa.timestamp("us")
        case Array(element, length):
            return pa.list_(arrow_type(element), length)
        case Interval():
            raise UnsupportedError("not supported yet: a column of type INTERVAL; add it to a date or a timestamp")
        case Unsupported(arrow=known) if known is not None:
            return known
        case Unsupported(name, remedy):
            raise UnsupportedError(f"not supported yet: a column of type {name}; {remedy}")
        case _:
            assert_never(type)
