"""Random subqueries: scalar, IN, EXISTS, ANY and ALL, most of them correlated."""

from __future__ import annotations

from tests.oracle.grammar.aggregates import aggregate_of
from tests.oracle.grammar.expressions import COMPARISONS, Expressions
from tests.oracle.grammar.sources import Names, joined, leaf, one_table
from tests.oracle.grammar.tables import Kind, Scope

PLAIN = COMPARISONS[:6]


def inside(e: Expressions) -> tuple[str, Expressions]:
    """A FROM clause with its WHERE, and the expressions that may stand in a subquery over it."""
    draw = e.draw
    names = Names(draw, 10 * draw.number(1, 10**6))
    source = draw.random.choices((one_table, leaf, lambda d, n: joined(d, n, 2)), (6, 3, 1.5))[0](draw, names)
    around = e.scope if e.outer is None else e.scope | e.outer
    inner = Expressions(draw, source.scope, around if draw.chance(0.7) else None, e.subqueries - 1)
    conditions = [inner.condition(draw.number(0, 1)) for _ in range(draw.number(0, 1))]
    if inner.outer is not None and draw.chance(0.7):
        conditions.append(correlation(inner, around))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"FROM {source.sql}{where}", inner


def correlation(inner: Expressions, around: Scope) -> str:
    """A comparison of a column of the subquery with one of the query around."""
    draw = inner.draw
    kinds: list[Kind] = [one for one in ("integer", "text", "date") if inner.scope.of(one) and around.of(one)]
    if not kinds:
        return "TRUE"
    kind = draw.pick(*kinds)
    comparison = draw.pick("=", "=", "=", "<", ">=", "<>", "IS NOT DISTINCT FROM")
    return f"{draw.pick(*inner.scope.of(kind))} {comparison} {draw.pick(*around.of(kind))}"


def scalar_subquery(e: Expressions, kind: Kind) -> str:
    """At most one row: an aggregate, or the first row in an order of all."""
    draw = e.draw
    source, inner = inside(e)
    if draw.chance(0.75):
        having = " HAVING count(*) > 1" if draw.chance(0.15) else ""
        own = Expressions(draw, inner.scope)  # an aggregate of outer columns alone would be the outer query's
        return f"(SELECT {aggregate_of(own, kind)} {source}{having})"
    order = ", ".join(f"{name}{draw.pick('', ' DESC')}" for name in inner.scope.unique)
    return f"(SELECT {inner.of(kind, 0)} {source} ORDER BY {order} LIMIT 1)"


def predicate_subquery(e: Expressions) -> str:
    draw = e.draw
    source, inner = inside(e)
    kind: Kind = draw.pick("integer", "integer", "text", "decimal", "date")
    grouped = ""
    output = inner.of(kind, draw.number(0, 1))
    if draw.chance(0.15):
        output, grouped = aggregate_of(Expressions(draw, inner.scope), kind), f" GROUP BY coalesce({inner.value(0)})"
    rows = f"SELECT {output} {source}{grouped}"
    operand = e.of(kind, draw.number(0, 1))
    return draw.either(
        lambda: f"{draw.pick('', 'NOT ')}EXISTS ({rows})",
        lambda: f"({operand} {draw.pick('IN', 'NOT IN')} ({rows}))",
        lambda: f"({operand} {draw.pick('IN', 'NOT IN')} ({rows}))",
        lambda: f"({operand} {draw.pick(*PLAIN)} {draw.pick('ANY', 'ALL')} ({rows}))",
        lambda: f"(({operand}, {e.small()}) IN (SELECT {inner.of(kind, 0)}, {inner.small()} {source}))",
    )
