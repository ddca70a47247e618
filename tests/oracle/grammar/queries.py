"""Random queries of each kind. Where several answers are right to a clause, the query says which one it wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.oracle.grammar.aggregates import aggregate, aggregate_of, direction, total_order, windowed
from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.expressions import Expressions
from tests.oracle.grammar.functions import inexact_call
from tests.oracle.grammar.sources import Names, Source, joined, leaf, one_table
from tests.oracle.grammar.subqueries import predicate_subquery, scalar_subquery
from tests.oracle.grammar.tables import KINDS, Kind, Scope


def listed(expressions: Sequence[str], prefix: str = "c") -> str:
    return ", ".join(f"{expression} AS {prefix}{number}" for number, expression in enumerate(expressions))


def where(e: Expressions, depth: int = 2) -> str:
    return f" WHERE {e.condition(depth)}" if e.draw.chance(0.5) else ""


def ends(e: Expressions, distinct: str = "") -> str:
    """ORDER BY, always of all rows, perhaps with LIMIT; or nothing."""
    draw = e.draw
    if draw.chance(0.5):
        return ""
    limit = draw.pick("", "", " LIMIT 3", " LIMIT 5 OFFSET 2", " LIMIT 0", " OFFSET 3")
    return f" ORDER BY {distinct}{total_order(e)}{limit}"


def rows_of(draw: Draw, source: Source, subqueries: int = 0) -> str:
    e = Expressions(draw, source.scope, subqueries=subqueries)
    values = [inexact_call(e) if draw.chance(0.08) else e.value(2) for _ in range(draw.number(1, 3))]
    unique = ", ".join(source.scope.unique)
    return f"SELECT {unique}, {listed(values)} FROM {source.sql}{where(e)}{ends(Expressions(draw, source.scope))}"


def row_query(draw: Draw) -> str:
    return rows_of(draw, one_table(draw, Names(draw)))


def join_query(draw: Draw) -> str:
    source = joined(draw, Names(draw), draw.pick(2, 2, 2, 3))
    return groups_of(draw, source) if draw.chance(0.35) else rows_of(draw, source)


def subquery_query(draw: Draw) -> str:
    """Rows or groups with subqueries; one in WHERE for certain."""
    names = Names(draw)
    source = joined(draw, names, 2) if draw.chance(0.2) else leaf(draw, names)
    if draw.chance(0.3):
        return groups_of(draw, source, subqueries=1)
    e = Expressions(draw, source.scope, subqueries=draw.pick(1, 1, 2))
    kind: Kind = draw.pick(*KINDS)
    values = [scalar_subquery(e, kind) if draw.chance(0.4) else e.value(1) for _ in range(draw.number(1, 2))]
    predicate = draw.either(
        lambda: predicate_subquery(e),
        lambda: f"({predicate_subquery(e)} {draw.pick('AND', 'OR')} {e.condition(1)})",
        lambda: f"(NOT {predicate_subquery(e)})",
        lambda: f"({scalar_subquery(e, kind)} {draw.pick('=', '<', '>=', '<>')} {e.of(kind, 0)})",
    )
    unique = ", ".join(source.scope.unique)
    return f"SELECT {unique}, {listed(values)} FROM {source.sql} WHERE {predicate}{ends(Expressions(draw, source.scope))}"


def group_query(draw: Draw) -> str:
    return groups_of(draw, one_table(draw, Names(draw)))


def groups_of(draw: Draw, source: Source, subqueries: int = 0) -> str:
    """A query with GROUP BY, perhaps inside another one, perhaps without keys."""
    e, flat = Expressions(draw, source.scope, subqueries=subqueries), Expressions(draw, source.scope)
    values = [flat.value(1) for _ in range(draw.number(0, 2))]
    if len(values) == 2 and draw.chance(0.1):
        values[1] = values[0]
    keys = [f"{value} AS k{number}" for number, value in enumerate(values)]
    calls = listed([aggregate(flat) for _ in range(draw.number(1, 3))], "a")
    group = grouping(draw, len(keys))
    marked = (
        f", grouping({draw.pick('k0', 'k0, k1') if len(keys) > 1 else 'k0'}) AS g" if "(" in group and draw.chance(0.4) else ""
    )
    having = draw.pick("", "", " HAVING count(*) > 1", f" HAVING {having_condition(e)}")
    inner = f"SELECT {', '.join([*keys, calls])}{marked} FROM {source.sql}{where(e)}{group}{having}"
    return draw.either(
        lambda: inner,
        lambda: inner,
        lambda: inner,
        lambda: f"SELECT a0, count(*) FROM ({inner}) GROUP BY a0",
        lambda: f"SELECT count(*), min(a0), max(a0) FROM ({inner}) WHERE a0 IS NOT NULL",
        lambda: f"SELECT DISTINCT a0 FROM ({inner})",
    )


def grouping(draw: Draw, keys: int) -> str:
    names = ", ".join(f"k{number}" for number in range(keys))
    sets = draw.pick(f"({names}), ()", f"({names}), (k0)", "(k0), (k0), ()", names)
    if not keys:
        return ""
    return draw.pick(
        *[f" GROUP BY {names}"] * 3,
        f" GROUP BY ROLLUP ({names})",
        f" GROUP BY CUBE ({names})",
        f" GROUP BY GROUPING SETS ({sets})",
    )


def having_condition(e: Expressions) -> str:
    """A condition of aggregates; with subqueries over the groups' values, if these may stand in it."""
    draw, flat = e.draw, Expressions(e.draw, e.scope)
    plain = f"({aggregate_of(flat, 'integer')} > 0 OR {aggregate_of(flat, 'text')} IS NULL)"
    if e.subqueries <= 0:
        return plain
    alone = Expressions(draw, Scope({}, ()), subqueries=1)
    return f"{aggregate_of(flat, 'integer')} {draw.pick('=', '>', '<=')} {scalar_subquery(alone, 'integer')}"


def window_query(draw: Draw) -> str:
    names = Names(draw)
    source = joined(draw, names, 2) if draw.chance(0.2) else leaf(draw, names)
    e = Expressions(draw, source.scope)
    values = [windowed(e) for _ in range(draw.number(1, 2))]
    qualify = f" QUALIFY {qualification(e)}" if draw.chance(0.25) else ""
    unique = ", ".join(source.scope.unique)
    return f"SELECT {unique}, {listed(values)} FROM {source.sql}{where(e, 1)}{qualify}{ends(e)}"


def qualification(e: Expressions) -> str:
    partition = f"PARTITION BY {e.value(0)} " if e.draw.chance(0.6) else ""
    return f"row_number() OVER ({partition}ORDER BY {total_order(e)}) {e.draw.pick('<= 2', '= 1', '> 1')}"


def branch(draw: Draw, kinds: Sequence[Kind]) -> str:
    """A query whose columns are of these kinds."""
    names = Names(draw, 10 * draw.number(1, 10**6))
    source = joined(draw, names, 2) if draw.chance(0.15) else leaf(draw, names)
    e = Expressions(draw, source.scope)
    distinct = draw.pick("", "", "DISTINCT ")
    if draw.chance(0.15):
        return f"SELECT {listed([aggregate_of(e, kind) for kind in kinds])} FROM {source.sql}{where(e, 1)}"
    return f"SELECT {distinct}{listed([e.of(kind, 0 if kind == 'floating' else draw.number(0, 1)) for kind in kinds])} FROM {source.sql}{where(e, 1)}"


def set_query(draw: Draw) -> str:
    kinds = [draw.pick(*KINDS) for _ in range(draw.number(1, 3))]
    sql = branch(draw, kinds)
    for _ in range(draw.number(1, 2)):
        operator = f"{draw.pick('UNION', 'INTERSECT', 'EXCEPT')}{draw.pick('', ' ALL')}"
        sql = f"({sql}) {operator} ({branch(draw, kinds)})"
    columns = ", ".join(f"c{number}{draw.pick('', ' DESC', ' NULLS FIRST')}" for number in range(len(kinds)))
    outer = f" ORDER BY {columns}{draw.pick('', ' LIMIT 4', ' LIMIT 3 OFFSET 1')}"
    return draw.pick(
        sql, f"{sql}{outer}", f"SELECT count(*), count(c0), min(c0) FROM ({sql})", f"SELECT c0, count(*) FROM ({sql}) GROUP BY c0"
    )


def cte_query(draw: Draw) -> str:
    """A query used twice, joined with itself or with another table."""
    kinds: list[Kind] = ["integer", *(draw.pick(*KINDS) for _ in range(draw.number(0, 2)))]
    inner = branch(draw, kinds)
    scopes = []
    for name in ("first", "second"):
        columns = {kind: tuple(f"{name}.c{at}" for at, one in enumerate(kinds) if one == kind) for kind in KINDS}
        scopes.append(Scope(columns, ()))
    e = Expressions(draw, scopes[0] | scopes[1])
    kind = draw.pick("JOIN", "LEFT JOIN", "FULL JOIN")
    both = f"w AS first {kind} w AS second ON first.c0 = second.c0"
    body = draw.pick(
        f"SELECT {listed([e.value(1), e.value(1)])} FROM {both}{where(e, 1)}",
        f"SELECT {listed([e.of(kinds[0], 0)])}, count(*) AS n, {aggregate_of(e, kinds[-1])} AS m FROM {both} GROUP BY ALL",
        f"SELECT * FROM w AS first WHERE {draw.pick('', 'NOT ')}EXISTS (SELECT 1 FROM w AS second WHERE first.c0 {draw.pick('<', '>', '<>')} second.c0)",
        "SELECT * FROM w WHERE c0 > (SELECT avg(c0) FROM w)",
        "SELECT * FROM w UNION ALL SELECT * FROM w",
    )
    return f"WITH w AS ({inner}) {body}"


def distinct_query(draw: Draw) -> str:
    names = Names(draw)
    source = joined(draw, names, 2) if draw.chance(0.3) else leaf(draw, names)
    e = Expressions(draw, source.scope)
    if draw.chance(0.5):
        return f"SELECT DISTINCT {listed([e.value(1) for _ in range(draw.number(1, 2))])} FROM {source.sql}{where(e, 1)}"
    key = f"coalesce({e.value(1)})"
    return f"SELECT DISTINCT ON ({key}) {listed([e.value(1), e.value(0)])} FROM {source.sql}{where(e, 1)} ORDER BY {key}{direction(e)}, {total_order(e)}"


QUERIES: dict[str, Callable[[Draw], str]] = {
    "rows": row_query,
    "groups": group_query,
    "joins": join_query,
    "subqueries": subquery_query,
    "windows": window_query,
    "sets": set_query,
    "ctes": cte_query,
    "distinct": distinct_query,
}
