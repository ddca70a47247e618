"""Rule: where it only counts whether there is a row, equal rows need not be merged."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import ColumnRef
from qtensor.logical import Aggregate, Join, Plan, Project


def drop_distinct(plan: Plan) -> Plan:
    """Leave out a DISTINCT (or a grouping whose aggregates nobody reads) on the right side of a semi, anti or mark join.

    Sound: such a join asks whether a left row has a partner; an equal row more or less does not matter. With a condition
    besides the keys it is kept, since then each partner costs time.

    >>> from qtensor.logical import JoinKey, NamedExpr, Scan
    >>> from qtensor.types import BIGINT, Field
    >>> table, x = Scan("t", (Field("x", BIGINT),), (0,)), ColumnRef(0, BIGINT)
    >>> distinct = Aggregate(table, (NamedExpr("x", x),), ())
    >>> drop_distinct(Join(table, distinct, "semi", (JoinKey(x, x),))) == Join(table, table, "semi", (JoinKey(x, x),))
    True
    """
    if not isinstance(plan, Join) or plan.kind not in ("semi", "anti", "mark") or plan.condition is not None:
        return plan
    right = without_distinct(plan.right)
    return plan if right is plan.right else replace(plan, right=right)


def without_distinct(plan: Plan) -> Plan:
    match plan:
        case Aggregate(input=input, keys=keys, aggregates=()) if keys:
            picked = [named.expr.index for named in keys if isinstance(named.expr, ColumnRef)]
            same = picked == list(range(len(input.schema))) and len(picked) == len(keys)
            return without_distinct(input if same else Project(input, keys))
        case Project(input=input):
            below = without_distinct(input)
            return plan if below is input else replace(plan, input=below)
        case _:
            return plan
