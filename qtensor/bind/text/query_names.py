"""How DuckDB prints a query, in the names of columns that hold subqueries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from qtensor.bind.text.words import quoted

Name = Callable[[exp.Expr], str]


def query_text(node: exp.Expr, name: Name) -> str:
    """A query in one line; `name` prints its expressions."""
    match node:
        case exp.Subquery():
            return query_text(node.this, name)
        case exp.Placeholder() | exp.Parameter():  # a list, compared with ANY of its values
            return f"SELECT unnest({name(node)})"
        case exp.SetOperation():
            word = (
                node.key.upper() + ("" if node.args.get("distinct") else " ALL") + (" BY NAME" * bool(node.args.get("by_name")))
            )
            whole = f"({query_text(node.this, name)}) {word} ({query_text(node.expression, name)})"
        case exp.Values():
            rows = (part.expressions if isinstance(part, exp.Tuple) else [part] for part in node.expressions)
            whole = f"SELECT * FROM (VALUES {', '.join(f'({_list(row, name)})' for row in rows)}) AS valueslist"
        case exp.Select():
            whole = _select_text(node, name)
        case _:
            return str(node.sql("duckdb"))
    return _with_text(node, name) + whole + _modifiers_text(node, name)


def _list(nodes: Sequence[exp.Expr], name: Name) -> str:
    return ", ".join(name(node) for node in nodes)


def _with_text(node: exp.Expr, name: Name) -> str:
    clause = node.args.get("with_")
    if clause is None:
        return ""
    tables = []
    for table in clause.expressions:
        columns = [quoted(column.name) for column in table.args["alias"].columns]
        shown = f" ({', '.join(columns)})" if columns else ""
        tables.append(f"{quoted(table.alias)}{shown} AS ({query_text(table.this, name)})")
    return f"WITH {'RECURSIVE ' * bool(clause.args.get('recursive'))}{', '.join(tables)} "


def _select_text(node: exp.Select, name: Name) -> str:
    distinct = node.args.get("distinct")
    on = distinct.args.get("on") if distinct else None
    text = "SELECT " + ("DISTINCT " if distinct else "") + (f"ON ({_list(on.expressions, name)}) " if on else "")
    text += ", ".join(_item_text(item, name) for item in node.expressions)
    if node.args.get("from_"):
        text += " FROM " + _relations_text(node.args["from_"].this, node.args.get("joins") or (), name)
    if node.args.get("where"):
        text += f" WHERE {name(node.args['where'].this)}"
    group = node.args.get("group")
    if group is not None:
        text += " GROUP BY ALL" if group.args.get("all") else f" GROUP BY {_list(group.expressions, name)}"
    if node.args.get("having"):
        text += f" HAVING {name(node.args['having'].this)}"
    return text


def _item_text(item: exp.Expr, name: Name) -> str:
    if isinstance(item, exp.Alias):
        return f"{name(item.this)} AS {quoted(item.alias)}"
    star = item.this if isinstance(item, exp.Column) else item
    return str(item.sql("duckdb")) if isinstance(star, exp.Star) else name(item)


def _relations_text(first: exp.Expr, joins: Sequence[exp.Join], name: Name) -> str:
    whole, part = "", _relation_text(first, name)
    for join in joins:
        right = _relation_text(join.this, name)
        if not any(join.args.get(key) for key in ("on", "using", "method", "side", "kind")):
            whole, part = f"{whole}{part} , ", right
            continue
        side = join.side or (join.kind if join.kind in ("CROSS", "SEMI", "ANTI") else "INNER")
        natural = "NATURAL " if join.method == "NATURAL" else ""
        condition = ""
        if join.args.get("on") is not None:
            condition = f" ON ({name(join.args['on'])})"
        elif join.args.get("using"):
            condition = f" USING ({', '.join(quoted(column.name) for column in join.args['using'])})"
        part = f"({part} {natural}{side} JOIN {right}{condition})"
    return whole + part


def _relation_text(node: exp.Expr, name: Name) -> str:
    if node.args.get("joins"):
        first = node.copy()
        first.set("joins", None)
        return _relations_text(first, node.args["joins"], name)
    alias = node.args.get("alias")
    shown = ""
    if alias is not None and alias.name:
        columns = ", ".join(quoted(column.name) for column in alias.columns)
        shown = f" AS {quoted(alias.name)}" + (f"({columns})" if columns else "")
    if isinstance(node, exp.Table):
        return ".".join(quoted(part.name) for part in node.parts) + shown
    if isinstance(node.this, exp.Table | exp.Subquery) and not shown:
        return _relation_text(node.this, name)
    return f"({query_text(node, name)}){shown}"


def _modifiers_text(node: exp.Expr, name: Name) -> str:
    text = ""
    order = node.args.get("order")
    if order is not None:
        text += f" ORDER BY {_list(order.expressions, name)}"
    for word, key in (("LIMIT", "limit"), ("OFFSET", "offset")):
        if node.args.get(key) is not None:
            text += f" {word} {name(node.args[key].args['expression'])}"
    return text
