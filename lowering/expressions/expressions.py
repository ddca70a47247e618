"""Lowers any expression: dispatch over the closed union of nodes, and the nodes that are no functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, assert_never

from qtensor.errors import InternalError, Span, UnsupportedError
from qtensor.expressions import MIRRORED, Call, Case, Cast, ColumnRef, Expr, Literal, OuterColumn, Predict, Subquery, children
from qtensor.functions.scalars.registry import SCALARS
from qtensor.lowering.expressions import arithmetic, calendar, casts, comparison, dates, logic, membership, models, numbers, text
from qtensor.lowering.expressions.lowerer import Lowerer, called_late
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.values import CalledDictionary, Value
from qtensor.types import Array, Interval

Lowering: TypeAlias = Callable[[Lowerer, Call, list[Value]], Value]

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


def lower(lowerer: Lowerer, expr: Expr) -> Value:
    """The value of `expr` for every row of the batch; ARRAYs and two-limb sums come as they are.

    Raises UnsupportedError: at the innermost expression whose place is known.
    """
    try:
        return lower_node(lowerer, expr)
    except UnsupportedError as error:
        raise error.shown_in("", place_of(expr)) from None


def place_of(expr: Expr) -> Span | None:
    """Where an expression stands in the text, or the first of its parts of which that is known."""
    own = None if isinstance(expr, ColumnRef | Literal | Case | OuterColumn) else expr.span
    return own or next(filter(None, map(place_of, children(expr))), None)


def lower_node(lowerer: Lowerer, expr: Expr) -> Value:
    match expr:
        case ColumnRef(index=index):
            return lowerer.columns[index]
        case Literal():
            return lowerer.literal(expr)
        case Call(function="coalesce"):
            return lower_coalesce(lowerer, expr)
        case Call(function="and" | "or"):
            return lower_junction(lowerer, expr)
        case Call(function="in") if membership.numbers_of(expr):
            return lower_long_in(lowerer, expr)
        case Call(function="subscript"):
            return lower_subscript(lowerer, expr)
        case Call(function="try"):
            return lower_try(lowerer, expr)
        case Call():
            known = SCALARS.get(expr.function)
            if known is not None and known.evaluate is not None:
                return text.lower_host_call(lowerer, expr, [lower_argument(lowerer, part) for part in expr.arguments], known)
            if expr.function not in FUNCTIONS:
                raise UnsupportedError(f"the function {expr.function} is not supported")
            operand = lower if expr.function in MIRRORED else lower_operand  # those compare two-limb sums too
            if expr.function in logic.NULL_TESTS:
                operand = lower_key
            arguments = [operand(lowerer, argument) for argument in expr.arguments]
            if any(isinstance(argument.type, Interval) for argument in arguments) and expr.function not in dates.TAKE_INTERVALS:
                raise UnsupportedError("not supported yet: an INTERVAL but to add to a date or a timestamp, or take from one")
            return FUNCTIONS[expr.function](lowerer, expr, arguments)
        case Cast():
            return casts.lower_cast(lowerer, expr, lower(lowerer, expr.operand))
        case Case():
            return lower_case(lowerer, expr)
        case Predict():
            return models.lower_predict(lowerer, expr, [lower_operand(lowerer, argument) for argument in expr.arguments])
        case OuterColumn() | Subquery():
            raise InternalError("a subquery was left in the plan")
        case _:
            assert_never(expr)


def lower_long_in(lowerer: Lowerer, call: Call) -> Value:
    """IN (...) of many numbers; the literals are no instructions."""
    numbers = membership.numbers_of(call)
    value = lower_operand(lowerer, call.arguments[0])
    known = set(map(id, numbers))
    others = [(item, lower_operand(lowerer, item)) for item in call.arguments[1:] if id(item) not in known]
    return membership.lower_in_numbers(lowerer, call, value, numbers, others)


def lower_argument(lowerer: Lowerer, expr: Expr) -> Value:
    """As `lower_operand`, but also a text that is made after the run, which another may be made of."""
    value = lower(lowerer, expr)
    return value if isinstance(value.dictionary, CalledDictionary) else as_operand(lowerer, value)


def lower_operand(lowerer: Lowerer, expr: Expr) -> Value:
    """As `lower`, a two-limb sum brought to one int64. Raises UnsupportedError: the value cannot be computed with."""
    return operand_of(lowerer, lower(lowerer, expr), expr)


def lower_key(lowerer: Lowerer, expr: Expr) -> Value:
    """As `lower_operand`, but also an ARRAY: rows can be put together and in order by its elements."""
    value = lower(lowerer, expr)
    return value if isinstance(value.type, Array) else operand_of(lowerer, value, expr)


def operand_of(lowerer: Lowerer, value: Value, expr: Expr) -> Value:
    """The value of `expr` as an operand; what cannot be one is refused at its place."""
    try:
        return as_operand(lowerer, value)
    except UnsupportedError as error:
        raise error.shown_in("", place_of(expr)) from None


def as_operand(lowerer: Lowerer, value: Value) -> Value:
    if isinstance(value.dictionary, CalledDictionary):
        raise called_late()
    if value.elements:
        raise UnsupportedError(f"scores, of type {value.type}, are no values to compute with: subscript one of them")
    return lowerer.narrow(value)


def lower_condition(lowerer: Lowerer, expr: Expr) -> Ref:
    """Where `expr` (BOOLEAN) is true: NULL counts as false."""
    value = lower_operand(lowerer, expr)
    return lowerer.builder.definite(lowerer.builder.both(value.data, value.valid))


def lower_case(lowerer: Lowerer, case: Case) -> Value:
    """Branches are taken in order; what a row does not reach raises no error for it."""
    branches: list[tuple[Ref, Value]] = []
    open_rows: Ref | None = None
    for condition, result in case.branches:
        with lowerer.guarded(open_rows):
            taken = lower_condition(lowerer, condition)
        with lowerer.guarded(lowerer.builder.both(open_rows, taken)):
            branches.append((taken, lower_key(lowerer, result)))
        open_rows = lowerer.builder.both(open_rows, lowerer.builder.negation(taken))
    with lowerer.guarded(open_rows):
        otherwise = lower_key(lowerer, case.otherwise)
    return lowerer.merge(case.type, branches, otherwise)


def lower_junction(lowerer: Lowerer, call: Call) -> Value:
    """AND and OR, from left to right: an argument raises no error for rows that those before it decide."""
    decides, combine = (logic.is_false, logic.lower_and) if call.function == "and" else (logic.is_true, logic.lower_or)
    values: list[Value] = []
    open_rows: Ref | None = None
    for argument in call.arguments:
        with lowerer.guarded(open_rows):
            values.append(lower_operand(lowerer, argument))
        undecided = lowerer.builder.negation(decides(lowerer, values[-1]))
        open_rows = lowerer.builder.both(open_rows, undecided)
    return combine(lowerer, call, values)


def lower_coalesce(lowerer: Lowerer, call: Call) -> Value:
    """The first argument that is not NULL."""
    branches: list[tuple[Ref, Value]] = []
    open_rows: Ref | None = None
    for argument in call.arguments[:-1]:
        with lowerer.guarded(open_rows):
            value = lower_key(lowerer, argument)
        branches.append((lowerer.builder.definite(value.valid), value))
        open_rows = lowerer.builder.both(open_rows, lowerer.builder.negation(branches[-1][0]))
    with lowerer.guarded(open_rows):
        otherwise = lower_key(lowerer, call.arguments[-1])
    return lowerer.merge(call.type, branches, otherwise)


def lower_try(lowerer: Lowerer, call: Call) -> Value:
    """NULL for rows for which the argument is an error."""
    outer, lowerer.pending = lowerer.pending, []
    value = lower_key(lowerer, call.arguments[0])
    failing, lowerer.pending = lowerer.pending, outer
    valid = value.valid
    for condition, _ in failing:
        valid = lowerer.builder.both(valid, lowerer.builder.negation(condition))
    return replace(value, valid=valid)


def lower_subscript(lowerer: Lowerer, call: Call) -> Value:
    """One score of a model, counted from 1; NULL out of range."""
    array, index = lower(lowerer, call.arguments[0]), call.arguments[1]
    if not isinstance(index, Literal) or not isinstance(index.value, int):
        raise UnsupportedError("a subscript must be a constant")
    if not 1 <= index.value <= len(array.elements):
        return lowerer.null(call.type)
    return Value(call.type, array.elements[index.value - 1], array.valid)
