"""Rule: what all branches of an OR say is said once."""

from __future__ import annotations

from qtensor.expressions import Call, Expr, conjuncts
from qtensor.logical import Filter, Join, Plan
from qtensor.optimise.rewriting import conjunction, map_expressions
from qtensor.types import BOOLEAN


def factor_disjunctions(plan: Plan) -> Plan:
    """`(a AND b) OR (a AND c)` becomes `a AND (b OR c)`, in the conditions of filters and joins; a may then be a join's key.

    Sound: the distributive law holds in three-valued logic, too.

    >>> from qtensor.expressions import ColumnRef
    >>> a, b, c = (ColumnRef(index, BOOLEAN) for index in range(3))
    >>> both, either = (lambda *parts: Call("and", parts, BOOLEAN)), (lambda *parts: Call("or", parts, BOOLEAN))
    >>> factored(either(both(a, b), both(c, a))) == both(a, either(b, c))
    True
    """
    return map_expressions(plan, factored) if isinstance(plan, Filter | Join) else plan


def factored(expr: Expr) -> Expr:
    if not isinstance(expr, Call) or expr.function not in ("and", "or"):
        return expr
    if expr.function == "and":
        parts = [factored(part) for part in conjuncts(expr)]
        new = conjunction([item for part in parts for item in conjuncts(part)])
        return expr if new == expr else new
    branches = [conjuncts(factored(branch)) for branch in expr.arguments]
    common = [part for part in dict.fromkeys(branches[0]) if all(part in branch for branch in branches[1:])]
    if not common:
        return expr
    rests = [[part for part in branch if part not in common] for branch in branches]
    if not all(rests):
        return conjunction(common)  # a OR (a AND b) is a
    return conjunction([*common, Call("or", tuple(conjunction(rest) for rest in rests), BOOLEAN)])
