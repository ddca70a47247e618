"""Subqueries as columns: joins that add a subquery's value to the rows around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qtensor.expressions import AggregateCall, Call, Case, ColumnRef, Expr, Literal, OuterColumn, Subquery
from qtensor.logical import (
    Aggregate,
    Join,
    JoinKey,
    JoinKind,
    Limit,
    NamedAggregate,
    NamedExpr,
    OneRow,
    Plan,
    Project,
    Sort,
    Window,
)
from qtensor.optimise.facts.expressions import null_where
from qtensor.optimise.rewriting import (
    all_columns,
    columns_of,
    conjunction,
    filtered,
    named_columns,
    shifted,
    substitute,
    transform,
)
from qtensor.optimise.subqueries.dependent_join import Domain, depend, depend_groups, values_of_groups
from qtensor.optimise.subqueries.outer import moved_out, plan_moved_out
from qtensor.optimise.subqueries.pull_correlation import pull_correlation
from qtensor.types import BIGINT, BOOLEAN


@dataclass(frozen=True)
class Partner:
    """A subquery as the right side of a join: what pairs its rows with those around it.

    condition and outputs are over the left rows' columns, then `plan`'s. `total` as in `Pulled`.
    """

    plan: Plan
    outputs: tuple[Expr, ...]
    keys: tuple[JoinKey, ...] = ()
    conditions: tuple[Expr, ...] = ()
    total: bool = False

    def join(self, left: Plan, kind: JoinKind, *more: Expr) -> Join:
        """`left` joined with the subquery's rows for which `more` are true, too."""
        width = len(left.schema)
        own = [part for part in more if columns_of(part) and min(columns_of(part)) >= width]
        right = filtered(self.plan, [shifted(part, -width) for part in own])
        parts = [*self.conditions, *(part for part in more if part not in own)]
        return Join(left, right, kind, self.keys, conjunction(parts) if parts else None)


@dataclass
class Rows:
    """The rows around some subqueries, with more and more columns that hold the subqueries' values."""

    plan: Plan
    original: Plan = field(init=False)
    values: dict[Subquery, Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.original = self.plan

    def without_values(self, plan: Plan) -> Plan:
        """`plan`, which passes the rows' columns on, with the first of them only."""
        width = len(self.original.schema)
        return plan if len(plan.schema) == width else Project(plan, named_columns(plan, range(width)))

    def unnested(self, expr: Expr) -> Expr:
        """`expr` with columns, added to the rows, in place of its subqueries."""
        return transform(expr, lambda node: self.value(node) if isinstance(node, Subquery) else node)

    def value(self, subquery: Subquery) -> Expr:
        if subquery not in self.values:
            self.values[subquery] = self.new_value(subquery)
        return self.values[subquery]

    def new_value(self, subquery: Subquery) -> Expr:
        match subquery:
            case Subquery(kind="scalar"):
                return self.scalars(subquery.plan)[0]
            case Subquery(kind="exists"):
                return self.mark(self.partner(subquery.plan))
            case Subquery(comparison="equal"):
                at = len(self.plan.schema)
                self.find(subquery, "mark")
                return three_valued(ColumnRef(at, BOOLEAN, "mark"), self.possible(subquery))
            case _:
                return self.ordered(subquery)

    def partner(self, plan: Plan) -> Partner:
        """The subquery's rows for the rows as they are now."""
        width = len(self.plan.schema)

        def resolve(node: OuterColumn) -> Expr:
            return ColumnRef(node.index, node.type, node.name)

        pulled = pull_correlation(plan)
        if pulled is not None:
            outputs = tuple(moved_out(shifted(output, width), resolve) for output in pulled.outputs)
            conditions = tuple(moved_out(shifted(part, width), resolve) for part in pulled.conditions)
            return Partner(plan_moved_out(pulled.plan), outputs, (), conditions, pulled.total)
        only_group = group_of(plan)
        domain = Domain.of(self.original, plan if only_group is None else only_group.input)
        keys = domain.keys_of_rows()
        if only_group is None:
            right = depend(domain, plan)
            return Partner(right, tuple(all_columns(right, width)[domain.width :]), keys)
        groups = depend_groups(domain, only_group.input)
        values = values_of_groups(groups, width + domain.width)
        return Partner(
            groups, tuple(moved_out(substitute(output, values), resolve) for output in only_group.outputs), keys, (), True
        )

    def restrict(self, part: Expr) -> Expr | None:
        """Keep only the rows for which `part`, a condition of a filter, is true; what of it is left to ask (None: nothing)."""
        match part:
            case Subquery(kind="exists"):
                self.plan = self.partner(part.plan).join(self.plan, "semi")
            case Call(function="not", arguments=(Subquery(kind="exists", plan=plan),)):
                self.plan = self.partner(plan).join(self.plan, "anti")
            case Subquery(kind="any", comparison="equal"):
                self.find(part, "semi")
            case Call(function="not", arguments=(Subquery(kind="any", comparison="equal") as subquery,)):
                subquery = self.find(subquery, "anti")
                return call("not", self.possible(subquery))
            case _:
                return self.unnested(part)
        return None

    def find(self, subquery: Subquery, kind: JoinKind) -> Subquery:
        """Join with the rows of an IN's subquery that equal its operands; the subquery, with operands without subqueries."""
        operands = tuple(self.unnested(operand) for operand in subquery.operands)
        partner = self.partner(subquery.plan)
        pairs = zip(operands, partner.outputs, strict=True)
        self.plan = partner.join(self.plan, kind, *(call("equal", *pair) for pair in pairs))
        return replace(subquery, operands=operands)

    def mark(self, partner: Partner, *conditions: Expr) -> Expr:
        """A new column: whether there is a partner for which the conditions are true."""
        at = len(self.plan.schema)
        self.plan = partner.join(self.plan, "mark", *conditions)
        return ColumnRef(at, BOOLEAN, "mark")

    def scalars(self, plan: Plan) -> tuple[Expr, ...]:
        """The only row of a plan, by new columns. What does not read them must be NULL, too, where there is no row."""
        partner = self.partner(plan)
        independent = not partner.keys and not partner.conditions
        kind: JoinKind = "left" if partner.total else "inner" if independent and has_one_row(partner.plan) else "single"
        width = len(self.plan.schema)
        partners = set(range(width, width + len(partner.plan.schema)))
        if kind != "single" or all(null_where(output, partners) for output in partner.outputs):
            self.plan = partner.join(self.plan, kind)
            return partner.outputs
        found = NamedExpr("found", Literal(True, BOOLEAN))
        right = Project(partner.plan, (*named_columns(partner.plan, range(len(partners))), found))
        self.plan = replace(partner, plan=right).join(self.plan, kind)
        there = ColumnRef(width + len(partners), BOOLEAN, "found")
        return tuple(Case(((there, output),), Literal(None, output.type), output.type) for output in partner.outputs)

    def possible(self, subquery: Subquery) -> Expr:
        """For IN: whether a NULL stands in the way of knowing that no row is equal."""
        if len(subquery.operands) > 1:
            partner = self.partner(subquery.plan)
            pairs = zip(subquery.operands, partner.outputs, strict=True)
            return self.mark(partner, *(call("coalesce", call("equal", *pair), Literal(True, BOOLEAN)) for pair in pairs))
        (operand,) = subquery.operands
        rows, known = self.scalars(Aggregate(subquery.plan, (), counts(subquery.plan)))
        nulls = call("not_equal", known, rows)
        if isinstance(operand, Literal):
            return nulls if operand.value is not None else call("greater", rows, Literal(0, BIGINT))
        unknown = call("and", call("is_null", operand), call("greater", rows, Literal(0, BIGINT)))
        return call("or", nulls, unknown)

    def ordered(self, subquery: Subquery) -> Expr:
        """x < ANY (...) is x < the greatest value, and x <> ANY (...) is that the least or the greatest is another."""
        (operand,) = subquery.operands
        plan, comparison = subquery.plan, subquery.comparison
        argument = all_columns(plan)[0]
        extremes = {"less": ["max"], "less_equal": ["max"], "not_equal": ["min", "max"]}.get(comparison, ["min"])
        calls = tuple(NamedAggregate(name, AggregateCall(name, (argument,), argument.type)) for name in extremes)
        rows, known, *bounds = self.scalars(Aggregate(plan, (), (*counts(plan), *calls)))
        holds = [call(comparison, operand, bound) for bound in bounds]
        found = call("coalesce", holds[0] if len(holds) == 1 else call("or", *holds), Literal(False, BOOLEAN))
        unknown = call("or", call("is_null", operand), call("not_equal", known, rows))
        return three_valued(found, call("and", unknown, call("greater", rows, Literal(0, BIGINT))))


class OnlyGroup(NamedTuple):
    """A plan of one row: expressions over the row of an aggregate without keys."""

    input: Aggregate
    outputs: Sequence[Expr]


def group_of(plan: Plan) -> OnlyGroup | None:
    match plan:
        case Aggregate(keys=()):
            return OnlyGroup(plan, all_columns(plan))
        case Project(input=input, expressions=expressions):
            below = group_of(input)
            return below and OnlyGroup(below.input, [substitute(named.expr, below.outputs) for named in expressions])
        case _:
            return None


def call(function: str, *arguments: Expr) -> Call:
    return Call(function, arguments, BOOLEAN)


def three_valued(found: Expr, possible: Expr) -> Expr:
    """True if found, else NULL if it is possible, else false."""
    return Case(((found, Literal(True, BOOLEAN)), (possible, Literal(None, BOOLEAN))), Literal(False, BOOLEAN), BOOLEAN)


def counts(plan: Plan) -> tuple[NamedAggregate, NamedAggregate]:
    """How many rows `plan` has, and how many of them have a value."""
    return (
        NamedAggregate("rows", AggregateCall("count_star", (), BIGINT)),
        NamedAggregate("known", AggregateCall("count", (all_columns(plan)[0],), BIGINT)),
    )


def has_one_row(plan: Plan) -> bool:
    """Whether the plan has exactly one row, whatever the data."""
    match plan:
        case OneRow() | Aggregate(keys=()):
            return True
        case Project() | Sort() | Window():
            return has_one_row(plan.input)
        case Limit(count=count, offset=0) if count != 0:
            return has_one_row(plan.input)
        case _:
            return False
