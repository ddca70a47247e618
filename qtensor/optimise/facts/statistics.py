"""What rules may ask about tables; answers guide choices between equivalent plans and never decide whether one is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ColumnStatistics:
    """distinct: an upper bound of the number of different values. minimum, maximum: in storage's units (unscaled decimals,
    days, microseconds), None for text and where there is no value. nulls: the fraction of rows that are NULL, 0 to 1. mean,
    deviation: of values that lie about a mean and seldom far from it, as the sums of groups do.
    """

    distinct: float
    minimum: float | None = None
    maximum: float | None = None
    nulls: float = 0.0
    mean: float | None = None
    deviation: float = 0.0


class PlanStatistics(Protocol):
    """Facts about tables. Columns are numbered as in the table; only columns that the query reads are asked for.

    of_examples: whether the plan is for other tables than these, of any size.
    """

    of_examples: bool

    def rows(self, table: str) -> int:
        """How many rows a table has."""

    def column(self, table: str, index: int) -> ColumnStatistics:
        """What is known of a column."""

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows are equal in all of `columns`."""


class NoStatistics:
    """Where nothing is known: all tables look alike, and columns have few values."""

    of_examples = True

    def rows(self, table: str) -> int:
        return 1_000

    def column(self, table: str, index: int) -> ColumnStatistics:
        return ColumnStatistics(100)

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        return False
