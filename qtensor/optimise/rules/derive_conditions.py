"""Conditions that follow from those of an inner join and read fewer tables, so that they can be asked earlier."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import partial

from qtensor.expressions import Call, ColumnRef, Expr, Literal, children, conjuncts
from qtensor.optimise.rewriting import columns_of, conjunction, transform
from qtensor.types import BOOLEAN

COMPARISONS = frozenset(("equal", "less", "less_equal", "greater", "greater_equal", "in"))


def derived_conditions(parts: Sequence[Expr], sides: Sequence[Set[int]]) -> list[Expr]:
    """What is true where all `parts` are: each of them, and conditions on the columns of one side alone.

    Sound: where a = b is true, a and b can stand for each other in a comparison with literals (columns of one type). Where
    (A and B) or (C and D) is true, A or C is.
    """
    derived = dict.fromkeys(parts)
    for part in parts:
        for side in sides:
            derived |= dict.fromkeys(one_sided(part, side))
    derived |= dict.fromkeys(over_equalities(list(derived)))
    return list(derived)


def one_sided(part: Expr, side: Set[int]) -> list[Expr]:
    """Of a disjunction that reads more than the columns `side`, what each branch says of these."""
    if not (isinstance(part, Call) and part.function == "or") or columns_of(part) <= side:
        return []
    branches = [[item for item in conjuncts(branch) if columns_of(item) <= side] for branch in part.arguments]
    if not all(branches):
        return []
    return [Call("or", tuple(conjunction(branch) for branch in branches), BOOLEAN)]


def over_equalities(parts: Sequence[Expr]) -> list[Expr]:
    """Comparisons of a column with literals, said of all columns that equal it."""
    groups: dict[ColumnRef, set[ColumnRef]] = {}
    for part in parts:
        match part:
            case Call(function="equal", arguments=(ColumnRef() as one, ColumnRef() as other)):
                group = groups.get(one, {one}) | groups.get(other, {other})
                groups |= dict.fromkeys(group, group)
    derived: list[Expr] = []
    for part in parts:
        column = compared_column(part)
        if column is not None:
            others = sorted(groups.get(column, {column}) - {column}, key=lambda item: item.index)
            derived += [transform(part, partial(exchanged, column, other)) for other in others]
    return derived


def exchanged(old: Expr, new: Expr, node: Expr) -> Expr:
    return new if node == old else node


def compared_column(part: Expr) -> ColumnRef | None:
    """The column that a condition compares with literals."""
    if not isinstance(part, Call) or part.function not in COMPARISONS:
        return None
    columns = [operand for operand in children(part) if isinstance(operand, ColumnRef)]
    others = [operand for operand in children(part) if not isinstance(operand, ColumnRef)]
    return columns[0] if len(columns) == 1 and all(isinstance(operand, Literal) for operand in others) else None
