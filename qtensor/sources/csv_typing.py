"""The types of the columns of a CSV file that is read block by block: those that `typed` finds of all rows at once.

A value by itself is of a kind or is not (`Kind.convert`), so a column is of the first kind that takes all of its blocks. It goes
on with a kind as long as blocks are of it, and with the next one where a block is not; the kind that has taken as many blocks one
after the other as there are, beyond the end of the file on from its start, is the column's. So a file whose types are seen in its
first block is read once, and each fall from one kind to another that comes later costs up to one more reading of that column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from qtensor.sources.csv_dates import Texts, Values, all_match
from qtensor.sources.csv_types import NOTHING, DateOrders, Kind, any_matches, first_text, kinds
from qtensor.sources.facts import ColumnFacts

ReadBlocks: TypeAlias = Callable[[Sequence[int]], Iterator[Sequence[Texts]]]  # the columns of these numbers, block by block


@dataclass(frozen=True)
class TypedColumn:
    """What kind of values a column has, the Arrow type they are kept in, and what is known of them in each block."""

    kind: Kind
    type: pa.DataType
    facts: tuple[ColumnFacts, ...]

    def values(self, texts: Texts) -> Values | None:
        """The values of a block; None if there are some that are not of this kind any more."""
        if pa.types.is_string(self.type):
            return texts
        return pa.nulls(len(texts), self.type) if texts.null_count == len(texts) else self.kind.convert(texts)


def typed_in_blocks(width: int, read: ReadBlocks) -> list[TypedColumn]:
    """The kinds of the columns, of which there are `width`. read: gives all blocks, at least one, each time it is called."""
    searches = [_Search() for _ in range(width)]
    count = None
    while True:
        wanted = [number for number in range(width) if not searches[number].done]
        if not wanted:
            if _agree_on_dates(searches):
                return [search.result() for search in searches]
            continue
        block = -1
        for block, columns in enumerate(read(wanted)):
            for number, texts in zip(wanted, columns, strict=True):
                if not searches[number].done:
                    searches[number].take(block, texts, count)
            if all(search.done for search in searches):
                break
        if count is None:
            count = block + 1
            for search in searches:
                search.settle(count)


def _agree_on_dates(searches: Sequence[_Search]) -> bool:
    """Whether every column was searched for what it may be behind those before it; else one of them is searched again."""
    dates = DateOrders()
    for search in searches:
        if search.first is not None:
            allowed = list(kinds(search.first, dates))
            before = allowed[: allowed.index(search.kind)] if search.kind in allowed else None
            if before is None or any(kind not in search.refused for kind in before):
                search.start_over(allowed)
                return False
        dates.learn(search.kind)
    return True


class _Search:
    """What kind of values one column has. done: it is known."""

    def __init__(self) -> None:
        self.first: str | None = None  # the first value
        self.facts: dict[int, ColumnFacts] = {}
        self.start_over([NOTHING])

    def start_over(self, allowed: list[Kind]) -> None:
        self._allowed = allowed
        self._place = 0
        self._become_next()

    def _become_next(self) -> None:
        self.done = False
        self._type = pa.string()
        self._taken = self._with_values = 0  # blocks, one after the other
        self._in_order = set(self.kind.in_order)
        self._some = not self.kind.some

    @property
    def kind(self) -> Kind:
        return self._allowed[self._place]

    @property
    def refused(self) -> list[Kind]:
        """The kinds that a block was not of, or all of them."""
        return self._allowed[: self._place]

    def take(self, block: int, texts: Texts, count: int | None) -> None:
        """Look at block number `block`, of `count`, which is None where it is not yet known."""
        if texts.null_count < len(texts):
            self._take_values(block, texts)
        else:
            self.facts[block] = ColumnFacts(None, len(texts), 0)
        self._taken += 1
        if count is not None:
            self.settle(count)

    def _take_values(self, block: int, texts: Texts) -> None:
        if self.first is None:
            self.first = first_text(texts)
            self._allowed = list(kinds(self.first, DateOrders()))
        while (values := self.kind.convert(texts)) is None:
            self._fall()
        self._type = values.type
        self._with_values += 1
        self._in_order = {pattern for pattern in self._in_order if all_match(texts, pattern)}
        self._some = self._some or any_matches(texts, self.kind.some)
        self.facts[block] = _facts_of(texts, values)

    def _fall(self) -> None:
        taken = 0 if self._with_values else self._taken  # blocks without values are of any kind
        self._place += 1
        self._become_next()
        self._taken = taken

    def settle(self, count: int) -> None:
        """See whether all blocks, of which there are `count`, are of the kind."""
        if self._taken < count:
            return
        if self._some or self.first is None:
            self.done = True
        else:
            self._fall()

    def result(self) -> TypedColumn:
        as_texts = bool(self._in_order)
        return TypedColumn(self.kind, pa.string() if as_texts else self._type, tuple(self.facts[n] for n in sorted(self.facts)))


def _facts_of(texts: Texts, values: Values) -> ColumnFacts:
    """What is known of a block with values."""
    span = None
    if values.type in (pa.int64(), pa.date32(), pa.timestamp("us")):
        integers = pa.int32() if values.type == pa.date32() else pa.int64()
        limits = pc.min_max(values.cast(integers)).as_py()
        span = limits["min"], limits["max"]
    return ColumnFacts(span, texts.null_count, pc.sum(pc.binary_length(texts)).as_py())
