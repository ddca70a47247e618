"""Set operations: UNION, INTERSECT and EXCEPT of two queries, their columns brought to common types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import convert, plain
from qtensor.bind.select.distinct import distinct_rows, references
from qtensor.errors import Span
from qtensor.expressions import AggregateCall, Call, Cast, ColumnRef, Frame, FrameBound, Literal, SortKey, WindowCall
from qtensor.functions.operators import set_operation_type
from qtensor.logical import Aggregate, Filter, NamedAggregate, NamedExpr, NamedWindow, Plan, Project, Union, Window
from qtensor.types import BIGINT, BOOLEAN, HUGEINT, TINYINT, SqlType

MODIFIERS = ("with_", "order", "limit", "offset")


def bind_set_operation(context: Context, node: exp.SetOperation, bind_branch: Callable[[exp.Expr], Plan]) -> Plan:
    """The plan of a set operation, without its own ORDER BY, LIMIT and WITH; names are those of the first query.

    Raises:
        BindError: the queries have different numbers of columns, or columns without a common type.
    """
    spine = [node]  # `a UNION b UNION c` nests on the left, a thousand levels deep if so many queries are listed
    while isinstance(spine[-1].this, exp.SetOperation) and not any(spine[-1].this.args.get(key) for key in MODIFIERS):
        spine.append(spine[-1].this)
    for branch in (spine[-1].this, *(operation.expression for operation in spine)):
        _reject_clauses(context, branch, node)
    plan = bind_branch(spine[-1].this)
    for operation in reversed(spine):
        plan = _combined(context, operation, plan, bind_branch(operation.expression))
    return plan


def _reject_clauses(context: Context, branch: exp.Expr, node: exp.SetOperation) -> None:
    """ORDER BY and LIMIT belong to the whole, after its last query, or into parentheses around a branch."""
    if isinstance(branch, exp.Select) and any(branch.args.get(key) for key in ("order", "limit", "offset")):
        message = f"a query with ORDER BY or LIMIT stands in parentheses inside of {node.key.upper()}"
        raise context.error(message, context.source.span(branch))


def with_types(context: Context, plan: Plan, types: Sequence[SqlType], span: Span | None) -> Plan:
    """`plan` with its columns cast to `types`."""
    if [field.type for field in plan.schema] == list(types):
        return plan
    if isinstance(plan, Union):
        return Union(tuple(with_types(context, branch, types, span) for branch in plan.branches))
    if isinstance(plan, Project):
        source, expressions = plan.input, list(plan.expressions)
    else:
        source, expressions = plan, [NamedExpr(column.name, column) for column in references(plan)]
    casts = (
        NamedExpr(given.name, convert(context, plain(given.expr, span), wanted))
        for given, wanted in zip(expressions, types, strict=True)
    )
    return Project(source, tuple(casts))


def _combined(context: Context, node: exp.SetOperation, left: Plan, right: Plan) -> Plan:
    span = context.source.span(node.expression)
    if isinstance(node, exp.Union) and node.args.get("distinct"):
        left, right = _with_duplicates(left), _with_duplicates(right)
    if node.args.get("by_name"):
        left, right = _by_name(context, node, left, right)
    left, right = _of_common_types(context, node.key.upper(), left, right, span)
    distinct = bool(node.args.get("distinct"))
    if isinstance(node, exp.Union):
        branches = (part.branches if isinstance(part, Union) else (part,) for part in (left, right))
        union = Union(tuple(branch for part in branches for branch in part))
        return distinct_rows(union) if distinct else union
    both = _beside_each_other(left, right)
    intersect = isinstance(node, exp.Intersect)
    return _matched(both, intersect) if distinct else _matched_by_copies(both, intersect)


def _with_duplicates(plan: Plan) -> Plan:
    """The rows of a UNION before its duplicates are left out: those of a UNION around it are left out at the end.

    So `a UNION b UNION c` is one Union and no chain, which would be too deep for a hundred queries.
    """
    if not isinstance(plan, Aggregate) or plan.aggregates or not isinstance(plan.input, Union):
        return plan
    return plan.input if [key.expr for key in plan.keys] == references(plan.input) else plan


def _of_common_types(context: Context, word: str, left: Plan, right: Plan, span: Span | None) -> tuple[Plan, Plan]:
    if len(left.schema) != len(right.schema):
        counts = f"{len(left.schema)} column{'s' * (len(left.schema) > 1)} and {len(right.schema)}"
        raise context.error(f"{word} combines queries with equally many columns, not {counts}", span)
    types = []
    for mine, other in zip(left.schema, right.schema, strict=True):
        common = set_operation_type(mine.type, other.type)
        if common is None:
            message = f'{word}: the column "{mine.name}" is {mine.type} in one query and {other.type} in the other'
            raise context.error(message, span, "Cast one of them.")
        types.append(common)
    return with_types(context, left, types, span), with_types(context, right, types, span)


def _by_name(context: Context, node: exp.SetOperation, left: Plan, right: Plan) -> tuple[Plan, Plan]:
    """Both inputs with the columns of either, NULL where an input lacks one."""
    for plan, query in ((left, node.this), (right, node.expression)):
        names = [field.name.lower() for field in plan.schema]
        twice = next((field.name for field in plan.schema if names.count(field.name.lower()) > 1), None)
        if twice is not None:
            message = f'UNION BY NAME: a query has several columns called "{twice}"'
            raise context.error(message, context.source.span(query))
    known = {field.name.lower() for field in left.schema}
    fields = [*left.schema, *(field for field in right.schema if field.name.lower() not in known)]

    def widened(plan: Plan) -> Plan:
        own = {column.name.lower(): column for column in references(plan)}
        columns = ((field.name, own.get(field.name.lower()) or Literal(None, field.type)) for field in fields)
        return Project(plan, tuple(NamedExpr(*column) for column in columns))

    return widened(left), widened(right)


def _beside_each_other(left: Plan, right: Plan) -> Plan:
    """The rows of both, and as the last column which of the two a row is from: 0 or 1."""
    return Union(tuple(_marked(plan, Literal(side, TINYINT)) for side, plan in enumerate((left, right))))


def _marked(plan: Plan, side: Literal) -> Plan:
    return Project(plan, (*(NamedExpr(column.name, column) for column in references(plan)), NamedExpr("side", side)))


def _matched(both: Plan, intersect: bool) -> Plan:
    """INTERSECT and EXCEPT: the different left rows that are, or are not, among the right ones.

    A group-by and no join: a row of many columns makes a group like any other, while a join's key is to fit a machine word.
    """
    *columns, side = references(both)
    width = len(columns)
    sides = tuple(NamedAggregate(f"{name}_side", AggregateCall(name, (side,), TINYINT)) for name in ("min", "max"))
    groups = Aggregate(both, tuple(NamedExpr(column.name, column) for column in columns), sides)
    lowest, highest = (ColumnRef(width + position, TINYINT, sides[position].name) for position in range(2))
    right = Call("equal", (highest, Literal(1 if intersect else 0, TINYINT)), BOOLEAN)
    left = Call("equal", (lowest, Literal(0, TINYINT)), BOOLEAN)
    return _first_columns(Filter(groups, Call("and", (left, right), BOOLEAN)), width)


def _matched_by_copies(both: Plan, intersect: bool) -> Plan:
    """INTERSECT ALL and EXCEPT ALL: each of n equal right rows takes one equal left row.

    Of equal rows the right ones come first: these have the numbers up to n, the left ones that are taken those up to 2 n.
    """
    *columns, side = references(both)
    width = len(columns)
    whole = Frame(end=FrameBound("following"))
    windows = (
        NamedWindow("number", WindowCall("row_number", (), BIGINT)),
        NamedWindow("matches", WindowCall("sum", (side,), HUGEINT, whole)),
    )
    numbered = Window(both, tuple(columns), (SortKey(side, descending=True),), windows)
    number, matches = ColumnRef(width + 1, BIGINT, "number"), Cast(ColumnRef(width + 2, HUGEINT, "matches"), BIGINT)
    taken = Call("multiply", (matches, Literal(2, BIGINT)), BIGINT)
    kept = Call("less_equal" if intersect else "greater", (number, taken), BOOLEAN)
    is_left = Call("equal", (side, Literal(0, TINYINT)), BOOLEAN)
    return _first_columns(Filter(numbered, Call("and", (is_left, kept), BOOLEAN)), width)


def _first_columns(plan: Plan, width: int) -> Plan:
    return Project(plan, tuple(NamedExpr(column.name, column) for column in references(plan)[:width]))
