"""Tuples compared with tuples: (a, b) = (c, d), (a, b) < (c, d), (a, b) IN ((1, 2), (3, 4)), (a, b) BETWEEN (1, 2) AND (3, 4).

As in DuckDB, and unlike the standard, a NULL in a tuple equals a NULL and is greater than any value: the result is never NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.errors import Span
from qtensor.expressions import Call, Expr
from qtensor.types import BOOLEAN

Elements = Sequence[Operand]

_COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
# How an order of tuples is one of elements, whether it holds of equal ones, and whether its operands change places.
_ORDERS = {"less": (False, False), "less_equal": (True, False), "greater": (False, True), "greater_equal": (True, True)}


def is_tuple(node: exp.Expr) -> bool:
    """Whether `node` is a tuple, in any number of parentheses."""
    return isinstance(node.unnest(), exp.Tuple)


def is_compared(node: exp.Tuple) -> bool:
    """Whether a tuple stands in a comparison, BETWEEN or IN of which all operands are tuples."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return isinstance(parent, (*_COMPARED, exp.Between, exp.In)) and all(is_tuple(operand) for operand in _operands(parent))


def bind_tuples(context: Context, node: exp.Expr, function: str | None, bind: Callable[[exp.Expr], Operand]) -> Operand:
    """A comparison called `function`, a BETWEEN or an IN whose operands are tuples; `bind` binds their elements.

    Raises:
        BindError: they have different numbers of elements, or elements without a common type.
    """
    span = context.source.span(node)
    value, *others = ([bind(element) for element in operand.unnest().expressions] for operand in _operands(node))
    for other in others:
        if len(other) != len(value):
            raise context.error(f"a tuple of {len(value)} is compared with one of {len(other)}", span)
    match node:
        case exp.Between():
            low, high = others
            bounds = (_ordered(context, "greater_equal", value, low, span), _ordered(context, "less_equal", value, high, span))
            return plain(_call("and", bounds, span), span)
        case exp.In():
            equal = tuple(_equal(context, value, other, span) for other in others)
            return plain(build.FALSE if not equal else equal[0] if len(equal) == 1 else _call("or", equal, span), span)
        case _:
            assert function is not None
            return plain(_compared(context, function, value, others[0], span), span)


def _operands(node: exp.Expr) -> list[exp.Expr]:
    match node:
        case exp.Between():
            return [node.this, node.args["low"], node.args["high"]]
        case exp.In():
            return [node.this, *node.expressions]
        case _:
            return [node.this, node.args["expression"]]


def _compared(context: Context, function: str, left: Elements, right: Elements, span: Span | None) -> Expr:
    if function in _ORDERS:
        return _ordered(context, function, left, right, span)
    equal = _equal(context, left, right, span)
    return equal if function in ("equal", "is_not_distinct_from") else _call("not", (equal,), span)


def _equal(context: Context, left: Elements, right: Elements, span: Span | None) -> Expr:
    pairs = zip(left, right, strict=True)
    same = tuple(build.comparison(context, "is_not_distinct_from", *pair, span).expr for pair in pairs)
    return same[0] if len(same) == 1 else _call("and", same, span)


def _ordered(context: Context, function: str, left: Elements, right: Elements, span: Span | None) -> Expr:
    """Whether the first pair of elements that differ is in order."""
    holds_of_equal, swapped = _ORDERS[function]
    if swapped:
        left, right = right, left
    result: Expr = build.TRUE if holds_of_equal else build.FALSE
    for one, other in zip(reversed(left), reversed(right), strict=True):
        same = build.comparison(context, "is_not_distinct_from", one, other, span).expr
        result = _call("or", (_before(context, one, other, span), _call("and", (same, result), span)), span)
    return result


def _before(context: Context, one: Operand, other: Operand, span: Span | None) -> Expr:
    """Whether `one` comes before `other`, NULLs last; never NULL."""
    less = build.comparison(context, "less", one, other, span).expr
    only_other_null = (_call("is_not_null", (one.expr,), span), _call("is_null", (other.expr,), span))
    return Call("coalesce", (less, _call("and", only_other_null, span)), BOOLEAN, span)


def _call(function: str, arguments: tuple[Expr, ...], span: Span | None) -> Expr:
    return Call(function, arguments, BOOLEAN, span)
