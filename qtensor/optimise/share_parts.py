"""Parts of a plan that stand in it several times, as the query of a CTE or of a view does: defined once, and read by number."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import Expr, OuterColumn, Subquery, children, with_children
from qtensor.logical import CommonScan, Definition, Plan, With, inputs, with_inputs
from qtensor.optimise.facts.repeated import is_costly
from qtensor.optimise.facts.uniqueness import at_most_one_row
from qtensor.optimise.rewriting import expressions_of, map_expressions


def share_parts(plan: Plan) -> Plan:
    """`plan`, which may hold one object in several places, as a tree: a `With` of the objects that are worth keeping.

    What merely reads a table row by row stands where it stood, each time, for filters to move into it. So does what reads
    columns of a query around it, which has other rows there. Every pass over a tree takes time in proportion to its size, where
    ten CTEs of which each reads the one before twice would be a thousand of them.
    """
    return plan if isinstance(plan, With) else _Sharing(plan).result()


class _Sharing:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._places: dict[int, int] = {}
        self._reach: dict[int, int] = {}
        self._rewritten: dict[int, Plan] = {}
        self._definitions: list[Definition] = []
        self._count(plan)

    def result(self) -> Plan:
        new = self._visit(self._plan)
        return With(tuple(self._definitions), new) if self._definitions else new

    def _count(self, plan: Plan) -> None:
        """In how many places `plan` stands, and what is in it: places in one object count once."""
        self._places[id(plan)] = self._places.get(id(plan), 0) + 1
        if self._places[id(plan)] > 1:
            return
        reach = 0
        for below in inputs(plan):
            self._count(below)
            reach = max(reach, self._reach[id(below)])
        for expr in expressions_of(plan):
            reach = max(reach, self._count_in(expr))
        self._reach[id(plan)] = reach

    def _count_in(self, expr: Expr) -> int:
        """How many queries further out the outermost column is that `expr` reads; 0: none."""
        reach = expr.depth if isinstance(expr, OuterColumn) else 0
        if isinstance(expr, Subquery):
            self._count(expr.plan)
            reach = self._reach[id(expr.plan)] - 1
        return max(reach, 0, *map(self._count_in, children(expr)))

    def _visit(self, plan: Plan) -> Plan:
        if id(plan) not in self._rewritten:
            below = with_inputs(plan, [self._visit(input) for input in inputs(plan)])
            new = map_expressions(below, self._visit_expression)
            if self._places[id(plan)] > 1 and not self._reach[id(plan)] and is_costly(plan):
                number = len(self._definitions)
                self._definitions.append(Definition(number, new))
                new = CommonScan(number, plan.schema, at_most_one_row(plan))
            self._rewritten[id(plan)] = new
        return self._rewritten[id(plan)]

    def _visit_expression(self, expr: Expr) -> Expr:
        new = with_children(expr, tuple(map(self._visit_expression, children(expr))))
        if not isinstance(new, Subquery):
            return new
        plan = self._visit(new.plan)
        return new if plan is new.plan else replace(new, plan=plan)
