"""Rule: models are called where the fewest rows are, below joins that give each row several partners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.expressions import Call, Expr, Literal, Predict, children, conjuncts, with_children
from qtensor.logical import Aggregate, Filter, Join, NamedExpr, Plan, Project, Sort, definitions_of, inputs, with_inputs
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.expressions import calls_of, may_raise, null_where, work_of
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rewriting import (
    column,
    columns_of,
    expressions_of,
    filtered,
    map_expressions,
    named_columns,
    renumbered,
    shifted,
    substitute,
)
from qtensor.types import Array

WORTH = 512  # multiply-adds of a call, which take 10 ns: to fetch its result for a pair of rows takes 2
FACTOR = 2  # how many times as many rows there must be above, since they are estimated


def infer_early(plan: Plan, statistics: PlanStatistics | None) -> Plan:
    """Call a model for each row of a join's side that has all its arguments, instead of for each pair.

    Sound: the result depends on the arguments alone, which all pairs of a row share. What may raise an error stays, since a row
    without a partner would raise it. Where rows without partners have NULLs for the side's columns, the result must be NULL, too.
    Source: factorised inference as in M. Boehm et al.: SystemDS; K. Park et al.: End-to-end Optimization of Machine Learning
    Prediction Queries. SIGMOD 2022.
    """
    if statistics is None:
        return plan
    return Inference(Estimator(statistics, definitions_of(plan))).placed(plan)


class Inference:
    """Finds for each call of a model the place with the fewest rows."""

    def __init__(self, estimator: Estimator) -> None:
        self.rows = estimator.rows

    def placed(self, plan: Plan) -> Plan:
        """`plan` with every call at its place."""
        below = [self.placed(input) for input in inputs(plan)]
        plan = with_inputs(plan, below)
        if isinstance(plan, Filter):
            plan = self.conditions_placed(plan)
        return self.values_placed(plan, plan.input) if isinstance(plan, Aggregate | Filter | Project | Sort) else plan

    # --- conditions -----------------------------------------------------------------------------------------------------------

    def conditions_placed(self, plan: Filter) -> Plan:
        """A filter without the conditions that a side of a join below can be asked."""
        input, parts, left = plan.input, conjuncts(plan.predicate), list[Expr]()
        if not any(map(is_movable, parts)):
            return plan  # to estimate rows may be to read a table
        asked = self.rows(filtered(input, [part for part in parts if not calls_of(part)]))
        for part in parts:
            moved = self.asked_below(input, part, asked / FACTOR) if is_movable(part) else None
            if moved is None:
                left.append(part)
            else:
                input = moved
        return plan if input is plan.input else filtered(input, left)

    def asked_below(self, plan: Plan, part: Expr, limit: float) -> Plan | None:
        """`plan` with a condition asked at a place below a join where there are at most `limit` rows; None if there is none."""
        match plan:
            case Filter(input=input):
                below = self.asked_below(input, part, limit)
                return None if below is None else replace(plan, input=below)
            case Project(input=input, expressions=expressions):
                substituted = substitute(part, [named.expr for named in expressions])
                below = self.asked_below(input, substituted, limit) if is_movable(substituted) else None
                return None if below is None else replace(plan, input=below)
            case Join(left=left, right=right):
                width = len(left.schema)
                if plan.kind != "full" and max(columns_of(part)) < width:
                    return self.asked_at(left, part, limit, lambda side: replace(plan, left=side))
                if plan.kind == "inner" and min(columns_of(part)) >= width:
                    return self.asked_at(right, shifted(part, -width), limit, lambda side: replace(plan, right=side))
                return None
            case _:
                return None

    def asked_at(self, side: Plan, part: Expr, limit: float, joined: Callable[[Plan], Plan]) -> Plan | None:
        found = self.asked_below(side, part, min(limit, self.rows(side)))
        if found is None and self.rows(side) <= limit:
            found = Filter(side, part)
        return None if found is None else joined(found)

    # --- values ---------------------------------------------------------------------------------------------------------------

    def values_placed(self, plan: Plan, input: Plan) -> Plan:
        """A node that reads, as columns of its input, what a side of a join below can compute."""
        width = len(input.schema)
        added: dict[Expr, Expr] = {}
        waiting = list(expressions_of(plan))
        while waiting:
            expr = waiting.pop()
            if expr in added:
                continue
            computed = self.computed_below(input, expr, self.rows(input) / FACTOR) if is_value(expr) else None
            if computed is None:
                waiting += children(expr)
            else:
                input = computed
                added[expr] = column(input, len(input.schema) - 1)
        if not added:
            return plan
        new = with_inputs(map_expressions(plan, lambda expr: replaced(expr, added)), [input])
        if new.schema == plan.schema:
            return new
        return Project(new, named_columns(new, range(width)))  # filters and sorts pass on what was added

    def computed_below(self, plan: Plan, expr: Expr, limit: float) -> Plan | None:
        """`plan` with `expr` as one more column, computed below a join where there are at most `limit` rows, or which is there
        already; None if that is nowhere.
        """
        match plan:
            case Filter(input=input):
                below = self.computed_below(input, expr, min(limit, self.rows(plan) / FACTOR))
                return None if below is None else replace(plan, input=below)
            case Project(input=input, expressions=expressions):
                substituted = substitute(expr, [named.expr for named in expressions])
                known = [named for named in expressions if named.expr == substituted]
                if known:
                    return replace(plan, expressions=(*expressions, known[0]))
                below = self.computed_below(input, substituted, limit) if is_movable(substituted) else None
                if below is None:
                    return None
                return Project(below, (*expressions, *named_columns(below, [len(below.schema) - 1])))
            case Join(left=left, right=right):
                return self.computed_by_side(plan, left, right, expr, limit)
            case _:
                return None

    def computed_by_side(self, plan: Join, left: Plan, right: Plan, expr: Expr, limit: float) -> Plan | None:
        """The same of a join: its columns, and behind them the new one."""
        width, read = len(left.schema), columns_of(expr)
        if max(read) < width:
            if plan.kind == "full" and not null_where(expr, read):
                return None
            side = self.computed_at(left, expr, limit)
            if side is None:
                return None
            moved = {index: index + (index >= width) for index in range(width + len(right.schema))}  # the new one is between
            condition = None if plan.condition is None else renumbered(plan.condition, moved)
            joined = replace(plan, left=side, condition=condition)
            places = [*range(width), *range(width + 1, len(joined.schema)), width]
            return Project(joined, named_columns(joined, places))
        if min(read) < width or plan.kind not in ("inner", "left", "single", "full"):
            return None
        if plan.kind != "inner" and not null_where(expr, read):
            return None
        side = self.computed_at(right, shifted(expr, -width), limit)
        return None if side is None else replace(plan, right=side)

    def computed_at(self, side: Plan, expr: Expr, limit: float) -> Plan | None:
        found = self.computed_below(side, expr, min(limit, self.rows(side)))
        if found is not None or self.rows(side) > limit:
            return found
        own = named_columns(side, range(len(side.schema)))
        return Project(side, (*own, NamedExpr(min(call.model for call in calls_of(expr)), expr)))


def is_movable(expr: Expr) -> bool:
    """Whether an expression is worth a place of its own, and may have one."""
    return work_of(expr) >= WORTH and bool(columns_of(expr)) and not may_raise(expr)


def is_value(expr: Expr) -> bool:
    """Whether an expression is what one call of a model gives, as a column may hold it, and movable."""
    match expr:
        case Predict() | Call(function="subscript", arguments=(Predict(), Literal())):
            return is_movable(expr) and not isinstance(expr.type, Array)
        case _:
            return False


def replaced(expr: Expr, added: dict[Expr, Expr]) -> Expr:
    if expr in added:
        return added[expr]
    return with_children(expr, tuple(replaced(child, added) for child in children(expr)))
