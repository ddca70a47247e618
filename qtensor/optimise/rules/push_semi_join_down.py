"""Rule: what a semi join drops is dropped before other joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.expressions import Expr
from qtensor.logical import Filter, Join, Plan, with_inputs
from qtensor.optimise.facts.expressions import stays
from qtensor.optimise.rewriting import columns_of, shifted


def push_semi_join_down(plan: Plan) -> Plan:
    """Move a semi or anti join to the input of an inner join that has its columns, or to the left one of a left join.

    Sound: it is a filter, whose answer for a row depends on the columns of its keys alone. One with a condition besides the
    keys stays where fewer rows come by, since it must look at all their partners.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.logical import JoinKey, Scan
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.types import BIGINT, Field
    >>> a, b, c = (Scan(name, (Field(name + "1", BIGINT),), (0,)) for name in "abc")
    >>> b1 = ColumnRef(1, BIGINT, "b1")
    >>> print(plan_text(push_semi_join_down(Join(Join(a, b, "inner"), c, "semi", (JoinKey(b1, ColumnRef(0, BIGINT, "c1")),)))))
    Join inner
    ├─ Scan a (a1)
    └─ Join semi b1 = c1
       ├─ Scan b (b1)
       └─ Scan c (c1)
    """
    if not isinstance(plan, Join) or plan.kind not in ("semi", "anti") or plan.condition is not None or not plan.keys:
        return plan
    if any(stays(key.left) or not columns_of(key.left) for key in plan.keys):
        return plan
    return pushed(plan, plan.left)


def pushed(semi: Join, rows: Plan) -> Plan:
    """`semi` with `rows` as its left side, as far down as it goes."""
    read = columns_of(*(key.left for key in semi.keys))
    match rows:
        case Filter(input=Join() as input):
            return with_inputs(rows, [pushed(semi, input)])
        case Join(kind="inner" | "left", left=left, right=right):
            width = len(left.schema)
            if max(read) < width:
                return with_inputs(rows, [pushed(semi, left), right])
            if rows.kind == "inner" and min(read) >= width:
                return with_inputs(rows, [left, pushed(moved(semi, lambda expr: shifted(expr, -width)), right)])
            return replace(semi, left=rows)
        case _:
            return replace(semi, left=rows)


def moved(semi: Join, function: Callable[[Expr], Expr]) -> Join:
    """`semi` with other left keys."""
    return replace(semi, keys=tuple(replace(key, left=function(key.left)) for key in semi.keys))
