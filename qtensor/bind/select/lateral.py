"""Subqueries in FROM that read the relations before them: LATERAL, which need not be written."""

from __future__ import annotations

from qtensor.bind.select.correlation import with_columns_moved
from qtensor.expressions import ColumnRef, Expr, Literal
from qtensor.logical import Filter, Join, JoinKind, NamedExpr, Plan, Project
from qtensor.optimise.rewriting import named_columns
from qtensor.optimise.subqueries.dependent_join import Domain, depend
from qtensor.optimise.subqueries.subquery_values import Rows
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.types import BOOLEAN


def lateral_join(left: Plan, right: Plan, kind: JoinKind, condition: Expr | None) -> Plan:
    """Each row of `left` beside the rows that `right` has for it, of which `condition` is true; by kind as a `Join`.

    The outer columns of depth 1 in `right` are those of `left`. `right` becomes independent of them as any subquery does.
    """
    right = unnest_subqueries(right)
    if condition == Literal(True, BOOLEAN):
        condition = None
    partner = Rows(left).partner(right)
    if kind == "inner" or (kind == "left" and partner.total and condition is None):
        joined = partner.join(left, "left" if partner.total else "inner")
        values = zip(right.schema, partner.outputs, strict=True)
        columns = (*named_columns(left, range(len(left.schema))), *(NamedExpr(field.name, value) for field, value in values))
        plan = Project(joined, columns)
        return plan if condition is None else Filter(plan, condition)
    return _kept_apart(left, right, kind, condition)


def _kept_apart(left: Plan, right: Plan, kind: JoinKind, condition: Expr | None) -> Plan:
    """The join with the rows that `right` has for all values of `left`: what has no partner has none of its columns."""
    domain, width = Domain.of(left, right), len(left.schema)

    def moved(column: ColumnRef) -> Expr:
        index = column.index + domain.width if column.index >= width else column.index
        return ColumnRef(index, column.type, column.name)

    wanted = None if condition is None else with_columns_moved(condition, moved)
    joined = Join(left, depend(domain, right), kind, domain.keys_of_rows(), wanted)
    if kind in ("semi", "anti"):
        return joined
    return Project(joined, named_columns(joined, [*range(width), *range(width + domain.width, len(joined.schema))]))
