"""Ternary logic partitioning: queries whose rows together are the rows of another one.

Source: Rigger and Su, Finding Bugs in Database Systems via Query Partitioning, OOPSLA 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.grammar.aggregates import aggregate, windowed
from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.expressions import Expressions
from tests.oracle.grammar.queries import listed
from tests.oracle.grammar.sources import Names, joined, leaf


@dataclass(frozen=True)
class Partition:
    """`whole` has the rows of all `parts`. If `distinct`, as sets: a row may be in several parts."""

    whole: str
    parts: tuple[str, ...]
    distinct: bool = False

    @property
    def together(self) -> str:
        return " UNION ALL ".join(f"({part})" for part in self.parts)


def truths(predicate: str) -> tuple[str, str, str]:
    """The predicate is true, false or NULL."""
    return f"({predicate})", f"(NOT ({predicate}))", f"(({predicate}) IS NULL)"


def random_partition(draw: Draw) -> Partition:
    return draw.either(
        lambda: of_rows(draw),
        lambda: of_rows(draw),
        lambda: of_counts(draw),
        lambda: of_groups(draw),
        lambda: of_windows(draw),
        lambda: of_distinct_rows(draw),
    )


def of_rows(draw: Draw) -> Partition:
    names = Names(draw)
    source = joined(draw, names, 2) if draw.chance(0.4) else leaf(draw, names)
    e = Expressions(draw, source.scope, subqueries=draw.pick(0, 0, 1))
    whole = f"SELECT {', '.join(source.scope.unique)}, {e.column('text', repr('none'))} AS c FROM {source.sql}"
    return Partition(whole, tuple(f"{whole} WHERE {truth}" for truth in truths(e.condition(draw.pick(2, 3)))))


def of_counts(draw: Draw) -> Partition:
    """How many rows each part has, by CASE and FILTER: one row more for each part, in the same order."""
    names = Names(draw)
    source = leaf(draw, names)
    e = Expressions(draw, source.scope)
    predicate = e.condition(draw.pick(2, 3))
    counted = [
        f"SELECT {at} AS part, count(*) AS n FROM {source.sql} WHERE {truth}" for at, truth in enumerate(truths(predicate))
    ]
    filtered = [
        f"SELECT {at} AS part, count({draw.pick('*', '1')}) FILTER (WHERE {truth}) AS n FROM {source.sql}"
        if draw.chance(0.5)
        else f"SELECT {at} AS part, count(CASE WHEN {truth} THEN 1 END) AS n FROM {source.sql}"
        for at, truth in enumerate(truths(predicate))
    ]
    return Partition(" UNION ALL ".join(filtered), tuple(counted))


def of_groups(draw: Draw) -> Partition:
    """By HAVING."""
    names = Names(draw)
    source = joined(draw, names, 2) if draw.chance(0.3) else leaf(draw, names)
    e = Expressions(draw, source.scope)
    whole = f"SELECT {e.value(1)} AS k0, {listed([aggregate(e)], 'a')} FROM {source.sql} GROUP BY k0"
    predicate = f"{aggregate(e)} {draw.pick('=', '<', 'IS DISTINCT FROM')} {draw.pick('NULL', aggregate(e))}"
    if draw.chance(0.6):
        predicate = f"{draw.pick('min', 'max')}({e.integer(1)}) {draw.pick('<', '>=')} {draw.pick('0', 'count(*)')}"
    return Partition(whole, tuple(f"{whole} HAVING {truth}" for truth in truths(predicate)))


def of_windows(draw: Draw) -> Partition:
    """By QUALIFY, which comes after the windows: they see all rows in each part."""
    source = leaf(draw, Names(draw))
    e = Expressions(draw, source.scope)
    whole = f"SELECT {', '.join(source.scope.unique)}, {windowed(e)} AS c FROM {source.sql}"
    predicate = draw.pick(
        f"lag({e.integer(1)}) OVER (ORDER BY {', '.join(source.scope.unique)}) {draw.pick('<', '=')} {e.small()}",
        f"c IS DISTINCT FROM {draw.pick('NULL', 'c')}",
        f"{e.small()} < sum({e.small()}) OVER (PARTITION BY {e.value(0)})",
    )
    return Partition(whole, tuple(f"{whole} QUALIFY {truth}" for truth in truths(predicate)))


def of_distinct_rows(draw: Draw) -> Partition:
    source = leaf(draw, Names(draw))
    e = Expressions(draw, source.scope)
    whole = f"SELECT DISTINCT {listed([e.value(1), e.value(0)])} FROM {source.sql}"
    return Partition(whole, tuple(f"{whole} WHERE {truth}" for truth in truths(e.condition(2))), distinct=True)
