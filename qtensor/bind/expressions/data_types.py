"""The types that CAST may name."""

from __future__ import annotations

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.text.syntax import whole_number
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

_TIMESTAMPS = frozenset((exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.DATETIME))
_MICROSECONDS = (4, 5, 6)  # digits after the seconds, which make it a TIMESTAMP as any other
_FIXED = frozenset(kind for kind, type in _TYPES.items() if type not in (TIMESTAMP, VARCHAR, FLOAT, INTERVAL))

# Names that sqlglot takes for those of users' types.
_BY_BITS = {"uint8": UTINYINT, "uint16": USMALLINT, "uint32": UINTEGER, "uint64": UBIGINT}


def unsupported_type(node: exp.Expr) -> str | None:
    """The name of the type that `node` names, if it is one that is known and not supported."""
    kind = node.this
    if kind in _TIMESTAMPS and node.expressions:
        digits = whole_number(node.expressions[0].name)
        return None if digits is None or digits in _MICROSECONDS else f"TIMESTAMP({digits})"
    if kind in _TYPES or kind in (exp.DType.DECIMAL, exp.DType.USERDEFINED):
        return None
    return str(node.args.get("kind") or node.sql("duckdb"))


def sql_type(context: Context, node: exp.Expr, span: Span | None) -> SqlType | None:
    """The type that `node` names; one that is not supported is remembered in `context`, and None returned.

    Raises:
        BindError: no such type, or one of impossible size.
    """
    name = unsupported_type(node)
    if name is not None:
        context.unsupported(f"the type {name}", span)
        return None
    kind = node.this
    if kind == exp.DType.DECIMAL:
        return _decimal(context, node, span)
    if kind in _TYPES:
        if node.expressions and kind in _FIXED:
            raise context.error(f"the type {_TYPES[kind]} takes no size", span)
        if kind in _TIMESTAMPS and any(whole_number(size.name) is None for size in node.expressions):
            raise context.error("a TIMESTAMP has a whole number of digits after the seconds", span)
        return _TYPES[kind]
    name = str(node.args.get("kind") or node.sql("duckdb"))
    if name.lower() in _BY_BITS:
        return _BY_BITS[name.lower()]
    raise context.error(f'no type "{name}"', span, suggestion(name, [str(known) for known in _TYPES.values()]))


def _decimal(context: Context, node: exp.Expr, span: Span | None) -> Decimal:
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
