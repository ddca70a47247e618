"""What an export assumes of tables, as optimiser and planner see it: measured and recorded, or read back from a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qtensor.aot.artifact.blocks import layout_of
from qtensor.aot.artifact.manifest import GuessedColumn, Input
from qtensor.errors import ArtifactError
from qtensor.lowering.ir.physical import SourceColumn, TableSource
from qtensor.optimise.facts.statistics import ColumnStatistics, NoStatistics, PlanStatistics
from qtensor.types import Schema


@dataclass(frozen=True)
class TableFacts:
    """What an export assumes of a table that its query reads: by index of the columns.

    strings: how many different ones a VARCHAR has at most. rows: how many the table had. only_types: nothing is known but types.
    """

    fields: Schema
    columns: Mapping[int, SourceColumn]
    strings: Mapping[int, int]
    rows: int
    only_types: bool = False


@dataclass(frozen=True)
class AssumedStatistics:
    """Tables as assumed, for planning: `shares` blocks of `sizes` rows each, by table.

    is_unique: whether it may be assumed that no two rows of a table are equal in all of some columns.
    """

    facts: Mapping[str, TableFacts]
    sizes: Mapping[str, int]
    shares: int
    is_unique: Callable[[str, Sequence[int]], bool]

    def source(self, table: str, columns: Sequence[int]) -> TableSource:
        known = self.facts[table].columns if table in self.facts else {}
        if any(index not in known for index in columns):
            raise ArtifactError("with these parameters the query reads columns of which nothing is assumed: export it again")
        layout = layout_of(0, self.sizes[table])
        return TableSource(table, tuple(known[index] for index in columns), self.shares, layout.chunks, layout.chunk)

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        return self.is_unique(table, columns)


def never_unique(table: str, columns: Sequence[int]) -> bool:
    """Other tables may hold duplicates."""
    return False


@dataclass
class Recorder:
    """Statistics of the tables at hand that keep their answers, so that a manifest can give the same ones later."""

    statistics: PlanStatistics
    known: dict[tuple[str, int], ColumnStatistics] = field(default_factory=dict)
    keys: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    of_examples: bool = True

    def rows(self, table: str) -> int:
        return self.statistics.rows(table)

    def column(self, table: str, index: int) -> ColumnStatistics:
        if (table, index) not in self.known:
            found = self.statistics.column(table, index)
            low, high = found.minimum, found.maximum
            self.known[table, index] = replace(
                found,
                distinct=float(found.distinct),
                minimum=None if low is None else float(low),
                maximum=None if high is None else float(high),
                nulls=float(found.nulls),
            )
        return self.known[table, index]

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        found = self.statistics.unique(table, columns)
        if found:
            self.keys.add((table, tuple(sorted(columns))))
        return found

    def guesses(self, table: str) -> tuple[GuessedColumn, ...]:
        """The answers about columns of a table."""
        return tuple(GuessedColumn(index, self.known[known, index]) for known, index in sorted(self.known) if known == table)

    def keys_of(self, table: str) -> tuple[tuple[int, ...], ...]:
        """The sets of columns of a table that were found to be unique."""
        return tuple(columns for known, columns in sorted(self.keys) if known == table)


class ManifestStatistics:
    """The answers that an export recorded; of anything else nothing is known."""

    of_examples = True

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = {read.table: read for read in inputs}
        self._columns = {(read.table, guess.index): guess.statistics for read in inputs for guess in read.guesses}
        self._keys = {(read.table, columns) for read in inputs for columns in read.guessed_unique}

    def rows(self, table: str) -> int:
        return self._inputs[table].usual_rows if table in self._inputs else NoStatistics().rows(table)

    def column(self, table: str, index: int) -> ColumnStatistics:
        return self._columns.get((table, index)) or NoStatistics().column(table, index)

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        return (table, tuple(sorted(columns))) in self._keys


def facts_of(read: Input) -> TableFacts:
    """What a manifest says of a table."""
    columns = {column.column.index: column.column for column in read.columns}
    strings = {column.column.index: column.strings for column in read.columns if column.strings is not None}
    return TableFacts(read.fields, columns, strings, read.usual_rows)
