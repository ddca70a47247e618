"""Scalar expressions of a bound query: typed, resolved to column positions, every implicit cast made explicit.

Literals hold values as storage does: a DECIMAL is its unscaled int, a DATE its days, a TIMESTAMP its microseconds, an
INTERVAL an `IntervalValue`, NULL is None, the rest the Python value (bool, int, float, str).

The functions a `Call` may name, and what their arguments are after binding (`T` is one same type for all):

    add subtract multiply   (T, T) -> T, T INTEGER or FLOAT; or (DATE, INTEGER) -> DATE; subtract (DATE, DATE) -> BIGINT;
                            DECIMAL: add and subtract take two DECIMALs of the result's scale, multiply two of any scale
                            (the result's scale is their sum); the result's precision bounds the value, else overflow
    add_interval            (DATE | TIMESTAMP, INTERVAL literal, or one of the next) -> TIMESTAMP
    subtract_interval       (DATE | TIMESTAMP, INTERVAL literal, or one of the next) -> TIMESTAMP
    interval_months interval_days interval_microseconds
                            (BIGINT) -> INTERVAL
    divide                  (T, T) -> T, T FLOAT or DOUBLE: IEEE division
    floor_divide modulo     (T, T) -> T, T integer (truncating, as C; by zero: error), or FLOAT, DOUBLE; modulo also DECIMALs
                            of one scale
    negate                  (T) -> T
    equal not_equal less less_equal greater greater_equal
                            (T, T) -> BOOLEAN; DECIMALs of one scale
    is_distinct_from is_not_distinct_from
                            the same, never NULL
    and or                  two or more BOOLEANs, three-valued
    not                     BOOLEAN
    is_null is_not_null     any type -> BOOLEAN, never NULL
    in                      (T, T, ...) -> BOOLEAN: the first equals any of the others, three-valued
    coalesce                (T, ...) -> T
    like ilike              (VARCHAR, VARCHAR literal pattern[, VARCHAR literal escape character]) -> BOOLEAN
    subscript               (ARRAY, INTEGER literal counted from 1) -> its element type
    abs                     (T) -> T
    try                     (T) -> T: NULL where the argument is an error
    greatest least          (T, ...) -> T: of the arguments that are not NULL

and those of the tables in `qtensor/functions/scalars/` under their first name, with arguments as one of their overloads has them.
Anything else that SQL knows (BETWEEN, NULLIF, IF, IS TRUE, simple CASE, NOT IN ...) is bound to these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from typing import Literal as Literals

from qtensor.errors import Span
from qtensor.types import IntervalValue, SqlType

if TYPE_CHECKING:
    from qtensor.logical import Plan

LiteralValue: TypeAlias = bool | int | float | str | IntervalValue | None


@dataclass(frozen=True)
class ColumnRef:
    """Column `index` of the input; `name` is for people and takes no part in equality."""

    index: int
    type: SqlType
    name: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class Literal:
    """A constant of the query text or a parameter's value; kept out of the compiled program, so that it may change.

    Equal literals can stand for each other: 0.0 and -0.0 cannot, NaN and NaN can. `parameter` names the parameters that the
    value comes from. Values of different parameters are equal by chance only, and a plan must not be built on that.
    """

    value: LiteralValue
    type: SqlType
    parameter: str | None = field(default=None, repr=False)

    @property
    def _identity(self) -> tuple[SqlType, LiteralValue, str | None]:
        return (self.type, self.value.hex() if isinstance(self.value, float) else self.value, self.parameter)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


@dataclass(frozen=True)
class Call:
    """A scalar function or operator, one of those listed in this file's docstring."""

    function: str
    arguments: tuple[Expr, ...]
    type: SqlType
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Cast:
    """CAST, or with `try_` TRY_CAST: NULL instead of an error where a value does not convert."""

    operand: Expr
    type: SqlType
    try_: bool = False
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Case:
    """Searched CASE: the value of the first branch (condition, value) whose condition is true, else `otherwise`."""

    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr
    type: SqlType


@dataclass(frozen=True)
class Predict:
    """A call of the model registered as `model`; NULL if any argument is NULL. output: which of its outputs is meant, "" of one
    that has but one. work: how many multiply-adds it takes. fails: whether it is an error for some arguments. unread: the
    positions of arguments on which the result does not depend, but for their being NULL.
    """

    model: str
    arguments: tuple[Expr, ...]
    type: SqlType
    span: Span | None = field(default=None, compare=False)
    output: str = ""
    work: int = 0
    fails: bool = True
    unread: tuple[int, ...] = ()


@dataclass(frozen=True)
class OuterColumn:
    """In the plan of a `Subquery`: column `index` of the query around it, `depth` queries further out (1: the next one)."""

    index: int
    type: SqlType
    name: str = field(default="", compare=False)
    depth: int = 1


@dataclass(frozen=True)
class Subquery:
    """A query in an expression, over the row at hand; binding makes them, the rule `unnest_subqueries` removes them all.

        scalar  the only column of the only row; NULL if there is no row, an error if there are two
        exists  BOOLEAN, never NULL: whether there is a row
        any     BOOLEAN, three-valued: whether `comparison` (a function of two values: equal, less ...) holds between the
                operands and some row; all: and every row. IN is any with equal, NOT IN its negation

    The columns of the row at hand stand in `plan` as `OuterColumn`s.
    """

    kind: Literals["scalar", "exists", "any", "all"]
    plan: Plan
    type: SqlType
    operands: tuple[Expr, ...] = ()
    comparison: str = "equal"
    span: Span | None = field(default=None, compare=False)


# What a comparison becomes when its sides are exchanged.
MIRRORED = {
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}

Expr: TypeAlias = ColumnRef | Literal | Call | Cast | Case | Predict | OuterColumn | Subquery


@dataclass(frozen=True)
class SortKey:
    """What rows are ordered by: NaN is the greatest float, text is ordered by code points."""

    expr: Expr
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class AggregateCall:
    """An aggregate over the rows of a group. (T: any type.)

        count_star                  () -> BIGINT
        count                       (T) -> BIGINT; `distinct` also (T, U, ...): the different rows, NULL a value like others
        sum                         (number) -> HUGEINT, DECIMAL or DOUBLE
        avg                         (number) -> DOUBLE, (TIMESTAMP) -> TIMESTAMP
        min max                     (T) -> T; text by code points, NaN the greatest
        product                     (DOUBLE) -> DOUBLE
        bit_and bit_or bit_xor      (integer type) -> the same
        first last                  (T) -> T: of the first or last row by `order`, else in the input's order; NULLs count
        stddev_samp stddev_pop var_samp var_pop sem
                                    (DOUBLE) -> DOUBLE
        corr covar_samp covar_pop regr_slope regr_intercept regr_r2 regr_avgx regr_avgy regr_sxx regr_syy regr_sxy
                                    (DOUBLE y, DOUBLE x) -> DOUBLE
        regr_count                  (DOUBLE y, DOUBLE x) -> UINTEGER
        quantile_cont               (number or TIMESTAMP, literal in [-1, 1]) -> the value there, interpolated
        quantile_disc               (T, literal in [-1, 1]) -> the value there; a negative fraction is counted from the top
        mode                        (T) -> T: the most frequent value, the first of several
        string_agg                  (VARCHAR, VARCHAR literal) -> VARCHAR: the texts by `order`, else in the input's order, with
                                    the literal between them

    Rows where `filter` is not true are ignored, and but for first and last those where an argument is NULL; without rows the
    counts are 0 and the others NULL. With `distinct`, rows of equal arguments are one. Anything else that SQL knows (any_value,
    arg_min, bool_and, count_if, median ...) is bound to these.
    """

    function: str
    arguments: tuple[Expr, ...]
    type: SqlType
    distinct: bool = False
    filter: Expr | None = None
    order: tuple[SortKey, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class FrameBound:
    """An end of a window frame: before or after the current row, without `offset` the partition's end.

    offset: in ROWS how many rows away (BIGINT, an error if negative or NULL); in RANGE the value of the frame's `key` there, of
    the key's type (an error if it lies on the other side of the current row's).
    """

    kind: Literals["preceding", "following", "current"]
    offset: Expr | None = None


@dataclass(frozen=True)
class Frame:
    """Which rows around the current one a window function sees; in RANGE, peers by the order keys belong together.

    key: the order key in the type of the offsets, where RANGE has some; where it is NULL, they stand for the row's peers.
    """

    unit: Literals["rows", "range"] = "range"
    start: FrameBound = FrameBound("preceding")
    end: FrameBound = FrameBound("current")
    key: Expr | None = None


@dataclass(frozen=True)
class WindowCall:
    """A function over the partition of a row.

        row_number rank dense_rank  () -> BIGINT; percent_rank cume_dist: () -> DOUBLE
        ntile                       (BIGINT) -> BIGINT
        lag lead                    (T, BIGINT offset, T default) -> T; a negative offset goes the other way
        first_value last_value      (T) -> T, of the frame; nth_value (T, BIGINT counted from 1) -> T

    or an aggregate over the frame with arguments as `AggregateCall` has them, but for first and last, which are first_value and
    last_value with `filter`. `arguments` are over the input's rows. With `ignore_nulls` rows whose value is NULL do not count;
    `order` and `distinct`: of the aggregate, as in `AggregateCall`.
    """

    function: str
    arguments: tuple[Expr, ...]
    type: SqlType
    frame: Frame = Frame()
    filter: Expr | None = None
    ignore_nulls: bool = False
    order: tuple[SortKey, ...] = ()
    distinct: bool = False
    span: Span | None = field(default=None, compare=False)


def parts_of_window(call: WindowCall) -> tuple[Expr, ...]:
    """All expressions of a call."""
    bounds = (call.frame.start.offset, call.frame.end.offset, call.frame.key)
    present = tuple(expr for expr in (*bounds, call.filter) if expr is not None)
    return (*call.arguments, *(key.expr for key in call.order), *present)


def map_window_call(call: WindowCall, function: Callable[[Expr], Expr]) -> WindowCall:
    """`call` with `function` applied to each of its expressions."""

    def mapped(expr: Expr | None) -> Expr | None:
        return None if expr is None else function(expr)

    start, end = (replace(bound, offset=mapped(bound.offset)) for bound in (call.frame.start, call.frame.end))
    return replace(
        call,
        arguments=tuple(function(argument) for argument in call.arguments),
        frame=replace(call.frame, start=start, end=end, key=mapped(call.frame.key)),
        filter=mapped(call.filter),
        order=tuple(replace(key, expr=function(key.expr)) for key in call.order),
    )


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands of `expr`, in evaluation order; not what a subquery's plan reads."""
    match expr:
        case ColumnRef() | Literal() | OuterColumn():
            return ()
        case Subquery(operands=operands):
            return operands
        case Call(arguments=arguments) | Predict(arguments=arguments):
            return arguments
        case Cast(operand=operand):
            return (operand,)
        case Case(branches=branches, otherwise=otherwise):
            return (*(part for branch in branches for part in branch), otherwise)


def with_children(expr: Expr, new: tuple[Expr, ...]) -> Expr:
    """`expr` with its operands replaced; `expr` itself when they are the same objects."""
    if all(a is b for a, b in zip(children(expr), new, strict=True)):
        return expr
    match expr:
        case ColumnRef() | Literal() | OuterColumn():
            return expr
        case Subquery():
            return replace(expr, operands=new)
        case Call() | Predict():
            return replace(expr, arguments=new)
        case Cast():
            return replace(expr, operand=new[0])
        case Case():
            pairs = tuple(zip(new[:-1:2], new[1:-1:2], strict=True))
            return replace(expr, branches=pairs, otherwise=new[-1])


def conjuncts(predicate: Expr) -> list[Expr]:
    """The conditions that must all be true.

    >>> from qtensor.types import BOOLEAN
    >>> a, b = ColumnRef(0, BOOLEAN), ColumnRef(1, BOOLEAN)
    >>> conjuncts(Call("and", (a, b), BOOLEAN)) == [a, b]
    True
    """
    if isinstance(predicate, Call) and predicate.function == "and":
        return [part for argument in predicate.arguments for part in conjuncts(argument)]
    return [predicate]
