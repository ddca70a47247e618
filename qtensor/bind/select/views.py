"""A view in FROM: its query, bound anew in surroundings of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from sqlglot import exp

from qtensor.bind.context import Context, Parameters
from qtensor.bind.text.parse import parse
from qtensor.bind.text.support import raise_unsupported, reject_unsupported
from qtensor.errors import Span, SQLError
from qtensor.expressions import ColumnRef
from qtensor.logical import NamedExpr, Plan, Project
from qtensor.statement import View
from qtensor.types import distinct_names

Node = TypeVar("Node")


def bind_view(context: Context, view: View, span: Span | None, bind_query: Callable[[Context, exp.Expr], Plan]) -> Plan:
    """The plan of `view`, which is named at `span`. It sees neither CTEs nor parameters of the query around it.

    Whatever is wrong with the view's own query is shown under its text; what its rows may raise, at `span`.
    """
    refuse_cycle(context, view.name, span)
    try:
        tree, source = parse(view.sql, view.dialect)
        reject_unsupported(tree, source, context.catalog)
        inner = Context(source, context.catalog, Parameters({}), views=(*context.views, view.name))
        plan = bind_query(inner, tree)
        raise_unsupported(inner.findings, source)
    except SQLError as error:
        raise type(error)(f'in the view "{view.name}": {error.message}', error.sql, error.spans, error.hint) from None
    return view_columns(placed(plan, span), view.names)


def refuse_cycle(context: Context, name: str, span: Span | None) -> None:
    """Raise BindError when `name` is a view that is being bound: it would read itself."""
    names = [known.lower() for known in context.views]
    if name.lower() in names:
        way = " -> ".join([*context.views[names.index(name.lower()) :], name])
        raise context.error(f'the view "{name}" reads itself: {way}', span)


def view_columns(plan: Plan, names: tuple[str, ...]) -> Plan:
    """`plan` with its first columns called `names`, and no two called the same."""
    given = [*names, *(column.name for column in plan.schema[len(names) :])]
    wanted = distinct_names(given)
    if wanted == [column.name for column in plan.schema]:
        return plan
    columns = (ColumnRef(index, column.type, column.name) for index, column in enumerate(plan.schema))
    return Project(plan, tuple(NamedExpr(name, column) for name, column in zip(wanted, columns, strict=True)))


def placed(plan: Node, span: Span | None) -> Node:
    """`plan`, a plan or an expression, with every place in a text replaced by `span`. What was shared is shared again."""
    seen: dict[int, tuple[object, Any]] = {}

    def visit(node: Any) -> Any:
        if isinstance(node, tuple) and type(node) is tuple:
            return tuple(visit(part) for part in node)
        if not is_dataclass(node) or isinstance(node, type):
            return node
        if id(node) not in seen:
            changes = {
                part.name: span if part.name == "span" else visit(getattr(node, part.name)) for part in fields(node) if part.init
            }
            seen[id(node)] = node, replace(node, **changes)
        return seen[id(node)][1]

    result: Node = visit(plan)
    return result
