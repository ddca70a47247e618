"""The types that CAST may name."""

from __future__ import annotations

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.syntax import whole_number
from qtensor.errors import Span, suggestion
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    HUGEINT,
    INTEGER,
    INTERVAL,
    SMALLINT,
    TIMESTAMP,
    TINYINT,
    UBIGINT,
    UINTEGER,
    USMALLINT,
    UTINYINT,
    VARCHAR,
    Decimal,
    SqlType,
)

_DECIMAL_DEFAULT = (18, 3)

_TYPES: dict[exp.DType, SqlType] = {
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.TINYINT: TINYINT,
    exp.DType.SMALLINT: SMALLINT,
    exp.DType.INT: INTEGER,
    exp.DType.BIGINT: BIGINT,
    exp.DType.INT128: HUGEINT,
    exp.DType.UTINYINT: UTINYINT,
    exp.DType.USMALLINT: USMALLINT,
    exp.DType.UINT: UINTEGER,
    exp.DType.UBIGINT: UBIGINT,
    exp.DType.FLOAT: FLOAT,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: TIMESTAMP,
    exp.DType.DATETIME: TIMESTAMP,
    exp.DType.VARCHAR: VARCHAR,
    exp.DType.NVARCHAR: VARCHAR,
    exp.DType.CHAR: VARCHAR,
    exp.DType.NCHAR: VARCHAR,
    exp.DType.BPCHAR: VARCHAR,
    exp.DType.TEXT: VARCHAR,
    exp.DType.INTERVAL: INTERVAL,
}

# Names that sqlglot takes for those of users' types.
_BY_BITS = {"uint8": UTINYINT, "uint16": USMALLINT, "uint32": UINTEGER, "uint64": UBIGINT}


def sql_type(context: Context, node: exp.Expr, span: Span | None) -> SqlType | None:
    """The type that `node` names; one that is not supported is remembered in `context`, and None returned.

    Raises:
        BindError: no such type, or a DECIMAL of impossible size.
    """
    kind = node.this
    if kind == exp.DType.DECIMAL:
        written = [whole_number(parameter.name) for parameter in node.expressions]
        sizes = [size for size in written if size is not None] or list(_DECIMAL_DEFAULT)
        if None in written:
            raise context.error("the precision and scale of a DECIMAL are whole numbers", span)
        precision, scale = (sizes[0], sizes[1] if len(sizes) > 1 else 0)
        if not 1 <= precision <= 38:
            raise context.error("a DECIMAL has 1 to 38 digits", span)
        if scale > precision:
            raise context.error("a DECIMAL cannot have more digits after the point than in all", span)
        return Decimal(precision, scale)
    if kind in _TYPES:
        return _TYPES[kind]
    name = str(node.args.get("kind") or node.sql("duckdb"))
    if kind == exp.DType.USERDEFINED:
        if name.lower() in _BY_BITS:
            return _BY_BITS[name.lower()]
        raise context.error(f'no type "{name}"', span, suggestion(name, [str(known) for known in _TYPES.values()]))
    context.unsupported(f"the type {name}", span)
    return None
