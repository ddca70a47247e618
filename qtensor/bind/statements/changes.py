"""INSERT, DELETE, UPDATE and TRUNCATE: which rows they are about, as plans whose columns have the types of the table's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context, Parameters
from qtensor.bind.expressions.build import convert, plain
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.aggregates import aggregate_name, has_aggregate
from qtensor.bind.select.query import bind_query, expression_binder
from qtensor.bind.select.scope import ColumnScope
from qtensor.bind.select.views import placed
from qtensor.bind.statements.targets import changed_table, positions, refuse_parts
from qtensor.bind.text.parse import parse
from qtensor.bind.text.support import reject_unsupported
from qtensor.errors import ParseError, Span, suggestion
from qtensor.expressions import ColumnRef, Expr, Literal
from qtensor.logical import NamedExpr, OneRow, Plan, Project, Union
from qtensor.row_numbers import ROW, numbered
from qtensor.statement import Column, Delete, Insert, TableDefinition, Update

_NAMES = {"returning": "RETURNING", "conflict": "ON CONFLICT", "alternative": "INSERT OR"}


# --- INSERT -------------------------------------------------------------------------------------------------------------------


def bind_insert(context: Context, catalog: StatementCatalog, node: exp.Insert) -> Insert:
    refuse_parts(context, node, ("this", "expression", "default", "by_name", "with_"), _NAMES)
    schema = node.this if isinstance(node.this, exp.Schema) else None
    definition = changed_table(context, catalog, schema.this if schema else node.this)
    columns = list(range(len(definition.columns)))
    if schema is not None:
        columns = positions(context, definition, schema.expressions, "INSERT")
    if node.args.get("default"):
        return Insert(definition.name, Project(OneRow(), _all_columns(context, definition, {})))
    query = node.args.get("expression")
    if query is None:
        raise _incomplete(context, "INSERT needs VALUES, a query or DEFAULT VALUES")
    if isinstance(query, exp.Values):
        return Insert(definition.name, _rows(context, catalog, definition, columns, query))
    if node.args.get("with_") is not None and not query.args.get("with_"):
        query.set("with_", node.args["with_"])
    reject_unsupported(query, context.source, catalog)
    plan = bind_query(context, query, {})
    if node.args.get("by_name"):
        columns = _by_name(context, definition, plan, query)
    _check_width(context, definition, columns, len(plan.schema), context.source.span(query))
    spans = [context.source.span(part) for part in query.expressions] if isinstance(query, exp.Select) else []
    spans = spans if len(spans) == len(columns) else [context.source.span(query)] * len(columns)
    plan, values = _values(plan)
    given = {
        column: convert(context, plain(value, span), definition.columns[column].type)
        for column, value, span in zip(columns, values, spans, strict=True)
    }
    return Insert(definition.name, Project(plan, _all_columns(context, definition, given)))


def _rows(context: Context, catalog: StatementCatalog, definition: TableDefinition, columns: list[int], node: exp.Values) -> Plan:
    """VALUES, each value as the type of its column: they need no type in common."""
    binder = expression_binder(context, ColumnScope(), {}, None)
    rows = [part.expressions if isinstance(part, exp.Tuple) else [part] for part in node.expressions]
    for row, part in zip(rows, node.expressions, strict=True):
        if len(row) != len(rows[0]):
            message = f"the rows of VALUES are of different lengths: {len(rows[0])} and {len(row)}"
            raise context.error(message, context.source.span(part))
    _check_width(context, definition, columns, len(rows[0]), context.source.span(node.expressions[0]))
    branches = []
    for row in rows:
        given = {
            column: _value(context, catalog, binder, value, definition.columns[column])
            for column, value in zip(columns, row, strict=True)
        }
        branches.append(Project(OneRow(), _all_columns(context, definition, given)))
    return branches[0] if len(branches) == 1 else Union(tuple(branches))


def _value(context: Context, catalog: StatementCatalog, binder: ExpressionBinder, node: exp.Expr, column: Column) -> Expr:
    if _is_default(node):
        return _default(context, column)
    reject_unsupported(node, context.source, catalog)
    value = binder.bind(node)
    if has_aggregate(value.expr):
        raise context.error("VALUES cannot contain aggregates", value.span)
    return convert(context, plain(value.expr, value.span or context.source.span(node)), column.type)


def _is_default(node: exp.Expr) -> bool:
    """Whether `node` is the word DEFAULT."""
    is_name = isinstance(node, exp.Var) or (isinstance(node, exp.Column) and not node.table and not node.this.args.get("quoted"))
    return is_name and node.name.upper() == "DEFAULT"


def _default(context: Context, column: Column) -> Expr:
    """The value of a column where none is given."""
    if column.default is None:
        return Literal(None, column.type)
    tree, source = parse(f"SELECT {column.default}", "duckdb")
    inner = Context(source, context.catalog, Parameters({}))
    return placed(convert(inner, ExpressionBinder(inner, ColumnScope()).bind(tree.expressions[0]), column.type), None)


def _all_columns(context: Context, definition: TableDefinition, given: Mapping[int, Expr]) -> tuple[NamedExpr, ...]:
    """A value for every column of the table: that which is given, or its default."""
    return tuple(
        NamedExpr(column.name, given[index] if index in given else _default(context, column))
        for index, column in enumerate(definition.columns)
    )


def _by_name(context: Context, definition: TableDefinition, plan: Plan, query: exp.Expr) -> list[int]:
    """INSERT BY NAME: the columns that the query's columns are called like."""
    names = [column.name.lower() for column in definition.columns]
    found = []
    for field in plan.schema:
        if field.name.lower() not in names or names.index(field.name.lower()) in found:
            what = "no column" if field.name.lower() not in names else "the query has two columns for"
            raise context.error(
                f'{what} "{field.name}" in {definition.name}', context.source.span(query), suggestion(field.name, names)
            )
        found.append(names.index(field.name.lower()))
    return found


def _check_width(context: Context, definition: TableDefinition, columns: Sequence[int], width: int, span: Span | None) -> None:
    if width != len(columns):
        whose = definition.name if len(columns) == len(definition.columns) else "the list"
        raise context.error(f"{whose} has {len(columns)} columns, and {width} values are given", span)


def _values(plan: Plan) -> tuple[Plan, list[Expr]]:
    """A plan and expressions over it that together give what `plan` gives, so that constants among them can be converted."""
    if isinstance(plan, Project):
        return plan.input, [named.expr for named in plan.expressions]
    return plan, [ColumnRef(index, field.type, field.name) for index, field in enumerate(plan.schema)]


# --- DELETE, UPDATE -----------------------------------------------------------------------------------------------------------


def bind_delete(context: Context, catalog: StatementCatalog, node: exp.Delete) -> Delete:
    refuse_parts(context, node, ("this", "using", "where", "with_"), _NAMES)
    if not node.this:
        raise context.error("DELETE needs FROM", context.source.find_words("DELETE"))
    definition = changed_table(context, catalog, node.this)
    if node.args.get("where") is None and not node.args.get("using"):
        return Delete(definition.name, None)
    return Delete(definition.name, _matching(context, catalog, node, definition, node.args.get("using") or [], []))


def bind_truncate(context: Context, catalog: StatementCatalog, node: exp.TruncateTable) -> Delete:
    refuse_parts(context, node, ("expressions",), {})
    if len(node.expressions) > 1:
        raise context.error("TRUNCATE is about one table", context.source.span(node.expressions[1]))
    return Delete(changed_table(context, catalog, node.expressions[0]).name, None)


def bind_update(context: Context, catalog: StatementCatalog, node: exp.Update) -> Update:
    refuse_parts(context, node, ("this", "expressions", "from_", "where", "with_"), _NAMES)
    definition = changed_table(context, catalog, node.this)
    targets: list[exp.Expr] = []
    sources: list[exp.Expr] = []
    for assignment in node.expressions:
        _add_assignment(context, assignment, targets, sources)
    if not targets:
        raise _incomplete(context, "UPDATE needs SET and what is set")
    columns = positions(context, definition, targets, "SET")
    for source in sources:
        _refuse_grouping(context, source)
    asked = [source for source in sources if not _is_default(source)]
    others = node.args.get("from_")
    plan = _matching(context, catalog, node, definition, [others.this, *_others_joined(others)] if others else [], asked)
    plan, (row, *values) = _values(plan)
    given = iter(values)
    outputs = [NamedExpr(ROW, row)]
    for column, source in zip((definition.columns[index] for index in columns), sources, strict=True):
        is_given = not _is_default(source)
        value = plain(next(given), context.source.span(source)) if is_given else plain(_default(context, column))
        outputs.append(NamedExpr(column.name, convert(context, value, column.type)))
    return Update(definition.name, tuple(columns), Project(plan, tuple(outputs)))


def _refuse_grouping(context: Context, value: exp.Expr) -> None:
    """Raise BindError for aggregates and window functions, which see other rows than the one that is changed."""
    for node in value.walk(prune=lambda part: isinstance(part, exp.Query)):
        if isinstance(node, exp.Window) or aggregate_name(node) is not None:
            what = "window functions" if isinstance(node, exp.Window) else "aggregates"
            raise context.error(f"SET cannot contain {what}; a subquery can", context.source.span(node))


def _incomplete(context: Context, message: str) -> ParseError:
    last = context.source.tokens[-1]
    return ParseError(message, context.source.sql, [Span(last.start, last.end + 1)])


def _add_assignment(context: Context, node: exp.Expr, targets: list[exp.Expr], sources: list[exp.Expr]) -> None:
    """The column and its new value of `column = value`, or several of `(a, b) = (1, 2)`."""
    left, right = node.this, node.args.get("expression")
    if isinstance(node, exp.EQ) and isinstance(left, exp.Column) and right is not None:
        targets.append(left)
        sources.append(right)
    elif isinstance(node, exp.EQ) and isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
        if len(left.expressions) != len(right.expressions):
            message = f"{len(left.expressions)} columns are set to {len(right.expressions)} values"
            raise context.error(message, context.source.span(node))
        targets += left.expressions
        sources += right.expressions
    else:
        raise context.error("SET takes column = value", context.source.span(node))


def _others_joined(clause: exp.From) -> list[exp.Expr]:
    """What FROM joins to its first relation with commas; joins with conditions stay with the relation."""
    joins = clause.this.args.get("joins") or []
    if any(set(filter(join.args.get, join.args)) - {"this"} for join in joins):
        return []
    clause.this.set("joins", None)
    return [join.this for join in joins]


def _matching(
    context: Context,
    catalog: StatementCatalog,
    node: exp.Expr,
    definition: TableDefinition,
    others: Sequence[exp.Expr],
    values: Sequence[exp.Expr],
) -> Plan:
    """For the rows of the table that WHERE keeps, beside those of `others`: their numbers, and `values`."""
    alias = node.this.args.get("alias") or exp.TableAlias(this=exp.to_identifier(definition.name, quoted=True))
    table = exp.Table(this=exp.to_identifier(numbered(definition.name), quoted=True), alias=alias)
    row = exp.Column(this=exp.to_identifier(ROW, quoted=True), table=alias.this.copy())
    select = exp.Select(expressions=[row, *values], from_=exp.From(this=table))
    select.set("joins", [exp.Join(this=other) for other in others])
    for clause in ("where", "with_"):
        select.set(clause, node.args.get(clause))
    reject_unsupported(select, context.source, catalog)
    return bind_query(context, select, {})
