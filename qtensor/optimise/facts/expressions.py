"""What rules may rely on about an expression: whether it can be an error, whether NULLs make it NULL or not true."""

from __future__ import annotations

from collections.abc import Set

from qtensor.expressions import MIRRORED, Call, Case, Cast, ColumnRef, Expr, Literal, OuterColumn, Predict, Subquery, children
from qtensor.functions.scalars.registry import SCALARS
from qtensor.types import Date, Decimal, Float, Integer, Null, SqlType, Timestamp

ARITHMETIC = frozenset(
    ("add", "subtract", "multiply", "divide", "floor_divide", "modulo", "negate", "abs", "add_interval", "subtract_interval")
)
# Functions that are NULL where any argument is, besides those of the table SCALARS.
STRICT = ARITHMETIC | {*MIRRORED, "not", "like", "ilike", "subscript"}


def may_raise(expr: Expr) -> bool:
    """Whether some value of a column makes `expr` an error; comparisons and logic of columns and literals never are."""
    match expr:
        case Subquery():
            return True
        case Predict(fails=True):
            return True
        case Cast(operand=operand, type=target, try_=try_) if not try_ and not always_converts(operand.type, target):
            return True
        case Call(function=function) if function in ARITHMETIC or (function in SCALARS and SCALARS[function].fails):
            return True
        case _:
            return any(may_raise(child) for child in children(expr))


def work_of(expr: Expr) -> int:
    """The multiply-adds of the models that `expr` calls for a row, each call counted once; 0 if it calls none."""
    return sum(call.work for call in calls_of(expr))


def calls_of(expr: Expr) -> set[Predict]:
    """All calls of models in `expr`."""
    own = {expr} if isinstance(expr, Predict) else set()
    return own.union(*map(calls_of, children(expr)))


def stays(expr: Expr) -> bool:
    """Whether a condition stays where it is: it may raise an error, or calls a model, of which `infer_early` knows the place."""
    return may_raise(expr) or bool(calls_of(expr))


def never_null(expr: Expr) -> bool:
    """Whether an expression always has a value, as far as it says so itself."""
    match expr:
        case Literal(value=value):
            return value is not None
        case Cast(operand=operand, try_=False):
            return never_null(operand)
        case Call(function="is_null" | "is_not_null"):
            return True
        case Call(function="coalesce", arguments=arguments):
            return any(map(never_null, arguments))
        case _:
            return False


def always_converts(source: SqlType, target: SqlType) -> bool:
    """Whether every value of a type has one in the other.

    >>> from qtensor.types import BIGINT, DOUBLE, INTEGER
    >>> always_converts(INTEGER, BIGINT), always_converts(BIGINT, INTEGER), always_converts(BIGINT, DOUBLE)
    (True, False, True)
    """
    match source, target:
        case Null(), _:
            return True
        case ((Integer() | Decimal()), Float()):
            return True
        case Float(bits=narrow), Float(bits=wide):
            return narrow <= wide
        case Integer(), Integer():
            return target.minimum <= source.minimum and source.maximum <= target.maximum
        case Integer(), Decimal(scale=scale):
            return len(str(source.maximum)) + scale <= target.precision
        case Decimal(scale=scale), Decimal(scale=wider):
            return scale <= wider and source.precision + wider - scale <= target.precision
        case Date(), Timestamp():
            return False  # a date far away has no microsecond of 64 bits
        case _:
            return source == target


def null_where(expr: Expr, columns: Set[int]) -> bool:
    """Whether `expr` is NULL wherever all of `columns` are."""
    match expr:
        case ColumnRef(index=index):
            return index in columns
        case Literal(value=value):
            return value is None
        case Cast(operand=operand):
            return null_where(operand, columns)
        case Call(function="in", arguments=(operand, *_)):
            return null_where(operand, columns)
        case Call(function=function, arguments=arguments) if is_strict(function):
            return any(null_where(argument, columns) for argument in arguments)
        case Call(function="and" | "or" | "coalesce", arguments=arguments):
            return all(null_where(argument, columns) for argument in arguments)
        case Predict(arguments=arguments):
            return any(null_where(argument, columns) for argument in arguments)
        case Call() | Case() | OuterColumn() | Subquery():
            return False


def is_strict(function: str) -> bool:
    return function in STRICT or (function in SCALARS and not SCALARS[function].sees_nulls)


def rejects_nulls(condition: Expr, columns: Set[int]) -> bool:
    """Whether `condition` is not true wherever all of `columns` are NULL.

    >>> from qtensor.types import BIGINT, BOOLEAN
    >>> x, y = ColumnRef(0, BIGINT), ColumnRef(1, BIGINT)
    >>> rejects_nulls(Call("less", (x, y), BOOLEAN), {1}), rejects_nulls(Call("is_null", (y,), BOOLEAN), {1})
    (True, False)
    """
    match condition:
        case Literal(value=value):
            return value is not True
        case Call(function="and", arguments=parts):
            return any(rejects_nulls(part, columns) for part in parts)
        case Call(function="or", arguments=parts):
            return all(rejects_nulls(part, columns) for part in parts)
        case Call(function="is_not_null", arguments=(operand,)):
            return null_where(operand, columns)
        case Call(function="not", arguments=(Call(function="is_null", arguments=(operand,)),)):
            return null_where(operand, columns)
        case _:
            return null_where(condition, columns)
