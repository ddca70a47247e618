"""What a source says of a column without reading it. It guides what is done: files may lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class ColumnFacts:
    """Each is None where the source does not say.

    range: what all values that are not NULL lie between, in the units of storage: unscaled decimals, days, microseconds. nulls:
    how many rows are NULL. bytes: what the column takes in its file, as it is encoded there and not compressed.
    """

    range: Range | None = None
    nulls: int | None = None
    bytes: int | None = None


NOTHING_SAID = ColumnFacts()


def of_all(facts: Sequence[ColumnFacts], rows: Sequence[int]) -> ColumnFacts:
    """What is known of a column that consists of several, of so many rows each.

    >>> of_all([ColumnFacts((1, 3), 0, 8), ColumnFacts(None, 5, 8), ColumnFacts((2, 9), 1)], [4, 5, 6])
    ColumnFacts(range=(1, 9), nulls=6, bytes=None)
    """
    # What has no value has no range.
    ranges = [one.range for one, count in zip(facts, rows, strict=True) if one.nulls is None or one.nulls < count]
    return ColumnFacts(_hull(ranges), _sum([one.nulls for one in facts]), _sum([one.bytes for one in facts]))


def _hull(ranges: Sequence[Range | None]) -> Range | None:
    """The range of all values; None if it is not known of some, or there are none."""
    known = [range for range in ranges if range is not None]
    if not known or len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


class Expectations:
    """The ranges in which columns are expected to be, so that all parts of a source are encoded in integers of one width.

    A footer that lies costs one more reading, and only once.
    """

    def __init__(self, facts: Callable[[int], ColumnFacts]) -> None:
        """facts: of the columns of the whole source."""
        self._facts = facts
        self._known: dict[int, Range | None] = {}

    def of(self, index: int) -> Range | None:
        """The range of column number `index`; None where nothing is known, or what was known was wrong."""
        if index not in self._known:
            self._known[index] = self._facts(index).range
        return self._known[index]

    def was_wrong(self, index: int) -> None:
        """Expect nothing of a column any more."""
        self._known[index] = None
