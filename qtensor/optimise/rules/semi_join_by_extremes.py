"""Rule: whether some partner compares with a value is told by the least and the greatest partner."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import MIRRORED, AggregateCall, Call, ColumnRef, Expr, Literal
from qtensor.logical import Aggregate, Filter, Join, NamedAggregate, NamedExpr, Plan, Project
from qtensor.optimise.rewriting import columns_of, named_columns, shifted
from qtensor.types import BOOLEAN

# Which extremes of y answer, by the comparison of x with y.
EXTREMES = {
    "not_equal": ("min", "max"),
    "less": ("max",),
    "less_equal": ("max",),
    "greater": ("min",),
    "greater_equal": ("min",),
}


def semi_join_by_extremes(plan: Plan) -> Plan:
    """A semi, anti or mark join with equal keys and one comparison x < y: the least and the greatest y of each key are enough.

    Sound: x < y holds for some y if and only if it holds for the greatest, and x <> y if and only if it holds for the least or
    the greatest; NULL as x or y makes the comparison no better than false, and aggregates ignore a NULL y. Instead of all
    pairs of equal keys, each left row looks up one group.

    >>> from qtensor.logical import JoinKey, Scan
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.types import INTEGER, Field
    >>> t = Scan("t", (Field("k", INTEGER), Field("v", INTEGER)), (0, 1))
    >>> k, mine, theirs = (ColumnRef(index, INTEGER, name) for index, name in ((0, "k"), (1, "v"), (3, "v")))
    >>> others = Call("not_equal", (mine, theirs), BOOLEAN)
    >>> print(plan_text(semi_join_by_extremes(Join(t, t, "semi", (JoinKey(k, k),), others))))
    Project k, v
    └─ Filter coalesce((v <> min) OR (v <> max), FALSE)
       └─ Join left k = key0
          ├─ Scan t (k, v)
          └─ Aggregate by k AS key0: min(v) AS min, max(v) AS max
             └─ Scan t (k, v)
    """
    if not isinstance(plan, Join) or plan.kind not in ("semi", "anti", "mark") or not plan.keys:
        return plan
    sides = compared(plan.condition, len(plan.left.schema))
    if sides is None:
        return plan
    comparison, mine, theirs = sides
    width, keys = len(plan.left.schema), len(plan.keys)
    names = EXTREMES[comparison]
    groups = Aggregate(
        plan.right,
        tuple(NamedExpr(f"key{at}", key.right) for at, key in enumerate(plan.keys)),
        tuple(NamedAggregate(name, AggregateCall(name, (theirs,), theirs.type)) for name in names),
    )
    pairs = tuple(
        replace(key, right=ColumnRef(at, groups.schema[at].type, groups.schema[at].name)) for at, key in enumerate(plan.keys)
    )
    joined = Join(plan.left, groups, "left", pairs)
    bounds = [ColumnRef(width + keys + at, theirs.type, name) for at, name in enumerate(names)]
    holds = [Call(comparison, (mine, bound), BOOLEAN) for bound in bounds]
    some = holds[0] if len(holds) == 1 else Call("or", tuple(holds), BOOLEAN)
    found = Call("coalesce", (some, Literal(False, BOOLEAN)), BOOLEAN)
    own = named_columns(joined, range(width))
    match plan.kind:
        case "semi":
            return Project(Filter(joined, found), own)
        case "anti":
            return Project(Filter(joined, Call("not", (found,), BOOLEAN)), own)
        case _:
            return Project(joined, (*own, NamedExpr(plan.schema[-1].name, found)))


def compared(condition: Expr | None, width: int) -> tuple[str, Expr, Expr] | None:
    """A condition as a comparison of what reads only left columns with what reads only right ones, over the right ones alone."""
    match condition:
        case Call(function=function, arguments=(one, other)) if function in EXTREMES:
            pass
        case _:
            return None
    for comparison, mine, theirs in ((function, one, other), (MIRRORED[function], other, one)):
        left, right = columns_of(mine), columns_of(theirs)
        if right and all(index < width for index in left) and min(right) >= width:
            return comparison, mine, shifted(theirs, -width)
    return None
