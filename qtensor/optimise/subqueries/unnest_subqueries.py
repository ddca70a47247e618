"""Rule: a subquery becomes a join. It is the one rule that every plan needs: lowering knows no subqueries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, assert_never

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, ColumnRef, Expr, OuterColumn, Subquery, children, conjuncts, with_children
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    Limit,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    with_inputs,
)
from qtensor.optimise.rewriting import (
    columns_of,
    conjunction,
    expressions_of,
    filtered,
    key_condition,
    map_expressions,
    map_plan,
    named_columns,
    shifted,
    transform,
)
from qtensor.optimise.subqueries.outer import has_subquery, outer_columns
from qtensor.optimise.subqueries.subquery_values import Rows, call, has_one_row
from qtensor.types import BOOLEAN

# x op ALL (...) is NOT (x negated op ANY (...)), also where it is NULL.
NEGATED = {
    "equal": "not_equal",
    "not_equal": "equal",
    "less": "greater_equal",
    "less_equal": "greater",
    "greater": "less_equal",
    "greater_equal": "less",
}


def unnest_subqueries(plan: Plan) -> Plan:
    """Replace every subquery by a join of the rows around it with its own rows.

    Sound: a scalar subquery is the partner of a single join, which is an error if there are two; EXISTS is a mark, IN a mark by
    equality, where a mark says whether there is a partner; as conditions of a filter these are semi and anti joins. The
    subquery's conditions on the row around it become the join's; where that is not enough, the subquery is computed for all
    the values that the rows around it have (`dependent_join`).

    >>> from qtensor.logical import Scan
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.types import INTEGER, Field
    >>> a, b = (Scan(name, (Field(column, INTEGER),), (0,)) for name, column in (("a", "x"), ("b", "y")))
    >>> same = Call("equal", (ColumnRef(0, INTEGER, "y"), OuterColumn(0, INTEGER, "x")), BOOLEAN)
    >>> print(plan_text(unnest_subqueries(Filter(a, Subquery("exists", Filter(b, same), BOOLEAN)))))
    Join semi y = x
    ├─ Scan a (x)
    └─ Scan b (y)
    """
    return map_plan(plan, unnest_node)


def unnest_node(plan: Plan) -> Plan:
    """One operator whose inputs have no subquery left."""
    if not any(has_subquery(expr) for expr in expressions_of(plan)):
        return plan
    plan = map_expressions(plan, lambda expr: transform(expr, normal_form))
    match plan:
        case Filter():
            return unnest_filter(plan)
        case Join():
            return unnest_join(plan)
        case Project() | Aggregate():
            rows = Rows(plan.input)
            return with_inputs(map_expressions(plan, rows.unnested), [rows.plan])
        case Sort():
            rows = Rows(plan.input)
            return rows.without_values(with_inputs(map_expressions(plan, rows.unnested), [rows.plan]))
        case Window():
            return unnest_window(plan)
        case Scan() | OneRow() | CommonScan() | Limit() | Union() | With():
            return plan
        case _:
            assert_never(plan)


def unnest_filter(plan: Filter) -> Plan:
    """What needs no subquery is asked first; IN and EXISTS, also negated, drop rows by themselves."""
    parts = conjuncts(plan.predicate)
    rows = Rows(filtered(plan.input, [part for part in parts if not has_subquery(part)]))
    rest = [rows.restrict(part) for part in parts if has_subquery(part)]
    return rows.without_values(filtered(rows.plan, [part for part in rest if part is not None]))


def unnest_window(plan: Window) -> Plan:
    """The functions' columns come last, and must follow the rows' own."""
    rows = Rows(plan.input)
    new = with_inputs(map_expressions(plan, rows.unnested), [rows.plan])
    width, added = len(plan.input.schema), len(rows.plan.schema)
    return Project(new, named_columns(new, [*range(width), *range(added, len(new.schema))]))


def unnest_join(plan: Join) -> Plan:
    """Of an inner join, conditions with subqueries are a filter above it; of others, values on the side that they read."""
    width = len(plan.left.schema)
    parts = [] if plan.condition is None else conjuncts(plan.condition)
    parts += [key_condition(key, width) for key in plan.keys if has_subquery(key.left) or has_subquery(key.right)]
    keys = tuple(key for key in plan.keys if not has_subquery(key.left) and not has_subquery(key.right))
    own = [part for part in parts if not has_subquery(part)]
    others = [part for part in parts if has_subquery(part)]
    plain = Join(plan.left, plan.right, plan.kind, keys, conjunction(own) if own else None)
    if plan.kind == "inner":
        return unnest_filter(Filter(plain, conjunction(others)))
    return with_values_of_sides(plain, own, others)


def with_values_of_sides(join: Join, own: Sequence[Expr], others: Sequence[Expr]) -> Plan:
    width = len(join.left.schema)
    left, right = Rows(join.left), Rows(join.right)
    subqueries = dict.fromkeys(subquery for part in others for subquery in outermost(part))
    sides = {subquery: side_of(subquery, width) for subquery in subqueries}
    values = {subquery: left.unnested(subquery) for subquery in subqueries if sides[subquery] == "left"}
    growth = len(left.plan.schema) - width
    for subquery in subqueries:
        if sides[subquery] == "right":
            values[subquery] = shifted(right.unnested(seen_from(subquery, width)), width + growth)

    def place(expr: Expr) -> Expr:
        if isinstance(expr, Subquery):
            return values[expr]
        if isinstance(expr, ColumnRef):
            return expr if expr.index < width else replace(expr, index=expr.index + growth)
        return with_children(expr, tuple(place(child) for child in children(expr)))

    joined = Join(left.plan, right.plan, join.kind, join.keys, conjunction([place(part) for part in (*own, *others)]))
    kept = list(range(width))
    if join.kind == "mark":
        kept.append(width + growth)
    elif join.kind not in ("semi", "anti"):
        kept += range(width + growth, width + growth + len(join.right.schema))
    return Project(joined, named_columns(joined, kept)) if len(kept) < len(joined.schema) else joined


def outermost(expr: Expr) -> list[Subquery]:
    """The subqueries in `expr`, but for those in their operands."""
    if isinstance(expr, Subquery):
        return [expr]
    return [subquery for child in children(expr) for subquery in outermost(child)]


def side_of(subquery: Subquery, width: int) -> Literal["left", "right"]:
    read = columns_read(subquery)
    if all(index < width for index in read):
        return "left"
    if all(index >= width for index in read):
        return "right"
    raise UnsupportedError(
        "a subquery in the ON of an outer join that reads both its sides is not supported",
        spans=[subquery.span] if subquery.span else [],
    )


def columns_read(expr: Expr) -> set[int]:
    """The columns of the row at hand that `expr` and the subqueries in it read."""
    found = columns_of(expr).union(*(columns_read(child) for child in children(expr)))
    return found | {outer.index for outer in outer_columns(expr.plan)} if isinstance(expr, Subquery) else found


def seen_from(expr: Expr, width: int) -> Expr:
    """An expression with subqueries over the columns of a join's right side alone, which `width` others stood before."""

    def outer(node: Expr) -> Expr:
        return replace(node, index=node.index - width) if isinstance(node, OuterColumn) and node.depth == 1 else node

    def move(node: Expr) -> Expr:
        if isinstance(node, ColumnRef):
            return replace(node, index=node.index - width)
        if not isinstance(node, Subquery):
            return node
        return replace(node, plan=map_plan(node.plan, lambda inner: map_expressions(inner, lambda part: transform(part, outer))))

    return transform(expr, move)


def normal_form(expr: Expr) -> Expr:
    """ALL said by ANY, ANY of one row by a scalar, no double negation; the plans of subqueries without subqueries."""
    match expr:
        case Subquery(kind="all"):
            some = replace(expr, kind="any", comparison=NEGATED[expr.comparison])
            return Call("not", (normal_form(some),), BOOLEAN)
        case Subquery(kind=kind):
            inner = unnest_subqueries(expr.plan)
            if kind == "any" and has_one_row(inner):
                return compared_with_row(expr, inner)
            return replace(expr, plan=only_existence(inner) if kind == "exists" else inner)
        case Call(function="not", arguments=(Call(function="not", arguments=(operand,)),)):
            return operand
        case _:
            return expr


def compared_with_row(subquery: Subquery, plan: Plan) -> Expr:
    parts = []
    for at, operand in enumerate(subquery.operands):
        value = Project(plan, named_columns(plan, [at]))
        scalar = Subquery("scalar", value, plan.schema[at].type, span=subquery.span)
        parts.append(call(subquery.comparison, operand, scalar))
    return conjunction(parts)


def only_existence(plan: Plan) -> Plan:
    """A plan that has a row if `plan` has one: without what computes, orders or merges rows."""
    match plan:
        case Project() | Sort():
            return only_existence(plan.input)
        case Aggregate(keys=keys) if keys:
            return only_existence(plan.input)
        case Aggregate():
            return OneRow()
        case Limit(count=count, offset=0) if count != 0:
            return only_existence(plan.input)
        case _:
            return plan
