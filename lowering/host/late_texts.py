"""Texts that are made after a run, only of what is in its result: CAST to VARCHAR of values of any range, and string_agg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qtensor.types import Float, Integer, SqlType
from qtensor.values.texts import format_value

BLOCK = 1 << 22  # strings that are joined at once, or those of one group if it has more


def written(values: NDArray[Any], low: NDArray[np.int64] | None, type: SqlType) -> tuple[NDArray[np.int64], pa.Array]:
    """The texts of the codes of a `WrittenDictionary`: for each its place among the different ones, and the texts of these.

    low: of wide sums, whose values are values * 2**32 + low.
    """
    whole = values.astype(np.int64) if low is None else values.astype(object) * (1 << 32) + low
    different, places = np.unique(whole, return_inverse=True)
    match type:
        case Integer() if low is None:
            texts = pa.array(different).cast(pa.large_string())
        case Float(bits):
            floats = floats_of(different, bits)
            texts = pa.array([format_value(value, type) for value in floats.tolist()], pa.large_string())
        case _:
            texts = pa.array([format_value(value, type) for value in different.tolist()], pa.large_string())
    return places, texts


def floats_of(keys: NDArray[np.int64], bits: int) -> NDArray[Any]:
    """The floats of so many bits that have these order keys."""
    if bits == 32:
        narrow = keys.astype(np.int32)
        return np.where(narrow < 0, narrow ^ np.int32(np.iinfo(np.int32).max), narrow).view(np.float32)
    return np.where(keys < 0, keys ^ np.int64(np.iinfo(np.int64).max), keys).view(np.float64)


class TextLists(NamedTuple):
    """A `TextList` of a run: which rows' texts are joined for each group, and in what order."""

    codes: NDArray[np.int32]
    ranks: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]

    def of_ranges(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> pa.Array:
        """LargeList of codes: those of the rows that count from each `start` to its `end`, in order."""
        counts = end - start
        ends = np.cumsum(counts)
        owner = np.repeat(np.arange(len(counts)), counts)
        row = np.arange(len(owner)) - np.repeat(ends - counts - start, counts)
        rank = self.ranks[row]
        counted = rank >= 0
        owner, row, rank = owner[counted], row[counted], rank[counted]
        if ((rank[1:] <= rank[:-1]) & (owner[1:] == owner[:-1])).any():
            order = np.lexsort((rank, owner))
            owner, row, rank = owner[order], row[order], rank[order]
            repeated = (rank[1:] == rank[:-1]) & (owner[1:] == owner[:-1])
            different = np.concatenate([np.ones(min(1, len(rank)), np.bool_), ~repeated])
            owner, row = owner[different], row[different]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owner, minlength=len(counts)))])
        return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(self.codes[row]))


def joined(
    lists: TextLists, groups: NDArray[np.int32], strings: pa.Array, separator: pa.Scalar
) -> tuple[NDArray[np.int64], pa.Array]:
    """The texts of string_agg of `groups`: for each its place among the texts, and these, large_string, "" of no rows."""
    width = len(lists.codes) + 1
    ranges, places = np.unique(lists.start[groups].astype(np.int64) * width + lists.end[groups], return_inverse=True)
    start, end = ranges // width, ranges % width
    texts = []
    for block in blocks(end - start):
        codes = lists.of_ranges(start[block], end[block])
        parts = pa.LargeListArray.from_arrays(codes.offsets, strings.take(codes.values))
        texts.append(pc.binary_join(parts, separator))
    return places, pa.concat_arrays([pa.array([], pa.large_string()), *texts])


def blocks(counts: NDArray[np.int64]) -> Iterator[slice]:
    """Neighbours that together have up to BLOCK, or one that has more.

    >>> list(blocks(np.array([BLOCK - 1, 1, BLOCK + 5, 0])))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        yield slice(first, last)
        first = last
