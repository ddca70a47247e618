"""CREATE TABLE, CREATE VIEW and DROP."""

from __future__ import annotations

from sqlglot import TokenType, exp

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context
from qtensor.bind.expressions.build import convert
from qtensor.bind.expressions.data_types import sql_type
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.query import bind_query
from qtensor.bind.select.scope import ColumnScope
from qtensor.bind.statements.targets import plain_name, refuse_parts, table_name, taken
from qtensor.bind.text.names import expression_name
from qtensor.bind.text.parse import QUERY_WORDS, dialect_named
from qtensor.bind.text.support import raise_unsupported, reject_unsupported
from qtensor.bind.text.tokens import tokens_of
from qtensor.errors import ParseError, Span, UnsupportedError, suggestion
from qtensor.logical import Limit, Plan
from qtensor.statement import Column, CreateTable, CreateView, Drop, Key, Kind, Nothing, Statement, TableDefinition, View
from qtensor.types import Array, Interval, SqlType, Unsupported, distinct_names

_SKIPPED = frozenset({"OR", "REPLACE", "TEMP", "TEMPORARY", "LOCAL"})
_UNIQUE = {"nulls": "NULLS NOT DISTINCT"}
_KINDS = {"view": "a view", "table": "a table", "registered": "a registered table"}


def refuse_kinds(sql: str, dialect: str) -> None:
    """Raise UnsupportedError unless CREATE or DROP is followed by TABLE or VIEW: sqlglot warns of what it does not know."""
    words = [token for token in tokens_of(sql, dialect_named(dialect)) if token.text.upper() not in _SKIPPED]
    if len(words) > 1 and words[1].text.upper() not in ("TABLE", "VIEW"):
        what = f"{words[0].text.upper()} {words[1].text.upper()}"
        raise UnsupportedError(f"not supported yet: {what}", sql, [Span(words[0].start, words[1].end + 1)])


def bind_create(context: Context, catalog: StatementCatalog, node: exp.Create, dialect: str) -> Statement:
    known = ("this", "kind", "expression", "replace", "exists", "properties", "no_schema_binding")
    refuse_parts(context, node, known, {})
    schema = node.this if isinstance(node.this, exp.Schema) else None
    listed = schema.expressions if schema else []
    name, span = plain_name(context, schema.this if schema else node.this)
    if node.args.get("replace") and node.args.get("exists"):
        raise context.error("OR REPLACE and IF NOT EXISTS exclude each other", context.source.find_words("IF", "NOT", "EXISTS"))
    without_rows = _properties(context, node)
    is_table = node.args["kind"] == "TABLE"
    query = node.args.get("expression")
    definition, plan, text = TableDefinition(name, ()), None, ""
    names = tuple(column.name for column in listed)
    if query is not None:
        text = _text_after_as(context)
        if any(isinstance(part, exp.ColumnDef) and part.args.get("kind") for part in listed):
            raise context.error("the columns of CREATE TABLE ... AS have names only", context.source.span(listed[0]))
        plan = _query(context, catalog, query, () if is_table else (name,))
        definition = _of_query(context, name, names, plan, span)
    elif is_table and schema is not None:
        definition = _of_columns(context, name, schema.expressions)
    else:
        raise context.error(f"what are the columns of {name}? Give them in parentheses, or a query after AS", span)
    if _exists(context, catalog, name, "table" if is_table else "view", node, span):
        return Nothing("create")
    if is_table:
        return CreateTable(definition, Limit(plan, 0) if without_rows and plan else plan)
    return CreateView(View(name, text, dialect, names))


def _properties(context: Context, node: exp.Create) -> bool:
    """Whether the table is made without its query's rows; TEMP is what every table of a connection is."""
    without_rows = False
    for part in node.args["properties"].expressions if node.args.get("properties") else ():
        match part:
            case exp.TemporaryProperty():
                pass
            case exp.WithDataProperty():
                without_rows = bool(part.args.get("no"))
            case _:
                context.unsupported(f"CREATE with a {_words(part)}", context.source.span(part))
    return without_rows


def _query(context: Context, catalog: StatementCatalog, query: exp.Expr, views: tuple[str, ...]) -> Plan:
    reject_unsupported(query, context.source, catalog)
    context.views = views
    return bind_query(context, query, {})


def _of_query(context: Context, name: str, names: tuple[str, ...], plan: Plan, span: Span | None) -> TableDefinition:
    """The columns that the query gives, the first of them under `names`."""
    if len(names) > len(plan.schema):
        raise context.error(f"{len(names)} names are given for {len(plan.schema)} columns", span)
    called = distinct_names([*names, *(field.name for field in plan.schema[len(names) :])])
    for field in plan.schema:
        if not isinstance(field.type, Unsupported):  # a view may pass such a column on, and to read it is refused
            _storable(context, field.type, span)
    return TableDefinition(name, tuple(Column(new, field.type) for new, field in zip(called, plan.schema, strict=True)))


def _storable(context: Context, type: SqlType, span: Span | None) -> None:
    if isinstance(type, Interval | Array):
        context.unsupported(f"columns of type {type} in tables", span)


def _exists(context: Context, catalog: StatementCatalog, name: str, wanted: Kind, node: exp.Create, span: Span | None) -> bool:
    """Whether IF NOT EXISTS finds the name taken.

    Raises:
        BindError: it is taken, and may not be replaced: a view never takes a table's place, nor a table that of a view.
    """
    kind = catalog.kind(name)
    if kind not in _KINDS:
        return False  # a variable or a file: from now on the name means what is created
    if node.args.get("exists"):
        return True
    if node.args.get("replace") and kind in (wanted, "registered"):
        return False
    if not node.args.get("replace"):
        raise taken(context, name, _KINDS[kind], span)
    raise context.error(
        f'"{name}" is {_KINDS[kind]}, and a {wanted} cannot take its place', span, f"DROP {kind.upper()} {name} first."
    )


def _text_after_as(context: Context) -> str:
    """The text of a query that CREATE makes something of: from the first AS outside of parentheses on.

    Raises:
        ParseError: there is no AS, or no query after it.
    """
    depth, source = 0, context.source
    for index, token in enumerate(source.tokens):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if depth == 0 and token.token_type == TokenType.ALIAS and source.upper_at(index + 1) in QUERY_WORDS:
            ends = [other.start for other in source.tokens if other.token_type == TokenType.SEMICOLON]
            return source.sql[token.end + 1 : ends[0] if ends else None].strip()
        if depth == 0 and token.token_type != TokenType.IDENTIFIER and token.text.upper() in QUERY_WORDS - {"("}:
            raise ParseError("syntax error: AS is missing", source.sql, [Span(token.start, token.end + 1)])
    raise ParseError("syntax error: AS and a query are missing", source.sql)


# --- columns ------------------------------------------------------------------------------------------------------------------


def _of_columns(context: Context, name: str, parts: list[exp.Expr]) -> TableDefinition:
    """The columns and keys that are written out."""
    nodes = [part for part in parts if isinstance(part, exp.ColumnDef)]
    names: list[str] = []
    for node in nodes:
        if node.name.lower() in names:
            raise context.error(f'two columns are called "{node.name}"', context.source.span(node.this))
        names.append(node.name.lower())
    if not nodes:
        raise context.error("a table has at least one column", context.source.span(parts[0]) if parts else None)
    keys: list[Key] = []
    columns = tuple(_column(context, node, index, keys) for index, node in enumerate(nodes))
    for part in parts:
        match part:
            case exp.ColumnDef():
                pass
            case exp.PrimaryKey():
                refuse_parts(context, part, ("this", "expressions", "include"), {})
                keys.append(Key(_key(context, name, names, part.expressions), primary=True))
            case exp.UniqueColumnConstraint() if part.this is not None:
                refuse_parts(context, part, ("this",), _UNIQUE)
                keys.append(Key(_key(context, name, names, part.this.expressions)))
            case _:
                context.unsupported(_constraint_name(part), context.source.span(part))
    primary = [key for key in keys if key.primary]
    if len(primary) > 1:
        raise context.error(f"{name} has two primary keys", context.source.find_words("PRIMARY KEY"))
    inside = primary[0].columns if primary else ()
    described = (Column(c.name, c.type, c.nullable and i not in inside, c.default, c.shown) for i, c in enumerate(columns))
    raise_unsupported(context.findings, context.source)
    return TableDefinition(name, tuple(described), tuple(dict.fromkeys(keys)))


def _column(context: Context, node: exp.ColumnDef, index: int, keys: list[Key]) -> Column:
    span = context.source.span(node.this)
    kind = node.args.get("kind")
    if kind is None:
        raise context.error(f'which type has the column "{node.name}"?', span)
    after = context.source.token_after(span) if span else len(context.source.tokens)
    place = (
        Span(context.source.tokens[after].start, context.source.tokens[after].end + 1) if context.source.upper_at(after) else span
    )
    type = sql_type(context, kind, place)
    if type is not None:
        _storable(context, type, place)
    column = Column(node.name, type or Interval())
    nullable, default, shown = True, None, None
    for constraint in node.args.get("constraints") or ():
        match constraint.args["kind"]:
            case exp.NotNullColumnConstraint() as stated:
                nullable = bool(stated.args.get("allow_null"))
            case exp.PrimaryKeyColumnConstraint() as stated:
                refuse_parts(context, stated, (), {})
                keys.append(Key((index,), primary=True))
            case exp.UniqueColumnConstraint() as stated:
                refuse_parts(context, stated, (), _UNIQUE)
                keys.append(Key((index,)))
            case exp.DefaultColumnConstraint() as stated:
                default, shown = _default(context, stated.this, column)
            case other:
                context.unsupported(_constraint_name(other), context.source.span(other) or span)
    return Column(column.name, column.type, nullable, default, shown)


def _default(context: Context, node: exp.Expr, column: Column) -> tuple[str, str]:
    """The text of a DEFAULT, once it is seen to be an expression that converts to the column's type; and as DESCRIBE shows it."""
    span = context.source.span(node)
    if next(node.find_all(exp.Column, exp.Query, exp.Parameter, exp.Placeholder), None) is not None:
        raise context.error("a DEFAULT contains neither columns nor queries nor parameters", span)
    reject_unsupported(node, context.source, context.catalog)
    if not isinstance(column.type, Interval):
        convert(context, ExpressionBinder(context, ColumnScope()).bind(node), column.type)
    return str(node.sql("duckdb")), expression_name(node, context.source)


def _key(context: Context, table: str, names: list[str], nodes: list[exp.Expr]) -> tuple[int, ...]:
    found: list[int] = []
    for node in nodes:
        if not isinstance(node, exp.Identifier):
            raise context.error("a key is a list of columns", context.source.span(node))
        if node.name.lower() not in names:
            hint = suggestion(node.name, names)
            raise context.error(f'no column "{node.name}" in {table}', context.source.span(node), hint)
        found.append(names.index(node.name.lower()))
    return tuple(found)


def _constraint_name(node: exp.Expr) -> str:
    match node:
        case exp.CheckColumnConstraint():
            return "CHECK constraints"
        case exp.ForeignKey() | exp.Reference():
            return "foreign keys"
        case exp.GeneratedAsIdentityColumnConstraint() | exp.ComputedColumnConstraint() | exp.GeneratedAsRowColumnConstraint():
            return "generated columns"
        case exp.CollateColumnConstraint():
            return "COLLATE"
        case _:
            return f"a {_words(node)}"


def _words(node: exp.Expr) -> str:
    """What sqlglot calls a kind of node, in words: "unlogged property"."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()


# --- DROP ---------------------------------------------------------------------------------------------------------------------


def bind_drop(context: Context, catalog: StatementCatalog, node: exp.Drop) -> Statement:
    refuse_parts(context, node, ("tables", "kind", "exists", "restrict", "cascade"), {})
    wanted = node.args["kind"].lower()
    names = []
    for table in node.args["tables"]:
        name, span = plain_name(context, table)
        kind = catalog.kind(table_name(table))
        if kind not in _KINDS:
            if node.args.get("exists"):
                continue
            hint = suggestion(name, catalog.created_names())
            raise context.error(f'no {wanted} "{name}"', span, hint)
        is_view = kind in ("view", "registered")
        if is_view != (wanted == "view"):
            way = f"Connection.unregister or DROP VIEW {name}" if kind == "registered" else f"DROP {kind.upper()} {name}"
            raise context.error(f'"{name}" is {_KINDS[kind]}, not a {wanted}', span, f"{way} is what forgets it.")
        names.append(name)
    return Drop(tuple(names)) if names else Nothing("drop")
