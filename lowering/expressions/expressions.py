"""Encodes any expression: dispatch over the closed union of nodes, and the nodes that are no functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, assert_never

from qtensor.errors import InternalError, Span, UnsupportedError
from qtensor.expressions import MIRRORED, Call, Case, Cast, ColumnRef, Expr, Literal, OuterColumn, Predict, Subquery, children
from qtensor.functions.scalars.registry import SCALARS
from qtensor.lowering.expressions import arithmetic, calendar, casts, comparison, dates, logic, membership, models, numbers, text
from qtensor.lowering.expressions.encoder import Encoder, called_late
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.values import CalledDictionary, Value
from qtensor.types import Array, Interval

Lowering: TypeAlias = Callable[[Encoder, Call, list[Value]], Value]

FUNCTIONS: dict[str, Lowering] = {
    "add": arithmetic.lower_add,
    "subtract": arithmetic.lower_subtract,
    "multiply": arithmetic.lower_multiply,
    "divide": arithmetic.lower_divide,
    "floor_divide": arithmetic.lower_floor_divide,
    "modulo": arithmetic.lower_modulo,
    "negate": arithmetic.lower_negate,
    "abs": arithmetic.lower_abs,
    "add_interval": dates.lower_add_interval,
    "subtract_interval": dates.lower_subtract_interval,
    **dict.fromkeys(dates.INTERVALS, dates.lower_interval),
    "equal": comparison.lower_comparison,
    "not_equal": comparison.lower_comparison,
    "less": comparison.lower_comparison,
    "less_equal": comparison.lower_comparison,
    "greater": comparison.lower_comparison,
    "greater_equal": comparison.lower_comparison,
    "is_distinct_from": comparison.lower_is_distinct_from,
    "is_not_distinct_from": comparison.lower_is_not_distinct_from,
    "in": membership.lower_in,
    "not": logic.lower_not,
    "is_null": logic.lower_is_null,
    "is_not_null": logic.lower_is_not_null,
    "like": text.lower_like,
    "ilike": text.lower_like,
    **calendar.FUNCTIONS,
    **numbers.FUNCTIONS,
}


def encode(encoder: Encoder, expr: Expr) -> Value:
    """The value of `expr` for every row of the batch; ARRAYs and two-limb sums come as they are.

    Raises UnsupportedError: at the innermost expression whose place is known.
    """
    try:
        return encode_node(encoder, expr)
    except UnsupportedError as error:
        raise error.shown_in("", place_of(expr)) from None


def place_of(expr: Expr) -> Span | None:
    """Where an expression stands in the text, or the first of its parts of which that is known."""
    own = None if isinstance(expr, ColumnRef | Literal | Case | OuterColumn) else expr.span
    return own or next(filter(None, map(place_of, children(expr))), None)


def encode_node(encoder: Encoder, expr: Expr) -> Value:
    match expr:
        case ColumnRef(index=index):
            return encoder.columns[index]
        case Literal():
            return encoder.literal(expr)
        case Call(function="coalesce"):
            return lower_coalesce(encoder, expr)
        case Call(function="and" | "or"):
            return lower_junction(encoder, expr)
        case Call(function="in") if membership.numbers_of(expr):
            return lower_long_in(encoder, expr)
        case Call(function="subscript"):
            return lower_subscript(encoder, expr)
        case Call(function="try"):
            return lower_try(encoder, expr)
        case Call():
            known = SCALARS.get(expr.function)
            if known is not None and known.evaluate is not None:
                return text.lower_host_call(encoder, expr, [encode_argument(encoder, part) for part in expr.arguments], known)
            if expr.function not in FUNCTIONS:
                raise UnsupportedError(f"the function {expr.function} is not supported")
            operand = encode if expr.function in MIRRORED else encode_operand  # those compare two-limb sums too
            if expr.function in logic.NULL_TESTS:
                operand = encode_key
            arguments = [operand(encoder, argument) for argument in expr.arguments]
            if any(isinstance(argument.type, Interval) for argument in arguments) and expr.function not in dates.TAKE_INTERVALS:
                raise UnsupportedError("not supported yet: an INTERVAL but to add to a date or a timestamp, or take from one")
            return FUNCTIONS[expr.function](encoder, expr, arguments)
        case Cast():
            return casts.lower_cast(encoder, expr, encode(encoder, expr.operand))
        case Case():
            return lower_case(encoder, expr)
        case Predict():
            return models.lower_predict(encoder, expr, [encode_operand(encoder, argument) for argument in expr.arguments])
        case OuterColumn() | Subquery():
            raise InternalError("a subquery was left in the plan")
        case _:
            assert_never(expr)


def lower_long_in(encoder: Encoder, call: Call) -> Value:
    """IN (...) of many numbers; the literals are no instructions."""
    numbers = membership.numbers_of(call)
    value = encode_operand(encoder, call.arguments[0])
    known = set(map(id, numbers))
    others = [(item, encode_operand(encoder, item)) for item in call.arguments[1:] if id(item) not in known]
    return membership.lower_in_numbers(encoder, call, value, numbers, others)


def encode_argument(encoder: Encoder, expr: Expr) -> Value:
    """As `encode_operand`, but also a text that is made after the run, which another may be made of."""
    value = encode(encoder, expr)
    return value if isinstance(value.dictionary, CalledDictionary) else as_operand(encoder, value)


def encode_operand(encoder: Encoder, expr: Expr) -> Value:
    """As `encode`, a two-limb sum brought to one int64. Raises UnsupportedError: the value cannot be computed with."""
    return operand_of(encoder, encode(encoder, expr), expr)


def encode_key(encoder: Encoder, expr: Expr) -> Value:
    """As `encode_operand`, but also an ARRAY: rows can be put together and in order by its elements."""
    value = encode(encoder, expr)
    return value if isinstance(value.type, Array) else operand_of(encoder, value, expr)


def operand_of(encoder: Encoder, value: Value, expr: Expr) -> Value:
    """The value of `expr` as an operand; what cannot be one is refused at its place."""
    try:
        return as_operand(encoder, value)
    except UnsupportedError as error:
        raise error.shown_in("", place_of(expr)) from None


def as_operand(encoder: Encoder, value: Value) -> Value:
    if isinstance(value.dictionary, CalledDictionary):
        raise called_late()
    if value.elements:
        raise UnsupportedError(f"scores, of type {value.type}, are no values to compute with: subscript one of them")
    return encoder.narrow(value)


def encode_condition(encoder: Encoder, expr: Expr) -> Ref:
    """Where `expr` (BOOLEAN) is true: NULL counts as false."""
    value = encode_operand(encoder, expr)
    return encoder.builder.definite(encoder.builder.both(value.data, value.valid))


def lower_case(encoder: Encoder, case: Case) -> Value:
    """Branches are taken in order; what a row does not reach raises no error for it."""
    branches: list[tuple[Ref, Value]] = []
    open_rows: Ref | None = None
    for condition, result in case.branches:
        with encoder.guarded(open_rows):
            taken = encode_condition(encoder, condition)
        with encoder.guarded(encoder.builder.both(open_rows, taken)):
            branches.append((taken, encode_key(encoder, result)))
        open_rows = encoder.builder.both(open_rows, encoder.builder.negation(taken))
    with encoder.guarded(open_rows):
        otherwise = encode_key(encoder, case.otherwise)
    return encoder.merge(case.type, branches, otherwise)


def lower_junction(encoder: Encoder, call: Call) -> Value:
    """AND and OR, from left to right: an argument raises no error for rows that those before it decide."""
    decides, combine = (logic.is_false, logic.lower_and) if call.function == "and" else (logic.is_true, logic.lower_or)
    values: list[Value] = []
    open_rows: Ref | None = None
    for argument in call.arguments:
        with encoder.guarded(open_rows):
            values.append(encode_operand(encoder, argument))
        undecided = encoder.builder.negation(decides(encoder, values[-1]))
        open_rows = encoder.builder.both(open_rows, undecided)
    return combine(encoder, call, values)


def lower_coalesce(encoder: Encoder, call: Call) -> Value:
    """The first argument that is not NULL."""
    branches: list[tuple[Ref, Value]] = []
    open_rows: Ref | None = None
    for argument in call.arguments[:-1]:
        with encoder.guarded(open_rows):
            value = encode_key(encoder, argument)
        branches.append((encoder.builder.definite(value.valid), value))
        open_rows = encoder.builder.both(open_rows, encoder.builder.negation(branches[-1][0]))
    with encoder.guarded(open_rows):
        otherwise = encode_key(encoder, call.arguments[-1])
    return encoder.merge(call.type, branches, otherwise)


def lower_try(encoder: Encoder, call: Call) -> Value:
    """NULL for rows for which the argument is an error."""
    outer, encoder.pending = encoder.pending, []
    value = encode_key(encoder, call.arguments[0])
    failing, encoder.pending = encoder.pending, outer
    valid = value.valid
    for condition, _ in failing:
        valid = encoder.builder.both(valid, encoder.builder.negation(condition))
    return replace(value, valid=valid)


def lower_subscript(encoder: Encoder, call: Call) -> Value:
    """One score of a model, counted from 1; NULL out of range."""
    array, index = encode(encoder, call.arguments[0]), call.arguments[1]
    if not isinstance(index, Literal) or not isinstance(index.value, int):
        raise UnsupportedError("a subscript must be a constant")
    if not 1 <= index.value <= len(array.elements):
        return encoder.null(call.type)
    return Value(call.type, array.elements[index.value - 1], array.valid)
