"""Rule: a model of few different arguments is called once for each combination of them, and its results are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from qtensor.expressions import ColumnRef, Expr, children
from qtensor.logical import (
    Aggregate,
    Filter,
    Join,
    JoinKey,
    NamedExpr,
    Plan,
    Project,
    Scan,
    Sort,
    definitions_of,
    inputs,
    with_inputs,
)
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.expressions import null_where, work_of
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rewriting import (
    column,
    columns_of,
    expressions_of,
    map_expressions,
    named_columns,
    renumbered,
)
from qtensor.optimise.rules.infer_early import is_value, replaced
from qtensor.types import Boolean, Date, Decimal, Integer, SqlType, Timestamp, Varchar

WORTH = 4_096  # multiply-adds of a call: 80 ns, where to find the combinations and look results up takes some 10
MOST = 1 << 16  # combinations: a table of them stays in L2
FACTOR = 8  # how many times as many rows there must be, since combinations are estimated


def infer_once(plan: Plan, statistics: PlanStatistics | None) -> Plan:
    """Call a model for the different arguments that a table has, and look the results up, where it has many rows for each.

    Sound: the result depends on the arguments alone. They are of types whose equal values are the same (not floats: 0.0 and
    -0.0). Where one is NULL, no combination is found, and the result is NULL; if it may be another one, NULLs are looked up, too.
    What may raise an error stays, since filters may have dropped its rows. A plan for tables of any size goes over them once.
    """
    if statistics is None or statistics.of_examples:
        return plan
    return Results(Estimator(statistics, definitions_of(plan))).looked_up(plan)


class Results:
    """Finds what models give in tables of results.

    wider: of filters and sorts whose own expressions were looked up, by identity: the plan that has the results as further
    columns, and which these are, for what stands above.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self.wider: dict[int, tuple[Plan, Plan, dict[Expr, Expr]]] = {}

    def looked_up(self, plan: Plan) -> Plan:
        """`plan`, in which calls that are worth it are looked up."""
        plan = with_inputs(plan, [self.looked_up(input) for input in inputs(plan)])
        return self.of_node(plan, plan.input) if isinstance(plan, Aggregate | Filter | Project | Sort) else plan

    def of_node(self, plan: Plan, input: Plan) -> Plan:
        """A node that finds, as columns of its input, what models give."""
        width, waiting, used = len(input.schema), list(expressions_of(plan)), False
        _, input, known = self.wider.get(id(input), (input, input, {}))
        found = dict(known)
        while waiting:
            expr = waiting.pop()
            if expr in found:
                used = True
                continue
            joined = with_results(input, expr, self.estimator) if is_value(expr) and work_of(expr) >= WORTH else None
            if joined is None:
                waiting += children(expr)
            else:
                input, used = joined, True
                found[expr] = column(input, len(input.schema) - 1)
        if not used:
            return plan
        new = with_inputs(map_expressions(plan, lambda expr: replaced(expr, found)), [input])
        if new.schema == plan.schema:
            return new
        kept = Project(new, named_columns(new, range(width)))
        self.wider[id(kept)] = (kept, new, found)
        return kept


def with_results(plan: Plan, expr: Expr, estimator: Estimator) -> Plan | None:
    """`plan` with `expr` as one more column, which is looked up; None if that is not worth it."""
    read = sorted(columns_of(expr))
    origin = scanned(plan, read)
    if origin is None or not all(map(has_one_form, (plan.schema[index].type for index in read))):
        return None
    scan, places = origin
    rows = estimator.rows(plan)
    combinations = prod(estimator.column(scan, place).distinct for place in places)
    if combinations > MOST or combinations * FACTOR > rows or estimator.rows(scan) > FACTOR * rows:
        return None
    keys = named_columns(scan, places)
    groups = Aggregate(scan, keys, ())
    computed = NamedExpr("result", renumbered(expr, {index: at for at, index in enumerate(read)}))
    results = Project(groups, (*named_columns(groups, range(len(keys))), computed))
    null_safe = not all(null_where(expr, {index}) for index in read)
    pairs = tuple(JoinKey(column(plan, index), column(results, at), null_safe) for at, index in enumerate(read))
    joined = Join(plan, results, "left", pairs)
    width = len(plan.schema)
    return Project(joined, named_columns(joined, [*range(width), width + len(keys)]))


def scanned(plan: Plan, read: Sequence[int]) -> tuple[Scan, list[int]] | None:
    """The table whose rows `plan` has, some or all of them, and which of its columns those at `read` are."""
    match plan:
        case Scan():
            return plan, list(read)
        case Filter(input=input):
            return scanned(input, read)
        case Project(input=input, expressions=expressions):
            below = [expressions[index].expr for index in read]
            places = [expr.index for expr in below if isinstance(expr, ColumnRef)]
            return scanned(input, places) if len(places) == len(below) else None
        case _:
            return None


def has_one_form(type: SqlType) -> bool:
    """Whether equal values of a type are the same to any model."""
    return isinstance(type, Boolean | Integer | Decimal | Date | Timestamp | Varchar)
