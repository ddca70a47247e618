"""Random FROM clauses: tables, joins of every kind, derived tables; and the columns that they give."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.grammar.aggregates import aggregate_of
from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.expressions import Expressions
from tests.oracle.grammar.tables import COLUMNS, KINDS, TABLES, Kind, Scope, scope_of

OUTER_KINDS = ("LEFT JOIN", "RIGHT JOIN", "FULL JOIN")


@dataclass(frozen=True)
class Source:
    """What stands behind FROM, and its columns."""

    sql: str
    scope: Scope


@dataclass
class Names:
    """Names for the tables of a query, each given once, also across its subqueries."""

    draw: Draw
    given: int = 0

    def fresh(self) -> str:
        self.given += 1
        return f"q{self.given}"


def one_table(draw: Draw, names: Names) -> Source:
    table, name = draw.pick(*TABLES, "a"), names.fresh()
    return Source(f"{table} AS {name}", scope_of(table, name))


def derived_table(draw: Draw, names: Names) -> Source:
    """Groups of a table: a column is its key, and some of its aggregates."""
    inner, name = one_table(draw, names), names.fresh()
    e = Expressions(draw, inner.scope)
    kind: Kind = draw.pick("integer", "integer", "text", "date", "boolean")
    kinds: list[Kind] = [draw.pick("integer", "text", "decimal", "floating") for _ in range(draw.number(1, 2))]
    outputs = [f"{aggregate_of(e, one)} AS g{at}" for at, one in enumerate(kinds)]
    where = f" WHERE {e.condition(1)}" if draw.chance(0.3) else ""
    sql = f"(SELECT {e.of(kind, 0)} AS g, {', '.join(outputs)} FROM {inner.sql}{where} GROUP BY ALL) AS {name}"
    columns: dict[Kind, tuple[str, ...]] = dict.fromkeys(KINDS, ())
    columns[kind] += (f"{name}.g",)
    for at, one in enumerate(kinds):
        columns[one] += (f"{name}.g{at}",)
    return Source(sql, Scope(columns, (f"{name}.g",)))


def derived_rows(draw: Draw, names: Names) -> Source:
    """Rows behind a window, DISTINCT, a set operation or LIMIT, told apart by a number or by all their columns."""
    name = names.fresh()
    kinds: list[Kind] = ["integer", *(draw.pick(*KINDS) for _ in range(draw.number(1, 2)))]

    def rows(distinct: str = "", number: str = "", rest: str = "") -> str:
        inner = one_table(draw, names)
        e = Expressions(draw, inner.scope)
        # No computed floats: DISTINCT may keep 0.0 or -0.0, and what is computed of it would differ.
        outputs = [f"{e.of(kind, 0 if kind == 'floating' else draw.number(0, 1))} AS c{at}" for at, kind in enumerate(kinds)]
        where = f" WHERE {e.condition(1)}" if draw.chance(0.4) else ""
        unique = inner.scope.unique[0]
        return f"SELECT {distinct}{', '.join(outputs)}{number.format(unique)} FROM {inner.sql}{where}{rest.format(unique)}"

    columns = {kind: tuple(f"{name}.c{at}" for at, one in enumerate(kinds) if one == kind) for kind in KINDS}
    if draw.chance(0.5):
        sql = draw.either(
            lambda: rows(number=", row_number() OVER (ORDER BY {} DESC) AS r"),
            lambda: rows(number=", {} AS r", rest=" ORDER BY {} LIMIT 4"),
        )
        return Source(f"({sql}) AS {name}", Scope(columns, (f"{name}.r",)))
    sql = draw.either(
        lambda: rows(distinct="DISTINCT "),
        lambda: f"({rows()}) {draw.pick('UNION', 'INTERSECT', 'EXCEPT')} ({rows()})",
    )
    return Source(f"({sql}) AS {name}", Scope(columns, tuple(f"{name}.c{at}" for at in range(len(kinds)))))


def leaf(draw: Draw, names: Names) -> Source:
    return draw.random.choices((one_table, derived_table, derived_rows), (7, 2, 1.5))[0](draw, names)


def joined(draw: Draw, names: Names, tables: int) -> Source:
    """A join of that many tables; rows of the left and of the right side may have no partner, or several."""
    source = leaf(draw, names)
    for number in range(tables - 1):
        last = number == tables - 2
        source = lateral(draw, source, names) if draw.chance(0.07) else join(draw, source, leaf(draw, names), last)
    return source


def lateral(draw: Draw, left: Source, names: Names) -> Source:
    """A table or its groups, of rows that a column of `left` chooses."""
    inner, name = one_table(draw, names), names.fresh()
    shared = [one for one in KINDS if left.scope.of(one) and inner.scope.of(one)]
    e, both = Expressions(draw, inner.scope), Expressions(draw, left.scope | inner.scope)
    equalities = [f"{draw.pick(*inner.scope.of(one))} = {draw.pick(*left.scope.of(one))}" for one in draw.some(shared, 1, 1)]
    where = " AND ".join([*equalities, *([both.condition(1)] if draw.chance(0.3) or not equalities else [])])
    kinds: list[Kind] = [draw.pick("integer", "text", "date", "boolean", "decimal") for _ in range(draw.number(1, 2))]
    columns = {kind: tuple(f"{name}.c{at}" for at, one in enumerate(kinds) if one == kind) for kind in KINDS}
    unique = inner.scope.unique[0]
    if draw.chance(0.4):
        outputs = [f"{aggregate_of(e, kind)} AS c{at}" for at, kind in enumerate(kinds)]
        sql, own = f"SELECT {', '.join(outputs)} FROM {inner.sql} WHERE {where}", ()
    else:
        outputs = [f"{draw.pick(both, e).of(kind, 1)} AS c{at}" for at, kind in enumerate(kinds)]
        first = f" ORDER BY {unique} LIMIT 2" if draw.chance(0.3) else ""
        sql, own = f"SELECT {', '.join(outputs)}, {unique} AS r FROM {inner.sql} WHERE {where}{first}", (f"{name}.r",)
    joined = draw.pick(f" LEFT JOIN LATERAL ({sql}) AS {name} ON TRUE", f" CROSS JOIN ({sql}) AS {name}")
    return Source(f"{left.sql}{joined}", left.scope | Scope(columns, own))


def join(draw: Draw, left: Source, right: Source, last: bool) -> Source:
    """last: no other join follows, whose ON would not see what stands before a comma."""
    both = left.scope | right.scope
    if draw.chance(0.12):
        return Source(f"{left.sql}{draw.pick(' CROSS JOIN', ',' if last else ' CROSS JOIN')} {right.sql}", both)
    kind = draw.pick("JOIN", "JOIN", *OUTER_KINDS, "LEFT JOIN", "SEMI JOIN", "ANTI JOIN")
    scope = left.scope if kind in ("SEMI JOIN", "ANTI JOIN") else both
    shared = [name for name in ("i", "k", "s") if names_once(left.scope, name) and names_once(right.scope, name)]
    if shared and draw.chance(0.25):
        keys = draw.some(shared, 1, 2)
        # Behind the last join a key's name alone is the key of both sides.
        merged = {COLUMNS[key].kind: (key,) * 3 for key in keys if last}
        return Source(f"{left.sql} {kind} {right.sql} USING ({', '.join(keys)})", scope | Scope(merged, ()))
    return Source(f"{left.sql} {kind} {right.sql} ON {join_condition(draw, left.scope, right.scope, kind)}", scope)


def names_once(scope: Scope, name: str) -> bool:
    kind = COLUMNS[name].kind
    return sum(column.endswith(f".{name}") for column in scope.of(kind)) == 1


def join_condition(draw: Draw, left: Scope, right: Scope, kind: str) -> str:
    """Most have an equality for a key; others compare, or are any condition over both sides."""
    e = Expressions(draw, left | right)
    shared = [one for one in KINDS if left.of(one) and right.of(one)]
    equalities = []
    for one in draw.some(shared, 1, 2):
        a, b = draw.pick(*left.of(one)), draw.pick(*right.of(one))
        comparison = draw.pick("=", "=", "=", "=", "IS NOT DISTINCT FROM", *(("<",) if kind == "JOIN" else ()))
        equalities.append(f"{a} {comparison} {b}" if draw.chance(0.8) else f"{b} {comparison} {a}")
    extra = [e.condition(1)] if draw.chance(0.35) or not equalities else []
    return " AND ".join([*equalities, *extra])
