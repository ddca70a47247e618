"""Columns of types that no query computes with: they are passed on, and refused where a plan does more with them.

Naming such a column where it is not passed on is refused by the binder, at the name. `*` passes columns on, and whether more
comes of them is known once the plan is pruned. Columns that Arrow does not know are refused where a plan reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from qtensor.errors import Span, UnsupportedError
from qtensor.expressions import Call, Case, ColumnRef, Expr, Subquery, children
from qtensor.logical import Aggregate, Filter, Plan, Project, Scan, inputs
from qtensor.optimise.rewriting import expressions_of
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.types import Unsupported

PASSING_AGGREGATES = frozenset(("count", "first", "last"))
PASSING_CALLS = frozenset(("is_null", "is_not_null"))


def unsupported_column(name: str, type: Unsupported) -> str:
    """What is wrong with a column, and what can be done."""
    return f'the column "{name}" of type {type}; {type.remedy}'


def refuse_unsupported_columns(plan: Plan) -> None:
    """Raise UnsupportedError if `plan`, without subqueries, needs more of columns of types that are not supported than that they
    are passed on: it names all.
    """
    if not any(_columns(plan)):
        return
    pruned = prune_columns(plan)
    found = [one for one in _columns(pruned) if one[2].arrow is None]
    if found:
        whats = list(dict.fromkeys(unsupported_column(name, type) for _, name, type in found))
        raise refused(whats, [name for _, name, _ in found], spans_of(scan for scan, _, _ in found))
    used = list(_uses(pruned))
    if used:
        names = [name for name, _ in used]
        whats = [f"to compute with {unsupported_column(*one)}" for one in dict.fromkeys(used)]
        scans = [scan for scan, name, _ in _columns(pruned) if name in names]
        raise refused(whats, names, spans_of(scans))


def refuse_passed_on(plan: Plan) -> None:
    """Raise UnsupportedError if an optimised plan reads columns of types that are only passed on: what is exported cannot."""
    found = list(_columns(plan))
    if found:
        whats = [f"to export a query that reads {unsupported_column(name, type)}" for _, name, type in found]
        raise refused(list(dict.fromkeys(whats)), [name for _, name, _ in found], spans_of(scan for scan, _, _ in found))


def spans_of(scans: Iterable[Scan]) -> list[Span]:
    """Where a query names tables."""
    return list(dict.fromkeys(scan.span for scan in scans if scan.span is not None))


def refused(whats: Sequence[str], columns: Sequence[str], spans: list[Span]) -> UnsupportedError:
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(columns))
    message = whats[0] if len(whats) == 1 else "\n" + "\n".join(f"  - {what}" for what in whats)
    hint = f"Leave out what is not needed: SELECT * EXCLUDE ({names})."
    return UnsupportedError(f"not supported yet:{'' if len(whats) > 1 else ' '}{message}", "", spans, hint)


def _uses(plan: Plan) -> Iterator[tuple[str, Unsupported]]:
    """The columns of unsupported types that a plan does more with than to pass them on."""
    for input in inputs(plan):
        yield from _uses(input)
    match plan:
        case Project(expressions=expressions):
            for named in expressions:
                yield from _within(named.expr)
        case Aggregate(keys=keys, aggregates=aggregates):
            yield from _compared(key.expr for key in keys)
            for item in aggregates:
                passes = item.call.function in PASSING_AGGREGATES and not item.call.distinct
                yield from chain.from_iterable(map(_within, item.call.arguments)) if passes else _compared(item.call.arguments)
                yield from _compared(key.expr for key in item.call.order)
        case Filter(predicate=predicate):
            yield from _within(predicate)
        case _:
            yield from _compared(expressions_of(plan))


def _compared(expressions: Iterable[Expr]) -> Iterator[tuple[str, Unsupported]]:
    """Those that are expressions, or that are computed with in them."""
    for expr in expressions:
        if isinstance(expr.type, Unsupported):
            yield _called(expr), expr.type
        yield from _within(expr)


def _within(expr: Expr) -> Iterator[tuple[str, Unsupported]]:
    """Those that an expression computes with."""
    below = children(expr)
    match expr:
        case Call(function=function) if function in PASSING_CALLS:
            pass
        case Case(branches=branches):
            yield from _compared(condition for condition, _ in branches)
        case _:
            for child in below:
                if isinstance(child.type, Unsupported):
                    yield _called(child), child.type
    for child in below:
        yield from _within(child)


def _called(expr: Expr) -> str:
    return expr.name if isinstance(expr, ColumnRef) else "of an expression"


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
