"""Columns of types that no query can read: refused where a plan reads them, and nowhere else.

Naming such a column is refused by the binder, at the name. `*` passes columns on, and whether anything comes of them is known
once the plan is pruned.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtensor.errors import UnsupportedError
from qtensor.expressions import Expr, Subquery, children
from qtensor.logical import Plan, Scan, inputs
from qtensor.optimise.rewriting import expressions_of
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.types import Unsupported


def unsupported_column(name: str, type: Unsupported) -> str:
    """What is wrong with a column, and what can be done."""
    return f'the column "{name}" of type {type}; {type.remedy}'


def refuse_unsupported_columns(plan: Plan) -> None:
    """Raise UnsupportedError if `plan`, without subqueries, needs columns of types that are not supported: it names all."""
    if not any(_columns(plan)):
        return
    found = list(_columns(prune_columns(plan)))
    if not found:
        return
    whats = list(dict.fromkeys(unsupported_column(name, type) for _, name, type in found))
    names = ", ".join(dict.fromkeys(f'"{name}"' for _, name, _ in found))
    message = whats[0] if len(whats) == 1 else "\n" + "\n".join(f"  - {what}" for what in whats)
    spans = dict.fromkeys(scan.span for scan, _, _ in found if scan.span is not None)
    hint = f"Leave out what is not needed: SELECT * EXCLUDE ({names})."
    raise UnsupportedError(f"not supported yet:{'' if len(whats) > 1 else ' '}{message}", "", list(spans), hint)


def mentions_unsupported(plan: Plan) -> bool:
    """Whether `plan`, or a subquery in it, has columns of types that are not supported."""
    pending = [plan]
    while pending:
        node = pending.pop()
        if isinstance(node, Scan) and any(isinstance(field.type, Unsupported) for field in node.fields):
            return True
        pending += [*inputs(node), *(part.plan for expr in expressions_of(node) for part in subqueries_of(expr))]
    return False


def subqueries_of(expr: Expr) -> list[Subquery]:
    """The subqueries in `expr`, not those in them."""
    if isinstance(expr, Subquery):
        return [expr]
    return [part for child in children(expr) for part in subqueries_of(child)]


def _columns(plan: Plan) -> Iterator[tuple[Scan, str, Unsupported]]:
    """The scans, names and types of all columns of unsupported types that `plan` reads."""
    pending = [plan]
    while pending:
        node = pending.pop()
        if isinstance(node, Scan):
            for field in node.fields:
                if isinstance(field.type, Unsupported):
                    yield node, field.name, field.type
        pending += inputs(node)
