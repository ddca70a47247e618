"""Whether two plans have the same rows, by the interpreter, over random tables."""

from __future__ import annotations

import random
from collections.abc import Sequence

from qtensor.explain.plan_text import plan_text
from qtensor.logical import Plan
from qtensor.optimise.facts.statistics import ColumnStatistics
from tests.optimise.interpreter import Row, Tables, TwoRowsError, run
from tests.optimise.random_plans import random_tables


def sorted_rows(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def assert_same_rows(original: Plan, rewritten: Plan, generator: random.Random, rounds: int = 4) -> int:
    """The same rows over some tables; how many of these could be compared."""
    compared = 0
    for _ in range(rounds):
        tables = random_tables(generator)
        try:
            expected = run(original, tables)
            found = run(rewritten, tables)
        except TwoRowsError:  # which subqueries are computed for which rows is not promised
            continue
        assert sorted_rows(found) == sorted_rows(expected), f"{tables}\n{plan_text(original)}\n\n{plan_text(rewritten)}"
        compared += 1
    return compared


class RandomStatistics:
    """Statistics that may be as wrong as they like, since nothing may depend on them but the order."""

    of_examples = False

    def __init__(self, generator: random.Random) -> None:
        self.random = generator

    def rows(self, table: str) -> int:
        return self.random.choice((0, 1, 10, 1_000, 100_000))

    def column(self, table: str, index: int) -> ColumnStatistics:
        distinct = self.random.choice((0, 1, 5, 1_000))
        return self.random.choice((ColumnStatistics(distinct), ColumnStatistics(distinct, -1, 3, 0.5)))

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        return self.random.random() < 0.5


class TrueStatistics:
    """Statistics of tables of the interpreter."""

    of_examples = False

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def rows(self, table: str) -> int:
        return len(self.tables[table])

    def column(self, table: str, index: int) -> ColumnStatistics:
        values = [row[index] for row in self.tables[table]]
        known = [value for value in values if value is not None]
        bounds = (min(known), max(known)) if known else (None, None)
        return ColumnStatistics(len(set(known)), *bounds, 1 - len(known) / max(len(values), 1))

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        keys = [tuple(row[index] for index in columns) for row in self.tables[table]]
        known = [key for key in keys if None not in key]
        return len(known) == len(set(known))
