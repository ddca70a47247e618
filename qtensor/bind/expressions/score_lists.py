"""Functions of the scores that a model gives, as DuckDB has them for lists and arrays: each is bound to expressions of the scores
one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.date_macros import Macro
from qtensor.bind.expressions.functions import bind_function, check_count
from qtensor.bind.expressions.model_calls import scores_of
from qtensor.errors import Span, with_article
from qtensor.expressions import Call, Case, Literal
from qtensor.functions.operators import natural_type
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, INTEGER, NULL, Array, Null

Scores: TypeAlias = list[Operand]
OfOne: TypeAlias = Callable[[Context, Scores, Span | None], Operand]
OfTwo: TypeAlias = Callable[[Context, Scores, Scores, Span | None], Operand]


def scores(context: Context, name: str, operand: Operand) -> Scores:
    """The scores of an operand. Raises BindError: it has none."""
    if not isinstance(operand.expr.type, Array):
        raise context.error(f"{name} takes the scores of a model, not {with_article(natural_type(operand.type))}", operand.span)
    return [plain(score, operand.span) for score in scores_of(operand.expr)]


def _of_one(name: str, function: OfOne) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (1,), span)
        return function(context, scores(context, name, operands[0]), span)

    return bind


def _of_two(name: str, function: OfTwo) -> Macro:
    """A function of two vectors of one length, which are FLOATs if both are."""

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (2,), span)
        left, right = (scores(context, name, operand) for operand in operands)
        if len(left) != len(right):
            raise context.error(f"{name} takes vectors of one length, not of {len(left)} and {len(right)}", span)
        common = FLOAT if left[0].expr.type == right[0].expr.type == FLOAT else DOUBLE
        left, right = ([plain(build.convert(context, one, common)) for one in side] for side in (left, right))
        return function(context, left, right, span)

    return bind


def _length(name: str) -> Macro:
    """How many scores there are, which is NULL where they are; of a text its characters."""

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (1,), span)
        operand = operands[0]
        if name != "array_length" and not isinstance(operand.expr.type, Array):
            return bind_function(context, "length", operands, span, name)
        number = Literal(len(scores(context, name, operand)), BIGINT)
        known = Call("is_not_null", (operand.expr,), BOOLEAN)
        return plain(Case(((known, number),), Literal(None, BIGINT), BIGINT), span)

    return bind


def _sum(context: Context, values: Scores, span: Span | None) -> Operand:
    return reduce(lambda total, value: build.arithmetic(context, "+", total, value, span), values)


def _in_doubles(context: Context, values: Scores) -> Scores:
    return [plain(build.convert(context, value, DOUBLE)) for value in values]


def _total(context: Context, values: Scores, span: Span | None) -> Operand:
    return _sum(context, _in_doubles(context, values), span)


def _mean(context: Context, values: Scores, span: Span | None) -> Operand:
    return build.arithmetic(context, "/", _total(context, values, span), plain(Literal(float(len(values)), DOUBLE)), span)


def _product(context: Context, values: Scores, span: Span | None) -> Operand:
    return reduce(lambda total, value: build.arithmetic(context, "*", total, value, span), _in_doubles(context, values))


def _extreme(name: str) -> OfOne:
    return lambda context, values, span: build.extreme(context, name, values, span)


def _inner_product(context: Context, left: Scores, right: Scores, span: Span | None) -> Operand:
    return _sum(context, [build.arithmetic(context, "*", a, b, span) for a, b in zip(left, right, strict=True)], span)


def _negative_inner_product(context: Context, left: Scores, right: Scores, span: Span | None) -> Operand:
    return build.numeric(context, "negate", _inner_product(context, left, right, span), span)


def _distance(context: Context, left: Scores, right: Scores, span: Span | None) -> Operand:
    differences = [build.arithmetic(context, "-", a, b, span) for a, b in zip(left, right, strict=True)]
    return _root(context, _inner_product(context, differences, differences, span), span)


def _root(context: Context, value: Operand, span: Span | None) -> Operand:
    return plain(build.convert(context, bind_function(context, "sqrt", [value], span), value.expr.type), span)


def _cosine_similarity(context: Context, left: Scores, right: Scores, span: Span | None) -> Operand:
    lengths = [_inner_product(context, side, side, span) for side in (left, right)]
    together = _root(context, build.arithmetic(context, "*", lengths[0], lengths[1], span), span)
    return build.arithmetic(context, "/", _inner_product(context, left, right, span), together, span)


def _cosine_distance(context: Context, left: Scores, right: Scores, span: Span | None) -> Operand:
    one = plain(Literal(1.0, left[0].expr.type))
    return build.arithmetic(context, "-", one, _cosine_similarity(context, left, right, span), span)


def _equal(context: Context, name: str, operands: Sequence[Operand], span: Span | None) -> list[Operand]:
    """For each score whether it equals a value."""
    check_count(context, name, operands, (2,), span)
    return [build.comparison(context, "equal", score, operands[1], span) for score in scores(context, name, operands[0])]


def _contains(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    if isinstance(operands[-1].expr.type, Null):
        return plain(Literal(None, BOOLEAN), span)
    return plain(Call("or", tuple(one.expr for one in _equal(context, "list_contains", operands, span)), BOOLEAN, span), span)


def _position(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """The number of the first score that equals a value, from 1 on; NULL if there is none."""
    if isinstance(operands[-1].expr.type, Null):
        return plain(Literal(None, INTEGER), span)
    branches = [(one.expr, Literal(at, INTEGER)) for at, one in enumerate(_equal(context, "list_position", operands, span), 1)]
    return plain(Case(tuple(branches), Literal(None, INTEGER), INTEGER), span)


def element(context: Context, vector: Operand, index: Operand, span: Span | None) -> Operand:
    """Score number `index` from 1 on, or from -1 on from the end; NULL if there is none."""
    values = scores(context, "a subscript", vector)
    type = values[0].expr.type
    if isinstance(index.expr.type, Null):
        return plain(Literal(None, type), span)
    number = plain(build.convert(context, index, BIGINT), index.span)
    branches = []
    for at, value in enumerate(values, 1):
        places = [plain(Literal(place, BIGINT)) for place in (at, at - len(values) - 1)]
        branches.append((build.in_list(context, number, places, span).expr, value.expr))
    return plain(Case(tuple(branches), Literal(None, type), type), span)


def _element(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (2,), span)
        if name == "array_extract" and not isinstance(operands[0].expr.type, Array):
            return bind_function(context, name, operands, span)  # a letter of a text
        if not isinstance(operands[0].expr.type, Array):
            context.unsupported(f"{name} of {natural_type(operands[0].type)}", span)
            return plain(Literal(None, NULL), span)
        return element(context, operands[0], operands[1], span)

    return bind


def _named(names: Sequence[str], make: Callable[[str], Macro]) -> dict[str, Macro]:
    return {name: make(name) for name in names}


LISTS: dict[str, Macro] = {
    **_named(["length", "len", "array_length"], _length),
    **_named(["list_max", "array_max"], lambda name: _of_one(name, _extreme("greatest"))),
    **_named(["list_min", "array_min"], lambda name: _of_one(name, _extreme("least"))),
    **_named(["list_sum", "array_sum"], lambda name: _of_one(name, _total)),
    **_named(["list_avg", "array_avg"], lambda name: _of_one(name, _mean)),
    **_named(["list_product", "array_product"], lambda name: _of_one(name, _product)),
    **_named(["list_first"], lambda name: _of_one(name, lambda _, values, span: plain(values[0].expr, span))),
    **_named(["list_last"], lambda name: _of_one(name, lambda _, values, span: plain(values[-1].expr, span))),
    **_named(
        ["array_inner_product", "array_dot_product", "list_inner_product", "list_dot_product"],
        lambda name: _of_two(name, _inner_product),
    ),
    **_named(
        ["array_negative_inner_product", "list_negative_inner_product"], lambda name: _of_two(name, _negative_inner_product)
    ),
    **_named(["array_distance", "list_distance"], lambda name: _of_two(name, _distance)),
    **_named(["array_cosine_similarity", "list_cosine_similarity"], lambda name: _of_two(name, _cosine_similarity)),
    **_named(["array_cosine_distance", "list_cosine_distance"], lambda name: _of_two(name, _cosine_distance)),
    **_named(["list_contains", "list_has", "array_contains", "array_has"], lambda _: _contains),
    **_named(["list_position", "list_indexof", "array_position", "array_indexof"], lambda _: _position),
    **_named(["list_extract", "list_element", "array_extract"], _element),
}
