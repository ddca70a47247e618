"""Rule: equalities between the sides of a join are its keys."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import Call, Expr, conjuncts
from qtensor.logical import Join, JoinKey, Plan
from qtensor.optimise.rewriting import columns_of, conjunction, renumbered


def extract_join_keys(plan: Plan) -> Plan:
    """Make conjuncts `left = right` of a join's condition, each side reading one input only, keys of the join.

    Sound: a pair is joined where all keys are equal and the condition is true, which is where all conjuncts are true.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.logical import Scan
    >>> from qtensor.types import BOOLEAN, INTEGER, Field
    >>> table = Scan("t", (Field("a", INTEGER),), (0,))
    >>> a, b = ColumnRef(0, INTEGER), ColumnRef(1, INTEGER)
    >>> joined = extract_join_keys(Join(table, table, "inner", condition=Call("equal", (b, a), BOOLEAN)))
    >>> joined == Join(table, table, "inner", (JoinKey(a, a),))
    True
    """
    if not isinstance(plan, Join) or plan.condition is None:
        return plan
    width = len(plan.left.schema)
    keys: list[JoinKey] = []
    rest: list[Expr] = []
    for part in conjuncts(plan.condition):
        key = key_of(part, width)
        if key is None:
            rest.append(part)
        else:
            keys.append(key)
    if not keys:
        return plan
    return replace(plan, keys=(*plan.keys, *keys), condition=conjunction(rest) if rest else None)


def key_of(part: Expr, width: int) -> JoinKey | None:
    """The key that a condition over `width` left columns, then right ones, stands for."""
    match part:
        case Call(function="equal" | "is_not_distinct_from", arguments=(one, other)):
            pass
        case _:
            return None
    for left, right in ((one, other), (other, one)):
        mine, theirs = columns_of(left), columns_of(right)
        if mine and theirs and max(mine) < width <= min(theirs):
            moved = renumbered(right, {index: index - width for index in theirs})
            return JoinKey(left, moved, part.function == "is_not_distinct_from")
    return None
