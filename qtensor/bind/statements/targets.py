"""What a statement names: the table that it changes, the name that it makes, its columns. And what of it is not supported."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlglot import exp

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context
from qtensor.bind.text.syntax import schema_of
from qtensor.errors import BindError, ParseError, Span, suggestion
from qtensor.statement import TableDefinition

_WHY_NOT = {
    "view": "is a view",
    "registered": "is a registered table, whose data belong to whoever registered it",
    "variable": "is a variable of the caller",
    "file": "is a file",
}


def table_name(node: exp.Expr) -> str:
    """The name that a table's node gives, of a path in quotes the path."""
    return ".".join(part.name for part in node.parts) if isinstance(node, exp.Table) and schema_of(node) else str(node.name)


def plain_name(context: Context, node: exp.Expr) -> tuple[str, Span | None]:
    """The name of something that is made, and its place. Schemas and catalogs are remembered as unsupported."""
    if not isinstance(node, exp.Table) or not node.name:
        raise ParseError("syntax error: a name is missing", context.source.sql)
    span = context.source.span(node.this)
    if schema_of(node):
        context.unsupported("schemas", context.source.span(node) or span)
    return str(node.name), span


def changed_table(context: Context, catalog: StatementCatalog, node: exp.Expr) -> TableDefinition:
    """The created table that a statement changes.

    Raises:
        BindError: there is none, or it is not one that CREATE TABLE made.
    """
    if not isinstance(node, exp.Table) or not node.name:
        raise ParseError("syntax error: the name of a table is missing", context.source.sql)
    name, span = table_name(node), context.source.span(node.this)
    definition = catalog.definition(name)
    if definition is not None:
        return definition
    kind = catalog.kind(name)
    if kind is None or kind == "table":
        raise context.error(f'no table "{name}"', span, suggestion(name, catalog.created_names()))
    hint = f"CREATE TABLE ... AS FROM {name if kind != 'file' else repr(name)} makes a copy that can be changed."
    raise context.error(f'"{name}" {_WHY_NOT[kind]} and cannot be changed: only what CREATE TABLE made can', span, hint)


def positions(context: Context, definition: TableDefinition, columns: Sequence[exp.Expr], clause: str) -> list[int]:
    """Which columns of the table are named, each once.

    Raises:
        BindError: a name that is no column of the table, or given twice.
    """
    names = [column.name.lower() for column in definition.columns]
    found: list[int] = []
    for node in columns:
        span = context.source.span(node)
        if isinstance(node, exp.Column) and node.table:
            raise context.error(f"the names of columns in {clause} are not qualified", span)
        if node.name.lower() not in names:
            hint = suggestion(node.name, [column.name for column in definition.columns])
            raise context.error(f'no column "{node.name}" in {definition.name}', span, hint)
        position = names.index(node.name.lower())
        if position in found:
            raise context.error(f'the column "{node.name}" is given twice in {clause}', span)
        found.append(position)
    return found


def refuse_parts(context: Context, node: exp.Expr, known: Collection[str], names: dict[str, str]) -> None:
    """Remember as unsupported what `node` holds beside its parts `known`; names: what parts are called in SQL."""
    for key, value in node.args.items():
        if key in known or not value:
            continue
        first = value[0] if isinstance(value, list) else value
        what = names.get(key) or key.strip("_").replace("_", " ").upper()
        what += f" {value}" if what.endswith(" OR") else ""
        span = context.source.find_words(*what.split()) or (context.source.span(first) if isinstance(first, exp.Expr) else None)
        context.unsupported(what, span)


def taken(context: Context, name: str, what: str, span: Span | None) -> BindError:
    """The error that says that `name` means something already."""
    return context.error(f'there is {what} called "{name}" already', span)
