"""Rule: compute what does not depend on any row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtensor.expressions import Call, Case, Cast, Expr, Literal
from qtensor.logical import Filter, Plan
from qtensor.optimise.facts.constants import evaluate_call, evaluate_cast, is_member
from qtensor.optimise.rewriting import map_expressions, transform
from qtensor.types import BOOLEAN


def fold_constants(plan: Plan) -> Plan:
    """Replace expressions of literals by their value, and drop conditions that are known.

    Sound: scalar functions depend on nothing but their arguments. What would raise is left alone, since it may stand where no row
    reaches it.

    >>> from qtensor.logical import OneRow
    >>> from qtensor.types import INTEGER
    >>> one = Literal(1, INTEGER)
    >>> fold_constants(Filter(OneRow(), Call("less", (one, Call("add", (one, one), INTEGER)), BOOLEAN)))
    OneRow()
    """
    plan = map_expressions(plan, lambda expr: transform(expr, fold))
    if isinstance(plan, Filter) and plan.predicate == Literal(True, BOOLEAN):
        return plan.input
    return plan


def fold(expr: Expr) -> Expr:
    """One node whose operands are folded already."""
    match expr:
        case Call(function="and" | "or"):
            return fold_logic(expr)
        case Call(function="coalesce"):
            return fold_coalesce(expr)
        case Call(arguments=arguments) if all(isinstance(argument, Literal) for argument in arguments):
            return from_parameters(evaluate_call(expr), arguments) or expr
        case Call(function="in", arguments=(Literal(parameter=None) as operand, *items)):
            return fold_membership(expr, operand, items)
        case Cast(operand=Literal()):
            return evaluate_cast(expr) or expr
        case Case():
            return fold_case(expr)
        case _:
            return expr


def from_parameters(result: Literal | None, arguments: Sequence[Expr]) -> Literal | None:
    """The result of a call of literals, marked with the parameters that it comes from."""
    names = sorted({item.parameter for item in arguments if isinstance(item, Literal) and item.parameter is not None})
    return replace(result, parameter=" ".join(names)) if result is not None and names else result


def fold_logic(call: Call) -> Expr:
    """x AND TRUE is x, x AND FALSE is FALSE, also when x is NULL; likewise OR."""
    decisive = Literal(call.function == "or", BOOLEAN)
    neutral = Literal(call.function == "and", BOOLEAN)
    distinct: dict[Expr, None] = {}
    for argument in call.arguments:
        inner = argument.arguments if isinstance(argument, Call) and argument.function == call.function else (argument,)
        distinct |= dict.fromkeys(part for part in inner if part != neutral)
    parts = list(distinct)
    if decisive in parts:
        return decisive
    if not parts:
        return neutral
    if len(parts) == 1:
        return parts[0]
    return call if tuple(parts) == call.arguments else Call(call.function, tuple(parts), BOOLEAN, call.span)


def fold_membership(call: Call, operand: Literal, items: Sequence[Expr]) -> Expr:
    """One equal constant decides, whatever the others are."""
    choices = [item.value for item in items if isinstance(item, Literal) and item.parameter is None]
    return Literal(True, BOOLEAN) if is_member(operand.value, choices) else call


def fold_coalesce(call: Call) -> Expr:
    """What is NULL is passed over, and what follows a value that is not is never reached."""
    parts: list[Expr] = []
    for argument in call.arguments:
        if isinstance(argument, Literal) and argument.value is None:
            continue
        parts.append(argument)
        if isinstance(argument, Literal):
            break
    if not parts:
        return Literal(None, call.type)
    if len(parts) == 1:
        return parts[0]
    return call if len(parts) == len(call.arguments) else replace(call, arguments=tuple(parts))


def fold_case(case: Case) -> Expr:
    """Branches that are never taken disappear; one that is always taken is the last."""
    branches: list[tuple[Expr, Expr]] = []
    otherwise = case.otherwise
    for condition, value in case.branches:
        if isinstance(condition, Literal):
            if condition.value is True:
                otherwise = value
                break
            continue
        branches.append((condition, value))
    if not branches:
        return otherwise
    if len(branches) == len(case.branches):
        return case
    return Case(tuple(branches), otherwise, case.type)
