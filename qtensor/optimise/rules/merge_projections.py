"""Rule: one projection instead of two, and none that changes nothing."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import ColumnRef, Literal
from qtensor.logical import Plan, Project
from qtensor.optimise.rewriting import map_named, substitute


def merge_projections(plan: Plan) -> Plan:
    """Compute the expressions of a projection from the input of the one below it, if one of the two only picks columns.

    Sound: a projection computes each row from itself alone. Where both compute, expressions could become much longer.

    >>> from qtensor.logical import NamedExpr, Scan
    >>> from qtensor.types import BIGINT, Field
    >>> a, b = (Field(name, BIGINT) for name in "ab")
    >>> table = Scan("t", (a, b), (0, 1))
    >>> swap = (NamedExpr("b", ColumnRef(1, BIGINT)), NamedExpr("a", ColumnRef(0, BIGINT)))
    >>> back = (NamedExpr("a", ColumnRef(1, BIGINT)), NamedExpr("b", ColumnRef(0, BIGINT)))
    >>> merge_projections(Project(Project(table, swap), back)) == table
    True
    """
    if not isinstance(plan, Project):
        return plan
    below = plan.input
    if isinstance(below, Project) and (only_picks(plan) or only_picks(below)):
        columns = [named.expr for named in below.expressions]
        plan = replace(plan, input=below.input, expressions=map_named(plan.expressions, lambda expr: substitute(expr, columns)))
    return plan.input if is_identity(plan) else plan


def only_picks(plan: Project) -> bool:
    return all(isinstance(named.expr, ColumnRef | Literal) for named in plan.expressions)


def is_identity(plan: Project) -> bool:
    """Whether the columns are the input's, with their names, in their order."""
    in_place = (isinstance(named.expr, ColumnRef) and named.expr.index == at for at, named in enumerate(plan.expressions))
    return plan.schema == plan.input.schema and all(in_place)
