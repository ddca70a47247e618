"""Rule: models are not given what they never look at."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import Call, Case, Expr, Literal, Predict
from qtensor.logical import Plan
from qtensor.optimise.facts.expressions import never_null
from qtensor.optimise.rewriting import conjunction, map_expressions, transform
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, Array, Float, Varchar


def drop_unread_arguments(plan: Plan) -> Plan:
    """Give a model 0 for an argument on which its result does not depend, so that nothing computes or fetches that.

    Sound: importing a model finds out on which arguments no element of its result depends (`lowering/models/dependence.py`). Only
    whether an argument is NULL matters, and is still asked where it may be.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.logical import NamedExpr, Project, Scan
    >>> from qtensor.types import Field
    >>> a, b = (ColumnRef(at, DOUBLE, name) for at, name in enumerate("ab"))
    >>> scan = Scan("t", (Field("a", DOUBLE), Field("b", DOUBLE)), (0, 1))
    >>> print(plan_text(drop_unread_arguments(Project(scan, (NamedExpr("y", Predict("m", (a, b), DOUBLE, unread=(1,))),)))))
    Project CASE WHEN b IS NOT NULL THEN m(a, 0.0) ELSE NULL END AS y
    └─ Scan t (a, b)
    """
    return map_expressions(plan, lambda expr: transform(expr, without_unread))


def without_unread(expr: Expr) -> Expr:
    if not isinstance(expr, Predict) or not expr.unread:
        return expr
    dropped = [at for at in expr.unread if is_dropped(expr, expr.arguments[at])]
    if not dropped:
        return expr
    arguments = [nothing(argument) if at in dropped else argument for at, argument in enumerate(expr.arguments)]
    call = replace(expr, arguments=tuple(arguments), unread=())
    perhaps = [argument for argument in dict.fromkeys(map(expr.arguments.__getitem__, dropped)) if not never_null(argument)]
    if not perhaps:
        return call
    has_values = conjunction([Call("is_not_null", (argument,), BOOLEAN) for argument in perhaps])
    return Case(((has_values, call),), Literal(None, expr.type), expr.type)


def is_dropped(call: Predict, argument: Expr) -> bool:
    """Whether an argument that is not read goes; there is no CASE of vectors."""
    if isinstance(argument, Literal) or isinstance(argument.type, Varchar):
        return False
    return never_null(argument) or not isinstance(call.type, Array)


def nothing(argument: Expr) -> Literal:
    return Literal(0.0, DOUBLE) if isinstance(argument.type, Float) else Literal(0, BIGINT)
